"""InfoNCE and its cross-modal form.

Rows are normalised here, similarities are computed in float32 (or float64 if the input is) whatever autocast says, and
every loss is a mean over anchors, in nats. Many similarities are computed in chunks of rows (`chunk` of them, or as
`chunk_rows` says), which changes memory and nothing else.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from xkd_bench.losses.chunks import chunk_rows, over_rows
from xkd_bench.losses.features import at_least_float32


def unit_rows(z: Tensor) -> Tensor:
    """Rows of z: [n, d] scaled to length 1, at least in float32."""
    return F.normalize(at_least_float32(z), dim=1)


def _check_pair(a: Tensor, b: Tensor, tau: float | Tensor) -> None:
    if a.ndim != 2 or a.shape != b.shape:
        raise ValueError(f"two [n, d] tensors of one shape are needed, got {tuple(a.shape)} and {tuple(b.shape)}")
    if len(a) < 2:
        raise ValueError("a contrastive loss needs at least 2 items in a batch: with 1 there is no negative")
    if not isinstance(tau, Tensor) and tau <= 0:
        raise ValueError(f"the temperature must be positive, got {tau}")


def ntxent(z_1: Tensor, z_2: Tensor, tau: float | Tensor, *, chunk: int | None = None) -> Tensor:
    """InfoNCE of two views, as in SimCLR: CMCD eq. (1) [RECON hi].

        L = -1/2n Σ_i log exp(s_ip) / Σ_{t≠i} exp(s_it),    s = z zᵀ/τ over the 2n joined views, p the other view of i

    z_1, z_2: [n, d], row i of each a view of item i. Returns a scalar, the mean over the 2n anchors (the official
    SimCLR code sums the means of its two halves: twice this). 0 ≤ L ≤ log(2n-1) + 2/τ.

    Source: Chen et al. 2020, A simple framework for contrastive learning of visual representations, eq. (1).
    """
    _check_pair(z_1, z_2, tau)
    with torch.autocast(z_1.device.type, enabled=False):
        z = unit_rows(torch.cat((z_1, z_2)))  # [2n, d]
        partner = torch.arange(len(z), device=z.device).roll(len(z_1))

        def surprise(rows: slice) -> Tensor:
            similarity = z[rows] @ z.T / tau
            similarity.diagonal(rows.start).fill_(float("-inf"))
            return F.cross_entropy(similarity, partner[rows], reduction="sum")

        parts = over_rows(surprise, len(z), chunk_rows(z, len(z), chunk))
        return torch.stack(parts).sum() / len(z)


def cmc(
    z_a: Tensor,
    z_b: Tensor,
    tau: float | Tensor,
    concept: Tensor | None = None,
    *,
    queue: Tensor | None = None,
    queue_concept: Tensor | None = None,
    queue_valid: Tensor | None = None,
    chunk: int | None = None,
) -> Tensor:
    """Cross-modality contrast: CMCD eq. (3) [RECON hi], the symmetric (CLIP-form) InfoNCE.

        L = ½ [ -1/n Σ_i log softmax_j(a_i·b_j/τ)_i  -  1/n Σ_i log softmax_j(b_i·a_j/τ)_i ]

    z_a, z_b: [n, d], row i of each belongs to pair i; a is the source (teacher), b the target (student).
    concept: [n] integers, or None if all pairs are of different things. Where given, every pair of the same concept is
    a positive, and the log-probability is averaged over the positives of each anchor (the "out" form of Khosla et al.
    2020). Returns a scalar. 0 ≤ L ≤ log n + 2/τ; log n - L is a lower bound of the mutual information when pairs are
    distinct.

    queue: [q, d] further features of the teacher, negatives of the target → source direction alone (no gradient reaches
    them), as in MoCo. queue_concept: [q], needs `concept`: an entry is no candidate for an anchor of its own concept.
    queue_valid: [q] bool, False where the queue is not filled yet: no candidate for any anchor. That direction then has
    up to n + q candidates, and the upper bound grows to ½ [log n + log(n + q)] + 2/τ.

    Source: Radford et al. 2021 (CLIP), figure 3; van den Oord et al. 2018. Queue: He et al. 2020 (MoCo), eq. (1).
    """
    _check_pair(z_a, z_b, tau)
    _check_queue(z_a, concept, queue, queue_concept, queue_valid)
    with torch.autocast(z_a.device.type, enabled=False):
        a, b = unit_rows(z_a), unit_rows(z_b)
        if queue is None and chunk_rows(b, len(a), chunk) >= len(b):
            return _whole(a, b, tau, concept)
        # Copies, for the queue may move on before backward reads it again.
        more = a[:0] if queue is None else unit_rows(queue.detach()).to(a.dtype)
        known = None if queue_concept is None else queue_concept.clone()
        valid = None if queue_valid is None else queue_valid.clone()
        return _in_chunks(a, b, tau, concept, more, known, valid, chunk)


def _whole(a: Tensor, b: Tensor, tau: float | Tensor, concept: Tensor | None) -> Tensor:
    a = a / tau  # to scale the features is cheaper than to scale the similarities
    # [n, n] each. A second product is cheaper than to read the first by columns, and a normaliser summed down the
    # columns would lose the digits of a tiny loss.
    from_a, from_b = a @ b.T, b @ a.T
    if concept is None:
        target = torch.arange(len(a), device=a.device)
        return (F.cross_entropy(from_a, target) + F.cross_entropy(from_b, target)) / 2
    positive = (concept[:, None] == concept[None, :]).to(a.dtype)
    positive = positive / positive.sum(1, keepdim=True)  # symmetric before scaling, so rows serve both directions
    return (F.cross_entropy(from_a, positive) + F.cross_entropy(from_b, positive)) / 2


def _in_chunks(
    a: Tensor,
    b: Tensor,
    tau: float | Tensor,
    concept: Tensor | None,
    queue: Tensor,
    queue_concept: Tensor | None,
    queue_valid: Tensor | None,
    chunk: int | None,
) -> Tensor:
    """`cmc` of unit rows, each similarity computed once for both directions, chunks of the target's rows at a time.

    A row's log-softmax is whole in its chunk; a column's normaliser is joined from the chunks' logarithms of sums.
    """
    n, seen = len(a), torch.cat((a, queue)) / tau  # to scale the features is cheaper than to scale the similarities
    shift = (seen[:n] * b).sum(1).detach()  # taken from each column, so that its exponentials stay in range

    def both_ways(rows: slice) -> tuple[Tensor, Tensor]:
        """The sum of the rows' losses, less their positives above the shift; and a part of each column's normaliser."""
        logits = b[rows] @ seen.T  # [rows, n + q]
        within = logits[:, :n]
        hidden = _hidden(concept, queue_concept, queue_valid, rows)
        if hidden is not None:
            logits = logits.masked_fill(F.pad(hidden, (n, 0)), float("-inf"))
        surprise = -_mean_positive(logits.log_softmax(1)[:, :n], concept, rows)
        positive = _mean_positive(within, concept, rows)
        return (surprise - (positive - shift[rows])).sum(), (within - shift).logsumexp(0)

    rows, columns = zip(*over_rows(both_ways, n, chunk_rows(b, len(seen), chunk)), strict=True)
    # Being of one concept is mutual, so the mean positives of the columns have the sum of those of the rows.
    return (torch.stack(rows).sum() + torch.stack(columns).logsumexp(0).sum()) / (2 * n)


def _check_queue(
    z_a: Tensor, concept: Tensor | None, queue: Tensor | None, queue_concept: Tensor | None, queue_valid: Tensor | None
) -> None:
    if concept is not None and concept.shape != z_a.shape[:1]:
        raise ValueError(f"concept must be [n] = [{len(z_a)}], got {tuple(concept.shape)}")
    if queue is not None and (queue.ndim != 2 or queue.shape[1] != z_a.shape[1]):
        raise ValueError(f"the queue must be [q, {z_a.shape[1]}] as the features are, got {tuple(queue.shape)}")
    for name, given in (("queue_concept", queue_concept), ("queue_valid", queue_valid)):
        if given is not None and (queue is None or given.shape != queue.shape[:1]):
            raise ValueError(f"{name} needs a queue of its length, got {tuple(given.shape)}")
    if queue_concept is not None and concept is None:
        raise ValueError("queue_concept says nothing without the concepts of the batch: give `concept` too")


def _mean_positive(x: Tensor, concept: Tensor | None, rows: slice) -> Tensor:
    """The mean of each row of x: [rows, n] over the anchor's positives, [rows]."""
    if concept is None:
        return x.diagonal(rows.start)
    positive = (concept[rows, None] == concept).to(x.dtype)
    return (x * positive).sum(1) / positive.sum(1)


def _hidden(
    concept: Tensor | None, queue_concept: Tensor | None, queue_valid: Tensor | None, rows: slice
) -> Tensor | None:
    """Which queue entries are no candidates of these anchors: [rows or 1, q], or None."""
    hidden = None if queue_valid is None else ~queue_valid[None]
    if concept is not None and queue_concept is not None:
        same = concept[rows, None] == queue_concept
        hidden = same if hidden is None else same | hidden
    return hidden
