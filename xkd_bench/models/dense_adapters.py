"""Parameters that losses on feature maps need, and a method owns: 1×1 adapters, MGD's generator, projection heads."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def aligner(student: int, teacher: int, *, always: bool = False, bias: bool = True) -> nn.Module:
    """A 1×1 convolution from the student's channels to the teacher's; the identity where they agree.

    always: a convolution even then, as FitNets' regressor is in CIRKD's code (without bias) [CODE CIRKD]. MGD and
    Af-DCD align only where widths differ [CODE MGD].
    """
    return nn.Conv2d(student, teacher, 1, bias=bias) if always or student != teacher else nn.Identity()


class MaskedGenerator(nn.Module):
    """What MGD compares with the teacher: G(m · align f), G = conv3×3, ReLU, conv3×3.

    Each place of each image is masked with the probability `masked`, all its channels at once, in training and in
    evaluation alike. forward: f [n, student, h, w] to [n, teacher, h, w]. No gradient reaches f at a masked place.

    Source: Yang et al. 2022, Masked generative distillation, section 3 [CODE MGD]; its default for segmentation.
    """

    def __init__(self, student: int, teacher: int, masked: float = 0.75) -> None:
        super().__init__()
        if not 0 <= masked < 1:
            raise ValueError(f"the share of masked places must be in [0, 1), got {masked:g}")
        self.masked = masked
        self.align = aligner(student, teacher)
        self.generate = nn.Sequential(
            nn.Conv2d(teacher, teacher, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(teacher, teacher, 3, padding=1)
        )

    def forward(self, f: Tensor) -> Tensor:
        f = self.align(f)
        return self.generate(f * (torch.rand_like(f[:, :1]) >= self.masked))


class ProjectionHead(nn.Sequential):
    """CIRKD's head for its memory term: conv1×1, batch norm, ReLU, conv1×1, from the student's channels to the
    teacher's.

    Source: [CODE CIRKD losses/cirkd_memory.py], which synchronises the batch norm.
    """

    def __init__(self, student: int, teacher: int) -> None:
        super().__init__(
            nn.Conv2d(student, teacher, 1, bias=False),
            nn.BatchNorm2d(teacher),
            nn.ReLU(inplace=True),
            nn.Conv2d(teacher, teacher, 1, bias=False),
        )


class PixelProjections(nn.ModuleList):
    """A 1×1 convolution for each of several maps, to one width: embeddings for the contrast of pixels.

    channels: of the maps, early to late. forward: maps [n, c_l, h_l, w_l] of one modality to [n, dim, h_l, w_l]; the
    modalities share it. Needed in training alone. Width of ContrastiveSeg [CODE], one a stage [RECONSTRUCTED] for
    CSK-Net.
    """

    def __init__(self, channels: Sequence[int], dim: int = 256) -> None:
        super().__init__(nn.Conv2d(c, dim, 1) for c in channels)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        if len(maps) != len(self):
            raise ValueError(f"{len(self)} maps are projected, got {len(maps)}")
        return [project(f) for project, f in zip(self, maps, strict=True)]

    def rows(self, stage: int, pixels: Tensor) -> Tensor:
        """Pixels of the map of one stage alone, [m, c_l] to [m, dim]: what `forward` makes of them."""
        conv = self[stage]
        return F.linear(pixels, conv.weight.flatten(1), conv.bias)  # type: ignore[operator,arg-type]
