"""Cross-modal knowledge distillation: the student imitates the teacher's last activation and where it looks."""

from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor

from xkd_bench.losses.attention import cmkd
from xkd_bench.methods._maps import MapMethod, MapOptions
from xkd_bench.methods.base import Batch, Options, Teacher
from xkd_bench.models.encoders import Encoder


class CMKDOptions(MapOptions):
    """hint, beta: weights of the match of activations and of attention (CMCD states none; these are RepDistiller's).
    levels: how many attention maps are matched, from the last."""

    hint: Annotated[float, Field(ge=0)] = 100.0
    beta: Annotated[float, Field(ge=0)] = 1000.0


class CMKD(MapMethod):
    """Zhao et al. 2020 as CMCD uses it, without the meta-learned prior: L2 on the last feature map, through a 1×1
    convolution where widths differ, and on unit attention maps of every level."""

    sees = "maps"
    provenance = "[RECON med] CMKD as CMCD describes it; weights [CODE RepDistiller]"
    options_type: ClassVar[type[Options]] = CMKDOptions
    options: CMKDOptions

    def __init__(self, student: Encoder, teacher: Teacher | None, options: CMKDOptions) -> None:
        super().__init__(student, teacher, options)
        self.adapt = self.adapters([-1])[0]

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        maps, taught = self.student_maps(batch), batch.teacher_maps
        out = cmkd(self.adapt(maps[-1]), taught[-1], maps, taught, beta=self.options.beta, hint=self.options.hint)
        return {"loss": out.loss, "activation": out.activation.detach(), "attention": out.attention.detach()}


METHOD = CMKD
