"""Centred kernel alignment as a loss: the student's places are to be as alike to each other as the teacher's are."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import Tensor

from xkd_bench.losses.dense_features import cka
from xkd_bench.methods._dense_maps import PlacedMethod, PlacedOptions
from xkd_bench.methods.base import Options
from xkd_bench.methods.dense import DenseBatch
from xkd_bench.models.segmenters import Segmentation


class CKAOptions(PlacedOptions):
    """kernel, debiased: of CKA. examples: the places of an `image` or of the whole `batch`. most: places of an image
    that are compared; finer maps are averaged to so many. weight (ours), at: see `PlacedOptions`."""

    kernel: Literal["linear", "rbf", "laplace_l1", "laplace_l2"] = "linear"
    examples: Literal["image", "batch"] = "image"
    debiased: bool = False
    most: Annotated[int, Field(ge=4)] = 1024


class CKA(PlacedMethod):
    """Kornblith et al. 2019 as a loss on feature maps; LIX's feature loss without its recalibration."""

    provenance = "[RECON med] 1 - CKA of feature maps"
    options_type: ClassVar[type[Options]] = CKAOptions

    def distil(self, out: Segmentation, batch: DenseBatch) -> dict[str, Tensor]:
        o = self.options
        f_s, f_t = self.maps(out, batch)
        return {"loss": o.weight * cka(f_s, f_t, o.kernel, examples=o.examples, most=o.most, debiased=o.debiased)}


METHOD = CKA
