"""CSK-Net-style exchange of features between two branches: of channels by their batch norms' scales, and of columns."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from xkd_bench.errors import UsageError

RuleName = Literal["absolute", "quantile", "compare", "index"]
DEFAULTS: dict[RuleName, float] = {"absolute": 2e-2, "quantile": 0.1, "compare": 0.5, "index": 2}


@dataclass(frozen=True)
class ChannelRule:
    """Which channels of a branch are replaced by the other's, by the scales γ of the batch norm that they come from.

    absolute: |γ| < value (CEN: 2e-2 [CODE CEN]). Scales start at 1 and seldom fall so far without a penalty, which
        CSK-Net leaves out: it may never happen.
    quantile: γ is among the lowest share of its layer, and below all others: where scales are equal, as at the start,
        nothing is replaced (default 0.1 [RECONSTRUCTED]).
    compare: |γ| < value · |γ of the other branch| (default 0.5 [RECONSTRUCTED]).
    index: every value-th channel, whatever γ (default 2 [CODE open-cd ChannelExchange]); then it is a swap.

    All but `index` replace and need not swap: where one branch's channel falls and the other's does not, the latter is
    doubled and the former lost. The lost one's γ has no gradient, so that weight decay alone moves it and the
    replacement lasts.
    """

    name: RuleName = "quantile"
    value: float | None = None

    def __post_init__(self) -> None:
        if self.name not in DEFAULTS:
            raise UsageError(f"unknown exchange of channels '{self.name}': known: {', '.join(DEFAULTS)}")
        if self.name == "quantile" and not 0 <= self.amount <= 1:
            raise UsageError(f"the share of channels to exchange must be in [0, 1], got {self.amount:g}")
        if self.amount < 0 or (self.name == "index" and (self.amount < 1 or self.amount != int(self.amount))):
            raise UsageError(f"exchange '{self.name}' cannot have the value {self.amount:g}")

    @property
    def amount(self) -> float:
        return DEFAULTS[self.name] if self.value is None else self.value

    @torch.no_grad()
    def replaced(self, own: Tensor, other: Tensor) -> Tensor:
        """Which channels of the branch with scales own: [c] are replaced: [c] bool; other: [c] the other's scales."""
        own, other = own.abs(), other.abs()
        if self.name == "absolute":
            return own < self.amount
        if self.name == "compare":
            return own < self.amount * other
        if self.name == "index":
            return torch.arange(len(own), device=own.device) % int(self.amount) == 0
        count = int(self.amount * len(own) + 1e-9)
        if count == len(own):
            return torch.ones_like(own, dtype=torch.bool)
        return own < own.sort().values[count]


def exchange_channels(x_a: Tensor, x_b: Tensor, replace_a: Tensor, replace_b: Tensor) -> tuple[Tensor, Tensor]:
    """Two maps [n, c, h, w] whose channels replace_a: [c] and replace_b: [c] come from the other one.

    Where both are replaced, they are swapped. The gradient of a replaced channel goes to the branch that it came from.

    Source: Wang et al. 2020, Deep multimodal fusion by channel exchanging, eq. (5) [CODE CEN
    semantic_segmentation/models/modules.py].
    """
    if x_a.shape != x_b.shape:
        raise ValueError(f"maps of one shape are needed, got {tuple(x_a.shape)} and {tuple(x_b.shape)}")
    from_b, from_a = (mask[:, None, None] for mask in (replace_a, replace_b))
    return torch.where(from_b, x_b, x_a), torch.where(from_a, x_a, x_b)


def exchange_columns(x_a: Tensor, x_b: Tensor, step: int = 2) -> tuple[Tensor, Tensor]:
    """Two maps [n, c, h, w] whose columns 0, step, 2·step, ... are swapped. Twice, it is the identity.

    Source: Fang et al. 2023, Changer, section 3.3 [CODE open-cd SpatialExchange]; along the width in late stages, as
    CSK-Net's summary has it [RECONSTRUCTED].
    """
    if step < 1:
        raise UsageError(f"columns are exchanged every 1, 2, ... of them, got {step}")
    if x_a.shape != x_b.shape:
        raise ValueError(f"maps of one shape are needed, got {tuple(x_a.shape)} and {tuple(x_b.shape)}")
    swapped = torch.arange(x_a.shape[3], device=x_a.device) % step == 0
    return torch.where(swapped, x_b, x_a), torch.where(swapped, x_a, x_b)


def exchange_last(x_a: Tensor, x_b: Tensor) -> tuple[Tensor, Tensor]:
    """Two maps [n, c, h, w] whose last c - 4 ⌊c/5⌋ channels are swapped. Twice, it is the identity.

    Source: Wang et al. 2020, Learning deep multimodal feature representation with asymmetric multi-layer fusion
    [CODE AsymFusion models/model.py].
    """
    last = torch.arange(x_a.shape[1], device=x_a.device) >= x_a.shape[1] // 5 * 4
    return exchange_channels(x_a, x_b, last, last)


def shifted(x: Tensor) -> Tensor:
    """A map [n, c, h, w] whose channels that `exchange_last` keeps are moved by one place, a quarter of them each down,
    right, left and up, with 0 for what lay outside; the other channels are 0. Source: as of `exchange_last`."""
    width, (h, w) = x.shape[1] // 5, x.shape[-2:]
    wide = F.pad(x, (1, 1, 1, 1))
    moved = [
        wide[:, i * width : (i + 1) * width, down : down + h, right : right + w]
        for i, (down, right) in enumerate(((0, 1), (1, 0), (1, 2), (2, 1)))
    ]
    return torch.cat((*moved, torch.zeros_like(x[:, 4 * width :])), 1)


def sparsity(scales: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """CEN's penalty on the scales of layers that exchange channels: Σ_l ‖γ_a, first half‖₁ + ‖γ_b, second half‖₁.

    scales: (γ_a, γ_b), [c] each, of each layer. Each half is pushed down in one branch alone, so that the two give up
    different channels. CEN's weight is 2e-4, added once for each of its three outputs [CODE CEN]. CSK-Net argues
    against the penalty and leaves it out; it is here for comparison.
    """
    parts = [a[: len(a) // 2].abs().sum() + b[len(b) // 2 :].abs().sum() for a, b in scales]
    if not parts:
        raise UsageError("no layer exchanges channels: there is nothing to make sparse")
    return torch.stack(parts).sum()
