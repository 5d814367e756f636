"""Cross-modality contrast (CMCD): student and frozen teacher features of a pair attract, all others repel."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import Tensor

from xkd_bench.losses.contrastive import cmc
from xkd_bench.methods.base import Batch, Options, Projected, ProjectedOptions


class CMCOptions(ProjectedOptions):
    """tau: temperature (the paper states none). positives: `distinct` fills a batch with different concepts; `all` lets
    concepts repeat and counts every pair of a concept as positive. centre_teacher: subtract the mean of the teacher's
    features."""

    tau: Annotated[float, Field(gt=0)] = 0.1
    positives: Literal["distinct", "all"] = "distinct"


class CMC(Projected):
    """CMCD's CMC: eq. (3) on the projected student and the frozen teacher, a two-layer projector into its space."""

    provenance = "[RECON hi] CMCD eq. (3)"
    options_type: ClassVar[type[Options]] = CMCOptions
    options: CMCOptions

    def contrast(self, z_a: Tensor, z_b: Tensor, batch: Batch) -> Tensor:
        """The loss on projected features."""
        concept = batch.concept if self.options.positives == "all" else None
        return cmc(z_a, z_b, self.options.tau, concept)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        return {"loss": self.contrast(*self.project(batch), batch)}


METHOD = CMC
