"""Distillation of similarity distributions: CMCD's CMD loss, in both readings."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from xkd_bench.losses.chunks import chunk_rows, over_rows
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
    bank_valid: Tensor | None = None,
    chunk: int | None = None,
) -> SimilarityDistillation:
    """Cross-modality distillation: CMCD eq. (2), whose formula is lost; both readings are reconstructed [RECON med].

        L = -1/n Σ_i Σ_j p_ij log q_ij,    p_ij = softmax_j(a_i·k_j/τ_T),    q_ij = softmax_j(b_i·c_j/τ_S)

    `seed`:  k_j = c_j = the teacher's feature of candidate j (Fang et al. 2021, SEED): the student enters the teacher's
             space. Candidates are the batch, or `bank`.
    `intra`: k_j = a_j, c_j = b_j: the two similarity laws within each modality; unchanged by any rotation of z_b, and
             the widths of z_a and z_b may differ. Candidates are the batch.

    z_a: [n, d_a] the teacher's features (no gradient reaches them), z_b: [n, d_b] the student's; bank: [q, d_a].
    include_self: item i is a candidate of its own (with a bank, it is prepended, as SEED does). Without, the batch
    needs n ≥ 3 (with one candidate left the laws are trivial). bank_valid: [q] bool, False where a bank is not filled
    yet: no candidate. chunk: rows computed at once (`chunk_rows`), which changes memory and nothing else.

    As τ_T → 0 with the batch and itself as candidates, `seed` is the target → source half of CMC. At the student's
    logits the gradient is (q - p)/n.
    """
    _check(z_a, z_b, form, tau_t, tau_s, include_self, bank, bank_valid)
    with torch.autocast(z_b.device.type, enabled=False):
        a, b = unit_rows(z_a.detach()), unit_rows(z_b)
        # Copies, for a queue may move on before backward reads it again.
        keys = None if bank is None else unit_rows(bank.detach())
        valid = None if bank_valid is None else bank_valid.clone()

        def sums(rows: slice) -> Tensor:
            """Of these rows: cross-entropy, entropy of the teacher, total variation."""
            s_a, s_b = _similarities(a, b, form, include_self, keys, valid, rows)
            log_p, log_q = (s_a / tau_t).log_softmax(1), (s_b / tau_s).log_softmax(1)
            p = log_p.exp()
            # 0 · (-inf) is 0 here: a masked candidate has no mass.
            cross = -(p * log_q.masked_fill(p == 0, 0)).sum()
            entropy = -(p * log_p.masked_fill(p == 0, 0)).sum()
            tv = (p - log_q.detach().exp()).abs().sum() / 2
            return torch.stack((cross, entropy, tv))

        candidates = len(b) if bank is None else len(bank)
        parts = over_rows(sums, len(b), chunk_rows(b, candidates, chunk))
        cross, entropy, tv = (torch.stack(parts).sum(0) / len(b)).unbind()
        return SimilarityDistillation(cross, entropy.detach(), cross - entropy.detach(), tv.detach())


def _check(
    z_a: Tensor,
    z_b: Tensor,
    form: Form,
    tau_t: float,
    tau_s: float,
    include_self: bool,
    bank: Tensor | None,
    bank_valid: Tensor | None,
) -> None:
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
    if bank is not None and (bank.ndim != 2 or bank.shape[1] != z_a.shape[1]):
        raise ValueError(f"the bank must be [q, {z_a.shape[1]}] as the teacher's features are, got {tuple(bank.shape)}")
    if bank_valid is not None and (bank is None or bank_valid.shape != bank.shape[:1]):
        raise ValueError(f"bank_valid needs a bank of its length, got {tuple(bank_valid.shape)}")
    if bank_valid is not None and not include_self and not bank_valid.any():
        raise ValueError("an empty bank leaves no candidates to compare: include_self, or fill it first")


def _similarities(
    a: Tensor, b: Tensor, form: Form, include_self: bool, keys: Tensor | None, valid: Tensor | None, rows: slice
) -> tuple[Tensor, Tensor]:
    """Cosines of these rows to the candidates under each encoder, [rows, candidates]; a masked one has -inf."""
    of_a, of_b = a[rows], b[rows]
    if keys is None:
        s_a, s_b = of_a @ a.T, of_b @ (b if form == "intra" else a).T
        if not include_self:
            for s in (s_a, s_b):
                s.diagonal(rows.start).fill_(float("-inf"))
        return s_a, s_b
    s_a, s_b = of_a @ keys.T, of_b @ keys.T
    if valid is not None:
        s_a, s_b = (s.masked_fill(~valid, float("-inf")) for s in (s_a, s_b))
    if include_self:
        s_a = torch.cat(((of_a * of_a).sum(1, keepdim=True), s_a), 1)
        s_b = torch.cat(((of_b * of_a).sum(1, keepdim=True), s_b), 1)
    return s_a, s_b
