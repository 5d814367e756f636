"""DIST at each pixel: correlations of the predicted laws, along classes and along pixels, in place of divergences."""

from typing import ClassVar

from torch import Tensor

from xkd_bench.losses.dense_logits import dist
from xkd_bench.methods._dense_maps import Tau, Weight
from xkd_bench.methods.base import Options
from xkd_bench.methods.dense import DenseBatch, DenseMethod, on_grid
from xkd_bench.models.segmenters import Segmentation


class DISTOptions(Options):
    """inter: weight of the correlation of each pixel's law over classes; intra: of each class over pixels; tau:
    temperature. As in mmrazor."""

    inter: Weight = 1.0
    intra: Weight = 1.0
    tau: Tau = 1.0


class DIST(DenseMethod):
    """Huang et al. 2022, on the student's logits, all pixels of a batch together."""

    provenance = "[CODE DIST_KD segmentation/losses/dist_kd.py, mmrazor] correlations of predictions"
    options_type: ClassVar[type[Options]] = DISTOptions
    options: DISTOptions

    def distil(self, out: Segmentation, batch: DenseBatch) -> dict[str, Tensor]:
        o = self.options
        return {"loss": dist(out.logits, on_grid(batch.teacher.logits, out.logits), o.tau, o.inter, o.intra)}


METHOD = DIST
