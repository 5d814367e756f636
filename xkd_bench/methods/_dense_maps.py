"""What dense methods share that compare feature maps: which map of either network, and what a published weight means
on a smaller one."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from torch import Tensor

from xkd_bench.losses.dense_cmcd import AlignedPixels, aligned_pixels
from xkd_bench.methods.base import Options
from xkd_bench.methods.dense import DenseBatch, DenseMethod, DenseTeacher, on_grid
from xkd_bench.models.dense_adapters import ProjectionHead
from xkd_bench.models.segmenters import Segmentation, Segmenter

Weight = Annotated[float, Field(ge=0)]
Tau = Annotated[float, Field(gt=0)]
Start = Annotated[float, Field(ge=0, lt=1)]
"""A share of a training's steps, after which something begins (`methods.dense.Clock`)."""
Place = Literal["decoded", "encoder"]

PUBLISHED_PLACES = 64 * 128
"""Of a Cityscapes crop of 512 × 1024 at stride 8."""
PUBLISHED_ENTRIES = 2048 * PUBLISHED_PLACES
"""Of the last map that a ResNet-101 gives of it."""


class PlacedOptions(Options):
    """weight: of the loss beside the labels'. at: which maps are compared: what the classifier sees (`decoded`, as
    CIRKD's code compares features) or the encoder's last map (`encoder`)."""

    weight: Weight = 1.0
    at: Place = "decoded"


class PlacedMethod(DenseMethod):
    """A method that compares one map of the student with the teacher's of the same place, brought to its grid."""

    options_type: ClassVar[type[Options]] = PlacedOptions
    options: Any

    def __init__(self, student: Segmenter, teacher: DenseTeacher | None, options: PlacedOptions) -> None:
        super().__init__(student, teacher, options)
        assert teacher is not None
        decoded = options.at == "decoded"
        self.width = student.decoded_width if decoded else student.widths[-1]
        self.taught_width = teacher.decoded_width if decoded else teacher.widths[-1]

    def maps(self, out: Segmentation, batch: DenseBatch) -> tuple[Tensor, Tensor]:
        """(the student's, the teacher's): [n, width, h, w] and [n, taught_width, h, w]."""
        f_s, f_t = (x.decoded if self.options.at == "decoded" else x.maps[-1] for x in (out, batch.teacher))
        return f_s, on_grid(f_t, f_s)


def views_on(grid: Tensor, most: int) -> int:
    """How many pixels of a class an image shows on a grid [n, c, h, w]: at most 1/16 of the places."""
    return max(1, min(most, grid[0, 0].numel() // 16))


class PixelPairsOptions(PlacedOptions):
    """pixels: how many of a batch are compared. centre_teacher: subtract the mean of the teacher's features of these
    pixels: features after a ReLU are all positive, and uncentred, every cosine is near 1. weight (ours), at: see
    `PlacedOptions`."""

    pixels: Annotated[int, Field(gt=2)] = 1024
    centre_teacher: bool = True


class PixelPairs(PlacedMethod):
    """A method whose pairs are pixels: at each place the student's features, through a two-layer projector into the
    teacher's space, and the teacher's."""

    options_type: ClassVar[type[Options]] = PixelPairsOptions

    def __init__(self, student: Segmenter, teacher: DenseTeacher | None, options: PixelPairsOptions) -> None:
        super().__init__(student, teacher, options)
        self.projector = ProjectionHead(self.width, self.taught_width)

    def pixels(self, out: Segmentation, batch: DenseBatch) -> AlignedPixels:
        """A random sample of those of this batch whose label counts."""
        f_s, f_t = self.maps(out, batch)
        found = aligned_pixels(self.projector(f_s), f_t, self.options.pixels, labels=batch.label)
        if not self.options.centre_teacher or not len(found.teacher):
            return found
        return found._replace(teacher=found.teacher - found.teacher.mean(0))
