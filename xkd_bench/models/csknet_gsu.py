"""CSK-Net-style gated spectral units: how the two branches' decoder features become one.

The paper's equations were not available to this project. Two readings of its wording are here, both [RECONSTRUCTED].
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class GatedUnit(nn.Module):
    """A gated multimodal unit at each pixel.

        h_m = tanh(W_m d_m),    z = σ(W_z [d_a; d_b]),    out = z h_a + (1 - z) h_b

    d_a, d_b: [n, c, h, w] to [n, c, h, w] with values in (-1, 1). W: 1×1 convolutions with bias.

    Source: Arevalo et al. 2017, Gated multimodal units, eq. (1)-(3) [CODE gmu-mmimdb model.py]; that CSK-Net's unit is
    this one is [RECONSTRUCTED].
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.of_a, self.of_b = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 1)
        self.gate = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, d_a: Tensor, d_b: Tensor) -> Tensor:
        z = self.gate(torch.cat((d_a, d_b), 1)).sigmoid()
        return z * self.of_a(d_a).tanh() + (1 - z) * self.of_b(d_b).tanh()


def split_frequencies(d: Tensor, window: int) -> tuple[Tensor, Tensor]:
    """(low, high) with low + high = d: [n, c, h, w], low the mean of each window × window block, at every pixel of it.

    High has mean 0 in each block, and the two are orthogonal. Blocks at the right and lower edge may be smaller.
    """
    means = F.avg_pool2d(d, window, ceil_mode=True, count_include_pad=False)
    low = means.repeat_interleave(window, 2).repeat_interleave(window, 3)[..., : d.shape[2], : d.shape[3]]
    return low, d - low


class FrequencyUnit(nn.Module):
    """Low frequencies are blended, high ones, which belong to a modality, are let through by gates of their own.

        z = σ(W_z [low_a; low_b]),    out = z low_a + (1 - z) low_b + Σ_m σ(W_m high_m) high_m

    d_a, d_b: [n, c, h, w] to [n, c, h, w]. W: 1×1 convolutions with bias; window: of the means that are the low ones.

    Source: after CSK-Net's words, that its unit regulates the correlation between low and high frequencies and forces
    no alignment of what is specific [RECONSTRUCTED].
    """

    def __init__(self, channels: int, window: int = 4) -> None:
        super().__init__()
        self.window = window
        self.blend = nn.Conv2d(2 * channels, channels, 1)
        self.gate_a, self.gate_b = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 1)

    def forward(self, d_a: Tensor, d_b: Tensor) -> Tensor:
        low_a, high_a = split_frequencies(d_a, self.window)
        low_b, high_b = split_frequencies(d_b, self.window)
        z = self.blend(torch.cat((low_a, low_b), 1)).sigmoid()
        specific = self.gate_a(high_a).sigmoid() * high_a + self.gate_b(high_b).sigmoid() * high_b
        return z * low_a + (1 - z) * low_b + specific


class MeanUnit(nn.Module):
    """No gate: the mean of both. For comparison."""

    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, d_a: Tensor, d_b: Tensor) -> Tensor:
        return (d_a + d_b) / 2


UNITS: dict[str, type[nn.Module]] = {"gmu": GatedUnit, "freq": FrequencyUnit, "mean": MeanUnit}
