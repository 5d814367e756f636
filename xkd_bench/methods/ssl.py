"""SimCLR on the target modality alone: no teacher, no pairs. The reference for what distillation adds."""

from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor

from xkd_bench.losses.contrastive import ntxent
from xkd_bench.methods.base import Batch, Method, Options, Projector, Teacher
from xkd_bench.models.encoders import Encoder


class SSLOptions(Options):
    """tau: temperature. dim: width of the projection."""

    tau: Annotated[float, Field(gt=0)] = 0.2
    dim: Annotated[int, Field(gt=0)] = 128


class SSL(Method):
    """CMCD's SSL reference: eq. (1) on two augmented views of each target item."""

    views = 2
    uses_pairs = False
    provenance = "[RECON hi] CMCD eq. (1)"
    options_type: ClassVar[type[Options]] = SSLOptions
    options: SSLOptions

    def __init__(self, student: Encoder, teacher: Teacher | None, options: SSLOptions) -> None:
        super().__init__(student, teacher, options)
        self.projector = Projector(student.dim, options.dim)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        z_1, z_2 = (self.projector(self.student(view)) for view in batch.views)
        return {"loss": ntxent(z_1, z_2, self.options.tau)}


METHOD = SSL
