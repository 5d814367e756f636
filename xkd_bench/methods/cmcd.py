"""CMCD whole: contrast and distillation of similarities, mixed."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import Tensor

from xkd_bench.methods.base import Batch, Options
from xkd_bench.methods.cmc import CMC, CMCOptions
from xkd_bench.methods.cmd import CMD, CMDOptions


class CMCDOptions(CMCOptions, CMDOptions):
    """alpha: weight of CMC; CMD has the rest. The others are those of CMC and CMD."""

    alpha: Annotated[float, Field(ge=0, le=1)] = 0.5
    positives: Literal["distinct"] = "distinct"


class CMCD(CMC, CMD):
    """α · CMC + (1 - α) · CMD on one projector (CMCD Table 5); α = 1 is CMC and α = 0 is CMD, to the bit."""

    provenance = "[PAPER] CMCD Table 5; [RECON med] eqs. (2), (3)"
    options_type: ClassVar[type[Options]] = CMCDOptions
    options: CMCDOptions

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        alpha, (z_a, z_b) = self.options.alpha, self.project(batch)
        contrast = self.contrast(z_a, z_b, batch)
        imitation = self.imitate(z_a, z_b, batch).loss
        loss = alpha * contrast + (1 - alpha) * imitation
        return {"loss": loss, "cmc": contrast.detach(), "cmd": imitation.detach()}


METHOD = CMCD
