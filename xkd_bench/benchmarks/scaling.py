"""How does the cost grow? Time against batch, candidates, resolution and pairs, with the fitted exponents.

Each curve is a power law, t = a·x^b, fitted to the medians by least squares on logarithms; its interval is Student's
over the sizes. An exponent below the one of theory says that small sizes pay for overheads.

    python -m xkd_bench.benchmarks.scaling [--quick] [--device cuda]
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator
from scipy import stats

from protocols import load_budget
from xkd_bench.batches import Known, PairBatches
from xkd_bench.benchmarks import Options, Result
from xkd_bench.benchmarks.distillation import clock_of, features
from xkd_bench.benchmarks.timing import SPREAD, in_turns, repeated
from xkd_bench.losses.contrastive import cmc
from xkd_bench.losses.similarity import cmd
from xkd_bench.models.encoders import build_encoder
from xkd_bench.report.style import COLOURS, MARKERS, QUIET, heading, plain
from xkd_bench.sampling import PairSampler

WIDTH = 128
Work = Callable[[], object]


@dataclass(frozen=True)
class Curve:
    """A cost: what it is of, what grows, the sizes, the work at a size, the exponent that theory has."""

    what: str
    grows: str
    sizes: tuple[int, ...]
    work: Callable[[int, torch.device], Work]
    theory: float


@dataclass(frozen=True)
class Power:
    """An exponent with its 95 % interval, and the factor: t = exp(log_a)·x^b."""

    b: float
    low: float
    high: float
    log_a: float


def contrast(n: int, device: torch.device) -> Work:
    """`cmc` of a batch, forward and backward."""
    a, b = torch.randn(2, n, WIDTH, device=device)
    b.requires_grad_()
    return lambda: cmc(a, b, 0.1).backward()


def bank(q: int, device: torch.device) -> Work:
    """`cmd` of 256 items against a bank, forward and backward."""
    a, b = torch.randn(2, 256, WIDTH, device=device)
    candidates = torch.randn(q, WIDTH, device=device)
    b.requires_grad_()
    return lambda: cmd(a, b, bank=candidates).loss.backward()


def resolution(size: int, device: torch.device) -> Work:
    """The laptop budget's student, forward and backward, on 32 images."""
    student = build_encoder(load_budget("laptop").student, 1, size)
    student.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    x = torch.rand(32, 1, size, size, device=device)
    return lambda: student(x).square().mean().backward()


def pairs(n: int, device: torch.device) -> Work:
    """An epoch of batches of n pairs: order, partners, images and the teacher's features, without augmentation."""
    images = np.zeros((n, 1, 32, 32), np.uint8)
    ids = np.arange(n)
    sampler = PairSampler(ids, ids, {int(i): ids[i : i + 1] for i in ids}, 256, "distinct", 0)
    batches = PairBatches(device, images, ids, sampler, "none", 1)
    batches.show_features(Known(features(n)))
    epoch = iter(range(1 << 30))
    return lambda: sum(1 for _ in batches(next(epoch)))


CURVES = (
    Curve("cmc, a batch", "batch", (128, 256, 512, 1024, 2048), contrast, 2.0),
    Curve("cmd, 256 items", "candidates", (1024, 2048, 4096, 8192, 16384), bank, 1.0),
    Curve("student, 32 images", "side in pixels", (16, 32, 48, 64, 96, 128), resolution, 2.0),
    Curve("batches, an epoch", "pairs", (512, 1024, 2048, 4096, 8192), pairs, 1.0),
)


def fitted(x: np.ndarray, seconds: np.ndarray) -> Power:
    """Least squares on logarithms."""
    line = stats.linregress(np.log(x), np.log(seconds))
    half = stats.t.ppf(0.975, len(x) - 2) * line.stderr
    return Power(line.slope, line.slope - half, line.slope + half, line.intercept)


def measure(curve: Curve, rounds: int, options: Options) -> list[dict[str, Any]]:
    """A row for each size."""
    sizes = curve.sizes[:3] if options.quick else curve.sizes
    device = torch.device(options.device)
    # What takes a millisecond is repeated, so that each size is timed for about as long.
    times = {n: max(1, round((sizes[-1] / n) ** curve.theory / 4)) for n in sizes}
    works = {str(n): repeated(curve.work(n, device), times[n]) for n in sizes}
    seconds = in_turns(
        works, rounds, clock=clock_of(options.device),
        tick=lambda done, total, note: options.tick(done, total, f"{curve.what}, {note}"),
    )  # fmt: skip
    out = []
    for n in sizes:
        spent = [s / times[n] for s in seconds[str(n)]]
        out.append(
            {"curve": curve.what, "grows": curve.grows, "size": n, "seconds": statistics.median(spent)}
            | {"low": min(spent), "high": max(spent), "rounds": rounds}
        )
    return out


def fits(frame: pd.DataFrame) -> dict[str, Power]:
    """The power law of each curve."""
    parts = frame.groupby("curve", sort=False)
    return {str(name): fitted(part["size"].to_numpy(float), part["seconds"].to_numpy()) for name, part in parts}


def draw(frame: pd.DataFrame, powers: dict[str, Power]) -> Figure:
    """A panel for each curve: points with their ranges, the line, its exponent."""
    theory = {curve.what: curve.theory for curve in CURVES}
    with plain():
        figure = Figure(figsize=(6.6, 4.6), layout=None)
        axes = figure.subplots(2, 2)
        figure.subplots_adjust(left=0.1, right=0.98, top=0.82, bottom=0.1, hspace=0.52, wspace=0.26)
        for number, ((name, part), ax) in enumerate(zip(frame.groupby("curve", sort=False), axes.flat, strict=False)):
            power, x = powers[str(name)], part["size"].to_numpy(float)
            ms = 1000 * part[["seconds", "low", "high"]].to_numpy()
            bars = [ms[:, 0] - ms[:, 1], ms[:, 2] - ms[:, 0]]
            colour = COLOURS[number]
            ax.errorbar(x, ms[:, 0], bars, fmt=MARKERS[number], color=colour, ms=4.5, lw=1, capsize=2)
            ax.plot(x, 1000 * np.exp(power.log_a) * x**power.b, color=colour, lw=1.4)
            ax.set(xscale="log", yscale="log", xlabel=part["grows"].iloc[0], ylabel="ms", title=str(name))
            ax.set_xticks(x, [f"{int(v):,}" for v in x])
            ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
            ax.minorticks_off()
            words = f"exponent {power.b:.2f} [{power.low:.2f}, {power.high:.2f}]\nin theory {theory[str(name)]:g}"
            ax.text(0.04, 0.95, words, transform=ax.transAxes, va="top", size=7.5, color=QUIET)
        for ax in list(axes.flat)[len(powers) :]:
            ax.set_visible(False)
        heading(
            figure,
            "What grows how",
            "median of rounds, bars: lowest and highest; lines: t = a·x^b, 95 % interval",
            0.12,
        )
    return figure


def run(options: Options) -> Result:
    """Measure."""
    rounds = 2 if options.quick else 7
    frame = pd.DataFrame([row for curve in CURVES for row in measure(curve, rounds, options)])
    powers = fits(frame)
    shown = pd.DataFrame(
        {
            "cost of": curve.what,
            "against": curve.grows,
            "sizes": f"{part['size'].min():,} to {part['size'].max():,} ({len(part)})",
            "ms": f"{1000 * part['seconds'].iloc[0]:.3g} to {1000 * part['seconds'].iloc[-1]:.3g}",
            "exponent": f"{powers[curve.what].b:.2f}",
            "95 % interval": f"[{powers[curve.what].low:.2f}, {powers[curve.what].high:.2f}]",
            "in theory": f"{curve.theory:g}",
        }
        for curve in CURVES
        for part in [frame[frame["curve"] == curve.what]]
    )
    words = (
        f"Medians of {rounds} rounds in turns, {'wall' if options.device == 'cuda' else 'CPU'} time, one thread. The "
        "exponent is of a power law fitted by least squares on logarithms over the sizes, its interval Student's (n = "
        f"sizes). {SPREAD}"
    )
    frame["exponent"] = frame["curve"].map({name: power.b for name, power in powers.items()})
    return Result("How cost grows", words, frame, shown, (), draw(frame, powers))


if __name__ == "__main__":
    from xkd_bench.benchmarks.result import program

    program("scaling")
