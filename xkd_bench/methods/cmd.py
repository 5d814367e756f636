"""Cross-modality distillation (CMCD): the student imitates the teacher's law of similarities to other items."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import Tensor

from xkd_bench.losses.similarity import Form, cmd
from xkd_bench.methods.base import Batch, Method, Options, Projector, Teacher, centred
from xkd_bench.models.encoders import Encoder


class CMDOptions(Options):
    """form: which reading of the lost eq. (2). tau_t, tau_s: temperatures of the teacher's and the student's law (the
    paper states none). include_self: an item is a candidate of its own. centre_teacher: as in CMC."""

    form: Form = "seed"
    tau_t: Annotated[float, Field(gt=0)] = 0.1
    tau_s: Annotated[float, Field(gt=0)] = 0.1
    include_self: bool = True
    positives: Literal["distinct"] = "distinct"
    centre_teacher: bool = True


class CMD(Method):
    """CMCD's CMD: eq. (2), candidates from the batch."""

    provenance = "[RECON med] CMCD eq. (2)"
    options_type: ClassVar[type[Options]] = CMDOptions
    options: CMDOptions

    def __init__(self, student: Encoder, teacher: Teacher | None, options: CMDOptions) -> None:
        super().__init__(student, teacher, options)
        assert teacher is not None
        self.projector = Projector(student.dim, teacher.dim)
        self.register_buffer("teacher_mean", teacher.mean * options.centre_teacher)

    @classmethod
    def smallest_batch(cls, options: CMDOptions) -> int:
        return 2 if options.include_self else 3

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        assert batch.teacher is not None
        z_a = centred(batch.teacher, self.get_buffer("teacher_mean"))
        z_b = self.projector(self.student(batch.views[0]))
        o = self.options
        out = cmd(z_a, z_b, form=o.form, tau_t=o.tau_t, tau_s=o.tau_s, include_self=o.include_self)
        return {"loss": out.loss, "kl": out.kl.detach(), "tv": out.tv}


METHOD = CMD
