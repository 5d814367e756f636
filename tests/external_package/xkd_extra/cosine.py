"""A method of another package: the cosine between the projected student and the teacher."""

from typing import Annotated

from pydantic import Field
from torch import Tensor
from torch.nn.functional import cosine_similarity

from xkd_bench.methods.base import Batch, Method, Options, Projector, Teacher, centred
from xkd_bench.models.encoders import Encoder


class CosineOptions(Options):
    """scale: of the loss."""

    scale: Annotated[float, Field(gt=0)] = 1.0


class Cosine(Method):
    """1 - cos, averaged over the pairs of a batch."""

    provenance = "[STD] cosine distance"
    options_type = CosineOptions

    def __init__(self, student: Encoder, teacher: Teacher | None, options: CosineOptions) -> None:
        super().__init__(student, teacher, options)
        assert teacher is not None
        self.projector = Projector(student.dim, teacher.dim)
        self.register_buffer("teacher_mean", teacher.mean)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        assert batch.teacher is not None
        z_a = centred(batch.teacher, self.get_buffer("teacher_mean"))
        z_b = self.projector(self.student(batch.views[0]))
        return {"loss": self.options.scale * (1 - cosine_similarity(z_a, z_b)).mean()}
