"""Distillation of dense features: FitNets, MGD, IFVD and CKA. Attention transfer is in `attention`.

Features are [n, c, h, w] on one grid; see `dense_pixels` for what all share. Adapters and generators are the method's
(`models/dense_adapters`). Mind the reductions: MGD is a sum over channels and places, with published weights of 1e-6 to
1e-5, where FitNets and attention transfer are means, with weights of 10 to 1e4.
"""

import math
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from estimators import Kernel, cka_value
from xkd_bench.losses.dense_pixels import IGNORE, check_maps, counted, exact, labels_at
from xkd_bench.losses.features import cmst


def fitnets(student: Tensor, teacher: Tensor) -> Tensor:
    """FitNets: the mean squared difference of features, L = mean (r(f_S) - f_T)².

    student: [n, c, h, w] after the regressor r, a 1×1 convolution to the teacher's width; teacher: the same width. The
    finer of two grids is pooled to the coarser (`to_common_grid`). Returns a scalar, the mean over all entries, zero
    iff the features agree. Published weights: 10 (CIRKD), 100 (RepDistiller, mdistiller).

    Source: Romero et al. 2015, FitNets, eq. (3) [CODE CIRKD losses/fitnet.py].
    """
    return cmst([student], [teacher])


def mgd(generated: Tensor, teacher: Tensor) -> Tensor:
    """Masked generative distillation, the sum of squared differences over channels and places, a mean over images.

        L = 1/n Σ_{n,c,h,w} ( G(m · align f_S) - f_T )²

    generated: [n, c, h, w], what the generator made of the masked and aligned features (`MaskedGenerator`). Returns a
    scalar. Published weight for segmentation: 2e-5, with 0.75 of the places masked. Also Af-DCD's reconstruction.

    Source: Yang et al. 2022, Masked generative distillation, eq. (5) [CODE MGD seg/mmseg/distillation/losses/mgd.py].
    """
    with exact(generated):
        f_s, f_t = check_maps(generated, teacher)
        return (f_s - f_t).square().sum() / len(f_s)


def ifvd(student: Tensor, teacher: Tensor, labels: Tensor, classes: int, *, ignore: int = IGNORE) -> Tensor:
    """Intra-class feature variation: how each pixel stands to its class's mean.

        L = mean_p ( cos(f_S,p, μ_S,y_p) - cos(f_T,p, μ_T,y_p) )²,    μ_y the mean feature of class y in that image

    student: [n, c_s, h, w], teacher: [n, c_t, h, w] (widths may differ), labels: [n, H, W]. Pixels that are ignored,
    or whose label is not in [0, classes), add 0 but stay in the mean, as in the code. Returns a scalar in [0, 4],
    unchanged by a positive factor on the features of an image. Published weights: 200 (IFVD), 20 (CIRKD).

    Source: Wang et al. 2020, Intra-class feature variation distillation, eqs. (1)-(3) [CODE CIRKD losses/ifvd.py].
    """
    with exact(student):
        f_s, f_t = check_maps(student, teacher, one_width=False)
        y = labels_at(labels, f_s.shape[2:])
        known = counted(labels, ignore, f_s) & (y >= 0) & (y < classes)
        y, known = y.long().masked_fill(~known, classes).flatten(1), known.flatten(1)
        members = F.one_hot(y, classes + 1)[..., :classes].to(f_s.dtype)  # [n, pixels, classes]
        apart = _to_prototypes(f_s, members, y) - _to_prototypes(f_t, members.to(f_t.dtype), y)
        return apart.masked_fill(~known, 0).square().mean()


def _to_prototypes(f: Tensor, members: Tensor, y: Tensor) -> Tensor:
    """Cosines of pixels to the mean of their class, [n, pixels]; 0, and no gradient, for those of no class or no
    length."""
    f = f.flatten(2).transpose(1, 2)  # [n, pixels, c]
    means = members.transpose(1, 2) @ f / members.sum(1).clamp(min=1)[..., None]  # [n, classes, c]
    means = F.pad(means, (0, 0, 0, 1))
    cosines = F.cosine_similarity(f, means.gather(1, y[..., None].expand(-1, -1, f.shape[2])), dim=2)
    return cosines.masked_fill((f == 0).all(2), 0)


def cka(
    student: Tensor,
    teacher: Tensor,
    kernel: Kernel | Literal["linear", "rbf", "laplace_l1", "laplace_l2"] = "linear",
    *,
    examples: Literal["image", "batch"] = "image",
    most: int | None = 1024,
    debiased: bool = False,
) -> Tensor:
    """Centred kernel alignment of features, whose examples are places: L = 1 - mean CKA(f_S, f_T).

    student: [n, c_s, h, w], teacher: [n, c_t, h, w] (widths may differ: no projector is needed). examples: the places
    of one image (a mean over images), or of the whole batch. most: maps of more places than this (per image) are
    averaged to a grid with at most so many first; None takes all. Few examples make the biased value near 1 whatever
    the features are: use places, not the batch alone, or `debiased` (which needs 4 and may be negative). A side that is
    constant has CKA 0 and no gradient. With a linear kernel, zero for f_T = a Q f_S + c, Q orthogonal.

    Source: Kornblith et al. 2019, Similarity of neural network representations revisited, eq. (3); as a loss on feature
    maps [RECON med].
    """
    with exact(student):
        f_s, f_t = check_maps(student, teacher, one_width=False)
        height, width = f_s.shape[2:]
        if most is not None and height * width > most:
            rows = max(1, int(height * math.sqrt(most / (height * width))))
            grid = rows, min(width, max(1, most // rows))
            f_s, f_t = (F.adaptive_avg_pool2d(f, grid) for f in (f_s, f_t))
        x, y = (f.flatten(2).transpose(1, 2) for f in (f_s, f_t))  # [n, places, c]
        if examples == "batch":
            x, y = x.flatten(0, 1), y.flatten(0, 1)
        return 1 - cka_value(x, y, kernel, debiased=debiased).mean()
