"""Are the losses as fast as those of the libraries that are known for them? Forward and backward, values compared.

open_clip (CLIP's loss, which is `cmc`), lightly and pytorch-metric-learning (NT-Xent), torchdistill (KD), each where it
is installed, on the same features; and the shortest way to write `cmc` in torch, which computes every similarity once
and keeps all of them.

    python -m xkd_bench.benchmarks.loss_speed [--quick]
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from xkd_bench.benchmarks import Options, Result
from xkd_bench.benchmarks.peers import OURS, Case, Work, compare, installed, missing, shown, targets
from xkd_bench.benchmarks.timing import SPREAD
from xkd_bench.losses.contrastive import cmc, ntxent
from xkd_bench.losses.dense_logits import kd

WIDTH, TAU, KD_TAU = 128, 0.1, 2.0
PEERS = ("open_clip", "lightly", "pytorch_metric_learning", "torchdistill")
PAIRWISE_MOST = 256
"""pytorch-metric-learning lists every triple of indices: a batch of 1,024 needs more memory than a machine has."""
BARE = "the sum as it is written"

Loss = Callable[[Tensor, Tensor], Tensor]


def plain(a: Tensor, b: Tensor) -> Tensor:
    """`cmc` in three lines."""
    logits = F.normalize(a, dim=1) @ F.normalize(b, dim=1).T / TAU
    target = torch.arange(len(a))
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def open_clip_loss() -> Loss:
    """open_clip's, which takes unit rows and the inverse temperature."""
    from open_clip.loss import ClipLoss

    loss, scale = ClipLoss(), torch.tensor(1 / TAU)
    return lambda a, b: loss(F.normalize(a, dim=1), F.normalize(b, dim=1), scale)


def lightly_loss() -> Loss:
    """lightly's NT-Xent of two views."""
    from lightly.loss import NTXentLoss

    return NTXentLoss(temperature=TAU)


def metric_learning_loss() -> Loss:
    """pytorch-metric-learning's NT-Xent, of labelled rows: the two views of an item share a label."""
    from pytorch_metric_learning.losses import NTXentLoss

    loss = NTXentLoss(temperature=TAU)
    return lambda a, b: loss(torch.cat((a, b)), torch.arange(len(a)).repeat(2))


def torchdistill_loss() -> Loss:
    """torchdistill's KD, of rows: pixels become rows first. Without labels it leaves the factor τ² out."""
    from torchdistill.losses.mid_level import KDLoss

    loss = KDLoss("s", "output", "t", "output", temperature=KD_TAU, alpha=0.0)

    def value(student: Tensor, teacher: Tensor) -> Tensor:
        z_s, z_t = (z.permute(0, 2, 3, 1).flatten(0, 2) for z in (student, teacher))
        found: Tensor = loss({"s": {"output": z_s}}, {"t": {"output": z_t}})
        return KD_TAU**2 * found

    return value


def both_ways(loss: Loss, a: Tensor, b: Tensor) -> Work:
    """Forward and backward to both inputs."""

    def work() -> float:
        x, y = a.clone().requires_grad_(), b.clone().requires_grad_()
        value = loss(x, y)
        value.backward()
        return value.item()

    return work


def contrastive(batch: int) -> list[Case]:
    """CLIP's loss and NT-Xent on a batch."""
    a, b = torch.randn(2, batch, WIDTH, generator=torch.Generator().manual_seed(0))
    b = 0.5 * a + b
    clip: dict[str, Work] = {OURS: both_ways(lambda x, y: cmc(x, y, TAU), a, b), BARE: both_ways(plain, a, b)}
    if installed("open_clip"):
        clip["open_clip"] = both_ways(open_clip_loss(), a, b)
    views: dict[str, Work] = {OURS: both_ways(lambda x, y: ntxent(x, y, TAU), a, b)}
    if installed("lightly"):
        views["lightly"] = both_ways(lightly_loss(), a, b)
    if installed("pytorch_metric_learning") and batch <= PAIRWISE_MOST:
        views["pytorch-metric-learning"] = both_ways(metric_learning_loss(), a, b)
    rounds = 2 if "pytorch-metric-learning" in views else 3 if batch > 2000 else 5
    return [
        Case(f"cmc, n = {batch:,}", clip, 5 if batch > 2000 else 9, (BARE,)),
        Case(f"ntxent, 2 × {batch:,}", views, rounds),
    ]


def distillation(*shape: int) -> list[Case]:
    """KD of pixels, logits [n, classes, h, w]."""
    student, teacher = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))

    def ours(z_s: Tensor, z_t: Tensor) -> Tensor:
        return kd(z_s, z_t, KD_TAU)

    works: dict[str, Work] = {OURS: _to_student(ours, student, teacher)}
    if installed("torchdistill"):
        works["torchdistill"] = _to_student(torchdistill_loss(), student, teacher)
    return [Case(f"kd, {' × '.join(map(str, shape))}", works, 9)]


def _to_student(loss: Loss, student: Tensor, teacher: Tensor) -> Work:
    def work() -> float:
        x = student.clone().requires_grad_()
        value = loss(x, teacher)
        value.backward()
        return value.item()

    return work


def cases(quick: bool) -> list[Case]:
    """All that is compared."""
    found: list[Case] = []
    for batch in (32,) if quick else (256, 1024, 2048):
        found += contrastive(batch)
    return found + distillation(*((2, 5, 8, 8) if quick else (8, 13, 48, 64)))


def run(options: Options) -> Result:
    """Measure."""
    for case in cases(quick=True):  # what a first call loads is no loss's memory
        for work in case.works.values():
            work()
    frame = compare(cases(options.quick), options)
    words = (
        f"Forward and backward, float32, d = {WIDTH}, τ = {TAU}; KD at τ = {KD_TAU:g}. CPU time, one thread, in "
        "turns; `times ours` is a contender's time over ours in the same round, the median. "
        f"{SPREAD} Peak: growth of the process's peak memory in the first call, freed blocks given back at once. "
        "Values are of the same features, and should agree."
    )
    return Result("Losses against other libraries", words, frame, shown(frame), targets(frame), None, missing(PEERS))


if __name__ == "__main__":
    from xkd_bench.benchmarks.result import program

    program("losses")
