"""What losses on dense maps share: labels on a map's grid, means over the pixels that count, rows of pixels.

Logits are [n, k, h, w], features [n, c, h, w], labels [n, H, W] integers of which `ignore` counts for nothing. Whatever
autocast says, losses are computed in float32 (or float64 if the input is), and no gradient reaches the teacher.
"""

import torch
from torch import Tensor

from xkd_bench.losses.features import at_least_float32

IGNORE = 255
"""The label of pixels that are not scored, as in Cityscapes' tools; CIRKD and Af-DCD use -1."""


def exact(x: Tensor) -> torch.autocast:
    """A context in which autocast lowers no precision on x's device."""
    return torch.autocast(x.device.type, enabled=False)


def check_maps(student: Tensor, teacher: Tensor, *, one_width: bool = True) -> tuple[Tensor, Tensor]:
    """Both at least in float32, the teacher detached. ValueError unless both are [n, c, h, w] of one n, h and w, and
    with `one_width` of one c."""
    same = student.ndim == teacher.ndim == 4 and student.shape[0] == teacher.shape[0]
    if not same or student.shape[2:] != teacher.shape[2:] or 0 in (*student.shape, *teacher.shape):
        raise ValueError(
            f"two maps [n, c, h, w] of one n, h and w are needed, got {tuple(student.shape)} and {tuple(teacher.shape)}"
        )
    if one_width and student.shape[1] != teacher.shape[1]:
        raise ValueError(f"maps of one width are needed, got {student.shape[1]} and {teacher.shape[1]} channels")
    return at_least_float32(student), at_least_float32(teacher.detach())


def check_tau(*taus: float) -> None:
    """ValueError unless all temperatures are positive."""
    if min(taus) <= 0:
        raise ValueError(f"temperatures must be positive, got {', '.join(f'{tau:g}' for tau in taus)}")


def labels_at(labels: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
    """Labels [n, H, W] on a grid of `size`, [n, h, w]: at each place the label at its upper left corner, as `nearest`
    interpolation has it, in integers. No label is blended with another."""
    if labels.ndim != 3 or labels.is_floating_point():
        raise ValueError(f"labels must be integers [n, h, w], got {labels.dtype} {tuple(labels.shape)}")
    for axis, new in zip((1, 2), size, strict=True):
        old = labels.shape[axis]
        if old != new:
            labels = labels.index_select(axis, torch.arange(new, device=labels.device) * old // new)
    return labels


def counted(labels: Tensor, ignore: int, like: Tensor) -> Tensor:
    """Which pixels of the grid of `like`, [n, c, h, w], are not ignored: [n, h, w] bool."""
    if len(labels) != len(like):
        raise ValueError(f"{len(like)} maps need as many label maps, got {len(labels)}")
    return labels_at(labels, like.shape[2:]) != ignore


def pixel_mean(values: Tensor, counts: Tensor | None) -> Tensor:
    """The mean of values [n, h, w] over all pixels, or over those that count; 0, with a graph, where none does."""
    if counts is None:
        return values.mean()
    return values.masked_fill(~counts, 0).sum() / counts.sum().clamp(min=1)


def pixel_rows(maps: Tensor) -> Tensor:
    """Maps [n, c, h, w] as rows [n·h·w, c], image by image, row by row."""
    return maps.permute(0, 2, 3, 1).flatten(0, 2)


def uniform(*shape: int, device: torch.device, generator: torch.Generator | None = None) -> Tensor:
    """Draws from 0..1 on `device`, made where the generator is, if one is given."""
    if generator is None:  # torch.compile takes no generator, and no None in its place
        return torch.rand(shape, device=device)
    return torch.rand(shape, generator=generator, device=generator.device).to(device)


def ranks(groups: Tensor, generator: torch.Generator | None = None, *, shuffled: bool = True) -> Tensor:
    """Each element's place, from 0, among those of its group, in a random order or in the given one.

    groups: [m] integers. Returns [m]. Elements of rank < k are a random k of each group, without replacement.
    """
    m, device = len(groups), groups.device
    if shuffled:
        order = uniform(m, device=device, generator=generator).argsort()
        order = order[groups[order].argsort(stable=True)]
    else:
        order = groups.argsort(stable=True)
    in_order = groups[order]
    place = torch.arange(m, device=device)
    first = torch.ones(m, dtype=torch.bool, device=device)
    first[1:] = in_order[1:] != in_order[:-1]
    start = torch.where(first, place, 0).cummax(0).values
    return torch.empty_like(place).index_copy_(0, order, place - start)
