"""What do chunks save? Memory and time of contrastive losses in chunks of rows, against the whole at once.

Forward and backward of the same loss on the same features, one thread, chunked and whole in turns; time is CPU time,
ratios are of the same round, so that a busy machine slows both. Memory is the growth of the process's peak, freed
blocks given back at once: what else the allocator keeps is its own affair. Writes contrastive_memory.csv and
contrastive_memory.md to `results/losses/`.

    python -m xkd_bench.benchmarks.contrastive_memory [--rounds 3] [--anchors 512] [--candidates 4096,16384,65536]
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from xkd_bench.benchmarks import Options, Result, Target
from xkd_bench.benchmarks.estimator_speed import reset_peak, status
from xkd_bench.losses.chunks import chunk_rows
from xkd_bench.losses.contrastive import cmc, ntxent
from xkd_bench.losses.similarity import cmd
from xkd_bench.report.atomic import write_all

WHOLE = 2**40
"""A chunk that holds every row."""

Loss = Callable[[Tensor, Tensor, Tensor, int | None], Tensor]
LOSSES: dict[str, Loss] = {
    "cmc": lambda a, b, more, chunk: cmc(a, b, 0.1, queue=more if len(more) else None, chunk=chunk),
    "cmd": lambda a, b, more, chunk: cmd(a, b, bank=torch.cat((a, more)), include_self=False, chunk=chunk).loss,
    "ntxent": lambda a, b, more, chunk: ntxent(a, b, 0.1, chunk=chunk),
}


@dataclass
class Way:
    """One way of computing a loss: its chunk, CPU seconds of each round, peak in MB, value and gradient."""

    chunk: int | None
    seconds: list[float] = field(default_factory=list)
    memory: float = float("nan")
    value: float = float("nan")
    gradient: Tensor = field(default_factory=lambda: torch.zeros(0))

    def run(self, loss: Loss, a: Tensor, b: Tensor, more: Tensor) -> None:
        """Forward and backward, once."""
        b = b.clone().requires_grad_()
        value = loss(a, b, more, self.chunk)
        value.backward()
        assert b.grad is not None
        self.value, self.gradient = value.item(), b.grad


def own_pages_from(size: int) -> None:
    """Let glibc give blocks of so many bytes pages of their own, which go back when they are freed: small for an exact
    peak, 2^25 (the most it chooses itself) for speed. Nothing happens elsewhere."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(-3, size)  # M_MMAP_THRESHOLD


def compare(name: str, anchors: int, candidates: int, width: int, rounds: int) -> dict[str, object]:
    """One row of the table: a loss of so many anchors, each against so many candidates."""
    items = anchors // 2 if name == "ntxent" else anchors  # two views of each
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, items, width, generator=generator)
    more = torch.randn(max(0, candidates - anchors), width, generator=generator)
    ways = chunked, whole = Way(None), Way(WHOLE)
    for way in ways:  # memory first: this is the warm-up as well
        gc.collect()
        own_pages_from(2**16)
        reset_peak()
        before = status("VmRSS")
        way.run(LOSSES[name], a, b, more)
        way.memory = status("VmHWM") - before
    own_pages_from(2**25)
    for _ in range(rounds):
        for way in ways:
            start = time.process_time()
            way.run(LOSSES[name], a, b, more)
            way.seconds.append(time.process_time() - start)
    ratios = [x / y for x, y in zip(chunked.seconds, whole.seconds, strict=True)]
    return {
        "loss": name,
        "anchors": anchors,
        "candidates": candidates,
        "width": width,
        "chunk_rows": min(anchors, chunk_rows(b, candidates, None)),
        "whole_mb": whole.memory,
        "chunked_mb": chunked.memory,
        "memory_ratio": chunked.memory / whole.memory if whole.memory else math.nan,  # too small to be seen
        "whole_s": statistics.median(whole.seconds),
        "chunked_s": statistics.median(chunked.seconds),
        "time_ratio": statistics.median(ratios),
        "time_ratio_low": min(ratios),
        "time_ratio_high": max(ratios),
        "rounds": rounds,
        "value_difference": abs(chunked.value - whole.value),
        "gradient_difference": float((chunked.gradient - whole.gradient).norm() / whole.gradient.norm()),
    }


def study(anchors: int, candidates: Sequence[int], width: int, rounds: int) -> pd.DataFrame:
    """A batch against a queue of growing length, then batches against themselves."""
    for loss in LOSSES.values():  # what a first call loads is no loss's memory
        Way(2).run(loss, *torch.randn(3, 8, width))
    rows = [compare(name, anchors, q, width, rounds) for name in ("cmc", "cmd") for q in candidates]
    rows += [compare(name, candidates[0], candidates[0], width, rounds) for name in LOSSES]
    return pd.DataFrame(rows)


def markdown(frame: pd.DataFrame) -> str:
    """The table in words."""
    lines = [
        "# Contrastive losses in chunks: memory and time",
        "",
        "`python -m xkd_bench.benchmarks.contrastive_memory` writes this page. Forward and backward in float32, "
        f"d = {frame['width'].iloc[0]}, one thread; chunks as the library chooses them, against all similarities at "
        "once. Peak: growth of the process's peak memory in the first call, freed blocks given back at once. Ratios "
        "are chunked over whole, of CPU time in the same round: median and range over rounds. The last two columns are "
        "|difference| of the loss, and that of the gradient relative to its length.",
        "",
        "| loss | anchors | candidates | rows of a chunk | whole MB | chunked MB | ratio | whole s | chunked s "
        "| ratio (range, rounds) | Δ loss | Δ gradient |",
        "| :-- | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: |",
    ]
    lines += [
        f"| {r['loss']} | {r['anchors']:,} | {r['candidates']:,} | {r['chunk_rows']:,} | {r['whole_mb']:,.0f} | "
        f"{r['chunked_mb']:,.0f} | {r['memory_ratio']:.2f} | {r['whole_s']:.2f} | {r['chunked_s']:.2f} | "
        f"{r['time_ratio']:.2f} ({r['time_ratio_low']:.2f} to {r['time_ratio_high']:.2f}, {r['rounds']}) | "
        f"{r['value_difference']:.0e} | {r['gradient_difference']:.0e} |"
        for r in frame.to_dict("records")
    ]
    return "\n".join([*lines, ""])


def run(options: Options) -> Result:
    """What `xkd-bench bench chunks` measures."""
    candidates, rounds = ([64, 128], 1) if options.quick else ([4096, 16384, 65536], 3)
    options.tick(0, 1, "losses in chunks")
    frame = study(64 if options.quick else 512, candidates, 128, rounds)
    shown = pd.DataFrame(
        {
            "loss": r["loss"],
            "anchors × candidates": f"{r['anchors']:,} × {r['candidates']:,}",
            "whole, MB": f"{r['whole_mb']:,.0f}",
            "chunked, MB": f"{r['chunked_mb']:,.0f}",
            "times smaller": f"{1 / r['memory_ratio']:.1f}",
            "time over whole": f"{r['time_ratio']:.2f} ({r['time_ratio_low']:.2f} to {r['time_ratio_high']:.2f}, "
            f"{r['rounds']})",
            "Δ loss": f"{r['value_difference']:.0e}",
            "Δ gradient": f"{r['gradient_difference']:.0e}",
        }
        for r in frame.to_dict("records")
    )
    largest = frame[frame["candidates"] == max(candidates)]
    targets = tuple(
        Target(f"times smaller: {r['loss']}, {r['candidates']:,} candidates", 1 / r["memory_ratio"], 3.0, False)
        for r in largest.to_dict("records")
    )
    words = " ".join(line for line in markdown(frame).splitlines()[2:4] if line).partition("writes this page. ")[2]
    return Result("Contrastive losses in chunks: memory and time", words, frame, shown, targets)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--anchors", type=int, default=512, help="items of a batch that meets a queue")
    parser.add_argument("--candidates", default="4096,16384,65536", help="batch and queue; the first is a batch's too")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--out", type=Path, default=Path("results/losses"))
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    candidates = [int(q) for q in options.candidates.split(",")]
    frame = study(options.anchors, candidates, options.width, options.rounds)
    texts = {"csv": frame.to_csv(index=False, float_format="%.6g"), "md": markdown(frame)}
    for path in write_all(options.out, "contrastive_memory", {name: text.encode() for name, text in texts.items()}):
        print(path)


if __name__ == "__main__":
    main()
