"""The contract of a method: what modules it trains, and its loss on a batch. It never writes a loop."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

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
    teacher: [n, d] features of the paired source items, without gradient; None for methods without pairs.
    concept: [n] integers; equal where two pairs are of the same concept.
    """

    views: tuple[Tensor, ...]
    concept: Tensor
    teacher: Tensor | None = None


@dataclass(frozen=True)
class Teacher:
    """What a method may know of the frozen teacher before training.

    dim: width of its features. mean: [dim], their mean over the source items that distillation sees.
    """

    dim: int
    mean: Tensor


class Method(nn.Module):
    """How a student learns before it sees a label.

    Every parameter of the module is trained: the student, and what else the method adds (projectors, adapters).
    `views`: how many augmented versions of each target item a step needs. `uses_pairs`: whether it is shown the
    teacher's features of paired source items. `distils`: False for references that go straight to the labels.
    `provenance`: where the loss comes from, with the tag of the specification; it stands in the tables.
    """

    views: ClassVar[int] = 1
    uses_pairs: ClassVar[bool] = True
    distils: ClassVar[bool] = True
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


def centred(z: Tensor, mean: Tensor) -> Tensor:
    """z - mean, in float32. Pooled features are all positive: uncentred, every cosine is near 1."""
    return z.float() - mean.to(z.device, torch.float32)
