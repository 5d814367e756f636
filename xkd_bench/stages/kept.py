"""Scores in a stage's folder: numbers as JSON, what each test item was worth as an array. How trainings went."""

import json
import math
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from xkd_bench.evaluation import Score
from xkd_bench.stages.context import Context


def jsonable(score: Score) -> dict[str, Any]:
    """All of a score but its arrays; JSON has no NaN, so what was not measured is null."""
    row = asdict(score)
    del row["correct"], row["shown"]
    return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()}


def write_scores(folder: Path, found: list[Score]) -> None:
    """Keep scores of one stage."""
    np.save(folder / "correct.npy", np.stack([score.correct for score in found]))
    shown = [score.shown for score in found if score.shown is not None]
    if shown and len(shown) == len(found):
        np.savez_compressed(folder / "shown.npz", np.stack(shown))
    (folder / "scores.json").write_text(json.dumps([jsonable(score) for score in found]), encoding="utf-8")


def read_scores(folder: Path) -> list[Score]:
    """The scores that `write_scores` kept."""
    rows = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    correct = np.load(folder / "correct.npy")
    shown = [None] * len(rows)
    if (folder / "shown.npz").exists():
        with np.load(folder / "shown.npz") as arrays:
            shown = list(arrays["arr_0"])
    for row in rows:
        row["validation"] = float("nan") if row["validation"] is None else row["validation"]
    return [Score(**row, correct=c, shown=s) for row, c, s in zip(rows, correct, shown, strict=True)]


def write_history(run: Context, folder: Path, network: str, loss: list[float], started: float) -> None:
    """Keep mean losses of a training, the seconds since `started` (`time.perf_counter`), and what it was of."""
    told = {"task": run.spec.task, "budget": run.spec.budget, "network": network}
    report = {"loss": loss, "seconds": time.perf_counter() - started, **told}
    (folder / "history.json").write_text(json.dumps(report), encoding="utf-8")
