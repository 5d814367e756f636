"""Distillation of relations between pixels: SKD's pair-wise term and CIRKD (mini-batch, memory).

Features are [n, c, h, w] on one grid; see `dense_pixels` for what all share.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from xkd_bench.losses.chunks import chunk_rows
from xkd_bench.losses.contrastive import unit_rows
from xkd_bench.losses.dense_pixels import IGNORE, check_maps, check_tau, counted, exact, pixel_rows


def skd_pair(
    student: Tensor,
    teacher: Tensor,
    pool: float | tuple[int, int] | None = 0.5,
    *,
    detach_norm: bool = True,
) -> Tensor:
    """SKD's pair-wise term: the cosines between all places of an image.

        L = 1/(n m²) Σ ( Ŝ Ŝᵀ - T̂ T̂ᵀ )²,    m places after max-pooling, rows of length 1

    student: [n, c_s, h, w], teacher: [n, c_t, h, w] (widths may differ). pool: the window as a share of each side (0.5:
    2 × 2 places are left, the official code) or in pixels ((2, 2): CIRKD); None: no pooling. detach_norm: the lengths
    are constants for the gradient, as in the official code; CIRKD lets it through. The value is the same, the gradient
    is not. Returns a scalar. Unchanged by a positive factor on all features; by one on each place, or by a rotation of
    the channels, only without pooling. Published weights: 0.5 (its script, option default 1), 10 (CIRKD).

    Source: Liu et al. 2019, Structured knowledge distillation for semantic segmentation, eq. (3) [CODE
    structure_knowledge_distillation utils/criterion.py, CIRKD losses/skd.py].
    """
    with exact(student):
        f_s, f_t = check_maps(student, teacher, one_width=False)
        if pool is not None:
            window = pool if isinstance(pool, tuple) else tuple(max(1, int(side * pool)) for side in f_s.shape[2:])
            f_s, f_t = (F.max_pool2d(f, window, window, ceil_mode=True) for f in (f_s, f_t))
        return (_cosines(f_s, detach_norm) - _cosines(f_t, detach_norm)).square().mean()


def _cosines(f: Tensor, detach_norm: bool) -> Tensor:
    """[n, c, h, w] to the cosines of all pairs of places, [n, places, places]."""
    f = f.flatten(2)
    f = f / (f.detach().norm(dim=1, keepdim=True) + 1e-8) if detach_norm else F.normalize(f, dim=1)
    return f.transpose(1, 2) @ f


def cirkd_mini_batch(
    student: Tensor, teacher: Tensor, tau: float = 0.1, *, pool: bool = False, chunk: int | None = None
) -> Tensor:
    """CIRKD's mini-batch term: the similarities of pixels across images.

        L = 1/n² Σ_{i,j} mean_rows KL( softmax(T̂_i T̂_jᵀ/τ) ‖ softmax(Ŝ_i Ŝ_jᵀ/τ) ),    all ordered pairs of images

    student: [n, c_s, h, w], teacher: [n, c_t, h, w] (widths may differ). pool: halve the grid first, by means. chunk:
    anchor pixels at once (`chunk_rows`), which changes memory and nothing else: whole, it takes n² (h w)² numbers.
    Returns a scalar in nats (no factor τ²), unchanged by a rotation of the channels and a positive factor on a pixel;
    zero for equal similarities. Published weight 1.

    Source: Yang et al. 2022, Cross-image relational knowledge distillation, eqs. (5)-(7) [CODE CIRKD rev 91d9ad4
    losses/cirkd_mini_batch.py].
    """
    check_tau(tau)
    with exact(student):
        f_s, f_t = check_maps(student, teacher, one_width=False)
        if pool:
            f_s, f_t = (F.avg_pool2d(f, 2, ceil_mode=True) for f in (f_s, f_t))
        s, t = (unit_rows(pixel_rows(f)) for f in (f_s, f_t))
        found = _divergence(s / tau, s, t / tau, t, len(f_s), chunk_rows(s, len(s), chunk))
        return found / (len(s) * len(f_s))


def cirkd_memory(
    student: Tensor,
    teacher: Tensor,
    bank: Tensor,
    *,
    bank_valid: Tensor | None = None,
    labels: Tensor | None = None,
    ignore: int = IGNORE,
    tau: float = 0.1,
    tau_kd: float = 1.0,
    chunk: int | None = None,
) -> Tensor:
    """CIRKD's memory term: the similarities of pixels to a memory of the teacher's, of pixels or of regions.

        L = τ_kd² mean_p KL( softmax_j(t_p·v_j/(τ τ_kd)) ‖ softmax_j(s_p·v_j/(τ τ_kd)) ),    rows of length 1

    student: [n, c, h, w] after the projection head (`ProjectionHead`), teacher: [n, c, h, w]; bank: [q, c], a sample of
    a `ClassQueue`; bank_valid: [q] bool, False for no candidate. Ignored pixels are no anchors. Call it once for the
    queue of pixels and once for that of regions, each with the published weight 0.1. Returns a scalar, 0 with a graph
    where every pixel is ignored. ValueError for an empty bank. It is CMCD's CMD in the reading `seed`, on pixels.

    Source: Yang et al. 2022, Cross-image relational knowledge distillation, eqs. (8)-(13) [CODE CIRKD rev 91d9ad4
    losses/cirkd_memory.py].
    """
    check_tau(tau, tau_kd)
    f_s, f_t = check_maps(student, teacher)
    if bank.ndim != 2 or bank.shape[1] != f_s.shape[1]:
        raise ValueError(f"the bank must be [q, {f_s.shape[1]}] as the features are, got {tuple(bank.shape)}")
    s, t = pixel_rows(f_s), pixel_rows(f_t)
    if labels is not None:
        counts = counted(labels, ignore, f_s).flatten()
        s, t = s[counts], t[counts]
        if not len(s):
            return (f_s * 0).sum()
    keys = bank.detach() if bank_valid is None else bank.detach()[bank_valid]
    if not len(keys):
        raise ValueError("an empty bank leaves no candidates to compare: fill it first")
    heat = tau * tau_kd
    with exact(s):
        s, t, keys = unit_rows(s), unit_rows(t), unit_rows(keys.to(s.dtype))
        found = _divergence(s / heat, keys, t / heat, keys, 1, chunk_rows(s, len(keys), chunk))
        return tau_kd**2 * found / len(s)


def _divergence(s: Tensor, s_keys: Tensor, t: Tensor, t_keys: Tensor, groups: int, chunk: int) -> Tensor:
    """Σ over rows, and over groups of candidates, of KL( softmax(t T_gᵀ) ‖ softmax(s S_gᵀ) ), a scalar.

    s: [n, d_s], t: [n, d_t]; s_keys: [q, d_s], t_keys: [q, d_t], cut into `groups` of q/groups. Gradients reach s and
    s_keys. chunk: rows at once.
    """
    return _Divergence.apply(s, s_keys, t, t_keys, groups, chunk)


class _Divergence(torch.autograd.Function):
    """The gradient is as simple as the value, softmax(s Sᵀ) - softmax(t Tᵀ), so that both are made of one pass: nothing
    as large as rows × candidates is kept, nor computed again."""

    @staticmethod
    def forward(ctx: Any, s: Tensor, s_keys: Tensor, t: Tensor, t_keys: Tensor, groups: int, chunk: int) -> Tensor:
        total, to_s = s.new_zeros(()), torch.empty_like(s)
        to_keys = torch.zeros_like(s_keys) if ctx.needs_input_grad[1] else None
        for start in range(0, len(s), chunk):
            part = slice(start, start + chunk)
            log_p, log_q = (
                (z[part] @ keys.T).unflatten(1, (groups, -1)).log_softmax(2) for z, keys in ((t, t_keys), (s, s_keys))
            )
            p = log_p.exp()
            total += (log_p.sub_(log_q).mul_(p)).sum()
            apart = log_q.exp_().sub_(p).flatten(1)
            torch.mm(apart, s_keys, out=to_s[part])
            if to_keys is not None:
                to_keys.addmm_(apart.T, s[part])
        ctx.save_for_backward(to_s, to_keys)
        return total

    @staticmethod
    def backward(ctx: Any, *above: Tensor) -> tuple[Tensor | None, ...]:
        to_s, to_keys = ctx.saved_tensors
        return above[0] * to_s, None if to_keys is None else above[0] * to_keys, None, None, None, None
