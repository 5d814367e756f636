"""Agreement of neighbourhoods, and retrieval across modalities."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from ..concentration import chernoff_lower, chernoff_upper, clopper_pearson_lower, clopper_pearson_upper, group_means
from ..estimate import Estimate, clipped
from ..inputs import (
    Array,
    Groups,
    IntArray,
    Seed,
    as_generator,
    as_groups,
    as_pairs,
    check_confidence,
)
from ..resampling import bootstrap_mean

_BLOCK_BYTES = 2**26


def mutual_knn(
    source: Array,
    target: Array,
    *,
    k: int = 10,
    groups: Groups | None = None,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: Seed = 0,
) -> Estimate:
    """Mutual k-nearest-neighbour alignment: the mean share of a row's k neighbours that both encoders agree on [1].

    Neighbours are by cosine, among rows of *other* groups (two views of one photo are neighbours in any encoder). For
    unrelated encoders the value is about ``k / (n - 1)``; the note gives that figure.

    Args:
        source, target: pairs, [n, d_s] and [n, d_t]; widths may differ. numpy or torch, CPU or GPU.
        k: neighbours, at least 1 and fewer than rows in other groups.
        groups: one label per pair.
        resamples, seed: of the bootstrap over groups.

    Returns:
        A ``plug-in`` in [0, 1]; its range is a bootstrap over groups that takes the neighbours found as given.

    Degenerate input: ties (duplicates, constant features) are broken by row order, the same on both sides, so constant
    features on both sides give 1: read it beside the spread of the features. Rows of zeros have cosine 0 with all.
    NaN, mismatched pairs, n < 4, k too large, one group only: ValueError.

    [1] Huh, Cheung, Wang, Isola (2024). The Platonic representation hypothesis.

    >>> import numpy as np
    >>> from estimators import mutual_knn
    >>> x = np.random.default_rng(0).normal(size=(100, 5))
    >>> mutual_knn(x, -2.0 * x).value
    1.0
    """
    check_confidence(confidence)
    x, y = as_pairs(source, target, 4)
    codes, rng = as_groups(groups, x.shape[0]), as_generator(seed)
    largest = int(np.bincount(codes).max())
    n = x.shape[0]
    if not 1 <= k <= n - largest:
        raise ValueError(f"k must lie in [1, {n - largest}], the rows of other groups; got {k}")
    near_x, near_y = _neighbours(x, k, codes), _neighbours(y, k, codes)
    shared = (near_x[:, :, None] == near_y[:, None, :]).any(2).double().mean(1).cpu().numpy()
    means = group_means(shared, codes)
    value = float(means.mean())
    low, high = bootstrap_mean(means, confidence, resamples, rng)
    note = f"unrelated encoders: {k / (n - 1):.3g}"
    return Estimate(
        value, min(low, value), max(high, value), confidence, means.size, "plug-in", f"mutual_knn[k {k}]", note
    )


def _unit(x: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(x.double(), dim=1, eps=1e-300)


def _neighbours(x: torch.Tensor, k: int, codes: IntArray) -> torch.Tensor:
    """Indices of the k most similar rows of other groups, [n, k], in any order; of equals, the first rows."""
    z, labels = _unit(x), torch.from_numpy(codes).to(x.device)
    rows = torch.arange(z.shape[0], device=z.device).split(max(1, _BLOCK_BYTES // (8 * 3 * z.shape[0])))
    if z.is_cuda:
        return torch.cat([_nearest(z, labels, part, k) for part in rows])
    single = z.numpy().astype(np.float32)
    return torch.cat([_nearest_by_single(z, single, labels, part, k) for part in rows])


def _nearest(z: torch.Tensor, labels: torch.Tensor, rows: torch.Tensor, k: int) -> torch.Tensor:
    """`_neighbours` of some rows, [r, k], from similarities in float64."""
    # Rounding makes equal rows look different; 12 digits bring their ties back.
    similar = (z[rows] @ z.T).mul_(1e12).round_()
    similar.masked_fill_(labels[rows, None] == labels[None, :], -torch.inf)
    least = similar.topk(k, dim=1).values[:, -1:]
    above, level = similar > least, similar == least
    first = level.cumsum(1) <= k - above.sum(1, keepdim=True)
    return (above | (level & first)).nonzero()[:, 1].view(-1, k)


def _nearest_by_single(
    z: torch.Tensor, single: NDArray[np.float32], labels: torch.Tensor, rows: torch.Tensor, k: int
) -> torch.Tensor:
    """The same at half the cost, where float32 tells the k-th row from the next; else float64 decides.

    numpy multiplies, for torch may be set to multiply float32 in fewer digits.
    """
    similar = torch.from_numpy(single[rows.numpy()] @ single.T)
    similar.masked_fill_(labels[rows, None] == labels[None, :], -torch.inf)
    best = similar.topk(k + 1, dim=1)
    near = best.indices[:, :k]
    unsure = best.values[:, k - 1] - best.values[:, k] <= _margin(single.shape[1])
    near[unsure] = _nearest(z, labels, rows[unsure], k)
    return near


def retrieval_recall(
    source: Array,
    target: Array,
    *,
    k: int = 1,
    groups: Groups | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """Recall at k of cross-modal retrieval: how often a source row finds its own target row (or one of its group)
    among the k targets of highest cosine [STD].

    Ties count against the query: its rank is 1 + the targets of other groups that are at least as similar. Given the
    targets, queries are independent, so the interval is exact for this gallery: Clopper-Pearson for pairs without
    groups (valid for unequal chances, Hoeffding 1956), Chernoff-Hoeffding on group means otherwise.

    Args:
        source, target: pairs in one space, [n, d] each. numpy or torch, CPU or GPU.
        k: ranks that count, at least 1.
        groups: one label per pair; any target of the query's group is right.

    Returns:
        An ``interval`` in [0, 1]. Recall falls as the gallery grows (chance is about k / n): n belongs to the result.

    Degenerate input: constant features tie everywhere and give 0. One group only: every answer is right, value 1.
    NaN, mismatched pairs, different widths, n < 4: ValueError.

    >>> import numpy as np
    >>> from estimators import retrieval_recall
    >>> x = np.random.default_rng(0).normal(size=(100, 5))
    >>> retrieval_recall(x, x).value
    1.0
    """
    alpha = check_confidence(confidence)
    x, y = as_pairs(source, target, 4, same_width=True)
    if k < 1:
        raise ValueError(f"k must be positive, got {k}")
    codes = as_groups(groups, x.shape[0])
    hits = _hits(_unit(x), _unit(y), codes, k).cpu().numpy().astype(float)
    means = group_means(hits, codes)
    value, n = float(means.mean()), means.size
    if n == hits.size:
        right = round(float(hits.sum()))
        low, high = clopper_pearson_lower(right, n, alpha / 2), clopper_pearson_upper(right, n, alpha / 2)
    else:
        low, high = chernoff_lower(value, n, alpha / 2), chernoff_upper(value, n, alpha / 2)
    name = f"retrieval_recall[at {k} of {hits.size}]"
    return Estimate(clipped(value, low, high), low, high, confidence, n, "interval", name)


def _hits(x: torch.Tensor, y: torch.Tensor, codes: IntArray, k: int) -> torch.Tensor:
    """Whether fewer than k rows of other groups are as similar to a row of x as the best of its own, [n]."""
    labels = torch.from_numpy(codes).to(x.device)
    rows = torch.arange(x.shape[0], device=x.device).split(max(1, _BLOCK_BYTES // (8 * 3 * y.shape[0])))
    if x.is_cuda:
        return torch.cat([_found(x, y, labels, part, k) for part in rows])
    single = x.numpy().astype(np.float32), y.numpy().astype(np.float32)
    return torch.cat([_found_by_single(x, y, single, labels, part, k) for part in rows])


def _found(x: torch.Tensor, y: torch.Tensor, labels: torch.Tensor, rows: torch.Tensor, k: int) -> torch.Tensor:
    """`_hits` of some rows, [r], from similarities in float64."""
    similar = (x[rows] @ y.T).mul_(1e12).round_()
    best = _own_taken(similar, labels, rows)
    return (similar >= best).sum(1) < k


def _found_by_single(
    x: torch.Tensor,
    y: torch.Tensor,
    single: tuple[NDArray[np.float32], NDArray[np.float32]],
    labels: torch.Tensor,
    rows: torch.Tensor,
    k: int,
) -> torch.Tensor:
    """The same at half the cost, where float32 tells how many are as similar; else float64 decides."""
    similar = single[0][rows.numpy()] @ single[1].T
    best = _own_taken(torch.from_numpy(similar), labels, rows).numpy()
    margin = np.float32(_margin(x.shape[1]))
    hits = np.count_nonzero(similar >= best - margin, axis=1) < k  # numpy counts truths several times faster than torch
    (missed,) = np.nonzero(~hits)
    unsure = missed[np.count_nonzero(similar[missed] > best[missed] + margin, axis=1) < k]
    hits[unsure] = _found(x, y, labels, rows[unsure], k).numpy()
    return torch.from_numpy(hits)


def _own_taken(similar: torch.Tensor, labels: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """The best similarity to the own group of each row, [r, 1]; the group's similarities are then minus infinity."""
    if labels.unique().numel() == labels.numel():  # each row is its own group: no mask of all pairs
        best = similar.gather(1, rows[:, None])
        similar.scatter_(1, rows[:, None], -torch.inf)
        return best
    own = labels[rows, None] == labels[None, :]
    best = similar.masked_fill(~own, -torch.inf).amax(1, keepdim=True)
    similar.masked_fill_(own, -torch.inf)
    return best


def _margin(width: int) -> float:
    """How much two float32 products of unit rows can change places by: each is off by at most width + 2 half units of
    rounding (Cauchy-Schwarz)."""
    return float(np.finfo(np.float32).eps) * (1.1 * width + 8)
