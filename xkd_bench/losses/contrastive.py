"""InfoNCE and its cross-modal form.

Rows are normalised here, similarities are computed in float32 (or float64 if the input is) whatever autocast says, and
every loss is a mean over anchors, in nats.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def unit_rows(z: Tensor) -> Tensor:
    """Rows of z: [n, d] scaled to length 1, at least in float32."""
    return F.normalize(z if z.dtype == torch.float64 else z.float(), dim=1)


def _check_pair(a: Tensor, b: Tensor, tau: float | Tensor) -> None:
    if a.ndim != 2 or a.shape != b.shape:
        raise ValueError(f"two [n, d] tensors of one shape are needed, got {tuple(a.shape)} and {tuple(b.shape)}")
    if len(a) < 2:
        raise ValueError("a contrastive loss needs at least 2 items in a batch: with 1 there is no negative")
    if not isinstance(tau, Tensor) and tau <= 0:
        raise ValueError(f"the temperature must be positive, got {tau}")


def ntxent(z_1: Tensor, z_2: Tensor, tau: float | Tensor) -> Tensor:
    """InfoNCE of two views, as in SimCLR: CMCD eq. (1) [RECON hi].

        L = -1/2n Σ_i log exp(s_ip) / Σ_{t≠i} exp(s_it),    s = z zᵀ/τ over the 2n joined views, p the other view of i

    z_1, z_2: [n, d], row i of each a view of item i. Returns a scalar, the mean over the 2n anchors (the official
    SimCLR code sums the means of its two halves: twice this). 0 ≤ L ≤ log(2n-1) + 2/τ.

    Source: Chen et al. 2020, A simple framework for contrastive learning of visual representations, eq. (1).
    """
    _check_pair(z_1, z_2, tau)
    with torch.autocast(z_1.device.type, enabled=False):
        z = unit_rows(torch.cat((z_1, z_2)))  # [2n, d]
        similarity = (z @ z.T / tau).fill_diagonal_(float("-inf"))
        n = len(z_1)
        partner = torch.arange(2 * n, device=z.device).roll(n)
        return F.cross_entropy(similarity, partner)


def cmc(z_a: Tensor, z_b: Tensor, tau: float | Tensor, concept: Tensor | None = None) -> Tensor:
    """Cross-modality contrast: CMCD eq. (3) [RECON hi], the symmetric (CLIP-form) InfoNCE.

        L = ½ [ -1/n Σ_i log softmax_j(a_i·b_j/τ)_i  -  1/n Σ_i log softmax_j(b_i·a_j/τ)_i ]

    z_a, z_b: [n, d], row i of each belongs to pair i; a is the source (teacher), b the target (student).
    concept: [n] integers, or None if all pairs are of different things. Where given, every pair of the same concept is
    a positive, and the log-probability is averaged over the positives of each anchor (the "out" form of Khosla et al.
    2020). Returns a scalar. 0 ≤ L ≤ log n + 2/τ; log n - L is a lower bound of the mutual information when pairs are
    distinct.

    Source: Radford et al. 2021 (CLIP), figure 3; van den Oord et al. 2018.
    """
    _check_pair(z_a, z_b, tau)
    with torch.autocast(z_a.device.type, enabled=False):
        logits = unit_rows(z_a) @ unit_rows(z_b).T / tau  # [n, n]
        if concept is None:
            target = torch.arange(len(logits), device=logits.device)
            return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
        positive = (concept[:, None] == concept[None, :]).to(logits.dtype)
        positive = positive / positive.sum(1, keepdim=True)  # symmetric before scaling, so rows serve both directions
        return (F.cross_entropy(logits, positive) + F.cross_entropy(logits.T, positive)) / 2
