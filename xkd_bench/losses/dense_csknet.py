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
    *,
    distilled: str = "source",
    lam_kd: float = 1.0,
    lam_cl: float = 0.1,
    tau: float = 1.0,
    ignore: int = IGNORE,
) -> CSKLoss:
    """The objective of a CSK-Net-style student.

        L = Σ_m CE(z_m, y) + lam_kd τ² KL(p_teacher ‖ p_source) + lam_cl L_CL,    m: source, target, fused

    logits: of each output that there is (a modality may be missing), [n, k, h, w] each. teacher: logits of the network
    that was trained on the source, for the branch `distilled`; None, or that branch missing: no distillation. contrast:
    what `stage_contrast` gave; None: no contrast. Weights are not known: ContrastiveSeg's 0.1 and CIRKD's 1, τ = 1
    [RECONSTRUCTED].

    Source: after CSK-Net (Sikdar et al. 2023), whose terms are known and whose weights are not [RECONSTRUCTED].
    """
    if not logits:
        raise ValueError("no logits are given")
    supervised = torch.stack([segmentation_loss(z, labels, ignore=ignore) for z in logits.values()]).sum()
    nothing = torch.zeros_like(supervised)
    distillation = nothing
    if teacher is not None and distilled in logits:
        distillation = kd(logits[distilled], teacher, tau)
    contrast = nothing if contrast is None else contrast
    return CSKLoss(supervised + lam_kd * distillation + lam_cl * contrast, supervised, distillation, contrast)
