"""Contrast of the student's pixels by their classes, across images: a loss beside the labels', not a distillation."""

from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor

from xkd_bench.losses.dense_contrast import stage_contrast
from xkd_bench.methods._dense_maps import PlacedMethod, PlacedOptions, Start, Tau, Weight, views_on
from xkd_bench.methods.base import Options
from xkd_bench.methods.dense import Clock, DenseBatch, DenseTeacher
from xkd_bench.models.dense_adapters import ProjectionHead
from xkd_bench.models.segmenters import Segmentation, Segmenter

Count = Annotated[int, Field(gt=0)]


class PixelContrastOptions(PlacedOptions):
    """weight, tau, tau_base, dim, max_samples, max_views: ContrastiveSeg's. max_views: a class with fewer pixels in an
    image is not contrasted there; on small grids it is at most 1/16 of the places, or no class would be (ours).
    contrast_from: the share of the training before it counts, ContrastiveSeg's 5,000 of 40,000 steps. at: see
    `PlacedOptions`."""

    weight: Weight = 0.1
    tau: Tau = 0.1
    tau_base: Tau = 0.07
    dim: Count = 256
    max_samples: Count = 1024
    max_views: Count = 100
    contrast_from: Start = 0.125


class PixelContrast(PlacedMethod):
    """Wang et al. 2021. With labels no teacher is looked at; without, the classes are the teacher's."""

    provenance = "[CODE ContrastiveSeg lib/loss/loss_contrast.py] contrast of the student's own pixels by class"
    options_type: ClassVar[type[Options]] = PixelContrastOptions

    def __init__(self, student: Segmenter, teacher: DenseTeacher | None, options: PixelContrastOptions) -> None:
        super().__init__(student, teacher, options)
        self.project = ProjectionHead(self.width, options.dim)
        self.clock = Clock()

    def distil(self, out: Segmentation, batch: DenseBatch) -> dict[str, Tensor]:
        o = self.options
        z = self.project(self.maps(out, batch)[0])
        loss = stage_contrast(
            [[z]], batch.label, [out.logits.argmax(1)], tau=o.tau, tau_base=o.tau_base, max_samples=o.max_samples,
            max_views=views_on(z, o.max_views),
        )  # fmt: skip
        weight = o.weight * self.clock.past(o.contrast_from)
        self.clock.tick()
        return {"loss": weight * loss}


METHOD = PixelContrast
