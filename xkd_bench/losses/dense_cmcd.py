"""CMCD's losses on dense features: contrast, and distillation of similarities, of local features.

CMCD names contrast on local features as an open question; what follows is this project's answer [RECONSTRUCTED]: a pair
is the pixel at one place of both modalities, and the losses are those of `contrastive` and `similarity` on a sample of
such pairs.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from xkd_bench.losses.contrastive import cmc
from xkd_bench.losses.dense_pixels import IGNORE, counted, labels_at, pixel_rows, uniform
from xkd_bench.losses.features import to_common_grid
from xkd_bench.losses.similarity import Form, SimilarityDistillation, cmd


class AlignedPixels(NamedTuple):
    """student: [m, c_s], teacher: [m, c_t] (no gradient), label: [m] or None, image: [m]: row i of all is one pixel."""

    student: Tensor
    teacher: Tensor
    label: Tensor | None
    image: Tensor


def aligned_pixels(
    student: Tensor,
    teacher: Tensor,
    most: int = 1024,
    *,
    labels: Tensor | None = None,
    ignore: int = IGNORE,
    generator: torch.Generator | None = None,
) -> AlignedPixels:
    """At most so many pixels of the batch, drawn without replacement, as both networks see them.

    student: [n, c_s, h_s, w_s], teacher: [n, c_t, h_t, w_t] of pixel-aligned images; the finer map is pooled to the
    coarser (`to_common_grid`). labels: [n, H, W] leave out ignored pixels. All rows are candidates of each other in the
    losses, across images too.
    """
    if most < 2:
        raise ValueError(f"a contrast of pixels needs at least 2 of them, got {most}")
    f_s, f_t = to_common_grid(student, teacher.detach())
    rows_s, rows_t = pixel_rows(f_s), pixel_rows(f_t)
    device = rows_s.device
    draws = uniform(len(rows_s), device=device, generator=generator)
    image = torch.arange(len(f_s), device=device).repeat_interleave(f_s[0, 0].numel())
    chosen, y = draws.argsort(), None
    if labels is not None:
        chosen = chosen[counted(labels, ignore, f_s).flatten()[chosen]]
        y = labels_at(labels, f_s.shape[2:]).flatten()
    chosen = chosen[:most]
    return AlignedPixels(rows_s[chosen], rows_t[chosen], None if y is None else y[chosen], image[chosen])


def dense_cmc(pixels: AlignedPixels, tau: float | Tensor = 0.1, *, by_label: bool = False) -> Tensor:
    """Cross-modality contrast of pixels: `cmc`, each pixel of one modality against all sampled of the other.

    The positive is the pixel at the same place; with `by_label` every pixel of the same class is. Features of one
    width: the projectors are the method's. Returns a scalar in nats; 0, with a graph, for fewer than 2 pixels.

    Source: CMCD eq. (3) [RECON hi], on local features [RECONSTRUCTED].
    """
    if by_label and pixels.label is None:
        raise ValueError("contrast by label needs labels: give them to aligned_pixels")
    if len(pixels.student) < 2:
        return pixels.student.sum() * 0
    return cmc(pixels.teacher, pixels.student, tau, pixels.label if by_label else None)


def dense_cmd(
    pixels: AlignedPixels,
    *,
    form: Form = "seed",
    tau_t: float = 0.1,
    tau_s: float = 0.1,
    include_self: bool = True,
    bank: Tensor | None = None,
    bank_valid: Tensor | None = None,
) -> SimilarityDistillation:
    """Distillation of pixels' similarities: `cmd`, whose candidates are the sampled pixels, or a bank of the teacher's.

    Without projectors widths may differ in the form `intra`, which compares the similarities within each modality.
    Returns `cmd`'s scalars; zeros, with a graph, where too few pixels leave no candidates.

    Source: CMCD eq. (2) [RECON med], on local features [RECONSTRUCTED].
    """
    rows = len(pixels.student)
    if rows < (1 if bank is not None else 2 if include_self else 3):
        nothing = pixels.student.sum() * 0
        return SimilarityDistillation(nothing, nothing.detach(), nothing, nothing.detach())
    return cmd(
        pixels.teacher,
        pixels.student,
        form=form,
        tau_t=tau_t,
        tau_s=tau_s,
        include_self=include_self,
        bank=bank,
        bank_valid=bank_valid,
    )
