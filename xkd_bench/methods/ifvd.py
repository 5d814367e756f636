"""Intra-class feature variation distillation: how each pixel stands to the mean of its class."""

from typing import ClassVar

from torch import Tensor

from xkd_bench.losses.dense_features import ifvd
from xkd_bench.losses.dense_logits import kd
from xkd_bench.methods._dense_maps import PlacedMethod, PlacedOptions, Weight
from xkd_bench.methods.base import Options
from xkd_bench.methods.dense import DenseBatch, DenseTeacher, on_grid
from xkd_bench.models.segmenters import Segmentation, Segmenter


class IFVDOptions(PlacedOptions):
    """weight: CIRKD's (the official code's: 200). kd: weight of KD (τ = 1) beside it; the official code has 10 of a
    divergence that is averaged over classes too, that is 10/classes of this one. at: see `PlacedOptions`."""

    weight: Weight = 20.0
    kd: Weight = 0.0


class IFVD(PlacedMethod):
    """Wang et al. 2020, without the adversarial term of the official code."""

    provenance = "[CODE CIRKD losses/ifvd.py] intra-class feature variation"
    options_type: ClassVar[type[Options]] = IFVDOptions

    def __init__(self, student: Segmenter, teacher: DenseTeacher | None, options: IFVDOptions) -> None:
        super().__init__(student, teacher, options)
        assert teacher is not None
        self.classes = teacher.classes

    def distil(self, out: Segmentation, batch: DenseBatch) -> dict[str, Tensor]:
        o = self.options
        loss = o.weight * ifvd(*self.maps(out, batch), batch.label, self.classes)
        if o.kd:
            loss = loss + o.kd * kd(out.logits, on_grid(batch.teacher.logits, out.logits))
        return {"loss": loss}


METHOD = IFVD
