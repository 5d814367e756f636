"""Masked generative distillation: from a map most of which is masked the student is to make the teacher's."""

from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor

from xkd_bench.losses.dense_features import mgd
from xkd_bench.losses.dense_logits import cwd
from xkd_bench.methods._dense_maps import PUBLISHED_ENTRIES, Place, PlacedMethod, PlacedOptions, Weight
from xkd_bench.methods.base import Options
from xkd_bench.methods.dense import DenseBatch, DenseTeacher, on_grid
from xkd_bench.models.dense_adapters import MaskedGenerator
from xkd_bench.models.segmenters import Segmentation, Segmenter


class MGDOptions(PlacedOptions):
    """weight, masked: its own for segmentation; masked: share of the places. at: see `PlacedOptions`. logits: weight of
    the channel-wise term on logits that its code has beside it (3, at τ = 4); 0, the default here, is MGD alone.

    scaled: the loss is a sum over channels and places. True brings it to as many of them as a ResNet-101's last map of
    a Cityscapes crop has (2048 × 64 × 128), which the weight was chosen for: on a small map the sum as it is would
    weigh thousands of times less [RECON med].
    """

    weight: Weight = 2e-5
    at: Place = "encoder"
    masked: Annotated[float, Field(ge=0, lt=1)] = 0.75
    logits: Weight = 0.0
    scaled: bool = True


class MGD(PlacedMethod):
    """Yang et al. 2022."""

    provenance = "[CODE MGD seg/mmseg/distillation/losses/mgd.py] masked generative distillation"
    options_type: ClassVar[type[Options]] = MGDOptions

    def __init__(self, student: Segmenter, teacher: DenseTeacher | None, options: MGDOptions) -> None:
        super().__init__(student, teacher, options)
        self.generator = MaskedGenerator(self.width, self.taught_width, options.masked)

    def distil(self, out: Segmentation, batch: DenseBatch) -> dict[str, Tensor]:
        o = self.options
        f_s, f_t = self.maps(out, batch)
        larger = PUBLISHED_ENTRIES / f_t[0].numel() if o.scaled else 1.0
        loss = o.weight * larger * mgd(self.generator(f_s), f_t)
        if o.logits:
            loss = loss + o.logits * cwd(out.logits, on_grid(batch.teacher.logits, out.logits), 4.0)
        return {"loss": loss}


METHOD = MGD
