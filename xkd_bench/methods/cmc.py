"""Cross-modality contrast (CMCD): student and frozen teacher features of a pair attract, all others repel."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import Tensor

from xkd_bench.losses.contrastive import cmc
from xkd_bench.methods.base import Batch, Method, Options, Projector, Teacher, centred
from xkd_bench.models.encoders import Encoder


class CMCOptions(Options):
    """tau: temperature (the paper states none). positives: `distinct` fills a batch with different concepts; `all` lets
    concepts repeat and counts every pair of a concept as positive. centre_teacher: subtract the mean of the teacher's
    features over the distilled pairs."""

    tau: Annotated[float, Field(gt=0)] = 0.1
    positives: Literal["distinct", "all"] = "distinct"
    centre_teacher: bool = True


class CMC(Method):
    """CMCD's CMC: eq. (3) on the projected student and the frozen teacher, a two-layer projector into its space."""

    provenance = "[RECON hi] CMCD eq. (3)"
    options_type: ClassVar[type[Options]] = CMCOptions
    options: CMCOptions

    def __init__(self, student: Encoder, teacher: Teacher | None, options: CMCOptions) -> None:
        super().__init__(student, teacher, options)
        assert teacher is not None
        self.projector = Projector(student.dim, teacher.dim)
        self.register_buffer("teacher_mean", teacher.mean * options.centre_teacher)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        assert batch.teacher is not None
        z_a = centred(batch.teacher, self.get_buffer("teacher_mean"))
        z_b = self.projector(self.student(batch.views[0]))
        concept = batch.concept if self.options.positives == "all" else None
        return {"loss": cmc(z_a, z_b, self.options.tau, concept)}


METHOD = CMC
