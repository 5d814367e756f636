"""Frames of scores for tests of comparisons and reports."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

METHODS = {
    "cmc": {"method": "cmc", "teacher": "imagenet"},
    "cmc · random teacher": {"method": "cmc", "teacher": "random"},
    "cmc · shuffled pairs": {"method": "cmc", "teacher": "imagenet", "pairs": "shuffled"},
    "cmd": {"method": "cmd", "teacher": "imagenet"},
    "cmst": {"method": "cmst", "teacher": "imagenet"},
    "ssl": {"method": "ssl"},
    "sup-ft": {"method": "sup-ft"},
}
"""Runs by the row that they are expected to give (`sup-ft` with a trained head is 'random features')."""
DEFAULT = ("cmc", "cmc · random teacher", "cmc · shuffled pairs", "ssl", "sup-ft")


def row(run: dict[str, Any], value: float, **cell: Any) -> dict[str, Any]:
    """One score of a run (`METHODS`) with everything else as in a small few-shot study."""
    changes = run.get("changes", {})
    out = {
        **{"key": "0", "task": "emoji-sketch", "task_title": "Emoji to sketch", "source": "colour drawing"},
        **{"target": "line drawing", "pairing": "instance", "origin": "rendered", "method": run["method"]},
        **{"options": json.dumps({"tau": 0.1, **changes}), "option_changes": json.dumps(changes)},
        **{"provenance": "[RECON hi] eq. (3)", "teacher": run.get("teacher", ""), "pairs": run.get("pairs", "true")},
        **{
            "student": "resnet18",
            "init": "random",
            "protocol": "few-shot",
            "protocol_version": 1,
            "budget": "laptop",
            "seed": 0,
        },
        **{"trained": "head", "labels_per_class": 5, "pair_fraction": 1.0, "draw": 0, "metric": "accuracy"},
        **{"value": value, "n_test": 2000, "data_digest": "d" * 64},
    }
    return out | {name: value for name, value in run.items() if name in out} | cell


def frame(rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(rows).astype({"labels_per_class": "Int64"})


def study(
    names: Sequence[str] = DEFAULT, seeds: int = 3, draws: int = 4, shots: Sequence[int | None] = (1, 5, 10),
    trained: Sequence[str] = ("head", "all"), fractions: Sequence[float] = (1.0,), rng: int = 0, **fixed: Any,
) -> pd.DataFrame:  # fmt: skip
    """A whole study with a shared effect of seed and draw, values in multiples of 1/2000."""
    random = np.random.default_rng(rng)
    rows = []
    for seed in range(seeds):
        for what in trained:
            for shot in shots:
                for fraction in fractions:
                    for draw in range(draws):
                        shared = 0.5 + random.normal(0, 0.03)
                        for i, name in enumerate(names):
                            value = round(2000 * (shared - 0.02 * i + random.normal(0, 0.01))) / 2000
                            cell = {"seed": seed, "trained": what, "labels_per_class": shot, "draw": draw}
                            rows.append(row(METHODS[name], value, pair_fraction=fraction, **cell))
    return frame(rows).assign(**fixed)


def cells(values: dict[str, Any], **cell: Any) -> pd.DataFrame:
    """Given values[name]: [seeds, draws] (or [settings, seeds, draws]), one row each; NaN is left out.

    Settings are numbered by `labels_per_class` from 1: many independent simulations fit in one frame.
    """
    rows = []
    for name, numbers in values.items():
        array = np.asarray(numbers, dtype=float)
        array = array[None] if array.ndim == 2 else array
        for (setting, seed, draw), value in np.ndenumerate(array):
            if np.isfinite(value):
                place = {"labels_per_class": setting + 1, "seed": seed, "draw": draw}
                rows.append(row(METHODS[name], value, **(place | cell)))
    return frame(rows)
