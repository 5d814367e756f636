"""Reading what callers pass: arrays, pairs, groups, seeds. Every public function goes through here.

The law that is estimated. With groups (photos, clips, scenes) the rows of one group are not independent, so distances
and shares are those of one law: draw a group, then a row of that group. Kernel means (HSIC, CKA, MMD), spectra and
Rademacher complexities are over rows, and groups decide their uncertainty. Without groups every row (or pair) is one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

Array: TypeAlias = "NDArray[Any] | torch.Tensor"
Groups: TypeAlias = "NDArray[Any] | torch.Tensor | Sequence[Any]"
Seed: TypeAlias = "int | np.random.Generator"
FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]


def as_matrix(array: Array, name: str, minimum: int = 1) -> torch.Tensor:
    """The array as a detached [n, d] tensor, float32 or float64, on its own device; checked, copied only if need be.

    Integers become float64 and half precision float32, so that later float64 accumulation has something to start from.

    Raises:
        ValueError: not two-dimensional, fewer than `minimum` rows, no columns, or values that are not finite.
        TypeError: neither a numpy array nor a torch tensor, or not of real numbers.
    """
    if isinstance(array, np.ndarray):
        if array.dtype.kind not in "fiub":
            raise TypeError(f"{name}: expected real numbers, got dtype {array.dtype}")
        array = array if array.dtype in (np.float32, np.float64) else array.astype(_numpy_float(array.dtype))
        tensor = torch.from_numpy(np.ascontiguousarray(array))
    elif isinstance(array, torch.Tensor):
        if array.is_complex():
            raise TypeError(f"{name}: expected real numbers, got {array.dtype}")
        tensor = array.detach()
        if tensor.dtype not in (torch.float32, torch.float64):
            tensor = tensor.to(torch.float32 if tensor.is_floating_point() else torch.float64)
    else:
        raise TypeError(f"{name}: expected a numpy array or a torch tensor, got {type(array).__name__}")
    if tensor.ndim != 2:
        raise ValueError(f"{name}: expected shape [n, d], got {list(tensor.shape)}")
    if tensor.shape[0] < minimum:
        raise ValueError(f"{name}: needs at least {minimum} rows, got {tensor.shape[0]}")
    if tensor.shape[1] < 1:
        raise ValueError(f"{name}: has no columns")
    _check_finite(tensor, name)
    return tensor


def _numpy_float(dtype: np.dtype[Any]) -> type[np.floating[Any]]:
    return np.float32 if dtype == np.float16 else np.float64


def _check_finite(tensor: torch.Tensor, name: str) -> None:
    # One pass without a mask in memory; only a suspicious sum (an overflow, too) pays for the exact search.
    if bool(torch.isfinite(tensor.sum())):
        return
    bad = ~torch.isfinite(tensor).all(dim=1)
    if bool(bad.any()):
        first = int(torch.nonzero(bad)[0])
        raise ValueError(
            f"{name}: {int(bad.sum())} of {tensor.shape[0]} rows hold NaN or infinity (first: row {first})"
        )


def as_pairs(
    source: Array, target: Array, minimum: int = 1, same_width: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Two matrices whose rows correspond, [n, d_s] and [n, d_t], on one device.

    Raises:
        ValueError: row counts differ (mismatched pairs), or widths do where they must not.
    """
    x, y = as_matrix(source, "source", minimum), as_matrix(target, "target", minimum)
    if x.shape[0] != y.shape[0]:
        raise ValueError(f"pairs do not match: source has {x.shape[0]} rows, target {y.shape[0]}")
    if same_width:
        check_width(x, y)
    if x.device != y.device:
        raise ValueError(f"source is on {x.device}, target on {y.device}: put both on one device")
    return x, y


def check_width(x: torch.Tensor, y: torch.Tensor) -> None:
    """Both sides must live in one space."""
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"source has {x.shape[1]} columns, target {y.shape[1]}: a distance needs one common space")


def as_generator(seed: Seed) -> np.random.Generator:
    """A numpy generator from an integer, or the generator itself. Randomness is never implicit."""
    if isinstance(seed, np.random.Generator):
        return seed
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise TypeError(f"seed must be an integer or a numpy Generator, got {type(seed).__name__}")
    return np.random.default_rng(int(seed))


def as_groups(groups: Groups | None, n: int, name: str = "groups") -> IntArray:
    """Group codes 0..G-1 of n rows; without groups every row is its own.

    Raises:
        ValueError: not one label per row, or labels that are missing (NaN).
    """
    if groups is None:
        return np.arange(n, dtype=np.int64)
    labels = groups.detach().cpu().numpy() if isinstance(groups, torch.Tensor) else np.asarray(groups)
    if labels.shape != (n,):
        raise ValueError(f"{name}: expected one label for each of {n} rows, got shape {list(labels.shape)}")
    if labels.dtype.kind == "f" and bool(np.isnan(labels).any()):
        raise ValueError(f"{name}: {int(np.isnan(labels).sum())} labels are NaN")
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def check_confidence(confidence: float) -> float:
    """The error probability 1 - confidence.

    Raises:
        ValueError: outside [0.5, 1); below one half the one-sided bounds used here do not hold.
    """
    if not 0.5 <= confidence < 1.0:
        raise ValueError(f"confidence must lie in [0.5, 1), got {confidence}")
    return 1.0 - confidence


def numpy_rows(tensor: torch.Tensor) -> FloatArray:
    """The tensor as float64 on the CPU, for scikit-learn."""
    return tensor.to("cpu", torch.float64).numpy()


@dataclass(frozen=True)
class TwoSample:
    """Rows of two laws in one space, with group codes that mean the same on both sides."""

    source: FloatArray  # [n, d]
    target: FloatArray  # [m, d]
    source_groups: IntArray  # [n]
    target_groups: IntArray  # [m]
    paired: bool

    @property
    def shared(self) -> bool:
        """Whether some group has rows on both sides, so that the two sides are not independent."""
        return bool(np.intersect1d(self.source_groups, self.target_groups).size)


def as_two_sample(
    source: Array, target: Array, paired: bool, groups: Groups | tuple[Groups, Groups] | None, minimum: int = 4
) -> TwoSample:
    """Check and bring together two samples in one space.

    Args:
        paired: whether row i of source and row i of target belong together (and so are dependent).
        groups: paired: one label per pair. Unpaired: a tuple (labels of source, labels of target); a label that is on
            both sides is one group.
        minimum: groups that each side must have.

    Raises:
        ValueError: the sides do not fit, or a side has fewer than `minimum` groups (one group only, say).
    """
    if paired:
        x, y = as_pairs(source, target, minimum, same_width=True)
        source_groups = target_groups = as_groups(_one(groups), x.shape[0])
    else:
        x, y = as_matrix(source, "source", minimum), as_matrix(target, "target", minimum)
        check_width(x, y)
        source_groups, target_groups = _two_groups(groups, x.shape[0], y.shape[0])
    for name, codes in (("source", source_groups), ("target", target_groups)):
        count = np.unique(codes).size
        if count < minimum:
            raise ValueError(f"{name}: needs at least {minimum} groups, got {count}: nothing independent to certify on")
    return TwoSample(numpy_rows(x), numpy_rows(y), source_groups, target_groups, paired)


def _one(groups: Groups | tuple[Groups, Groups] | None) -> Groups | None:
    if isinstance(groups, tuple) and len(groups) == 2 and not np.isscalar(groups[0]):
        raise ValueError("paired data take one group label per pair, not a tuple of two")
    return groups


def _two_groups(groups: Groups | tuple[Groups, Groups] | None, n: int, m: int) -> tuple[IntArray, IntArray]:
    if groups is None:
        return np.arange(n, dtype=np.int64), np.arange(n, n + m, dtype=np.int64)
    if not (isinstance(groups, tuple) and len(groups) == 2):
        raise ValueError("unpaired data take groups as a tuple (labels of source, labels of target)")
    sides = [g.detach().cpu().numpy() if isinstance(g, torch.Tensor) else np.asarray(g) for g in groups]
    as_groups(sides[0], n, "groups of source")
    as_groups(sides[1], m, "groups of target")
    codes = as_groups(np.concatenate(sides), n + m)
    return codes[:n], codes[n:]
