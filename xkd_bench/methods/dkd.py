"""Decoupled knowledge distillation at each pixel: how sure the teacher is, and how it ranks the other classes."""

from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor

from xkd_bench.losses.dense_logits import dkd
from xkd_bench.methods._dense_maps import Tau, Weight
from xkd_bench.methods.base import Options
from xkd_bench.methods.dense import DenseBatch, DenseMethod, DenseTeacher, Ramp, on_grid
from xkd_bench.models.segmenters import Segmentation, Segmenter


class DKDOptions(Options):
    """alpha, beta: weights of the target's and the other classes' term; tau: temperature; weight: of both beside the
    labels'. warm_up: steps over which it grows from 0 (mdistiller: 20 of 240 epochs)."""

    alpha: Weight = 1.0
    beta: Weight = 8.0
    tau: Tau = 4.0
    weight: Weight = 1.0
    warm_up: Annotated[int, Field(ge=0)] = 0


class DKD(DenseMethod):
    """Zhao et al. 2022, at each pixel of the student's logits that has a label."""

    provenance = "[CODE mdistiller DKD.py] decoupled KD at each pixel, in log space"
    options_type: ClassVar[type[Options]] = DKDOptions
    options: DKDOptions

    def __init__(self, student: Segmenter, teacher: DenseTeacher | None, options: DKDOptions) -> None:
        super().__init__(student, teacher, options)
        self.ramp = Ramp(options.warm_up)

    def distil(self, out: Segmentation, batch: DenseBatch) -> dict[str, Tensor]:
        o = self.options
        found = dkd(out.logits, on_grid(batch.teacher.logits, out.logits), batch.label, o.alpha, o.beta, o.tau)
        return {
            "loss": self.ramp() * o.weight * found.loss,
            "target": found.target.detach(),
            "non_target": found.non_target.detach(),
        }


METHOD = DKD
