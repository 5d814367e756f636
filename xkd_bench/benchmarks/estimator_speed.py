"""How fast is the debiased linear CKA of `estimators`, against its peers and against the work it cannot do without?

All contenders do the same work in one run, one thread, in turns; ratios are of CPU time in the same round, so that a
busy machine slows numerator and denominator alike. Memory is the growth of the process's peak while a contender runs.
Writes speed.csv and speed.md to `results/estimators/`. Peers (torch_cka, ckatorch) are timed where they are installed.

    python -m xkd_bench.benchmarks.estimator_speed [--rounds 5] [--large 20000] [--small 5000]
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import importlib.util
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from estimators import cka

OURS, BARE = "estimators.cka", "bare product (float64)"
Contender = Callable[[torch.Tensor, torch.Tensor], float]


def ours(x: torch.Tensor, y: torch.Tensor) -> float:
    """The estimator, value only, float32 rows in and float64 sums."""
    return cka(x, y, interval=None).value


def bare_product(x: torch.Tensor, y: torch.Tensor) -> float:
    """The three d x d products that any feature-space form needs, in the precision in which it sums; not a CKA."""
    a, b = x.double(), y.double()
    cross, left, right = a.T @ b, a.T @ a, b.T @ b
    return float(cross[0, 0] + left[0, 0] + right[0, 0])


def gram_once(x: torch.Tensor, y: torch.Tensor) -> float:
    """The cheapest Gram form: two n x n matrices in float32 and elementwise sums, no n^3 product."""
    n = x.shape[0]
    k, l = ((z - z.mean(0)) @ (z - z.mean(0)).T for z in (x, y))  # noqa: E741
    k.fill_diagonal_(0.0)
    l.fill_diagonal_(0.0)
    k_rows, l_rows = k.sum(1, dtype=torch.float64), l.sum(1, dtype=torch.float64)

    def hsic(trace: float, a: torch.Tensor, b: torch.Tensor) -> float:
        return trace + float(a.sum() * b.sum()) / ((n - 1) * (n - 2)) - 2.0 * float(a @ b) / (n - 2)

    traces = [float(torch.dot(a.view(-1), b.view(-1))) for a, b in ((k, l), (k, k), (l, l))]
    kl, kk, ll = hsic(traces[0], k_rows, l_rows), hsic(traces[1], k_rows, k_rows), hsic(traces[2], l_rows, l_rows)
    return kl / (kk * ll) ** 0.5


def ckatorch_value(x: torch.Tensor, y: torch.Tensor) -> float:
    """ckatorch: unbiased Gram centring in float64."""
    from ckatorch.core import cka_base

    return float(cka_base(x, y, "linear", unbiased=True))


class _Layer(torch.nn.Module):
    """A network whose only layer gives its input back: torch_cka reads features from hooks."""

    def __init__(self) -> None:
        super().__init__()
        self.out = torch.nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The input."""
        result: torch.Tensor = self.out(x)
        return result


def torch_cka_value(x: torch.Tensor, y: torch.Tensor) -> float:
    """torch_cka: one batch that holds all rows."""
    from torch.utils.data import DataLoader, TensorDataset
    from torch_cka import CKA

    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
        compared = CKA(_Layer(), _Layer(), "a", "b", ["out"], ["out"], device="cpu")
        loaders = [DataLoader(TensorDataset(z), batch_size=len(z)) for z in (x, y)]
        compared.compare(*loaders)
    return float(compared.export()["CKA"][0, 0])


def contenders() -> dict[str, Contender]:
    """What is installed, by name."""
    found: dict[str, Contender] = {OURS: ours, BARE: bare_product, "Gram, elementwise (float32)": gram_once}
    for package, function in (("ckatorch", ckatorch_value), ("torch_cka", torch_cka_value)):
        if importlib.util.find_spec(package):
            found[package] = function
    return found


@dataclass
class Timed:
    """One contender at one size: CPU seconds of each round, value, peak memory beyond the start in MB."""

    name: str
    n: int
    seconds: list[float]
    value: float
    memory: float


def measure(names: Sequence[str], n: int, d: int, rounds: int) -> list[Timed]:
    """Time contenders in turns on the same rows."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, d, generator=generator)
    y = 0.5 * x + torch.randn(n, d, generator=generator)
    functions = contenders()
    results = []
    for name in names:  # memory and value first: this is the warm-up as well
        gc.collect()
        reset_peak()
        before = status("VmRSS")
        value = functions[name](x, y)
        results.append(Timed(name, n, [], value, status("VmHWM") - before))
    for _ in range(rounds):
        for result in results:
            start = time.process_time()
            functions[result.name](x, y)
            result.seconds.append(time.process_time() - start)
    return results


def reset_peak() -> None:
    """Let the peak of this process's memory (VmHWM) start from what is resident now."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # what is free but still resident would hide growth
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def status(field: str) -> float:
    """A size from /proc/self/status in MB, NaN where there is none."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) / 1024
    return float("nan")


def table(results: Sequence[Timed], d: int) -> pd.DataFrame:
    """Median seconds, and ratio to ours with its range over rounds."""
    rows = []
    for result in results:
        base = next(r for r in results if r.n == result.n and r.name == OURS)
        ratios = [a / b for a, b in zip(result.seconds, base.seconds, strict=True)]
        rows.append(
            {
                "n": result.n,
                "d": d,
                "contender": result.name,
                "cpu_seconds": statistics.median(result.seconds),
                "times_ours": statistics.median(ratios),
                "times_ours_low": min(ratios),
                "times_ours_high": max(ratios),
                "rounds": len(ratios),
                "peak_mb": result.memory,
                "value": float("nan") if result.name == BARE else result.value,
            }
        )
    return pd.DataFrame(rows)


def markdown(frame: pd.DataFrame) -> str:
    """The table in words."""
    lines = [
        "# Debiased linear CKA: time and memory",
        "",
        "`python -m xkd_bench.benchmarks.estimator_speed` writes this page. One thread, CPU time, contenders in turns; "
        "a ratio is that contender's time over `estimators.cka`'s in the same round, its median and range over rounds. "
        "Peak: growth of the process's peak memory in its first call. Inputs are float32; the bare product is the "
        "three d × d products in float64, with which no CKA is computed yet.",
        "",
        "| n | d | contender | CPU s | × ours (range, rounds) | peak MB | value |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in frame.to_dict("records"):
        value = "" if row["value"] != row["value"] else f"{row['value']:.6f}"
        ratio = (
            f"{row['times_ours']:.2f} ({row['times_ours_low']:.2f} to {row['times_ours_high']:.2f}, {row['rounds']})"
        )
        lines.append(
            f"| {row['n']:,} | {row['d']} | {row['contender']} | {row['cpu_seconds']:.3f} | {ratio} | "
            f"{row['peak_mb']:.0f} | {value} |"
        )
    return "\n".join([*lines, ""])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--small", type=int, default=5000, help="rows at which everything runs, n^3 peers too")
    parser.add_argument(
        "--large", type=int, default=20_000, help="rows at which ours, the bare product and one Gram run"
    )
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--out", type=Path, default=Path("results/estimators"))
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    names = list(contenders())
    results = measure(names, options.small, options.width, options.rounds)
    results += measure(names[:3], options.large, options.width, options.rounds)
    frame = table(results, options.width)
    options.out.mkdir(parents=True, exist_ok=True)
    for path, text in (
        (options.out / "speed.csv", frame.to_csv(index=False, float_format="%.6g")),
        (options.out / "speed.md", markdown(frame)),
    ):
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        temporary.write_text(text)
        os.replace(temporary, path)
        print(path)


if __name__ == "__main__":
    main()
