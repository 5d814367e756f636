"""Af-DCD: the student reconstructs the teacher's features from masked ones of its own, and the reconstruction keeps the
local contrasts of the teacher's map: position against position, channel group against channel group, in small patches.

The reconstruction g comes from `models.generators.MaskedReconstruction`, whose parameters are the method's. Everything
is computed in float32 (or float64 if the input is) whatever autocast says (`dense_pixels`): distances are not
normalised, so that scores of -2000 are usual. Published settings: `af_dcd_presets`.

Source: Fan et al. 2023, Augmentation-free dense contrastive knowledge distillation for efficient semantic segmentation.
[CODE OSVAI/Af-DCD] except where a docstring says otherwise.
"""

from typing import Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from xkd_bench.losses.dense_features import mgd
from xkd_bench.losses.dense_pixels import check_maps, exact

Distance = Literal["l1", "l2"]
Negatives = Literal["other_group", "all", "same_group", "same_pos"]
Fit = Literal["raise", "crop"]


def feature_reconstruction(generated: Tensor, teacher: Tensor) -> Tensor:
    """L_FD = 1/n Σ (g - f_T)², the sum over channels and positions, the mean over items [CODE].

    generated: [n, c, h, w] reconstructed from the student, teacher: the same shape. Returns a scalar. A sum: its
    published weights are of the order of 1e-6, and it grows with the map. It is MGD's loss.
    """
    return mgd(generated, teacher)


def omni_contrast(
    generated: Tensor,
    teacher: Tensor,
    *,
    groups: int = 16,
    patch: int | None = 4,
    pool: int = 4,
    tau: float | Tensor = 0.07,
    distance: Distance = "l1",
    negatives: Negatives = "other_group",
    fit: Fit = "raise",
) -> Tensor:
    """L_CTR: each (position, channel group) of the student must be told from others of its patch by the teacher's map.

        L = M · mean over anchors (p, a, k) of  log(1 + Σ_{(b,w) ∈ Neg} exp[(d(u_pak, v_pak) - d(u_pak, v_pbw))/τ])

    generated: [n, c, h, w] reconstructed from the student, teacher: the same shape (no gradient reaches it); u and v
    are their maxima over pool x pool windows, cut into patches of patch x patch positions and M = `groups` contiguous
    groups of c/M channels. Returns a scalar, in nats.

    pool: 1 for none (as CamVid's). patch: None for one patch of the whole map. distance: `l1` as released, `l2` said to
    be the paper's best [2ND]; a squared distance is refused, for there student = teacher is no minimum. tau: 0.07 as
    released; secondary sources have 0.7 [SEED].
    negatives, of anchor (a, k): `other_group` {w ≠ k} as released; `all` but itself, the paper's omni-contrast as drawn
    [FIGURE]; `same_group` {w = k, b ≠ a}; `same_pos` {b = a, w ≠ k}.
    fit: `raise` where h or w is no multiple of pool · patch, or `crop` to one, from the top left.

    For both distances the floor is at student = teacher, a kink with a gradient; it is not 0. A student far from the
    teacher gets no gradient from `l1`, so this goes with `feature_reconstruction`. Pooling passes the gradient to the
    largest of each window alone.

    Raises ValueError for what does not divide, and for a choice that leaves no negatives.
    """
    _check_contrast(groups, patch, pool, tau, distance, negatives)
    with exact(generated):
        u, v = (_pooled(x, pool, patch, fit) for x in check_maps(generated, teacher))
        if u.shape[1] % groups:
            raise ValueError(f"{u.shape[1]} channels are no {groups} groups of one width")
        height, width = (patch, patch) if patch else u.shape[2:]
        u, v = (_arranged(_patches(x, groups, height, width), negatives) for x in (u, v))
        if u.shape[1] < 2 or (negatives == "other_group" and groups < 2):
            raise ValueError(f"{groups} groups in patches of {height}x{width} leave no negatives '{negatives}'")
        scores = -_distances(u, v, distance) / tau  # [blocks, anchors, candidates]
        positive = scores.diagonal(dim1=1, dim2=2)
        if negatives == "other_group":
            scores = scores.masked_fill(_same_group_elsewhere(scores, groups), float("-inf"))
        return groups * (scores.logsumexp(2) - positive).mean()


def spatial_contrast(
    generated: Tensor,
    teacher: Tensor,
    *,
    patch: int | None = 4,
    pool: int = 4,
    tau: float | Tensor = 0.07,
    distance: Distance = "l1",
    fit: Fit = "raise",
) -> Tensor:
    """Spatial contrast alone: whole feature vectors, negatives the other positions of the patch [FIGURE].

    Arguments and value as of `omni_contrast` with one group.
    """
    return omni_contrast(
        generated,
        teacher,
        groups=1,
        patch=patch,
        pool=pool,
        tau=tau,
        distance=distance,
        negatives="same_group",
        fit=fit,
    )


def channel_contrast(
    generated: Tensor,
    teacher: Tensor,
    *,
    groups: int = 16,
    pool: int = 4,
    tau: float | Tensor = 0.07,
    distance: Distance = "l1",
    fit: Fit = "raise",
) -> Tensor:
    """Channel contrast alone: negatives are the other groups at the same position [FIGURE], so there are no patches.

    Arguments and value as of `omni_contrast`.
    """
    return omni_contrast(
        generated, teacher, groups=groups, patch=1, pool=pool, tau=tau, distance=distance, negatives="same_pos", fit=fit
    )


class Objective(NamedTuple):
    """loss, and the terms it is the weighted sum of, without their weights; scalars. aux: 0 where there is none."""

    loss: Tensor
    task: Tensor
    aux: Tensor
    kd: Tensor
    reconstruction: Tensor
    contrast: Tensor


def af_dcd(
    task: Tensor,
    kd: Tensor,
    reconstruction: Tensor,
    contrast: Tensor,
    *,
    aux: Tensor | None = None,
    weight_kd: float = 1.0,
    weight_fd: float = 4e-5,
    weight_ctr: float = 1e-3,
    weight_aux: float = 0.4,
) -> Objective:
    """The joint objective [CODE]: L = task + 0.4 aux + λ_kd L_KD + λ_fd L_FD + λ_ctr L_CTR.

    task, aux: cross-entropy of the student's head and of its auxiliary one, which ResNet students have and MobileNetV2
    does not (None). kd: `dense_logits.kd` at τ = 1, over all pixels of the logits' own grid. The weights are the
    released command line's defaults; `PRESETS` has those of each data set, as `weights()`.
    """
    for name, weight in (("kd", weight_kd), ("fd", weight_fd), ("ctr", weight_ctr), ("aux", weight_aux)):
        if weight < 0:
            raise ValueError(f"weights must not be negative, got weight_{name}={weight}")
    side = torch.zeros_like(task) if aux is None else aux
    loss = task + weight_aux * side + weight_kd * kd + weight_fd * reconstruction + weight_ctr * contrast
    return Objective(loss, task, side, kd, reconstruction, contrast)


def _check_contrast(
    groups: int, patch: int | None, pool: int, tau: float | Tensor, distance: Distance, negatives: Negatives
) -> None:
    if groups < 1 or pool < 1 or (patch is not None and patch < 1):
        raise ValueError(f"groups, patch and pool are 1 or more, got {groups}, {patch} and {pool}")
    if not isinstance(tau, Tensor) and not tau > 0:
        raise ValueError(f"the temperature must be positive, got {tau}")
    if distance not in get_args(Distance):
        raise ValueError(f"distance must be a metric, l1 or l2, got {distance!r}")
    if negatives not in get_args(Negatives):
        raise ValueError(f"negatives must be one of {', '.join(get_args(Negatives))}, got {negatives!r}")


def _pooled(x: Tensor, pool: int, patch: int | None, fit: Fit) -> Tensor:
    """x: [n, c, h, w] on the grid that is cut into patches."""
    step = pool * (patch or 1)
    height, width = (size - size % step for size in x.shape[2:])
    if (height, width) != x.shape[2:] and (fit != "crop" or 0 in (height, width)):
        raise ValueError(
            f"a map of {x.shape[2]}x{x.shape[3]} is not made of patches of {patch or 1} after pooling by {pool}: "
            f"its sides must be multiples of {step}" + ("" if fit == "crop" else ", or fit='crop'")
        )
    x = x[:, :, :height, :width]
    return x if pool == 1 else F.max_pool2d(x, pool)


def _patches(x: Tensor, groups: int, height: int, width: int) -> Tensor:
    """[n, c, h, w] as [patches, positions, groups, c/groups], patches of height x width positions."""
    n, c, h, w = x.shape
    x = x.reshape(n, groups, c // groups, h // height, height, w // width, width)
    return x.permute(0, 3, 5, 4, 6, 1, 2).reshape(-1, height * width, groups, c // groups)


def _arranged(x: Tensor, negatives: Negatives) -> Tensor:
    """[patches, positions, groups, d] as [blocks, vectors, d], where candidates are the vectors of the anchor's block:
    where they are of one group, or of one position, no distance is computed in vain."""
    if negatives == "same_group":
        return x.transpose(1, 2).flatten(0, 1)
    if negatives == "same_pos":
        return x.flatten(0, 1)
    return x.flatten(1, 2)


def _distances(u: Tensor, v: Tensor, distance: Distance) -> Tensor:
    # L2 from differences: an expanded square loses close vectors of large features to rounding.
    return torch.cdist(u, v, p=1.0 if distance == "l1" else 2.0, compute_mode="donot_use_mm_for_euclid_dist")


def _same_group_elsewhere(scores: Tensor, groups: int) -> Tensor:
    """Which (anchor, candidate) are of one group at two positions; vectors are in the order position, group."""
    group = torch.arange(scores.shape[1], device=scores.device) % groups
    same = group[:, None] == group
    return same.fill_diagonal_(False)
