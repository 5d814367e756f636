"""The trainable parts of LIX-style distillation: a learned weight controller and a learned bandwidth.

Both reconstructed: LIX's own were not available to this project [RECONSTRUCTED].
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xkd_bench.errors import UsageError
from xkd_bench.losses.lix_decoupled import Decoupled
from xkd_bench.losses.lix_weights import Level, Weights


class LearnedWeights(nn.Module):
    """A controller of `losses.lix.dwld` with parameters: softplus of a 1x1 convolution of both networks' probabilities,
    divided by its mean over the pixels that count, so that only where the weight lies can change.

    classes: k. level: `pixel` has a weight for TCLD and one for NCLD, `element` 2 and k. It starts with weights of 1
    everywhere. No gradient reaches the networks. Train it by `losses.lix.controller_objective`, never by the student's
    loss: under that, the weight moves to the easiest pixels and nothing is learned.
    """

    def __init__(self, classes: int, level: Level = "pixel") -> None:
        super().__init__()
        self.level = level
        self.conv = nn.Conv2d(2 * classes, 2 if level == "pixel" else 2 + classes, 1)
        nn.init.zeros_(self.conv.weight)
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]

    def forward(self, parts: Decoupled, level: Level) -> Weights:
        if level != self.level:
            raise ValueError(f"a controller made for level '{self.level}' cannot weight level '{level}'")
        seen = torch.cat((parts.probabilities(parts.teacher), parts.probabilities(parts.student)), 1).detach()
        weight = F.softplus(self.conv(seen.to(self.conv.weight.dtype)))  # [n, outputs, h, w]
        counted = parts.counts[:, None]
        mean = torch.where(counted, weight, 0).sum((0, 2, 3), keepdim=True) / counted.sum().clamp_min(1)
        weight = weight / torch.where(mean > 0, mean, 1)
        return Weights(weight[:, 0], weight[:, 1]) if level == "pixel" else Weights(weight[:, :2], weight[:, 2:])


class LearnedBandwidth(nn.Module):
    """A bandwidth h > 0 of `losses.lix_features.kernel_regression`, or its `scale` in units of the median distance:
    softplus of one parameter, which starts at `init`.

    Raises UsageError for an init that is not positive.
    """

    def __init__(self, init: float) -> None:
        super().__init__()
        if not init > 0:
            raise UsageError(f"a bandwidth is positive, got {init:g}")
        # softplus⁻¹(h) = h + log(1 - e^-h)
        self.raw = nn.Parameter(torch.tensor(init + math.log(-math.expm1(-init))))

    def forward(self) -> Tensor:
        """h, a scalar with a gradient."""
        return F.softplus(self.raw)
