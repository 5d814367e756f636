"""Knowledge distillation at each pixel: the student imitates the teacher's law over classes."""

from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor

from xkd_bench.losses.dense_logits import kd
from xkd_bench.methods.base import Options
from xkd_bench.methods.dense import DenseBatch, DenseMethod, on_grid
from xkd_bench.models.segmenters import Segmentation


class KDOptions(Options):
    """tau: temperature; weight: of the loss beside the labels'. Both as in CIRKD."""

    tau: Annotated[float, Field(gt=0)] = 1.0
    weight: Annotated[float, Field(ge=0)] = 1.0


class KD(DenseMethod):
    """Hinton et al. 2015, at each pixel of the student's logits."""

    provenance = "[CODE CIRKD losses/kd.py] KD at each pixel"
    options_type: ClassVar[type[Options]] = KDOptions
    options: KDOptions

    def distil(self, out: Segmentation, batch: DenseBatch) -> dict[str, Tensor]:
        taught = on_grid(batch.teacher.logits, out.logits)
        return {"loss": self.options.weight * kd(out.logits, taught, self.options.tau)}


METHOD = KD
