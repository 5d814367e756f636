"""What methods that compare feature maps share: levels counted from the last, and adapters between widths."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field
from torch import Tensor, nn

from xkd_bench.errors import UsageError
from xkd_bench.methods.base import Batch, Method, Options, Teacher
from xkd_bench.models.encoders import Encoder


class MapOptions(Options):
    """levels: how many of the feature maps are compared, from the last; a network that has fewer gives all."""

    levels: Annotated[int, Field(gt=0)] = 4


class MapMethod(Method):
    """A method that compares feature maps. The student's l-th map from the end goes with the teacher's."""

    options_type: ClassVar[type[Options]] = MapOptions
    options: Any

    def __init__(self, student: Encoder, teacher: Teacher | None, options: MapOptions) -> None:
        super().__init__(student, teacher, options)
        assert teacher is not None
        self.widths = [level.mean.numel() for level in teacher.levels]
        if not self.widths:
            raise UsageError(f"student '{student.name}' has no feature maps, and this method compares them")

    def student_maps(self, batch: Batch) -> tuple[Tensor, ...]:
        """The student's maps that go with the teacher's, early to late."""
        return self.student.features(batch.views[0]).maps[-len(self.widths) :]

    def adapters(self, levels: Sequence[int] | None = None) -> nn.ModuleList:
        """A 1×1 convolution from the student's channels to the teacher's at each level (or at these), nothing where
        they agree."""
        channels = [stage[0] for stage in self.student.stages[-len(self.widths) :]]
        chosen = range(len(self.widths)) if levels is None else levels
        pairs = [(channels[level], self.widths[level]) for level in chosen]
        return nn.ModuleList(nn.Conv2d(b, a, 1) if a != b else nn.Identity() for b, a in pairs)
