"""The queue of features that losses take further candidates from: the one loss that has a state."""

import torch
from torch import Tensor, nn

from xkd_bench.losses.contrastive import unit_rows


class FeatureQueue(nn.Module):
    """The last `size` features seen, first in, first out: the state of a loss that needs more candidates than a batch
    has. It stands beside the losses, for methods of several files share it.

    Buffers: features [size, dim], rows of length 1 (zero where nothing came yet); concept [size], -1 where none is
    known; count, how many features ever came. They travel with `state_dict`; no gradient passes. It need not be a
    multiple of the batch. Losses copy what they read, so that `push` may come between a loss and its backward; SEED and
    MoCo push after the loss, so that an item is not its own negative. Under DDP push what `gathered` gives, then all
    ranks hold the same.

    Source: He et al. 2020 (MoCo); Fang et al. 2021 (SEED), both of which start from random unit rows instead of
    masking, and need a batch that divides the size [CODE].
    """

    features: Tensor
    concept: Tensor
    count: Tensor

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        if size < 1 or dim < 1:
            raise ValueError(f"a queue needs a positive size and width, got {size} and {dim}")
        self.register_buffer("features", torch.zeros(size, dim))
        self.register_buffer("concept", torch.full((size,), -1, dtype=torch.long))
        self.register_buffer("count", torch.zeros((), dtype=torch.long))

    @property
    def filled(self) -> Tensor:
        """How many entries hold a feature: a scalar."""
        return self.count.clamp(max=len(self.features))

    @property
    def valid(self) -> Tensor:
        """Which entries hold a feature: [size] bool."""
        return torch.arange(len(self.features), device=self.count.device) < self.count

    @torch.no_grad()
    def push(self, features: Tensor, concept: Tensor | None = None) -> None:
        """Put in features: [n, dim] and their concepts: [n]; the oldest go. Of more than `size`, the last stay."""
        size, dim = self.features.shape
        if features.ndim != 2 or features.shape[1] != dim:
            raise ValueError(f"the queue holds features of width {dim}, got {tuple(features.shape)}")
        if concept is not None and concept.shape != features.shape[:1]:
            raise ValueError(f"{len(features)} features need as many concepts, got {tuple(concept.shape)}")
        if concept is None:
            concept = self.concept.new_full((len(features),), -1)
        # By arithmetic on the device: reading the count would make a GPU wait.
        slot = (self.count + torch.arange(len(features), device=self.count.device))[-size:] % size
        self.features[slot] = unit_rows(features[-size:]).to(self.features.dtype)
        self.concept[slot] = concept[-size:]
        self.count += len(features)
