"""Channel-wise distillation: each channel, of the logits or of features, is a law over places."""

from typing import ClassVar

from torch import Tensor

from xkd_bench.losses.dense_logits import cwd
from xkd_bench.methods._dense_maps import PlacedMethod, PlacedOptions, Tau, Weight
from xkd_bench.methods.base import Options
from xkd_bench.methods.dense import DenseBatch, DenseTeacher, on_grid
from xkd_bench.models.dense_adapters import aligner
from xkd_bench.models.segmenters import Segmentation, Segmenter


class CWDOptions(PlacedOptions):
    """weight: of the term on logits, features: of that on the maps `at` (CIRKD's script: 50; then with a 1×1 adapter
    where widths differ); tau: temperature of both. The defaults are the official command's."""

    weight: Weight = 3.0
    features: Weight = 0.0
    tau: Tau = 4.0


class CWD(PlacedMethod):
    """Shu et al. 2021, on the logits and, if asked, on features."""

    provenance = "[CODE TorchDistiller SemSeg-distill/utils/criterion.py] channel-wise distillation"
    options_type: ClassVar[type[Options]] = CWDOptions

    def __init__(self, student: Segmenter, teacher: DenseTeacher | None, options: CWDOptions) -> None:
        super().__init__(student, teacher, options)
        self.align = aligner(self.width, self.taught_width) if options.features else None

    def distil(self, out: Segmentation, batch: DenseBatch) -> dict[str, Tensor]:
        o = self.options
        loss = o.weight * cwd(out.logits, on_grid(batch.teacher.logits, out.logits), o.tau)
        if self.align is not None:
            f_s, f_t = self.maps(out, batch)
            loss = loss + o.features * cwd(self.align(f_s), f_t, o.tau)
        return {"loss": loss}


METHOD = CWD
