"""Contrast of labelled pixels, as ContrastiveSeg has it and CSK-Net uses it: of one branch, of two, of four stages."""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from xkd_bench.losses.contrastive import unit_rows
from xkd_bench.losses.dense_pixels import IGNORE, check_tau, counted, exact, labels_at, pixel_rows, ranks

Pairs = Literal["all", "intra", "cross"]


def pixel_contrast(
    embeddings: Tensor,
    labels: Tensor,
    tau: float = 0.1,
    tau_base: float = 0.07,
    *,
    modality: Tensor | None = None,
    pairs: Pairs = "all",
) -> Tensor:
    """Supervised contrast of pixels: those of a class attract, those of other classes repel.

        L = -(τ/τ_b) mean_i 1/|P_i| Σ_{j∈P_i} [ s_ij - log( e^{s_ij} + Σ_{k∈N_i} e^{s_ik} ) ],    s = cosine/τ

    P_i: the others of i's class, N_i: those of other classes. embeddings: [m, d] (rows are normalised here), labels:
    [m]. modality: [m] integers; with pairs `intra` only those of i's modality are in P_i and N_i, with `cross` only
    those of other modalities. Returns a scalar ≥ 0, a mean over the anchors that have a positive; 0, with a graph,
    where none has (the published code gives NaN).

    Source: Wang et al. 2021, Exploring cross-image pixel contrast, eq. (3) [CODE ContrastiveSeg
    lib/loss/loss_contrast.py], whose defaults these are; the variants over modalities are [RECONSTRUCTED] for CSK-Net.
    """
    check_tau(tau, tau_base)
    if embeddings.ndim != 2 or labels.shape != embeddings.shape[:1]:
        raise ValueError(f"rows [m, d] and labels [m] are needed, got {tuple(embeddings.shape)}, {tuple(labels.shape)}")
    if pairs != "all" and (modality is None or modality.shape != labels.shape):
        raise ValueError(f"pairs '{pairs}' need the modality of each row, [m]")
    with exact(embeddings):
        z = unit_rows(embeddings)
        if not len(z):
            return z.sum()
        s = z @ z.T / tau
        same = labels[:, None] == labels
        allowed = torch.ones_like(same)
        if modality is not None and pairs != "all":
            allowed = (modality[:, None] == modality) == (pairs == "intra")
        positive = (same & allowed).fill_diagonal_(False)
        repelled = s.masked_fill(same | ~allowed, float("-inf")).logsumexp(1, keepdim=True)
        # log(e^s + e^r) - s, as one operation; beyond the threshold it is its argument, to e^-50.
        surprise = F.softplus(repelled - s, threshold=50).masked_fill(~positive, 0)
        friends = positive.sum(1)
        each = surprise.sum(1) / friends.clamp(min=1)
        return tau / tau_base * each.sum() / (friends > 0).sum().clamp(min=1)


def anchor_pixels(
    labels: Tensor,
    prediction: Tensor | None = None,
    *,
    max_samples: int = 1024,
    max_views: int = 100,
    ignore: int = IGNORE,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Numbers of the pixels to contrast, [m] into `pixel_rows` of maps on the labels' grid.

    labels: [n, h, w]; prediction: [n, h, w] classes. Of each class of each image with more than `max_views` pixels,
    equally many are drawn without replacement: min(max_samples // such classes, max_views), half of them wrongly
    predicted (hard) and half rightly where there are enough, else what there is. Without a prediction they are drawn
    from all. Empty where no class has enough pixels.

    Source: [CODE ContrastiveSeg lib/loss/loss_contrast.py], with its defaults.
    """
    device, counts = labels.device, (labels != ignore).flatten()
    y = labels.long().masked_fill(labels == ignore, 0).flatten()
    image = torch.arange(len(labels), device=device).repeat_interleave(labels[0].numel())
    _, group = torch.unique(torch.where(counts, image * (y.max() + 1) + y, -1), return_inverse=True)
    easy = torch.ones_like(counts) if prediction is None else (prediction.flatten() == y)
    sizes = torch.bincount(group[counts], minlength=int(group.max()) + 1)
    large = sizes > max_views
    views = min(max_views, max_samples // max(1, int(large.sum())))
    of_easy = torch.bincount(group[counts & easy], minlength=len(sizes))
    of_hard = sizes - of_easy
    # Half, or more of one kind where the other has too few.
    hard_kept = torch.minimum(of_hard, (views - of_easy).clamp(min=views // 2))
    quota = torch.where(easy, views - hard_kept[group], hard_kept[group])
    place = ranks(torch.where(counts, 2 * group + easy, -1), generator)
    return (counts & large[group] & (place < quota)).nonzero()[:, 0]


def stage_contrast(
    embeddings: Sequence[Sequence[Tensor]],
    labels: Tensor,
    predictions: Sequence[Tensor] | None = None,
    *,
    tau: float = 0.1,
    tau_base: float = 0.07,
    pairs: Pairs = "all",
    max_samples: int = 1024,
    max_views: int = 100,
    ignore: int = IGNORE,
    generator: torch.Generator | None = None,
    project: Sequence[Callable[[Tensor], Tensor]] | None = None,
) -> Tensor:
    """CSK-Net-style contrast: the mean of `pixel_contrast` over the last stages of an encoder, over both branches.

    embeddings: for each stage the maps [n, d, h_l, w_l] of each modality (one or more), projected (`PixelProjections`);
    labels: [n, H, W]; predictions: of each modality classes [n, h, w] on any grid, for the choice of hard anchors.
    Pixels are drawn stage by stage and branch by branch (`anchor_pixels`), so that classes are shared and places need
    not be. project: of each stage, what makes embeddings of rows [m, c_l], where the maps are not projected yet: it is
    given the drawn pixels alone. Returns a scalar; a stage too coarse for `max_views` adds 0.

    Source: Wang et al. 2021 for one stage; four stages and two branches after CSK-Net, section 2.6 [RECONSTRUCTED].
    """
    if not embeddings:
        raise ValueError("contrast of stages needs at least one stage")
    losses = []
    for stage, maps in enumerate(embeddings):
        rows, classes, modality = [], [], []
        for i, f in enumerate(maps):
            counted(labels, ignore, f)
            y = labels_at(labels, f.shape[2:])
            guess = None if predictions is None else labels_at(predictions[i], f.shape[2:])
            chosen = anchor_pixels(
                y, guess, max_samples=max_samples, max_views=max_views, ignore=ignore, generator=generator
            )
            rows.append(pixel_rows(f)[chosen])
            classes.append(y.flatten()[chosen])
            modality.append(torch.full_like(classes[-1], i))
        joined, z = torch.cat(modality), torch.cat(rows)
        z = z if project is None else project[stage](z)
        losses.append(pixel_contrast(z, torch.cat(classes), tau, tau_base, modality=joined, pairs=pairs))
    return torch.stack(losses).mean()
