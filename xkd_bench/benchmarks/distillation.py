"""What does the training loop cost? An epoch of it, batches and all, against bare steps on tensors that are there.

One side is what `run` does: `training.fit` over `PairBatches`, images from a memory-mapped array, the teacher's
features looked up, the loss watched. The other is forward, backward, optimiser, no more, on the same batches made
before, the same networks in the same memory format under the same optimiser. Augmentation is measured beside it: what
`simclr` views add to the epoch. On a GPU also bf16 and torch.compile.

    python -m xkd_bench.benchmarks.distillation [--quick] [--device cuda]
"""

from __future__ import annotations

import copy
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import torch
from lightning_fabric import Fabric
from torch import nn

from protocols import Recipe, load_budget
from xkd_bench import methods
from xkd_bench.batches import Known, PairBatches
from xkd_bench.benchmarks import Options, Result, Target
from xkd_bench.benchmarks.timing import SPREAD, Clock, in_turns, ratio, short
from xkd_bench.methods.base import Batch, Teacher
from xkd_bench.models.encoders import build_encoder
from xkd_bench.sampling import PairSampler
from xkd_bench.tasks._cache import Allocate, Array, cached
from xkd_bench.training import fit, make_fabric, make_optimiser

MOST = 1.10
TAUGHT = 1280
"""Width of the default teacher's features."""


@dataclass(frozen=True)
class Setting:
    """What is distilled: a method, a student on images [channels, size, size], batches, steps of an epoch."""

    method: str
    student: str
    channels: int
    size: int
    batch: int
    steps: int

    def __str__(self) -> str:
        return f"{self.method}, {self.student}, {self.batch} × {self.channels} × {self.size}²"


def settings(quick: bool, device: str) -> list[Setting]:
    """The laptop budget's on line drawings, and larger ones; on a GPU the paper's network."""
    if quick:
        return [Setting("cmc", "conv4-w8", 1, 32, 32, 3)]
    found = [
        Setting("cmc", load_budget("laptop").student, 1, 32, 256, 8),
        Setting("ssl", load_budget("laptop").student, 1, 32, 256, 4),
        Setting("cmc", "resnet8-w16", 3, 32, 128, 4),
    ]
    return found if device == "cpu" else [*found, Setting("cmc", "resnet50", 3, 224, 64, 20)]


def images(setting: Setting) -> Array:
    """Random images in the cache, mapped, as a task's are."""

    def build(allocate: Allocate) -> Array:
        out = allocate((setting.batch * setting.steps, setting.channels, setting.size, setting.size))
        out[:] = np.random.default_rng(0).integers(0, 256, out.shape, np.uint8)
        return out

    return cached("distillation-speed", f"{setting}".replace(" ", ""), build)[0]


def batches_of(setting: Setting, data: Array, strength: Any, device: torch.device) -> PairBatches:
    """As a run makes them: pairs of distinct concepts, features of a frozen teacher by item."""
    method = methods.get(setting.method)
    ids = np.arange(len(data))
    partners = {int(i): ids[i : i + 1] for i in ids} if method.uses_pairs else {}
    sampler = PairSampler(ids, ids, partners, setting.batch, "distinct", 0)
    batches = PairBatches(device, data, ids, sampler, strength, method.views)
    if method.uses_pairs:
        batches.show_features(Known(features(len(data))))
    return batches


def features(n: int) -> torch.Tensor:
    """Of a teacher, at random."""
    return torch.randn(n, TAUGHT, generator=torch.Generator().manual_seed(0))


def model_of(setting: Setting, n: int) -> nn.Module:
    """The method with its fresh student."""
    torch.manual_seed(0)
    student = build_encoder(setting.student, setting.channels, setting.size)
    method = methods.get(setting.method)
    known = Teacher(features(n), torch.arange(n)) if method.uses_pairs else None
    return method(student, known, method.parse_options(setting.method, {}))


def bare(model: nn.Module, batches: list[Batch], recipe: Recipe, fabric: Fabric) -> list[float]:
    """Steps on batches that are there; the losses, read at the end."""
    optimiser = make_optimiser(model, recipe)
    model.train()
    losses = []
    for batch in batches:
        with fabric.autocast():
            loss = model(batch)["loss"]
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        losses.append(loss.detach())
    return torch.stack(losses).tolist()


def looped(model: nn.Module, batches: Callable[[int], Any], steps: int, recipe: Recipe, fabric: Fabric) -> list[float]:
    """An epoch of the training loop; the mean loss."""
    return fit(model, batches, steps, recipe, seed=0, fabric=fabric, what="benchmark", on_step=lambda *_: None)


def sides(setting: Setting, fabric: Fabric) -> dict[str, Callable[[], object]]:
    """The contenders, each from the same weights at every call."""
    data = images(setting)
    plain = batches_of(setting, data, "none", fabric.device)
    moved = batches_of(setting, data, "simclr", fabric.device)
    recipe = Recipe(lr=1e-3, epochs=1, batch=setting.batch, schedule="constant", augmentation="none")
    there = list(plain(0))
    fresh = model_of(setting, len(data)).to(fabric.device)
    contiguous = copy.deepcopy(fresh)
    fresh = fresh.to(memory_format=torch.channels_last)
    return {
        "bare steps": lambda: bare(copy.deepcopy(fresh), there, recipe, fabric),
        "bare steps, plain memory format": lambda: bare(copy.deepcopy(contiguous), there, recipe, fabric),
        "loop": lambda: looped(copy.deepcopy(fresh), plain, len(there), recipe, fabric),
        "loop, simclr views": lambda: looped(copy.deepcopy(fresh), moved, len(there), recipe, fabric),
    }


def clock_of(device: str) -> Clock:
    """CPU time; on a GPU the time when its work is done."""
    if device == "cpu":
        return time.process_time

    def done() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    return done


def measure(
    setting: Setting, rounds: int, options: Options, precision: str = "32", compiled: bool = False
) -> list[dict[str, Any]]:
    """A row for each contender."""
    fabric = make_fabric(options.device, precision, compiled)
    seconds = in_turns(
        sides(setting, fabric), rounds, clock=clock_of(options.device),
        tick=lambda done, total, note: options.tick(done, total, f"{setting}: {note}"),
    )  # fmt: skip
    rows = []
    for name, spent in seconds.items():
        found = ratio(spent, seconds["bare steps"])
        rows.append(
            {"setting": str(setting), "precision": precision, "compiled": compiled, "contender": name}
            | {"ms_a_step": 1000 * statistics.median(spent) / setting.steps, "ratio": found.value}
            | {"ratio_low": found.low, "ratio_high": found.high, "rounds": found.n}
        )
    return rows


def run(options: Options) -> Result:
    """Measure."""
    ways = (
        [("32", False)] if options.device == "cpu" else [("32", False), ("bf16", False), ("32", True), ("bf16", True)]
    )
    rounds = 2 if options.quick else 6
    with TemporaryDirectory() as folder, mock.patch.dict(os.environ, {"XKD_BENCH_CACHE": folder}):
        rows = [
            row
            for setting in settings(options.quick, options.device)
            for precision, compiled in ways
            for row in measure(setting, rounds, options, precision, compiled)
        ]
    frame = pd.DataFrame(rows)
    shown = pd.DataFrame(
        {
            "setting": r["setting"] + ", bf16" * (r["precision"] == "bf16") + ", compiled" * r["compiled"],
            "an epoch of": r["contender"],
            "ms a step": short(r["ms_a_step"]),
            "over bare steps": f"{r['ratio']:.3f} ({r['ratio_low']:.3f} to {r['ratio_high']:.3f}, {r['rounds']})",
        }
        for r in rows
    )
    targets = tuple(
        Target(
            f"loop over bare steps: {r['setting']}",
            r["ratio"],
            MOST,
            True,
            r["ratio_low"],
            r["ratio_high"],
            r["rounds"],
        )
        for r in rows
        if r["contender"] == "loop"
    )
    words = (
        "An epoch of `training.fit` over `PairBatches` (images from a memory-mapped file, teacher's features looked "
        "up, no augmentation; and with `simclr` views) against bare steps, forward, backward and Adam, on the same "
        "batches made before, with the same networks in channels-last format. The third contender is the bare step in "
        f"torch's default format, as a script would write it. {'Wall' if options.device == 'cuda' else 'CPU'} time, "
        f"in turns; ratios are of the same round, their median. {SPREAD}"
    )
    notes = () if options.device == "cuda" else ("bf16 and torch.compile: no CUDA device here.",)
    return Result("Distillation: the training loop against bare steps", words, frame, shown, targets, None, notes)


if __name__ == "__main__":
    from xkd_bench.benchmarks.result import program

    program("distillation")
