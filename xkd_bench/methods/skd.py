"""Structured knowledge distillation: the pixels' laws over classes, and the cosines between places.

Its third, holistic term is left out: it trains a discriminator of label maps against the student (WGAN-GP), that is, a
second optimiser and a loop of its own; gains over the first two can be told from tables without it.
"""

from typing import ClassVar

from torch import Tensor

from xkd_bench.losses.dense_logits import skd_pixel
from xkd_bench.losses.dense_relations import skd_pair
from xkd_bench.methods._dense_maps import PlacedMethod, PlacedOptions, Weight
from xkd_bench.methods.base import Options
from xkd_bench.methods.dense import DenseBatch, on_grid
from xkd_bench.models.segmenters import Segmentation


class SKDOptions(PlacedOptions):
    """pixel, pair: weights of the two terms (the official option of `pair` is 1, its script says 0.5; CIRKD: 10).
    over_batch: the pixel term is a mean over images too; the official code sums over them, so that its weight grows
    with the batch. pool: of the pair term, the window as a share of each side. weight: of both terms."""

    pixel: Weight = 10.0
    pair: Weight = 0.5
    over_batch: bool = False
    pool: Weight = 0.5


class SKD(PlacedMethod):
    """Liu et al. 2019, without the holistic term."""

    provenance = "[CODE structure_knowledge_distillation utils/criterion.py] pixel- and pair-wise, not holistic"
    options_type: ClassVar[type[Options]] = SKDOptions

    def distil(self, out: Segmentation, batch: DenseBatch) -> dict[str, Tensor]:
        o = self.options
        pixel = skd_pixel(out.logits, on_grid(batch.teacher.logits, out.logits), over_batch=o.over_batch)
        pair = skd_pair(*self.maps(out, batch), o.pool or None)
        return {
            "loss": o.weight * (o.pixel * pixel + o.pair * pair),
            "pixel": pixel.detach(),
            "pair": pair.detach(),
        }


METHOD = SKD
