"""Cross-image relational distillation: similarities of pixels across the batch, and to memories of the teacher's."""

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from xkd_bench.losses.dense_logits import kd
from xkd_bench.losses.dense_queue import ClassQueue, class_pixels, class_regions
from xkd_bench.losses.dense_relations import cirkd_memory, cirkd_mini_batch
from xkd_bench.methods._dense_maps import PlacedMethod, PlacedOptions, Tau, Weight
from xkd_bench.methods.base import Options
from xkd_bench.methods.dense import DenseBatch, DenseTeacher, on_grid
from xkd_bench.models.dense_adapters import ProjectionHead
from xkd_bench.models.segmenters import Segmentation, Segmenter

Count = Annotated[int, Field(gt=0)]


class CIRKDOptions(PlacedOptions):
    """kd, mini_batch, pixel, region: weights of the four terms; tau: of similarities. pixels, regions: places that the
    memories have for each class; pixel_sample, region_sample: candidates, divided by the classes. faithful: the
    published code fills the memory of pixels with wrong ones (`dense_queue.class_pixels`); False mends it. stride: of
    the mini-batch term, which is quadratic in places: finer maps (DeepLabV3+ decodes at 4) are averaged to the
    published 8. weight: of all. at: see `PlacedOptions`."""

    kd: Weight = 1.0
    mini_batch: Weight = 1.0
    pixel: Weight = 0.1
    region: Weight = 0.1
    tau: Tau = 0.1
    pixels: Count = 20_000
    regions: Count = 2_000
    pixel_sample: Count = 4_096
    region_sample: Count = 1_024
    faithful: bool = False
    stride: Count = 8


class CIRKD(PlacedMethod):
    """Yang et al. 2022. The memories hold the teacher's features on the student's grid, and take this batch's first."""

    provenance = "[CODE CIRKD rev 91d9ad4, its memory mended] cross-image relations: mini-batch and memory"
    options_type: ClassVar[type[Options]] = CIRKDOptions

    def __init__(self, student: Segmenter, teacher: DenseTeacher | None, options: CIRKDOptions) -> None:
        super().__init__(student, teacher, options)
        assert teacher is not None
        self.classes = teacher.classes
        if options.pixel or options.region:
            self.head = ProjectionHead(self.width, self.taught_width)
            self.pixels = ClassQueue(self.classes, options.pixels, self.taught_width)
            self.regions = ClassQueue(self.classes, options.regions, self.taught_width)

    def distil(self, out: Segmentation, batch: DenseBatch) -> dict[str, Tensor]:
        o = self.options
        f_s, f_t = self.maps(out, batch)
        parts = {}
        if o.kd:
            parts["kd"] = o.kd * kd(out.logits, on_grid(batch.teacher.logits, out.logits))
        if o.mini_batch:
            coarse = [self._at_stride(f, batch.image) for f in (f_s, f_t)]
            parts["mini_batch"] = o.mini_batch * cirkd_mini_batch(coarse[0], coarse[1], o.tau)
        if o.pixel or o.region:
            parts |= self._remembered(f_s, f_t, batch.label)
        loss = torch.stack([*parts.values(), f_s.sum() * 0]).sum()
        return {"loss": o.weight * loss} | {name: part.detach() for name, part in parts.items()}

    def _at_stride(self, f: Tensor, image: Tensor) -> Tensor:
        """A map [n, c, h, w] on a grid no finer than the stride says."""
        height, width = (-(-side // self.options.stride) for side in image.shape[-2:])
        size = min(f.shape[2], height), min(f.shape[3], width)
        return f if size == f.shape[2:] else torch.nn.functional.adaptive_avg_pool2d(f.float(), size)

    def _remembered(self, f_s: Tensor, f_t: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The two memory terms, weighted."""
        o = self.options
        if self.training:
            unit = torch.nn.functional.normalize(f_t.float(), dim=1)
            self.pixels.push(*class_pixels(unit, labels, faithful=o.faithful))
            self.regions.push(*class_regions(unit, labels))
        projected = self.head(f_s)
        parts = {}
        for name, weight, queue, sample in (
            ("pixel", o.pixel, self.pixels, o.pixel_sample),
            ("region", o.region, self.regions, o.region_sample),
        ):
            bank, valid = queue.sample(sample // self.classes + 1)
            if weight and valid.any():
                parts[name] = weight * cirkd_memory(projected, f_t, bank, bank_valid=valid, labels=labels, tau=o.tau)
        return parts


METHOD = CIRKD
