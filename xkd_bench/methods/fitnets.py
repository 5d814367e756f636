"""FitNets on dense features: a regressor of the student's map is to give the teacher's."""

from typing import ClassVar

from torch import Tensor

from xkd_bench.losses.dense_features import fitnets
from xkd_bench.methods._dense_maps import PlacedMethod, PlacedOptions, Weight
from xkd_bench.methods.base import Options
from xkd_bench.methods.dense import DenseBatch, DenseTeacher
from xkd_bench.models.dense_adapters import aligner
from xkd_bench.models.segmenters import Segmentation, Segmenter


class FitNetsOptions(PlacedOptions):
    """weight: CIRKD's (RepDistiller and mdistiller: 100). at: see `PlacedOptions`."""

    weight: Weight = 10.0


class FitNets(PlacedMethod):
    """Romero et al. 2015, with a 1×1 regressor whatever the widths are, and both losses in one stage."""

    provenance = "[CODE CIRKD losses/fitnet.py] features through a 1×1 regressor"
    options_type: ClassVar[type[Options]] = FitNetsOptions

    def __init__(self, student: Segmenter, teacher: DenseTeacher | None, options: FitNetsOptions) -> None:
        super().__init__(student, teacher, options)
        self.regress = aligner(self.width, self.taught_width, always=True, bias=False)

    def distil(self, out: Segmentation, batch: DenseBatch) -> dict[str, Tensor]:
        f_s, f_t = self.maps(out, batch)
        return {"loss": self.options.weight * fitnets(self.regress(f_s), f_t)}


METHOD = FitNets
