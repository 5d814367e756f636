"""Batches of an epoch by its number, on the device."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xkd_bench.augment import Augment, Corrupt, Mask, Strength, augmentation, moved
from xkd_bench.distributed import in_shares
from xkd_bench.methods.base import Batch
from xkd_bench.models.teachers import TeacherEncoder, to_float
from xkd_bench.sampling import PairSampler
from xkd_bench.seeds import stream


@dataclass(frozen=True)
class Known:
    """What the frozen teacher says of source items. features: [n_source, dim]. maps: each [m, c_l, h_l, w_l], of m of
    the items; row: [n_source] each item's place among these (empty where there are no maps)."""

    features: Tensor
    maps: tuple[Tensor, ...] = ()
    row: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.long))

    def to(self, device: torch.device) -> "Known":
        """A copy on the device."""
        return Known(self.features.to(device), tuple(m.to(device) for m in self.maps), self.row.to(device))

    def maps_of(self, items: Tensor) -> list[Tensor]:
        """The maps of these items, each [n, c_l, h_l, w_l]."""
        return [m[self.row[items]] for m in self.maps]


class PairBatches:
    """Views of target items, and what the teacher says of their partners, if it is shown."""

    def __init__(
        self,
        device: torch.device,
        images: NDArray[np.generic],
        concept: NDArray[np.int64],
        sampler: PairSampler,
        strength: Strength,
        views: int,
        flip: bool = True,
    ) -> None:
        self.device, self.images, self.sampler, self.views = device, images, sampler, views
        self.concept = torch.from_numpy(np.asarray(concept))
        self.strength = strength
        self.augment = augmentation(strength, images.shape[1:], flip)
        self._known: Known | None = None
        self._teacher: tuple[TeacherEncoder, NDArray[np.generic], Augment | Mask | Corrupt, int] | None = None

    def show_features(self, known: Known) -> None:
        """Let methods see what the teacher says of source items, computed once."""
        self._known = known.to(self.device)

    def show_images(self, teacher: TeacherEncoder, images: NDArray[np.generic], levels: int = 0) -> None:
        """Let the teacher see augmented source images at each step, as the paper does; levels: maps to show of them."""
        augment = augmentation(self.strength, images.shape[1:])
        self._teacher = (teacher.to(self.device), images, augment, levels)

    def __len__(self) -> int:
        return len(self.sampler)

    def __call__(self, epoch: int) -> Iterator[Batch]:
        for target, source in self.sampler.epoch(epoch):
            # Images are read and changed by the processes in shares; spectrograms and vectors, which are small, by each
            # alike: what is drawn for a vector comes from the others.
            shared = in_shares if isinstance(self.augment, Augment) else _by_each
            views, moves = zip(*shared(self._views, torch.from_numpy(target)), strict=True)
            features, maps = self._taught(source, moves[0])
            item = torch.from_numpy(np.searchsorted(self.sampler.target, target))
            concept = self.concept[torch.from_numpy(target)]
            yield Batch(views, concept.to(self.device), item.to(self.device), features, maps)

    def _views(self, target: Tensor) -> tuple[tuple[Tensor, Tensor], ...]:
        """Each view with how it was moved."""
        x = self._load(self.images, target.numpy())
        return tuple(self.augment.view(x) for _ in range(self.views))

    def _load(self, images: NDArray[np.generic], items: NDArray[np.int64]) -> Tensor:
        return to_float(torch.from_numpy(images[items]).to(self.device, non_blocking=True))

    def _taught(self, source: NDArray[np.int64], move: Tensor) -> tuple[Tensor | None, tuple[Tensor, ...]]:
        """The teacher's features of these source items, and its maps, moved as the first view is."""
        if self._known is not None:
            rows = torch.from_numpy(source).to(self.device)
            return self._known.features[rows], tuple(moved(m, move) for m in self._known.maps_of(rows))
        if self._teacher is not None:
            teacher, images, augment, levels = self._teacher

            def seen(source: Tensor, move: Tensor) -> Tensor:
                x = self._load(images, source.numpy())
                # Maps are compared place by place: both views are cut alike, their colours change apart.
                return augment.recolour(moved(x, move)) if levels else augment(x)

            shared = in_shares if isinstance(augment, Augment) else _by_each
            out = in_shares(teacher.features if levels else teacher, shared(seen, torch.from_numpy(source), move))
            return (out.pooled, out.maps[-levels:]) if levels else (out, ())
        return None, ()


def _by_each(work: Callable[..., Any], *inputs: Tensor) -> Any:
    return work(*inputs)


class LabelledBatches:
    """Shuffled (x, y) batches; all items are used, in batches that differ by one item at most."""

    def __init__(self, x: Tensor, y: Tensor, batch: int, seed: int, device: torch.device) -> None:
        self.x, self.y, self.seed = x.to(device), y.to(device), seed
        self.pieces = -(-len(y) // batch)

    def __len__(self) -> int:
        return self.pieces

    def __call__(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        order = np.random.default_rng(stream(self.seed, "order", epoch)).permutation(len(self.y))
        for piece in np.array_split(order, self.pieces):
            rows = torch.from_numpy(piece).to(self.x.device)
            yield self.x[rows], self.y[rows]
