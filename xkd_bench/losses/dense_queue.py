"""Memories of a teacher's pixels and regions, class by class: the state that CIRKD's memory term needs, and what goes
into them."""

import torch
from torch import Tensor, nn

from xkd_bench.losses.contrastive import unit_rows
from xkd_bench.losses.dense_pixels import IGNORE, counted, labels_at, pixel_rows, ranks, uniform


class ClassQueue(nn.Module):
    """For each class the last `size` features seen, first in, first out.

    Buffers: features [classes, size, dim], rows of length 1 (zero where nothing came yet); count [classes], how many
    features of the class ever came. They travel with `state_dict`; no gradient passes. CIRKD: 20,000 pixels and 2,000
    regions a class, samples of 4096 // classes + 1 and 1024 // classes + 1. Under DDP push what `gathered` gives.

    Source: Yang et al. 2022 (CIRKD), section 3.4, whose code starts from random unit rows instead of masking, and on
    reaching the end puts a push into the last places [CODE CIRKD losses/cirkd_memory.py].
    """

    features: Tensor
    count: Tensor

    def __init__(self, classes: int, size: int, dim: int) -> None:
        super().__init__()
        if min(classes, size, dim) < 1:
            raise ValueError(f"a queue needs positive numbers of classes, places and channels: {classes, size, dim}")
        self.register_buffer("features", torch.zeros(classes, size, dim))
        self.register_buffer("count", torch.zeros(classes, dtype=torch.long))

    @torch.no_grad()
    def push(self, features: Tensor, classes: Tensor) -> None:
        """Put in features: [m, dim] of classes: [m]; the oldest of each class go."""
        if features.ndim != 2 or features.shape[1] != self.features.shape[2] or classes.shape != features.shape[:1]:
            raise ValueError(
                f"the queue holds rows of width {self.features.shape[2]}, each with a class, "
                f"got {tuple(features.shape)} and {tuple(classes.shape)}"
            )
        classes = classes.long()
        size, place = self.features.shape[1], ranks(classes, shuffled=False)
        came = torch.bincount(classes, minlength=len(self.count))
        last = place >= came[classes] - size  # of more than `size` of a class, the last stay
        slot = (self.count[classes] + place) % size
        self.features[classes[last], slot[last]] = unit_rows(features[last]).to(self.features.dtype)
        self.count += came

    @torch.no_grad()
    def sample(self, per_class: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """A bank of so many features of each class: ([classes · per_class, dim], which of them hold one: [...] bool).

        Drawn without replacement from those that came; a class with fewer gives all, and places that hold nothing. At
        most `size` of each class.
        """
        classes, size, _ = self.features.shape
        device = self.features.device
        draws = uniform(classes, size, device=device, generator=generator)
        holds = torch.arange(size, device=device) < self.count[:, None]
        best = draws.masked_fill(~holds, -1).topk(min(per_class, size), 1)
        rows = torch.arange(classes, device=device)[:, None]
        return self.features[rows, best.indices].flatten(0, 1), (best.values >= 0).flatten()


def class_pixels(
    features: Tensor,
    labels: Tensor,
    per_class: int = 16,
    *,
    ignore: int = IGNORE,
    faithful: bool = False,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Random pixels of each class of each image, for a queue: (rows [m, c], their classes [m]), m ≤ n · classes · 16.

    features: [n, c, h, w] (no gradient passes), labels: [n, H, W]. faithful: the published code draws from 0 ... number
    of the class's pixels, and takes the pixels of the *image* at those numbers, which are mostly of other classes;
    False draws from the class's own. Published numbers have the former.

    Source: [CODE CIRKD losses/cirkd_memory.py].
    """
    rows, image, y = _labelled_rows(features, labels, ignore)
    keep = image >= 0
    group = image * (y.max() + 1) + y
    group = group.masked_fill(~keep, -1)
    chosen = keep & (ranks(group, generator) < per_class)
    taken = chosen.nonzero()[:, 0]
    classes = y[taken]
    if faithful:
        within = ranks(group, shuffled=False)[taken]
        taken = image[taken] * (labels_at(labels, features.shape[2:])[0].numel()) + within
    return rows[taken], classes


def class_regions(features: Tensor, labels: Tensor, *, ignore: int = IGNORE) -> tuple[Tensor, Tensor]:
    """The mean feature of each class of each image, for a queue: (rows [m, c], their classes [m]).

    features: [n, c, h, w], in CIRKD of length 1 along c already; labels: [n, H, W]. No gradient passes.

    Source: Yang et al. 2022 (CIRKD), eq. (9) [CODE CIRKD losses/cirkd_memory.py].
    """
    rows, image, y = _labelled_rows(features, labels, ignore)
    rows, image, y = rows[image >= 0], image[image >= 0], y[image >= 0]
    if not len(rows):
        return rows, y
    span = int(y.max()) + 1
    present, member = torch.unique(image * span + y, return_inverse=True)
    sums = rows.new_zeros(len(present), rows.shape[1]).index_add_(0, member, rows)
    return sums / torch.bincount(member)[:, None], present % span


def _labelled_rows(features: Tensor, labels: Tensor, ignore: int) -> tuple[Tensor, Tensor, Tensor]:
    """Of each pixel: its features in float32, its image (-1 where it is ignored) and its label (0 where it is)."""
    counts = counted(labels, ignore, features)
    image = torch.arange(len(features), device=features.device)[:, None, None].expand_as(counts)
    image = image.masked_fill(~counts, -1).flatten()
    y = labels_at(labels, features.shape[2:]).long().masked_fill(~counts, 0).flatten()
    rows = pixel_rows(features.detach())
    return (rows if rows.dtype == torch.float64 else rows.float()), image, y
