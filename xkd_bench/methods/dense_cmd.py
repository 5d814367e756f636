"""CMD on local features: each pixel of the student's map imitates the similarities that the teacher's has to others."""

from typing import Any, ClassVar

from pydantic import model_validator
from torch import Tensor

from xkd_bench.losses.dense_cmcd import dense_cmd
from xkd_bench.losses.similarity import Form
from xkd_bench.methods._dense_maps import PixelPairs, PixelPairsOptions, Tau
from xkd_bench.methods.base import Options
from xkd_bench.methods.dense import DenseBatch
from xkd_bench.models.segmenters import Segmentation


class DenseCMDOptions(PixelPairsOptions):
    """form, tau_t, tau_s, include_self: as of the method cmd, defaults too. Others: see `PixelPairsOptions`."""

    form: Form = "seed"
    tau_t: Tau = 0.1
    tau_s: Tau = 0.1
    include_self: bool = True

    @model_validator(mode="before")
    @classmethod
    def _default_of_form(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("form") == "intra":
            return {"include_self": False, **given}
        return given


class DenseCMD(PixelPairs):
    """CMCD's eq. (2), in both readings, whose items are a sample of the batch's pixels."""

    provenance = "[RECON med] CMCD eq. (2), on pixels (ours)"
    options_type: ClassVar[type[Options]] = DenseCMDOptions

    def distil(self, out: Segmentation, batch: DenseBatch) -> dict[str, Tensor]:
        o = self.options
        found = dense_cmd(
            self.pixels(out, batch), form=o.form, tau_t=o.tau_t, tau_s=o.tau_s, include_self=o.include_self
        )
        return {"loss": o.weight * found.loss, "kl": found.kl.detach(), "tv": found.tv.detach()}


METHOD = DenseCMD
