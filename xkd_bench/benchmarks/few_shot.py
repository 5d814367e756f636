"""How fast are the linear heads of few-shot scoring, all draws and regularisations together, against one by one?

Both sides fit the same objective on the same draws, 1, 5 and 10 labels a class, 20 draws, 12 regularisations, and
score every head on the same test items: `probes.fit_logistic` in batches, and a loop over scikit-learn's
LogisticRegression as a user would write it, in float64 as ours is: to the same tolerance by lbfgs, its default solver,
and by newton-cg, the fastest of its solvers here; and by lbfgs to its default tolerance.

    python -m xkd_bench.benchmarks.few_shot [--quick]
"""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from xkd_bench.benchmarks import Options, Result, Target
from xkd_bench.benchmarks.timing import SPREAD, Ratio, in_turns, ratio, short
from xkd_bench.probes import fit_logistic

COUNTS, DRAWS, TEST, TRAIN = (1, 5, 10), 20, 100, 30
STRENGTHS = torch.from_numpy(np.geomspace(1e-5, 1.0, 12))
"""The range of the laptop budget, where most are well regularised."""
FASTER = 20.0
EXACT, DEFAULT = 1e-7, 1e-4
"""On the gradient: ours, and scikit-learn's own, which leaves the most regularised heads where they began."""


@dataclass(frozen=True)
class Problem:
    """Standardised features of train and test items, [n, d], their labels, and the rows of each draw by its count."""

    what: str
    x: Tensor
    y: Tensor
    x_test: Tensor
    y_test: Tensor
    rows: dict[int, Tensor]
    classes: int


def problem(what: str, dim: int, classes: int, counts: Sequence[int] = COUNTS, draws: int = DRAWS) -> Problem:
    """Gaussian clusters, so far apart that ten labels a class give some 80 %; features are standardised."""
    rng = np.random.default_rng(0)
    centres = 0.35 * (128 / dim) ** 0.5 * rng.normal(size=(classes, dim))
    y, y_test = (np.repeat(np.arange(classes), n) for n in (TRAIN, TEST))
    x, x_test = (centres[labels] + rng.normal(size=(len(labels), dim)) for labels in (y, y_test))
    mean, std = x.mean(0), x.std(0)
    orders = [[rng.permutation(TRAIN) for _ in range(classes)] for _ in range(draws)]  # nested, as in scoring
    rows = {
        m: np.array([np.concatenate([TRAIN * k + o[k][:m] for k in range(classes)]) for o in orders]) for m in counts
    }
    x, x_test = ((part - mean) / std for part in (x, x_test))
    as_rows = {m: torch.from_numpy(r) for m, r in rows.items()}
    f, f_test = (torch.from_numpy(part.astype(np.float32)) for part in (x, x_test))
    return Problem(what, f, torch.from_numpy(y), f_test, torch.from_numpy(y_test), as_rows, classes)


def batched(p: Problem, count: int) -> Tensor:
    """Test accuracies [draws, strengths] of heads fitted together."""
    rows = p.rows[count]
    heads = fit_logistic(p.x[rows], p.y[rows], STRENGTHS, p.classes)
    return (heads.logits(p.x_test).argmax(-1) == p.y_test).double().mean(-1)


def looped(p: Problem, count: int, tolerance: float = EXACT, solver: str = "lbfgs") -> Tensor:
    """The same of scikit-learn's, one by one. Given float32 it would solve in float32, and stop short of 1e-7."""
    x, y, x_test, y_test = p.x.double().numpy(), p.y.numpy(), p.x_test.double().numpy(), p.y_test.numpy()

    def accuracy(rows: NDArray[np.int64], c: float) -> float:
        head = LogisticRegression(C=c, max_iter=5000, tol=tolerance, solver=solver).fit(x[rows], y[rows])
        return float(head.score(x_test, y_test))

    with warnings.catch_warnings():  # at times its line search ends before so small a gradient
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = [[accuracy(rows, c) for c in STRENGTHS.tolist()] for rows in p.rows[count].numpy()]
    return torch.tensor(found, dtype=torch.float64)


def compare(p: Problem, rounds: int, options: Options) -> list[dict[str, Any]]:
    """A row for each number of labels, and one for all together."""
    sides: dict[str, Callable[[int], Tensor]] = {
        "batched": lambda m: batched(p, m),
        "looped": lambda m: looped(p, m),
        "newton": lambda m: looped(p, m, solver="newton-cg"),
        "default": lambda m: looped(p, m, DEFAULT),
    }
    accuracy: dict[str, Tensor] = {}

    def measured(side: str, m: int) -> None:
        accuracy[f"{side} {m}"] = sides[side](m)

    works = {f"{side} {m}": partial(measured, side, m) for m in p.rows for side in sides}
    batched(p, next(iter(p.rows)))  # what a first call loads
    seconds = in_turns(
        works, rounds, warm_up=0, tick=lambda done, n, note: options.tick(done, n, f"{p.what}, {note}")
    )  # fmt: skip
    out = []
    for label, chosen in [*((str(m), [m]) for m in p.rows), ("all", list(p.rows))]:
        ours, exact, newton, default = (
            [sum(parts) for parts in zip(*(seconds[f"{side} {m}"] for m in chosen), strict=True)] for side in sides
        )
        mine, theirs, best, early = (torch.cat([accuracy[f"{side} {m}"] for m in chosen]) for side in sides)
        faster, than_newton = ratio(exact, ours), ratio(newton, ours)
        heads = sum(len(p.rows[m]) for m in chosen) * len(STRENGTHS)
        out.append(
            {"features": p.what, "labels": label, "heads": heads, "batched_s": statistics.median(ours)}
            | {"looped_s": statistics.median(exact), "faster": faster.value, "faster_low": faster.low}
            | {"faster_high": faster.high, "rounds": faster.n, "faster_than_default": ratio(default, ours).value}
            | {"newton_s": statistics.median(newton), "faster_than_newton": than_newton.value}
            | {"faster_than_newton_low": than_newton.low, "faster_than_newton_high": than_newton.high}
            | {"accuracy": mine.mean().item(), "accuracy_looped": theirs.mean().item()}
            | {"accuracy_default": early.mean().item(), "largest_difference": (mine - theirs).abs().max().item()}
            | {"accuracy_newton": best.mean().item(), "largest_from_newton": (mine - best).abs().max().item()}
        )
    return out


def _shown(row: dict[str, Any], key: str) -> str:
    return str(Ratio(row[key], row[f"{key}_low"], row[f"{key}_high"], row["rounds"]))


def run(options: Options) -> Result:
    """Measure."""
    draws, counts = (2, (1,)) if options.quick else (DRAWS, COUNTS)
    rows = compare(problem("128-d, 8 classes", 128, 8, counts, draws), 1 if options.quick else 3, options)
    if not options.quick:
        rows += compare(problem("2,048-d, 8 classes, 5 draws", 2048, 8, (5,), 5), 2, options)
    frame = pd.DataFrame(rows)
    shown = pd.DataFrame(
        {
            "features": r["features"],
            "labels": r["labels"],
            "heads": f"{r['heads']:,}",
            "ours, s": short(r["batched_s"]),
            "loop, s": short(r["looped_s"]),
            "times faster": _shown(r, "faster"),
            "newton-cg, s": short(r["newton_s"]),
            "… than newton-cg": _shown(r, "faster_than_newton"),
            "… than its default": short(r["faster_than_default"]),
            "accuracy, %": f"{100 * r['accuracy']:.2f}",
            "loop": f"{100 * r['accuracy_looped']:.2f}",
            "newton-cg": f"{100 * r['accuracy_newton']:.2f}",
            "its default": f"{100 * r['accuracy_default']:.2f}",
            "most apart": f"{100 * r['largest_difference']:.2f}",
            "… from newton-cg": f"{100 * r['largest_from_newton']:.2f}",
        }
        for r in rows
    )
    held = [r for r in rows if r["labels"] == "all"]
    targets = tuple(
        Target(f"{words}, {r['features']}", r[key], FASTER, False, r[f"{key}_low"], r[f"{key}_high"], r["rounds"])
        for r in held
        for key, words in (("faster", "times faster"), ("faster_than_newton", "times faster than newton-cg"))
    )
    words = (
        f"Linear heads for {len(STRENGTHS)} regularisations of {draws} draws (or as it says), fitted and scored on the "
        "same test items: batched, against a loop over scikit-learn's LogisticRegression (lbfgs, its default) with the "
        f"same objective, in float64, and the same tolerance on its gradient, {EXACT:g}; against its newton-cg, "
        f"the fastest of its solvers here; and by lbfgs with its default tolerance, {DEFAULT:g}. "
        "128-d, 8 classes: the laptop budget's student on emoji-sketch; 2,048-d: a ResNet-50. CPU time, one thread, in "
        f"turns; times faster is the median of the rounds' ratios. {SPREAD} Accuracies are means over heads; the last "
        "columns are the largest difference of any head from the loop's, in points: where regularisation is strongest, "
        "lbfgs ends its line search before so small a gradient; newton-cg reaches it."
    )
    return Result("Few-shot heads: batched against one by one", words, frame, shown, targets)


if __name__ == "__main__":
    from xkd_bench.benchmarks.result import program

    program("few-shot")
