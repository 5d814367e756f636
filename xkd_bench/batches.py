"""Batches of an epoch by its number, on the device."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xkd_bench.augment import Augment, Strength
from xkd_bench.methods.base import Batch
from xkd_bench.models.teachers import TeacherEncoder, to_float
from xkd_bench.sampling import PairSampler
from xkd_bench.seeds import stream


class PairBatches:
    """Views of target items, and what the teacher says of their partners, if it is shown."""

    def __init__(
        self,
        device: torch.device,
        images: NDArray[np.generic],
        concept: NDArray[np.int64],
        sampler: PairSampler,
        augmentation: Strength,
        views: int,
        flip: bool = True,
    ) -> None:
        self.device, self.images, self.sampler, self.views = device, images, sampler, views
        self.concept = torch.from_numpy(np.asarray(concept))
        self.augmentation = augmentation
        self.augment = Augment(augmentation, images.shape[1], images.shape[-1], flip)
        self._features: Tensor | None = None
        self._teacher: tuple[TeacherEncoder, NDArray[np.generic], Augment] | None = None

    def show_features(self, features: Tensor) -> None:
        """Let methods see these features of source items, computed once: [n_source, dim]."""
        self._features = features.to(self.device)

    def show_images(self, teacher: TeacherEncoder, images: NDArray[np.generic]) -> None:
        """Let the teacher see augmented source images at each step, as the paper does."""
        augment = Augment(self.augmentation, images.shape[1], images.shape[-1])
        self._teacher = (teacher.to(self.device), images, augment)

    def __len__(self) -> int:
        return len(self.sampler)

    def __call__(self, epoch: int) -> Iterator[Batch]:
        for target, source in self.sampler.epoch(epoch):
            x = self._load(self.images, target)
            views = tuple(self.augment(x) for _ in range(self.views))
            yield Batch(views, self.concept[torch.from_numpy(target)].to(self.device), self._taught(source))

    def _load(self, images: NDArray[np.generic], items: NDArray[np.int64]) -> Tensor:
        return to_float(torch.from_numpy(images[items]).to(self.device, non_blocking=True))

    def _taught(self, source: NDArray[np.int64]) -> Tensor | None:
        if self._features is not None:
            return self._features[torch.from_numpy(source).to(self.device)]
        if self._teacher is not None:
            teacher, images, augment = self._teacher
            return teacher(augment(self._load(images, source)))
        return None


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
