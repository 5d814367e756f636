"""Distillation of relations between pixels: SKD's pair-wise term and CIRKD (mini-batch, memory).

Features are [n, c, h, w] on one grid; see `dense_pixels` for what all share.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from xkd_bench.losses.chunks import chunk_rows, over_rows
from xkd_bench.losses.dense_pixels import IGNORE, check_maps, check_tau, counted, exact, pixel_rows
from xkd_bench.losses.similarity import cmd


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
        images = len(f_s)
        s, t = (F.normalize(pixel_rows(f), dim=1) for f in (f_s, f_t))

        def divergence(rows: slice) -> Tensor:
            log_p, log_q = ((f[rows] @ f.T / tau).unflatten(1, (images, -1)).log_softmax(2) for f in (t, s))
            return (log_p.exp() * (log_p - log_q)).sum()

        parts = over_rows(divergence, len(s), chunk_rows(s, len(s), chunk))
        return torch.stack(parts).sum() / (len(s) * images)


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
    where every pixel is ignored. It is CMCD's CMD in the reading `seed`, on pixels (`similarity.cmd`).

    Source: Yang et al. 2022, Cross-image relational knowledge distillation, eqs. (8)-(13) [CODE CIRKD rev 91d9ad4
    losses/cirkd_memory.py].
    """
    check_tau(tau, tau_kd)
    f_s, f_t = check_maps(student, teacher)
    s, t = pixel_rows(f_s), pixel_rows(f_t)
    if labels is not None:
        counts = counted(labels, ignore, f_s).flatten()
        s, t = s[counts], t[counts]
        if not len(s):
            return (f_s * 0).sum()
    heat = tau * tau_kd
    found = cmd(
        t, s, tau_t=heat, tau_s=heat, include_self=False, bank=bank.to(s.dtype), bank_valid=bank_valid, chunk=chunk
    )
    return tau_kd**2 * found.kl
