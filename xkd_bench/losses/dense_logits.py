"""The labels' loss on dense predictions, and their distillation: KD, DKD, CWD, DIST and SKD's pixel-wise term.

Logits are [n, k, h, w] of one shape for student and teacher; see `dense_pixels` for what all share. Reductions and
temperature factors are those of the code that each docstring names: the published weights belong to them.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from xkd_bench.losses.dense_pixels import IGNORE, check_maps, check_tau, counted, exact, labels_at, pixel_mean
from xkd_bench.losses.features import at_least_float32, enlarged


def kd(
    student: Tensor, teacher: Tensor, tau: float = 1.0, *, labels: Tensor | None = None, ignore: int = IGNORE
) -> Tensor:
    """Pixel-wise knowledge distillation.

        L = τ² mean_p KL( softmax(z_T/τ) ‖ softmax(z_S/τ) ),    softmax over classes

    labels: [n, H, W], where given leave out the pixels of the label `ignore`; without, every pixel of the logits' own
    grid counts, as in CIRKD (which uses τ = 1 and weight 1). Returns a scalar, in nats times τ². A constant added to
    all logits of a pixel changes nothing; as τ → ∞, L → mean_p ‖z_S - z_T, centred‖²/(2k).

    Source: Hinton et al. 2015; [CODE CIRKD losses/kd.py].
    """
    check_tau(tau)
    with exact(student):
        z_s, z_t = check_maps(student, teacher)
        log_p, log_q = (z_t / tau).log_softmax(1), (z_s / tau).log_softmax(1)
        divergence = (log_p.exp() * (log_p - log_q)).sum(1)
        return tau**2 * pixel_mean(divergence, None if labels is None else counted(labels, ignore, z_s))


def segmentation_loss(logits: Tensor, labels: Tensor, *, ignore: int = IGNORE) -> Tensor:
    """Cross-entropy of pixels, L = -mean_p log softmax(z_p)_{y_p}, over those that are not ignored.

    logits: [n, k, h, w] are brought to the labels' grid [n, H, W] by bilinear interpolation. Returns a scalar in nats;
    0, with a graph, where every pixel is ignored (torch's own is NaN there).
    """
    with exact(logits):
        z = at_least_float32(logits)
        if z.shape[2:] != labels.shape[1:]:
            z = enlarged(z, labels.shape[1:])
        surprise = F.cross_entropy(z, labels.long(), ignore_index=ignore, reduction="none")
        return pixel_mean(surprise, labels != ignore)


class DecoupledDistillation(NamedTuple):
    """loss = alpha · target + beta · non_target; all are scalars, the latter two with τ² and without their weights."""

    loss: Tensor
    target: Tensor
    non_target: Tensor


def dkd(
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    alpha: float = 1.0,
    beta: float = 8.0,
    tau: float = 4.0,
    *,
    ignore: int = IGNORE,
) -> DecoupledDistillation:
    """Decoupled knowledge distillation, at each pixel.

        L = τ² mean_p [ α TCKD_p + β NCKD_p ],
        TCKD = KL of the laws (b, 1 - b),  b the target's probability;  NCKD = KL of the laws p_c/(1 - b) over c ≠ y

    labels: [n, H, W] integers < k, or `ignore`: those pixels are left out. KL(p_T ‖ p_S) = TCKD + (1 - b_T) NCKD, so
    that α = β = 1 is not KD. With two classes NCKD is 0. All in log space: the published code masks by adding -1000,
    which overflows at saturated logits. The published recipe ramps the weight over 20 epochs: the method's part.

    Source: Zhao et al. 2022, Decoupled knowledge distillation, eq. (7); [CODE mdistiller DKD.py, mmrazor
    decoupled_kd.py].
    """
    check_tau(tau)
    with exact(student):
        z_s, z_t = check_maps(student, teacher)
        if z_s.shape[1] < 2:
            raise ValueError("decoupled distillation needs at least 2 classes")
        counts = counted(labels, ignore, z_s)
        y = labels_at(labels, z_s.shape[2:]).long().masked_fill(~counts, 0)[:, None]
        is_target = torch.zeros_like(z_s, dtype=torch.bool).scatter_(1, y, True)
        target_t, others_t = _split(z_t / tau, y, is_target)
        target_s, others_s = _split(z_s / tau, y, is_target)
        tckd = tau**2 * pixel_mean((target_t.exp() * (target_t - target_s)).sum(1), counts)
        nckd = tau**2 * pixel_mean((others_t.exp() * (others_t - others_s)).sum(1), counts)
        return DecoupledDistillation(alpha * tckd + beta * nckd, tckd, nckd)


def _split(z: Tensor, y: Tensor, is_target: Tensor) -> tuple[Tensor, Tensor]:
    """(log b, log(1 - b)): [n, 2, h, w], and the log-law over the other classes: [n, k, h, w], 0 at the target."""
    others = z.masked_fill(is_target, float("-inf"))
    rest = others.logsumexp(1, keepdim=True)
    target = torch.cat((z.gather(1, y), rest), 1).log_softmax(1)
    return target, (z - rest).masked_fill(is_target, 0)


def cwd(student: Tensor, teacher: Tensor, tau: float = 4.0) -> Tensor:
    """Channel-wise distillation: each channel is a law over places.

        L = τ²/(n k) Σ_{n,k} KL( softmax_hw(t/τ) ‖ softmax_hw(s/τ) )

    Of logits or of features of one width. Returns a scalar. A constant added to a channel changes nothing; one added to
    a pixel's channels does (KD is the other way round). With an adapter, k is the number of channels after it (CIRKD
    divides by the number before). Published: τ = 4, weight 3 on logits, 50 on features.

    Source: Shu et al. 2021, Channel-wise knowledge distillation for dense prediction, eq. (5) [CODE TorchDistiller
    SemSeg-distill/utils/criterion.py].
    """
    check_tau(tau)
    with exact(student):
        z_s, z_t = (z.flatten(2) / tau for z in check_maps(student, teacher))
        log_p, log_q = z_t.log_softmax(2), z_s.log_softmax(2)
        return tau**2 * (log_p.exp() * (log_p - log_q)).sum(2).mean()


def dist(
    student: Tensor,
    teacher: Tensor,
    tau: float = 1.0,
    inter: float = 1.0,
    intra: float = 1.0,
    *,
    labels: Tensor | None = None,
    ignore: int = IGNORE,
) -> Tensor:
    """DIST: relations of probabilities by Pearson correlation ρ rather than KL.

        L = τ² [ inter (1 - mean_p ρ(q_p·, p_p·)) + intra (1 - mean_c ρ(q_·c, p_·c)) ]

    p, q: the softmax of teacher and student over classes, [pixels, k]: rows of one pixel, and columns of one class over
    all pixels of the batch (that are not ignored, with labels). Returns a scalar in [0, 2 τ² (inter + intra)]. The
    first term ignores a positive affine map of each pixel's probabilities.

    Source: Huang et al. 2022, Knowledge distillation from a stronger teacher, eqs. (9)-(11); [CODE DIST_KD
    segmentation/losses/dist_kd.py, with mmrazor's τ²].
    """
    check_tau(tau)
    with exact(student):
        z_s, z_t = check_maps(student, teacher)
        # [k, n, h, w] → [k, pixels]: columns of classes stay together.
        q, p = ((z / tau).softmax(1).transpose(0, 1).flatten(1) for z in (z_s, z_t))
        if labels is not None:
            counts = counted(labels, ignore, z_s).flatten()
            q, p = q[:, counts], p[:, counts]
            if not q.numel():
                return (z_s * 0).sum()
        return tau**2 * (inter * (1 - _pearson(q, p, 0).mean()) + intra * (1 - _pearson(q, p, 1).mean()))


def _pearson(x: Tensor, y: Tensor, axis: int) -> Tensor:
    """Correlations along an axis; the 1e-8 is that of the code, and makes a constant side's correlation 0.

    Where the student is constant but for rounding (a head that starts at zero), the code's gradient is some 1e8: here
    it is 0.
    """
    rounding = 16 * torch.finfo(x.dtype).eps * x.detach().norm(dim=axis)
    x, y = x - x.mean(axis, keepdim=True), y - y.mean(axis, keepdim=True)
    spread = x.norm(dim=axis)
    return ((x * y).sum(axis) / (spread * y.norm(dim=axis) + 1e-8)).masked_fill(spread <= rounding, 0)


def skd_pixel(student: Tensor, teacher: Tensor, *, over_batch: bool = False) -> Tensor:
    """SKD's pixel-wise term: the cross-entropy of the teacher's and the student's laws over classes.

        L = 1/(h w) Σ_{n,h,w} H( softmax(z_T), softmax(z_S) )

    The official code sums over the batch, so that the published weight (10) grows with it; `over_batch` divides by n
    too. Returns a scalar; its floor is the teacher's entropy.

    Source: Liu et al. 2019, Structured knowledge distillation for semantic segmentation, eq. (1) [CODE
    structure_knowledge_distillation utils/criterion.py].
    """
    with exact(student):
        z_s, z_t = check_maps(student, teacher)
        cross = -(z_t.softmax(1) * z_s.log_softmax(1)).sum(1).mean()
        return cross if over_batch else cross * len(z_s)
