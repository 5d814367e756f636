"""What methods gain over ssl, pressl and sup-ft: in points, relative, as error reduction, and net of the controls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from xkd_bench.analysis import compare
from xkd_bench.analysis.compare import Cube, cube
from xkd_bench.analysis.gains_bootstrap import Correct, Resampled, Worth, resample, worths
from xkd_bench.analysis.intervals import TINY, Floats, half_width, holm, nested, paired_p
from xkd_bench.analysis.scores import SETTING, reference_of

REFERENCES = ("ssl", "pressl", "sup-ft")
DEFINITIONS = ("raw", "relative", "error_reduction", "net")
"""raw: method - reference. relative: raw / reference. error_reduction: raw / (1 - reference). net: method - its
random-teacher control, what of the gain the teacher's training is worth (`compare.gains`, part 'knowledge')."""
CONTROL = "random teacher"
"""What `net` is against; it needs no reference, and is there once."""
COLUMNS = (
    *("variant", "against", "definition", *SETTING, "gain", "se", "low", "high", "p", "p_holm"),
    *("n_seeds", "n_draws", "covers", "boot_low", "boot_high", "n_items"),
)


def gain_table(
    df: pd.DataFrame, against: Sequence[str] = REFERENCES, correct: Correct | None = None, confidence: float = 0.95,
    replicates: int = 2000, seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """Gains of every method under test, one row each (method × reference × definition × setting); columns `COLUMNS`.

    df: scores of one table (`analysis.scores`). gain, low, high are fractions. The interval is Student's over seeds
    (over draws with one seed: `covers`), of ratios by the delta method: their numerator and denominator share splits
    and draws. p tests 'no gain', p_holm corrects it over the methods of one reference, definition and setting.

    correct: per-item worth of a record by its key (`Store.correct`); with it, boot_low and boot_high are the
    hierarchical paired bootstrap's over seeds, label draws and test items (`gains_bootstrap`), n_items the fewest
    test items of a seed. A reference that was not run has no rows.
    """
    data = cube(df)
    parts = _parts(df, against, confidence)
    found = _resampled({} if correct is None else worths(df, correct), parts, replicates, seed)
    rows: list[dict[str, Any]] = []
    for (reference, part), drawn in zip(parts, found, strict=True):
        a, b = _scores(data, part)
        for name in DEFINITIONS[3:] if reference == CONTROL else DEFINITIONS[:3]:
            row = {"variant": part["variant"], "against": reference, "definition": name}
            row |= {key: part[key] for key in SETTING} | _estimate(a, b, name, confidence)
            row |= {key: part[key] for key in ("n_seeds", "n_draws", "covers")}
            low, high = drawn.interval(name, confidence) if drawn else (np.nan, np.nan)
            rows.append(row | {"boot_low": low, "boot_high": high, "n_items": drawn.items if drawn else 0})
    out = pd.DataFrame(rows, columns=[name for name in COLUMNS if name != "p_holm"])
    out["p_holm"] = np.nan
    if len(out):
        keys = ["against", "definition", *SETTING]
        out["p_holm"] = out.groupby(keys, dropna=False)["p"].transform(lambda p: holm(p.to_numpy(dtype=float)))
    return out[list(COLUMNS)]


def _parts(df: pd.DataFrame, against: Sequence[str], confidence: float) -> list[tuple[str, pd.Series[Any]]]:
    """(what it is over, row of `compare.gains`): gains over each reference, and once what is over the control."""
    found: list[tuple[str, pd.Series[Any]]] = []
    for reference in dict.fromkeys(reference_of(df, name) for name in against):
        parts = compare.gains(df, reference, confidence)
        net = [] if any(name == CONTROL for name, _ in found) else ["knowledge"]
        for _, part in parts[parts["part"].isin(["gain", *net])].iterrows():
            found.append((CONTROL if part["part"] == "knowledge" else reference, part))
    return found


def _scores(data: Cube, part: pd.Series[Any]) -> tuple[Floats, Floats]:
    """Scores [seeds, draws] of both sides of a difference, where both are."""
    names = list(data.variants["variant"])
    a = data.x[_row(data, part, part["pair_fraction"]), names.index(part["minuend"])]
    b = data.x[_row(data, part, part["against_fraction"]), names.index(part["subtrahend"])]
    both = np.isfinite(a) & np.isfinite(b)
    return np.where(both, a, np.nan), np.where(both, b, np.nan)


def _row(data: Cube, part: pd.Series[Any], fraction: float) -> int:
    """Number of the setting that this part is of, at that fraction of pairs."""
    s = data.settings
    labels = s["labels_per_class"].isna() if pd.isna(part["labels_per_class"]) else (
        s["labels_per_class"].eq(part["labels_per_class"]).fillna(False)
    )  # fmt: skip
    there = (s["trained"] == part["trained"]) & labels & (s["pair_fraction"] == fraction)
    return int(np.flatnonzero(there.to_numpy(dtype=bool))[0])


def _estimate(a: Floats, b: Floats, definition: str, confidence: float) -> dict[str, Any]:
    """Gain with its t interval. A ratio d / e is linearised: its units are (d_s - R e_s) / mean e."""
    difference = a - b
    if definition in ("raw", "net"):
        value, units = float(nested(difference).mean), difference
    else:
        scale = b if definition == "relative" else 1 - b
        mean = float(nested(scale).mean)
        mean = mean if mean > TINY else np.nan  # a reference of 0, or of 1, has nothing to be relative to
        value = float(nested(difference).mean) / mean
        units = (difference - value * scale) / mean
    s, d = nested(units), nested(difference)
    se, half = float(s.sd) / np.sqrt(float(s.n)), float(half_width(s.sd, s.n, confidence))
    return {"gain": value, "se": se, "low": value - half, "high": value + half,
            "p": float(paired_p(d.mean, d.sd, d.n))}  # fmt: skip


def _resampled(
    found: dict[tuple[Any, ...], Worth], parts: Sequence[tuple[str, pd.Series[Any]]], replicates: int, seed: int
) -> list[Resampled | None]:
    """The bootstrap of each part, None without per-item worth."""
    pairs, places = [], []
    for i, (_, part) in enumerate(parts):
        labels = None if pd.isna(part["labels_per_class"]) else int(part["labels_per_class"])
        a = found.get((part["minuend"], part["trained"], labels, float(part["pair_fraction"])))
        b = found.get((part["subtrahend"], part["trained"], labels, float(part["against_fraction"])))
        if a is not None and b is not None:
            pairs.append((a, b))
            places.append(i)
    out: list[Resampled | None] = [None] * len(parts)
    for i, drawn in zip(places, resample(pairs, replicates, seed), strict=True):
        out[i] = drawn
    return out
