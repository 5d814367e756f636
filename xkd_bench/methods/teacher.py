"""The teacher itself, on its own modality: the upper reference of dense tables. Nothing is trained but the teacher."""

from typing import Any, ClassVar

from torch import Tensor

from xkd_bench.methods.dense import DenseBatch, DenseMethod, Inputs
from xkd_bench.models.segmenters import Segmentation


class TeacherItself(DenseMethod):
    """No student: the network that teaches the others, from all labels of train, is scored on test's source images.

    It is no upper bound: a student may learn what the target alone shows.
    """

    distils = False
    trains_student = False
    inputs: ClassVar[tuple[Inputs, ...]] = ("source",)
    protocols = ("fine-tune",)
    provenance = "[STD] the teacher on its own modality"

    def distil(self, out: Segmentation, batch: DenseBatch) -> dict[str, Any]:
        raise RuntimeError("the teacher is not distilled")

    def forward(self, batch: DenseBatch) -> dict[str, Tensor]:  # type: ignore[override]
        raise RuntimeError("the teacher is not distilled")


METHOD = TeacherItself
