"""Batches of aligned pairs with their label maps, on the device, under one random scale, crop and flip."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from xkd_bench.distributed import in_shares
from xkd_bench.losses.dense_pixels import IGNORE
from xkd_bench.losses.features import enlarged
from xkd_bench.methods.dense import DenseBatch
from xkd_bench.models.segmenters import Segmentation
from xkd_bench.models.teachers import to_float
from xkd_bench.seeds import stream
from xkd_bench.tasks.base import Index, TaskData

SCALES = (0.5, 2.0)
"""Published: the image is shown at half to twice its size [CODE Af-DCD, CIRKD]."""
SCALE_STEP = 0.1
"""Published: at one of 0.5, 0.6, ... 2.0 of it [CODE Af-DCD]: augmentation `dense-steps`. `dense`: at any, ours."""

Order = Callable[[int], Iterator[tuple[Index, Index]]]
"""Batches of (target rows, source rows) of an epoch, by its number."""


Says = Callable[[Tensor, Tensor], Segmentation]
"""A frozen teacher: what it says of (source, image)."""


MEMORY = 2 * 2**30
"""Bytes of the teacher's answers that are kept at most (see `DenseBatches`)."""


class DenseBatches:
    """Batches of an epoch by its number. labels: the label maps' own, or the teacher's classes in their place.

    Where images are shown as they are (augmentation `none`), the teacher is asked of each pair once, if its answers to
    all pairs fit into `MEMORY`: of each alone, so that no answer depends on the batch that a pair was first in.
    """

    def __init__(
        self,
        device: torch.device,
        data: TaskData,
        order: Order,
        steps: int,
        augmentation: str,
        teacher: Says | None,
        labels: Literal["given", "teacher"],
    ) -> None:
        assert data.maps is not None
        self.device, self.data, self.order, self.steps = device, data, order, steps
        self.augmentation, self.teacher, self.labels = augmentation, teacher, labels
        self.maps = data.maps
        self._answers: dict[tuple[int, int], Segmentation] = {}
        self._keeps: bool | None = None if augmentation == "none" else False

    def __len__(self) -> int:
        return self.steps

    def __call__(self, epoch: int) -> Iterator[DenseBatch]:
        for target, source in self.order(epoch):
            step = SCALE_STEP if self.augmentation == "dense-steps" else None
            move = random_moves(len(target), self.device, step) if self.augmentation != "none" else None
            image, rgb, label = in_shares(self._shown, torch.from_numpy(target), torch.from_numpy(source), move)
            said = self._said(target, source, rgb, image) if self.teacher else None
            if self.labels == "teacher":
                assert said is not None
                label = in_shares(partial(_classes, size=image.shape[-2:]), said.logits)
            yield DenseBatch(image, rgb, label, self.labels == "given", said)  # type: ignore[arg-type]

    def _said(self, target: Index, source: Index, rgb: Tensor, image: Tensor) -> Segmentation:
        """What the teacher says of these rows, of which rgb and image show what it sees."""
        assert self.teacher is not None
        if self._keeps is None:
            self._keeps = _size(self.teacher(rgb[:1], image[:1])) * len(self.data.target.data) <= MEMORY
        if not self._keeps:
            return in_shares(self.teacher, rgb, image)
        pairs = list(zip(target.tolist(), source.tolist(), strict=True))
        for i, pair in enumerate(pairs):
            if pair not in self._answers:
                self._answers[pair] = self.teacher(rgb[i : i + 1], image[i : i + 1])
        return _together([self._answers[pair] for pair in pairs])

    def _shown(self, target: Tensor, source: Tensor, move: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """(image, source image, label) of these rows, moved alike."""
        image = self._load(self.data.target.data, target.numpy())
        rgb, label = self._load(self.data.source.data, source.numpy()), self._label(target.numpy())
        if move is None:
            return image, rgb, label
        return shown(image, move), shown(rgb, move), moved_labels(label, move)

    def _load(self, images: np.ndarray, rows: Index) -> Tensor:
        return to_float(torch.from_numpy(images[rows]).to(self.device, non_blocking=True))

    def _label(self, rows: Index) -> Tensor:
        label = torch.from_numpy(self.maps.data[rows]).to(self.device).long()
        return label.masked_fill(label == self.maps.ignore, IGNORE)


def _size(said: Segmentation) -> int:
    """Bytes of the tensors."""
    return sum(x.nbytes for x in (said.logits, said.decoded, *said.maps))


def _together(said: list[Segmentation]) -> Segmentation:
    """What was said of several images, as of one batch."""
    maps = zip(*(one.maps for one in said), strict=True)
    return Segmentation(
        torch.cat([one.logits for one in said]),
        torch.cat([one.decoded for one in said]),
        tuple(torch.cat(level) for level in maps),
    )


def _classes(logits: Tensor, size: torch.Size) -> Tensor:
    """The likeliest class at each pixel of images of this size: [n, h, w]."""
    return enlarged(logits, size).argmax(1)


def in_order(rows: Index, partners: Index, batch: int, seed: int) -> tuple[Order, int]:
    """Shuffled batches of labelled rows and their partners, and how many there are: all rows are used, in batches that
    differ by one item at most."""
    pieces = -(-len(rows) // batch)

    def order(epoch: int) -> Iterator[tuple[Index, Index]]:
        shuffled = np.random.default_rng(stream(seed, "order", epoch)).permutation(len(rows))
        for piece in np.array_split(shuffled, pieces):
            yield rows[piece], partners[piece]

    return order, pieces


def random_moves(n: int, device: torch.device, step: float | None = None) -> Tensor:
    """[n, 2, 3] maps of output to input places in [-1, 1]: a scale, a place to look at, for half of them a mirror.

    step: between one scale and the next; None for any of `SCALES`.
    """
    low, high = SCALES
    scale = low + (high - low) * torch.rand(n, device=device)
    if step is not None:
        scale = low + step * torch.randint(round((high - low) / step) + 1, (n,), device=device)
    room = (1 - 1 / scale).abs()  # how far the view can move before it leaves the image, or the image the view
    x, y = ((2 * torch.rand(n, device=device) - 1) * room for _ in range(2))
    mirror = torch.where(torch.rand(n, device=device) < 0.5, -1.0, 1.0)
    none = torch.zeros_like(x)
    return torch.stack((torch.stack((mirror / scale, none, x), 1), torch.stack((none, 1 / scale, y), 1)), 1)


def shown(x: Tensor, move: Tensor) -> Tensor:
    """Images [n, c, h, w] under the moves; black beyond their edges."""
    return F.grid_sample(x, F.affine_grid(move, list(x.shape), align_corners=False), align_corners=False)


def moved_labels(label: Tensor, move: Tensor) -> Tensor:
    """Label maps [n, h, w] under the moves: the nearest label, 255 beyond their edges."""
    counted = (label + 1).float()[:, None]  # zero is what lies beyond
    counted = counted.masked_fill(label[:, None] == IGNORE, 0)
    grid = F.affine_grid(move, list(counted.shape), align_corners=False)
    found = F.grid_sample(counted, grid, mode="nearest", align_corners=False)[:, 0].long()
    return torch.where(found == 0, IGNORE, found - 1)
