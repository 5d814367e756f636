"""Contrastive representation distillation: noise-contrastive estimation against a memory, and its draw of negatives.

Computed from logarithms of the odds, in float32 (or float64 if the input is) whatever autocast says: no exponential
overflows and no constant guards a logarithm (the official code adds 1e-7 to each denominator).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from xkd_bench.losses.contrastive import unit_rows
from xkd_bench.losses.features import at_least_float32


def crd_nce(
    anchor: Tensor, candidates: Tensor, tau: float, z: float | Tensor | None, n_data: int
) -> tuple[Tensor, Tensor]:
    """One half of CRD's loss: which of 1 + k candidates, taken from a memory, is the anchor's own?

        L = -1/n Σ_i [ log h(s_i0) + Σ_{j=1..k} log(1 - h(s_ij)) ],    h(s) = (e^s/Z) / (e^s/Z + k/n_data)

    with s_ij = cosine(anchor_i, candidate_ij)/τ. CRD is the sum of two halves: the student's features against the
    teacher's memory, and the teacher's against the student's.

    anchor: [n, d]. candidates: [n, 1 + k, d], the positive first (no gradient reaches them). z: the normaliser Z; CRD
    estimates it from its first batch and keeps it; None does so now (`partition`). n_data: how many items the memory
    holds. Returns the scalar loss, a sum over candidates and mean over anchors, and the scores s: [n, 1 + k].

    Source: Tian et al. 2020, Contrastive representation distillation, eq. (18)-(19) [CODE RepDistiller]: k = 16384,
    τ = 0.07, d = 128, a memory with momentum 0.5, weight 0.8.
    """
    if anchor.ndim != 2 or candidates.ndim != 3 or candidates.shape[::2] != anchor.shape:
        raise ValueError(
            f"CRD needs anchors [n, d] and candidates [n, 1 + k, d], "
            f"got {tuple(anchor.shape)} and {tuple(candidates.shape)}"
        )
    if tau <= 0:
        raise ValueError(f"the temperature must be positive, got {tau}")
    with torch.autocast(anchor.device.type, enabled=False):
        memory = at_least_float32(candidates.detach())
        products = torch.einsum("nkd,nd->nk", memory, unit_rows(anchor).to(memory.dtype))
        scores = products / (memory.norm(dim=2).clamp_min(1e-12) * tau)
        return nce(scores, partition(scores, n_data) if z is None else z, n_data), scores


def nce(scores: Tensor, z: float | Tensor, n_data: int) -> Tensor:
    """The loss of `crd_nce` from its scores: [n, 1 + k], the positive first. With a memory of few items it is cheaper
    to score them all and gather: `(unit_rows(anchor) @ memory.T / tau).gather(1, index)`."""
    if scores.ndim != 2 or scores.shape[1] < 2 or len(scores) == 0:
        raise ValueError(f"scores must be [n, 1 + k] with a negative, got {tuple(scores.shape)}")
    if n_data < 1 or (not isinstance(z, Tensor) and z <= 0):
        raise ValueError(f"z and n_data must be positive, got z={z} and n_data={n_data}")
    with torch.autocast(scores.device.type, enabled=False):
        scores = at_least_float32(scores)
        k = scores.shape[1] - 1
        log_z = z.detach().log().to(scores) if isinstance(z, Tensor) else math.log(z)
        odds = scores - log_z - math.log(k / n_data)  # log h/(1-h)
        return (F.softplus(-odds[:, 0]) + F.softplus(odds[:, 1:]).sum(1)).mean()


def partition(scores: Tensor, n_data: int) -> Tensor:
    """The normaliser of `crd_nce`, Z = n_data · mean e^s, from one batch's scores [n, 1 + k]. Returns a scalar in
    float64 (e^(1/τ) leaves float32 at τ = 0.011), without gradient."""
    logs = scores.detach().double().flatten()
    return torch.exp(logs.logsumexp(0) - math.log(len(logs)) + math.log(n_data))


def negatives(concept: Tensor, item: Tensor, k: int) -> Tensor:
    """Draw k negatives for each item: uniform over the items of other concepts, independently, with replacement.

    concept: [m] integers, sorted: the concepts of all items, so that those of one concept are a block. item: [n]
    indices into it. Returns indices [n, k]. No draw is rejected: r is uniform among the m - block others, and those at
    or behind the item's block move up by its length. Uses torch's global generator of the device.

    Raises ValueError where concepts are not sorted, or where an item has no other concept.
    """
    if concept.ndim != 1 or item.ndim != 1 or k < 1:
        raise ValueError(f"concepts [m], items [n] and k ≥ 1 are needed, got {concept.shape}, {item.shape}, k={k}")
    if (concept.diff() < 0).any():
        raise ValueError("concepts must be sorted, so that the items of one concept are a block")
    own = concept[item]
    start = torch.searchsorted(concept, own)[:, None]
    block = torch.searchsorted(concept, own, right=True)[:, None] - start
    others = len(concept) - block
    if (others == 0).any():
        raise ValueError("all items are of one concept: there are no negatives to draw")
    # In float64, u < 1 implies u·others < others after rounding, so floor stays within.
    r = (torch.rand(len(item), k, dtype=torch.float64, device=item.device) * others).long()
    return r + block * (r >= start)
