"""CMC on local features: each pixel of the student's map and the teacher's at its place attract, other pixels repel."""

from typing import ClassVar

from torch import Tensor

from xkd_bench.losses.dense_cmcd import dense_cmc
from xkd_bench.methods._dense_maps import PixelPairs, PixelPairsOptions, Tau
from xkd_bench.methods.base import Options
from xkd_bench.methods.dense import DenseBatch, DenseTeacher
from xkd_bench.models.segmenters import Segmentation, Segmenter
from xkd_bench.models.temperature import Temperature


class DenseCMCOptions(PixelPairsOptions):
    """tau: temperature, learned from there on with learn_tau. by_label: all pixels of a class are positives, not only
    the one at the same place; without labels the teacher's classes count. Others: see `PixelPairsOptions`."""

    tau: Tau = 0.1
    learn_tau: bool = False
    by_label: bool = False


class DenseCMC(PixelPairs):
    """CMCD's eq. (3) on a sample of the batch's pixels: what the paper names as its open question."""

    provenance = "[RECON hi] CMCD eq. (3), on pixels (ours)"
    options_type: ClassVar[type[Options]] = DenseCMCOptions

    def __init__(self, student: Segmenter, teacher: DenseTeacher | None, options: DenseCMCOptions) -> None:
        super().__init__(student, teacher, options)
        self.tau = Temperature(options.tau, learnable=options.learn_tau)

    def distil(self, out: Segmentation, batch: DenseBatch) -> dict[str, Tensor]:
        o = self.options
        tau = self.tau()
        found = {"loss": o.weight * dense_cmc(self.pixels(out, batch), tau, by_label=o.by_label)}
        return found | ({"tau": tau.detach()} if isinstance(tau, Tensor) else {})


METHOD = DenseCMC
