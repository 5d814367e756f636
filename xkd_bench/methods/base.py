"""The contract of a method: what modules it trains, and its loss on a batch. It never writes a loop."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor, nn

from xkd_bench.errors import UsageError, nearest
from xkd_bench.models.encoders import Encoder


class Options(BaseModel):
    """A method's options: typed, with defaults, frozen. A method names its own as `options_type`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


@dataclass
class Batch:
    """What a step sees. (Not frozen: Lightning Fabric converts its tensors for mixed precision.)

    views: one or more augmented versions of the same n target items, each [n, channels, h, w] in [0, 1].
    concept: [n] integers; equal where two pairs are of the same concept.
    item: [n] which of the distilled target items these are, counted from 0 (see Teacher.concept).
    teacher: [n, d] features of the paired source items, without gradient; None for methods without pairs.
    teacher_maps: the teacher's last `Method.levels` feature maps of them, [n, c_l, h_l, w_l], early to late, moved by
    the crop and flip of the first view; empty for methods that see none.
    """

    views: tuple[Tensor, ...]
    concept: Tensor
    item: Tensor
    teacher: Tensor | None = None
    teacher_maps: tuple[Tensor, ...] = ()


@dataclass(frozen=True)
class Level:
    """One of the teacher's feature maps, over all source items that distillation sees: its size [h, w], and the mean
    and the (biased) variance of each channel, [c], over items and places."""

    size: tuple[int, int]
    mean: Tensor
    var: Tensor


@dataclass(frozen=True)
class Teacher:
    """What a method may know of the frozen teacher before training.

    features: [n_source, dim] of the source items that distillation sees, un-augmented. concept: [n_target] of the
    target items that it sees, in the order that `Batch.item` counts. levels: of the last `Method.levels` maps, early to
    late.
    """

    features: Tensor
    concept: Tensor
    levels: tuple[Level, ...] = ()

    @property
    def dim(self) -> int:
        """Width of the features."""
        return self.features.shape[1]


class Method(nn.Module):
    """How a student learns before it sees a label.

    Every parameter of the module is trained: the student, and what else the method adds (projectors, adapters).
    `views`: how many augmented versions of each target item a step needs. `uses_pairs`: whether it is shown the
    teacher's features of paired source items. `sees`: what else of the teacher: nothing, the `statistics` of its
    feature maps (Teacher.levels), or the `maps` of each item as well (Batch.teacher_maps). `distils`: False for
    references that go straight to the labels. `init`: where the student starts, `source` (weights pretrained on the
    source modality) or None: as the run says. `kinds`: of tasks that it is for; `protocols`: that score it, None for
    all. `provenance`: where the loss comes from, with the tag of the specification; it stands in the tables.

    On several devices every process has the whole batch and the same random numbers. Networks divide it among
    themselves and answer for all of it (`xkd_bench.distributed`); what a method does with the answers is done alike by
    all, and a state it keeps stays the same everywhere.
    """

    views: ClassVar[int] = 1
    uses_pairs: ClassVar[bool] = True
    sees: ClassVar[Literal["features", "statistics", "maps"]] = "features"
    distils: ClassVar[bool] = True
    init: ClassVar[Literal["source"] | None] = None
    kinds: ClassVar[tuple[str, ...]] = ("classification",)
    protocols: ClassVar[tuple[str, ...] | None] = None
    provenance: ClassVar[str]
    options_type: ClassVar[type[Options]] = Options

    def __init__(self, student: Encoder, teacher: Teacher | None, options: Any) -> None:
        super().__init__()
        self.student = student
        self.options = options

    @abstractmethod
    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Named scalars; `loss` is minimised, the others are shown."""

    @classmethod
    def levels(cls, options: Any) -> int:
        """How many of the teacher's feature maps a method sees, counted from the last; fewer where it has fewer."""
        return getattr(options, "levels", 0) if cls.sees != "features" else 0

    @classmethod
    def batch_positives(cls, options: Any) -> str:
        """`distinct`: no concept twice in a batch. `all`: it may be, and the loss knows (see Batch.concept)."""
        return getattr(options, "positives", "distinct")

    @classmethod
    def smallest_batch(cls, options: Any) -> int:
        """The fewest items that a loss is defined on."""
        return 2

    @classmethod
    def parse_options(cls, name: str, given: dict[str, Any]) -> Options:
        """Options from `key=value` strings or typed values. Raises UsageError with one line."""
        known = list(cls.options_type.model_fields)
        for key in given:
            if key not in known:
                raise nearest(f"option of method '{name}'", key, known or ["(none)"])
        try:
            return cls.options_type.model_validate(given)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            what = first["msg"][0].lower() + first["msg"][1:]
            raise UsageError(f"option {where}={first['input']} of method '{name}': {what}") from error


class Projector(nn.Sequential):
    """Two layers with batch normalisation between, as in SimCLR and SEED: [n, dim] -> [n, out]."""

    def __init__(self, dim: int, out: int, hidden: int | None = None) -> None:
        hidden = hidden or dim
        super().__init__(
            nn.Linear(dim, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True), nn.Linear(hidden, out)
        )


class CentredOptions(Options):
    """centre_teacher: subtract the mean of the teacher's features over the distilled source items. Pooled features are
    all positive: uncentred, every cosine is near 1."""

    centre_teacher: bool = True


class Centred(Method):
    """A method that looks at the teacher's features from their mean."""

    options_type: ClassVar[type[Options]] = CentredOptions
    options: Any

    def __init__(self, student: Encoder, teacher: Teacher | None, options: CentredOptions) -> None:
        super().__init__(student, teacher, options)
        assert teacher is not None
        self.register_buffer("teacher_mean", teacher.features.mean(0) * options.centre_teacher)

    def centred(self, features: Tensor) -> Tensor:
        """The teacher's features less their mean, in float32."""
        mean = self.get_buffer("teacher_mean")
        return features.float() - mean.to(features.device, torch.float32)


class Projected(Centred):
    """A method that compares unit features: the student's, by a two-layer projector into the teacher's space, and the
    teacher's, centred."""

    def __init__(self, student: Encoder, teacher: Teacher | None, options: CentredOptions) -> None:
        super().__init__(student, teacher, options)
        assert teacher is not None
        self.projector = Projector(student.dim, teacher.dim)

    def project(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(z_a, z_b): the centred teacher and the projected student, both [n, teacher.dim]."""
        assert batch.teacher is not None
        return self.centred(batch.teacher), self.projector(self.student(batch.views[0]))
