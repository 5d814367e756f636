"""The contract of dense methods: what they add to segmentation with labels, or do without any."""

from abc import abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from xkd_bench.distributed import mean_in_shares
from xkd_bench.losses.dense_logits import segmentation_loss
from xkd_bench.losses.dense_pixels import IGNORE
from xkd_bench.losses.features import enlarged
from xkd_bench.losses.lix import ramp_up
from xkd_bench.methods.base import Method, Options
from xkd_bench.models.segmenters import Segmentation, Segmenter, build_segmenter

Inputs = Literal["target", "source", "both"]
"""What a network is given when it is used."""


@dataclass
class DenseBatch:
    """What a step sees: aligned pairs under one crop and flip. (Not frozen: see `Batch`.)

    image: [n, c, h, w] the target modality, source: [n, c', h, w] the source modality, both in [0, 1]. label: [n, h, w]
    integers, 255 where nothing counts; where `labelled` is False they are the teacher's own classes. teacher: what the
    frozen teacher says of the source (or of both), without gradient.
    """

    image: Tensor
    source: Tensor
    label: Tensor
    labelled: bool
    teacher: Segmentation


@dataclass(frozen=True)
class DenseTeacher:
    """What a dense method may know of its teacher before training: widths of its maps, early to late, and of what its
    classifier sees; the classes."""

    widths: tuple[int, ...]
    decoded_width: int
    classes: int


class DenseMethod(Method):
    """A method for segmentation. The student is a `Segmenter`; `distil` is what it adds to the labels' loss.

    With labels the two are minimised together, as all of these methods were published; without (before linear
    evaluation), `distil` alone, in which the teacher's classes stand for the labels where a loss needs some.
    `teacher_inputs`: what the teacher sees, the source or both modalities. `inputs`: what the student is scored with; a
    method that fuses is scored with each. `auxiliary_weight`: of the auxiliary head's loss, where there is one.
    `trains_student`: False for the teacher, which is scored in a student's place.
    """

    kinds = ("segmentation",)
    teacher_inputs: ClassVar[Literal["source", "both"]] = "source"
    inputs: ClassVar[tuple[Inputs, ...]] = ("target",)
    auxiliary_weight: ClassVar[float] = 0.4
    trains_student: ClassVar[bool] = True
    student: Any

    def __init__(self, student: Segmenter, teacher: DenseTeacher | None, options: Options) -> None:
        nn.Module.__init__(self)
        self.student = student
        self.options = options

    @abstractmethod
    def distil(self, out: Segmentation, batch: DenseBatch) -> dict[str, Tensor]:
        """Named scalars, of which `loss` is minimised. out: what the student says of batch.image."""

    def forward(self, batch: DenseBatch) -> dict[str, Tensor]:  # type: ignore[override]
        out = self.student.outputs(batch.image)
        parts = self.distil(out, batch)
        if not batch.labelled:
            return parts
        task = supervised(out, batch.label, self.auxiliary_weight)
        return parts | {"loss": task + parts["loss"], "task": task.detach(), "distil": parts["loss"].detach()}

    @classmethod
    def build_student(
        cls, name: str, channels: tuple[int, int], classes: int, size: tuple[int, int], options: Any
    ) -> nn.Module:
        """The student's network, freshly initialised. channels: of source and target; size: (height, width)."""
        return build_segmenter(name, channels[1], classes, size)

    @classmethod
    def ready(cls, student: Any, inputs: Inputs, options: Any, images: "Images") -> Any:
        """The network that is scored with these inputs: the trained student, or a copy made ready for them."""
        return student

    @classmethod
    def facts(cls, student: Any, inputs: Inputs) -> dict[str, Any]:
        """What else a record should say of the network that was scored with these inputs; JSON-able."""
        return {}


Images = Callable[[Literal["source", "target"]], Iterable[Tensor]]
"""Images of train of a modality, as they are, in batches [n, c, h, w]: no labels, no pairs."""


class Clock(nn.Module):
    """How far a training is: what begins or ends with a share of it asks. The stage that trains sets `total`, the steps
    in all; the steps done are in a buffer, so that a resumed training goes on where it was."""

    done: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.total: int | None = None
        self.register_buffer("done", torch.zeros((), dtype=torch.long))

    def past(self, share: float) -> bool:
        """Whether this share of the steps is done: 0 at once, 1 never; of a training of unknown length, any other."""
        if self.total is None or share in (0, 1):  # known without waiting for a GPU
            return share < 1
        return int(self.done) >= share * self.total

    def tick(self) -> None:
        """One more step is done; in evaluation there are none."""
        if self.training:
            self.done += 1


class Ramp(nn.Module):
    """A factor that grows from 0 to 1 in a line over the first `steps` training steps; 1 from the start for none.

    It counts its calls in training mode, in a buffer, so that a resumed training goes on where it was.
    """

    done: Tensor

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps
        self.register_buffer("done", torch.zeros((), dtype=torch.long))

    def forward(self) -> float:
        if not self.steps:
            return 1.0
        factor = ramp_up(int(self.done), self.steps)
        if self.training:
            self.done += 1
        return factor


class Supervised(nn.Module):
    """A segmentation network and its labels' loss, for teachers, baselines and fine-tuning."""

    def __init__(self, network: nn.Module, inputs: Inputs = "target", auxiliary_weight: float = 0.4) -> None:
        super().__init__()
        self.network, self.inputs, self.auxiliary_weight = network, inputs, auxiliary_weight

    def forward(self, batch: DenseBatch) -> dict[str, Tensor]:
        out = outputs_of(self.network, batch.source, batch.image, self.inputs)
        return {"loss": supervised(out, batch.label, self.auxiliary_weight)}


def outputs_of(network: Any, source: Tensor, image: Tensor, inputs: Inputs) -> Segmentation:
    """What a network says of these inputs: a plain one sees one modality, one that fuses is told which there are."""
    if isinstance(network, Segmenter):
        return network.outputs(source if inputs == "source" else image)
    return network.outputs(None if inputs == "target" else source, None if inputs == "source" else image)


def supervised(out: Segmentation, label: Tensor, auxiliary_weight: float) -> Tensor:
    """Cross-entropy at the size of the label maps, the mean over pixels that count, and the auxiliary head's share."""
    loss = _labels_loss(out.logits, label)
    return loss if out.auxiliary is None else loss + auxiliary_weight * _labels_loss(out.auxiliary, label)


def _labels_loss(logits: Tensor, label: Tensor) -> Tensor:
    """Each process computes it of its images alone: at the size of the label maps, logits are large."""
    return mean_in_shares(segmentation_loss, lambda _, label: (label != IGNORE).sum(), logits, label)


def on_grid(taught: Tensor, like: Tensor) -> Tensor:
    """The teacher's maps on the student's grid, bilinear, where networks differ in stride."""
    return taught if taught.shape[-2:] == like.shape[-2:] else enlarged(taught, like.shape[-2:])
