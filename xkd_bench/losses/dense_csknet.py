"""The joint objective of CSK-Net-style training, by its terms."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from xkd_bench.losses.dense_logits import kd, segmentation_loss
from xkd_bench.losses.dense_pixels import IGNORE


class CSKLoss(NamedTuple):
    """loss = supervised + lam_kd · distillation + lam_cl · contrast; all scalars, the parts without their weights."""

    loss: Tensor
    supervised: Tensor
    distillation: Tensor
    contrast: Tensor


def csknet_loss(
    logits: Mapping[str, Tensor],
    labels: Tensor,
    teacher: Tensor | None,
    contrast: Tensor | None = None,
    auxiliary: Mapping[str, Tensor] | None = None,
    *,
    distilled: str = "source",
    lam_kd: float = 1.0,
    lam_cl: float = 0.1,
    lam_aux: float = 0.4,
    tau: float = 1.0,
    ignore: int = IGNORE,
) -> CSKLoss:
    """The objective of a CSK-Net-style student.

        L = Σ_m CE(z_m, y) + lam_aux Σ_b CE(a_b, y) + lam_kd τ² KL(p_teacher ‖ p_source) + lam_cl L_CL,
        m: source, target, fused;  b: source, target

    logits: of each output that there is (a modality may be missing), [n, k, h, w] each. teacher: logits of the network
    that was trained on the source, for the branch `distilled`; None, or that branch missing: no distillation. contrast:
    what `stage_contrast` gave; None: no contrast. auxiliary: of each branch that has an auxiliary head; it is not known
    whether CSK-Net has any. No weight of it is known: ContrastiveSeg's 0.1, CIRKD's 1 and 0.4, τ = 1 [RECONSTRUCTED].

    Source: after CSK-Net (Sikdar et al. 2023), whose terms are known and whose weights are not [RECONSTRUCTED].
    """
    if not logits:
        raise ValueError("no logits are given")
    weighed = [(1.0, z) for z in logits.values()] + [(lam_aux, a) for a in (auxiliary or {}).values()]
    supervised = torch.stack([w * segmentation_loss(z, labels, ignore=ignore) for w, z in weighed]).sum()
    nothing = torch.zeros_like(supervised)
    distillation = nothing
    if teacher is not None and distilled in logits:
        distillation = kd(logits[distilled], teacher, tau)
    contrast = nothing if contrast is None else contrast
    return CSKLoss(supervised + lam_kd * distillation + lam_cl * contrast, supervised, distillation, contrast)
