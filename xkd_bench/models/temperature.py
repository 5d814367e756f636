"""The temperature of a softmax, fixed or learned."""

import math

import torch
from torch import Tensor, nn

from xkd_bench.errors import UsageError

COLDEST, WARMEST = 0.01, 1.0
"""Where a learned temperature stays: logits are scaled by 1 to 100, as in CLIP."""


class Temperature(nn.Module):
    """A temperature τ > 0: `self.tau = Temperature(0.07, learnable=True)`, then `loss(…, self.tau())`.

    Fixed, it is the number given. Learned, the parameter is log 1/τ, one step of which is the same factor whatever τ
    is; it starts at the number given and stays within [0.01, 1], and `fit` applies no weight decay to it. The parameter
    itself is held in the range, and not its exponential alone: beyond the edge there would be no gradient back.

    Raises UsageError for a τ that is not positive or, if learned, outside of the range.

    Source: Radford et al. 2021 (CLIP), section 2.4: the scale of the logits is learned as a log-parametrised scalar,
    starts at 1/0.07, and is clipped at 100; the lower end (a scale of 1) is OpenCLIP's [CODE].
    """

    def __init__(self, init: float, learnable: bool = False) -> None:
        super().__init__()
        if not init > 0:
            raise UsageError(f"a temperature is positive, got {init:g}")
        if learnable and not COLDEST <= init <= WARMEST:
            raise UsageError(
                f"a learned temperature stays in [{COLDEST:g}, {WARMEST:g}], so it cannot start at {init:g}"
            )
        self.init = init
        self.log_scale = nn.Parameter(torch.tensor(-math.log(init))) if learnable else None

    def forward(self) -> Tensor | float:
        """τ: the number given, or a scalar in float32 with a gradient."""
        if self.log_scale is None:
            return self.init
        with torch.no_grad():
            self.log_scale.clamp_(-math.log(WARMEST), -math.log(COLDEST))
        return (-self.log_scale).exp()
