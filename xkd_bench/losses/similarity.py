"""Distillation of similarity distributions: CMCD's CMD loss, in both readings."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from xkd_bench.losses.contrastive import unit_rows

Form = Literal["intra", "seed"]


class SimilarityDistillation(NamedTuple):
    """loss = cross-entropy; entropy of the teacher's law; kl = loss - entropy ≥ 0; tv: mean total variation of the
    rows.

    All are scalars, means over the batch, in nats (tv in [0, 1]). Only `loss` and `kl` carry gradients.
    """

    loss: Tensor
    entropy: Tensor
    kl: Tensor
    tv: Tensor


def cmd(
    z_a: Tensor,
    z_b: Tensor,
    *,
    form: Form = "seed",
    tau_t: float = 0.1,
    tau_s: float = 0.1,
    include_self: bool = True,
    bank: Tensor | None = None,
) -> SimilarityDistillation:
    """Cross-modality distillation: CMCD eq. (2), whose formula is lost; both readings are reconstructed [RECON med].

        L = -1/n Σ_i Σ_j p_ij log q_ij,    p_ij = softmax_j(a_i·k_j/τ_T),    q_ij = softmax_j(b_i·c_j/τ_S)

    `seed`:  k_j = c_j = the teacher's feature of candidate j (Fang et al. 2021, SEED): the student enters the teacher's
             space. Candidates are the batch, or `bank`.
    `intra`: k_j = a_j, c_j = b_j: the two similarity laws within each modality; unchanged by any rotation of z_b, and
    the
             widths of z_a and z_b may differ. Candidates are the batch.

    z_a: [n, d_a] the teacher's features (no gradient reaches them), z_b: [n, d_b] the student's; bank: [q, d_a].
    include_self: item i is a candidate of its own (with a bank, it is prepended, as SEED does). Without, the batch
    needs n ≥ 3 (with one candidate left the laws are trivial).

    As τ_T → 0 with the batch and itself as candidates, `seed` is the target → source half of CMC.
    """
    if z_a.ndim != 2 or z_b.ndim != 2 or len(z_a) != len(z_b):
        raise ValueError(f"z_a and z_b must be [n, d] with one n, got {tuple(z_a.shape)} and {tuple(z_b.shape)}")
    if min(tau_t, tau_s) <= 0:
        raise ValueError(f"temperatures must be positive, got tau_t={tau_t}, tau_s={tau_s}")
    if form == "intra" and bank is not None:
        raise ValueError("form 'intra' takes its candidates from the batch: a bank has no student features")
    if form == "seed" and z_a.shape[1] != z_b.shape[1]:
        raise ValueError(f"form 'seed' needs features of one width, got {z_a.shape[1]} and {z_b.shape[1]}")
    if bank is None and len(z_a) < (2 if include_self else 3):
        raise ValueError(f"a batch of {len(z_a)} leaves no candidates to compare")
    with torch.autocast(z_b.device.type, enabled=False):
        a, b = unit_rows(z_a.detach()), unit_rows(z_b)
        s_a, s_b = _similarities(a, b, form, include_self, bank)
        log_p, log_q = (s_a / tau_t).log_softmax(1), (s_b / tau_s).log_softmax(1)
        p = log_p.exp()
        # 0 · (-inf) is 0 here: a masked candidate has no mass.
        cross = -(p * log_q.masked_fill(p == 0, 0)).sum(1).mean()
        entropy = -(p * log_p.masked_fill(p == 0, 0)).sum(1).mean()
        tv = (p - log_q.detach().exp()).abs().sum(1).mean() / 2
        return SimilarityDistillation(cross, entropy, cross - entropy, tv)


def _similarities(a: Tensor, b: Tensor, form: Form, include_self: bool, bank: Tensor | None) -> tuple[Tensor, Tensor]:
    """Cosines to the candidates under each encoder, [n, candidates]; a masked candidate has -inf."""
    if bank is not None:
        keys = unit_rows(bank.detach())
        s_a, s_b = a @ keys.T, b @ keys.T
        if include_self:
            s_a = torch.cat(((a * a).sum(1, keepdim=True), s_a), 1)
            s_b = torch.cat(((b * a).sum(1, keepdim=True), s_b), 1)
        return s_a, s_b
    s_a, s_b = a @ a.T, b @ (b if form == "intra" else a).T
    if not include_self:
        diagonal = torch.eye(len(a), dtype=torch.bool, device=a.device)
        s_a, s_b = s_a.masked_fill(diagonal, float("-inf")), s_b.masked_fill(diagonal, float("-inf"))
    return s_a, s_b
