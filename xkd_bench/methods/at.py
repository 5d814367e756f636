"""Attention transfer on dense features: the student is to be active where the teacher is."""

from typing import ClassVar

from torch import Tensor

from xkd_bench.losses.attention import attention_transfer
from xkd_bench.methods._dense_maps import PUBLISHED_PLACES, PlacedMethod, PlacedOptions, Weight
from xkd_bench.methods.base import Options
from xkd_bench.methods.dense import DenseBatch
from xkd_bench.models.segmenters import Segmentation


class ATOptions(PlacedOptions):
    """weight: CIRKD's (RepDistiller and mdistiller: 1,000). at: see `PlacedOptions`.

    scaled: the loss is a mean over places of maps of length 1, and so the larger the fewer places there are: 170 times
    larger on a grid of 6 × 8 than on the 64 × 128 that the weight was chosen for. True takes this out [RECON med].
    """

    weight: Weight = 10_000.0
    scaled: bool = True


class AT(PlacedMethod):
    """Zagoruyko & Komodakis 2017, of one map."""

    provenance = "[CODE CIRKD losses/at.py] attention transfer"
    options_type: ClassVar[type[Options]] = ATOptions

    def distil(self, out: Segmentation, batch: DenseBatch) -> dict[str, Tensor]:
        f_s, f_t = self.maps(out, batch)
        share = f_s[0, 0].numel() / PUBLISHED_PLACES if self.options.scaled else 1.0
        return {"loss": self.options.weight * share * attention_transfer([f_s], [f_t])}


METHOD = AT
