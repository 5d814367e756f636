"""Cross-modal supervision transfer: the student's mid-level feature maps imitate the teacher's."""

from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor

from xkd_bench.losses.features import cmst
from xkd_bench.methods._maps import MapMethod, MapOptions
from xkd_bench.methods.base import Batch, Options, Teacher
from xkd_bench.models.encoders import Encoder


class CMSTOptions(MapOptions):
    """levels: how many feature maps are matched, from the last; CMCD does not say which, its source matches one."""

    levels: Annotated[int, Field(gt=0)] = 1


class CMST(MapMethod):
    """Gupta et al. 2016: mean squared difference of feature maps, through a 1×1 convolution where widths differ."""

    sees = "maps"
    provenance = "[RECON med] CMST as CMCD describes it; levels ours"
    options_type: ClassVar[type[Options]] = CMSTOptions

    def __init__(self, student: Encoder, teacher: Teacher | None, options: CMSTOptions) -> None:
        super().__init__(student, teacher, options)
        self.adapt = self.adapters()

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        maps = [adapt(m) for adapt, m in zip(self.adapt, self.student_maps(batch), strict=True)]
        return {"loss": cmst(maps, batch.teacher_maps)}


METHOD = CMST
