"""Images a second, peak memory and share of the machine's peak: every image method, and networks.

Each row is a training step (views and features of the teacher are there; forward, loss, backward, Adam) in a process of
its own, so that its memory is its own. Operations are counted by torch; the machine's peak is the product of two square
matrices, measured in the same process.

    python -m xkd_bench.benchmarks.throughput [--quick] [--device cuda]
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from math import nan
from typing import Any

import pandas as pd
import torch
from torch import nn

from protocols import Recipe, load_budget
from xkd_bench import methods
from xkd_bench.benchmarks import Options, Result
from xkd_bench.benchmarks.dense import peak_of
from xkd_bench.benchmarks.distillation import TAUGHT, clock_of
from xkd_bench.benchmarks.timing import SPREAD, Ratio, in_turns, repeated
from xkd_bench.errors import UsageError
from xkd_bench.methods.base import Batch, Level, Teacher
from xkd_bench.models.cost import operations
from xkd_bench.models.encoders import build_encoder
from xkd_bench.registry import entries
from xkd_bench.training import is_compiled, make_fabric, make_optimiser

ITEMS = 1024
"""Of the source side, which methods with a memory hold."""


@dataclass(frozen=True)
class Row:
    """What is measured: a method on a student's network and images; how it is computed."""

    method: str
    student: str
    channels: int
    size: int
    batch: int
    device: str = "cpu"
    precision: str = "32"
    compiled: bool = False
    rounds: int = 4
    steps: int = 2


def image_methods() -> list[str]:
    """Every method of ours for images that distils."""
    ours = [name for name, entry in entries("methods").items() if entry.origin == "xkd-bench"]
    found = {name: methods.get(name) for name in ours}
    return [name for name, method in found.items() if method.distils and "classification" in method.kinds]


def rows(quick: bool, device: str) -> list[Row]:
    """All methods on the laptop's student; cmc on other networks; on a GPU also bf16 and torch.compile."""
    if quick:
        return [Row("cmc", "conv4-w8", 1, 32, 16, device, rounds=2)]
    laptop = load_budget("laptop")
    found = [Row(name, laptop.student, 1, 32, 256, device) for name in image_methods()]
    found += [Row("cmc", "resnet8-w16", 1, 32, 128, device)]
    found += [Row("cmc", "mobilenetv3_small_100", 3, 64, 64, device)]
    if device == "cpu":
        return [*found, Row("cmc", "resnet18", 3, 64, 32, device)]
    ways = [("32", False), ("bf16", False), ("32", True), ("bf16", True)]
    large = [Row(m, "resnet50", 3, 224, 256, device, p, c, steps=10) for m in ("cmc", "ssl") for p, c in ways]
    return found + large


def taught_levels(count: int) -> tuple[Level, ...]:
    """Maps as the default teacher has them of 64-pixel images, the last `count`."""
    shapes = [(24, 16), (40, 8), (112, 4), (320, 2)][-count:] if count else []
    return tuple(Level((side, side), torch.zeros(width), torch.ones(width)) for width, side in shapes)


def model_and_batch(row: Row) -> tuple[nn.Module, Batch]:
    """The method with a fresh student, and a batch for it at random."""
    torch.manual_seed(0)
    method = methods.get(row.method)
    options = method.parse_options(row.method, {})
    student = build_encoder(row.student, row.channels, row.size)
    levels = taught_levels(min(method.levels(options), len(student.stages), 4))
    known = Teacher(torch.randn(ITEMS, TAUGHT), torch.arange(ITEMS), levels) if method.uses_pairs else None
    n = row.batch
    views = tuple(torch.rand(n, row.channels, row.size, row.size) for _ in range(method.views))
    maps = tuple(torch.rand(n, len(level.mean), *level.size) for level in levels) if method.sees == "maps" else ()
    items = torch.arange(n) % ITEMS
    taught = torch.randn(n, TAUGHT) if method.uses_pairs else None
    return method(student, known, options), Batch(views, items, items, taught, maps)


def on(batch: Batch, device: torch.device) -> Batch:
    """The batch on a device."""

    def move(x: Any) -> Any:
        return x if x is None else x.to(device)

    views, maps = (tuple(map(move, x)) for x in (batch.views, batch.teacher_maps))
    return Batch(views, move(batch.concept), move(batch.item), move(batch.teacher), maps)


def matrix_product(device: str, precision: str, n: int) -> Callable[[], object]:
    """What the machine's peak is measured with."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = torch.randn(2, n, n, device=device, dtype=dtype)
    return lambda: a @ b


def measure(row: Row) -> dict[str, Any]:
    """Of this process: images a second of each round, memory, operations, and the share of the measured peak."""
    fabric = make_fabric(row.device, row.precision, row.compiled)
    model, batch = model_and_batch(row)
    model.to(fabric.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    batch = on(batch, fabric.device)
    recipe = Recipe(lr=1e-4, epochs=1, batch=row.batch, schedule="constant", augmentation="none")
    optimiser = make_optimiser(model, recipe)

    def step() -> None:
        with fabric.autocast():
            loss = model(batch)["loss"]
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()

    a_step = operations(step)
    if is_compiled(fabric):
        model.compile()
        step()
    peak = peak_of(step, row.device)
    n = 1024 if row.device == "cpu" else 8192
    works = {"step": repeated(step, row.steps), "product": matrix_product(row.device, row.precision, n)}
    seconds = in_turns(works, row.rounds, clock=clock_of(row.device))
    rates = [row.steps * row.batch / s for s in seconds["step"]]
    done = row.steps * a_step
    shares = [done / s / (2 * n**3 / p) for s, p in zip(seconds["step"], seconds["product"], strict=True)]
    return {
        "images_per_s": statistics.median(rates), "low": min(rates), "high": max(rates), "rounds": row.rounds,
        "peak_mb": peak, "gflop_a_step": a_step / 1e9, "share_of_peak": statistics.median(shares),
        "compiled_here": is_compiled(fabric),
    }  # fmt: skip


def in_process(row: Row) -> dict[str, Any]:
    """`measure` in a process of its own."""
    code = (
        "import json, sys, torch; torch.set_num_threads(1); from xkd_bench.benchmarks.throughput import Row, measure; "
        "print(json.dumps(measure(Row(**json.loads(sys.argv[1])))))"
    )
    done = subprocess.run([sys.executable, "-c", code, json.dumps(asdict(row))], capture_output=True, text=True)
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise UsageError(f"throughput of {row.method} on {row.student}: {why}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def run(options: Options) -> Result:
    """Measure."""
    planned = rows(options.quick, options.device)
    measured = []
    for done, row in enumerate(planned):
        options.tick(done, len(planned), f"{row.method}, {row.student}")
        measured.append(asdict(row) | in_process(row))
    if options.device == "cpu":
        for precision, compiled in (("bf16", False), ("32", True), ("bf16", True)):
            row = Row("cmc", "resnet50", 3, 224, 256, "cuda", precision, compiled)
            measured.append(asdict(row) | dict.fromkeys(("images_per_s", "low", "high", "peak_mb"), nan))
    frame = pd.DataFrame(measured)
    words = (
        "Training steps (forward, loss, backward, Adam) on views and teacher's features that are there, each row in a "
        f"process of its own. {'Wall' if options.device == 'cuda' else 'CPU'} time, one thread; medians. {SPREAD} "
        "Peak: growth of the process's peak memory in a step that is not the first. Share: operations a second, "
        "counted by torch (convolutions and matrix products), over those of a square matrix product in the same rounds."
    )
    return Result("Throughput of image methods and networks", words, frame, shown(frame))


def shown(frame: pd.DataFrame) -> pd.DataFrame:
    """The table for people."""
    out = []
    for r in frame.to_dict("records"):
        how = f"{r['device']}, {r['precision']}{', --compile' * r['compiled']}"
        there = r["images_per_s"] == r["images_per_s"]
        out.append(
            {
                "method": r["method"],
                "student": r["student"],
                "batch × size": f"{r['batch']} × {r['channels']} × {r['size']}²",
                "how": how,
                "images a second": str(Ratio(r["images_per_s"], r["low"], r["high"], r["rounds"]))
                if there
                else "no CUDA device here",
                "peak, MB": f"{r['peak_mb']:,.0f}" if there else "",
                "share of peak": f"{100 * r['share_of_peak']:.0f} %" if there else "",
            }
        )
    return pd.DataFrame(out)


if __name__ == "__main__":
    from xkd_bench.benchmarks.result import program

    program("throughput")
