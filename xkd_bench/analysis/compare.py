"""Comparing methods that saw the very same labels, splits and test items: summaries, marks and gains.

Every method of a task, seed, number of labels and draw is scored on the same items, so differences are taken within
(seed, draw) and never between. The seed is the unit: it varies the split and the initial weights, and its label draws
are nested in it, so draws are averaged before anything is tested. With a single seed the draws are the unit, and what
is said then holds for that one split only, which the results say.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xkd_bench.analysis.intervals import TINY, Floats, Nested, half_width, holm, nested, paired_p
from xkd_bench.analysis.scores import SETTING, TARGET, reference_of, variants

__all__ = ["distinguish", "gains", "summarise", "variants"]

OVER_BOTH = "splits, initial weights and label draws"
OVER_SEEDS = "splits and initial weights"
OVER_DRAWS = "label draws only; one split"
NOTHING = "one score: no interval"
DESCRIPTION = ["variant", "role", "order", "metric"]
DESCRIPTION += ["method", "option_changes", "provenance", "teacher", "pairs", "student", "init", "inputs"]


@dataclass(frozen=True)
class Cube:
    """Scores as one array: x[setting, variant, seed, draw], NaN where missing, and what its first two axes mean."""

    x: Floats
    settings: pd.DataFrame
    variants: pd.DataFrame


def cube(df: pd.DataFrame) -> Cube:
    """Check, name and sort `df`, then lay its scores out by setting, variant, seed and draw."""
    scores = variants(df)
    settings = scores[SETTING].drop_duplicates()
    settings = settings.sort_values(
        SETTING, key=lambda c: c.map({"head": 0, "all": 1}) if c.name == "trained" else c, na_position="last"
    )
    settings = settings.reset_index(drop=True)
    rows = scores.groupby("order")[DESCRIPTION].first().reset_index(drop=True)
    where = settings.assign(at=range(len(settings)))
    at_setting = scores[SETTING].merge(where, on=SETTING, how="left")["at"].to_numpy()
    at_seed, seeds = pd.factorize(scores["seed"], sort=True)
    at_draw, draws = pd.factorize(scores["draw"], sort=True)
    x = np.full((len(settings), len(rows), len(seeds), len(draws)), np.nan)
    x[at_setting, scores["order"].to_numpy(), at_seed, at_draw] = scores["value"].to_numpy()
    return Cube(x, settings, rows)


def summarise(df: pd.DataFrame, confidence: float = 0.95) -> pd.DataFrame:
    """Mean and interval of every variant in every setting: one row for each (variant × setting) with a score.

    mean: mean over seeds of each seed's mean over draws. low, high: its Student t interval, over the seeds' means
    (n_seeds - 1 degrees of freedom; exact under normality for draws nested in seeds) or, with one seed, over its
    draws; NaN with a single score. covers: what the interval speaks of. sd_seeds, sd_draws: spread of the seeds'
    means, and of draws within a seed. n_draws: fewest draws of a seed; n_scores: scores in all. Fractions in 0..1;
    intervals are not cut off at 0 and 1.
    """
    data = cube(df)
    s = nested(data.x)
    half = half_width(s.sd, s.n, confidence)
    numbers = {"mean": s.mean, "low": s.mean - half, "high": s.mean + half, "sd_seeds": s.sd_seeds,
               "sd_draws": s.sd_draws, "n_seeds": s.n_seeds, "n_draws": s.n_draws, "n_scores": s.n_scores,
               "covers": _covers(s)}  # fmt: skip
    return _frame(data, numbers)


def distinguish(df: pd.DataFrame, alpha: float = 0.05) -> pd.DataFrame:
    """Which variants the data tell from the best of their setting: one row for each (variant × setting) with a score.

    status: 'best' (highest mean; ties are all best), 'distinguishable' (worse than the best at family-wise level
    alpha), 'not distinguishable', 'undecided' (fewer than two paired differences), 'only' (nothing to compare), or
    'other inputs': networks that were given more than the target, or another modality, do not compete with those that
    were not, where there are such.
    difference, p, p_holm, n_seeds, n_draws, covers: of best minus variant, on the (seed, draw) that both have.

    Each pair of variants gets a paired t test over seeds (over draws with one seed: `covers` says so). Holm's
    correction runs over *all* pairs of the setting, not just those with the best: the best is picked after seeing the
    scores, so the comparisons with it are the extreme ones, and correcting for these alone marks too many.
    """
    data = cube(df)
    mean = nested(data.x).mean
    competes = np.isfinite(mean) & (data.variants["inputs"] == TARGET).to_numpy()
    competes = np.where(competes.any(1, keepdims=True), competes, np.isfinite(mean))
    best = np.argmax(np.where(competes, mean, -1.0), axis=1)
    tests, p, adjusted, pair = _all_pairs(data.x)
    rows, columns = np.indices(mean.shape)
    k = pair[best[:, None], columns]  # the pair (best, variant); -1 for the best itself
    at = (rows, np.maximum(k, 0))
    mine = np.where(k < 0, np.nan, 1.0)
    difference = np.where(best[:, None] < columns, 1, -1) * tests.mean[at] * mine
    p, adjusted = p[at] * mine, adjusted[at] * mine
    tied = np.abs(mean - mean[np.arange(len(mean)), best][:, None]) <= TINY
    told = (adjusted < alpha) & (difference > 0)
    rest = np.where(np.isnan(p), "undecided", np.where(told, "distinguishable", "not distinguishable"))
    alone = np.isfinite(mean).sum(1, keepdims=True) == 1
    status = np.where(alone, "only", np.where(tied, "best", rest))
    numbers = {"mean": mean, "status": np.where(competes, status, "other inputs"),
               "best": data.variants["variant"].to_numpy()[best][:, None].repeat(mean.shape[1], axis=1),
               "difference": difference, "p": p, "p_holm": adjusted,
               "n_seeds": np.where(k < 0, 0, tests.n_seeds[at]),
               "n_draws": np.where(k < 0, 0, tests.n_draws[at]),
               "covers": np.where(k < 0, "", _covers(tests)[at])}  # fmt: skip
    return _frame(data, numbers)


def gains(df: pd.DataFrame, against: str = "ssl", confidence: float = 0.95) -> pd.DataFrame:
    """What each method under test gains over the reference `against`, and what that gain is made of.

    One row for each (method × setting × part) that can be formed; `difference` = minuend - subtrahend, in fractions:

    gain       method - reference
    knowledge  method - its random-teacher control: what the teacher's training is worth
    pairing    random-teacher control - shuffled-pairs control: what true pairs are worth
    objective  shuffled-pairs control - reference: what remains, the objective and its use of data

    On the same draws knowledge + pairing + objective = gain, whatever the controls are: the sum telescopes. What the
    parts mean follows from the controls. Random teacher: true pairs, untrained teacher. Shuffled pairs: trained
    teacher, pairs permuted. `knowledge` therefore changes one factor only. `pairing` changes two, the pairs and the
    teacher; it is the worth of the pairs alone if a teacher's training is worth nothing once its pairs are wrong. A
    control counts when its method, options, student (and, for shuffled pairs, teacher) are the method's own.

    Differences are paired by (seed, draw), on those that both have (n_seeds, n_draws), with the interval and p of
    `intervals`; p_holm is corrected over the methods of the same setting and part. A reference without a score at
    this fraction of pairs is taken at all pairs (it uses none): `against_fraction` says which. Of several variants of
    the reference the one with the method's student and the fewest changed options is taken. Without `against` only
    `knowledge` and `pairing` can be formed.
    """
    data = cube(df)
    against = reference_of(df, against)
    methods = data.variants.index[data.variants["role"] == "method"]
    frames = [_difference(data, part, confidence) for i in methods for part in _parts(data, int(i), against)]
    names = ["variant", "part", "minuend", "subtrahend", "against_fraction", *SETTING, "difference", "low", "high",
             "sd", "p", "n_seeds", "n_draws", "covers"]  # fmt: skip
    out = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=names)
    out["p_holm"] = out.groupby([*SETTING, "part"], dropna=False)["p"].transform(lambda p: holm(p.to_numpy()))
    return out


@dataclass(frozen=True)
class Part:
    """One difference x[setting, seed, draw] of two variants, a part of what `method` gains."""

    name: str
    method: int
    minuend: int
    subtrahend: int
    x: Floats
    fraction: Floats


def _parts(data: Cube, method: int, against: str) -> list[Part]:
    """The gain of `method` and the parts of it for which there are controls."""
    kinds, own = data.variants, data.variants.loc[method]
    same = (kinds["method"] == own["method"]) & (kinds["option_changes"] == own["option_changes"])
    same &= (kinds["student"] == own["student"]) & (kinds["init"] == own["init"])
    same &= kinds["inputs"] == own["inputs"]
    # The random network of the teacher's own design, where there is one; `random` alone is the default teacher's.
    designs = [f"random:{own['teacher'].partition(' ')[0]}", "random"]
    true = same & (kinds["pairs"] == "true")
    random = next((at for d in designs if (at := _first(true & (kinds["teacher"] == d))) is not None), None)
    shuffled = _first(same & (kinds["teacher"] == own["teacher"]) & (kinds["pairs"] == "shuffled"))
    is_reference = (kinds["method"] == against) & kinds["role"].isin(["reference", "method"])
    is_reference &= kinds["student"] == own["student"]
    fewest = kinds["option_changes"].str.len()
    reference = _first(is_reference & (fewest == fewest[is_reference].min()))
    chain = [("gain", method, reference), ("knowledge", method, random), ("pairing", random, shuffled),
             ("objective", shuffled, reference)]  # fmt: skip
    parts = []
    for name, a, b in chain:
        if a is not None and b is not None and a != b:
            x_b, fraction = (
                _at_any_fraction(data, b) if kinds["role"][b] == "reference" else (data.x[:, b], _fractions(data))
            )
            parts.append(Part(name, method, a, b, data.x[:, a] - x_b, fraction))
    return parts


def _first(mask: "pd.Series[bool]") -> int | None:
    return int(np.argmax(mask.to_numpy())) if mask.any() else None


def _fractions(data: Cube) -> Floats:
    return data.settings["pair_fraction"].to_numpy(dtype=float)


def _at_any_fraction(data: Cube, variant: int) -> tuple[Floats, Floats]:
    """Scores [setting, seed, draw] of a variant that uses no pairs: a fraction that was not run has those of all."""
    x, fraction = data.x[:, variant].copy(), _fractions(data).copy()
    keys = list(data.settings.fillna({"labels_per_class": 0}).itertuples(index=False, name=None))
    for i, (trained, labels, _) in enumerate(keys):
        if not np.isfinite(x[i]).any() and (trained, labels, 1.0) in keys:
            x[i] = data.x[keys.index((trained, labels, 1.0)), variant]
            fraction[i] = 1.0
    return x, fraction


def _difference(data: Cube, part: Part, confidence: float) -> pd.DataFrame:
    """Rows of one part, a row for each setting with a paired difference."""
    s = nested(part.x)
    half = half_width(s.sd, s.n, confidence)
    name = data.variants["variant"]
    out = data.settings.assign(
        variant=name[part.method], part=part.name, minuend=name[part.minuend], subtrahend=name[part.subtrahend],
        against_fraction=part.fraction, difference=s.mean, low=s.mean - half, high=s.mean + half, sd=s.sd,
        p=paired_p(s.mean, s.sd, s.n), n_seeds=s.n_seeds, n_draws=s.n_draws, covers=_covers(s),
    )  # fmt: skip
    return out[np.isfinite(s.mean)]


def _all_pairs(x: Floats) -> tuple[Nested, Floats, Floats, NDArray[np.int64]]:
    """Paired tests of all pairs of variants in x: [setting, variant, seed, draw].

    Returns the differences (first - second) summarised, p and Holm-adjusted p, each [setting, pair], and the number
    of each pair, [variant, variant], -1 on the diagonal.
    """
    n = x.shape[1]
    first, second = np.triu_indices(n, k=1)
    pair = np.full((n, n), -1)
    pair[first, second] = pair[second, first] = np.arange(len(first))
    if not len(first):  # one variant: one pair that is never tested, so that shapes stay
        first = second = np.zeros(1, dtype=int)
        x = np.full_like(x, np.nan)
    tests = nested(x[:, first] - x[:, second])
    p = paired_p(tests.mean, tests.sd, tests.n)
    return tests, p, np.stack([holm(row) for row in p]), pair


def _covers(s: Nested) -> NDArray[np.str_]:
    """What each interval speaks of."""
    over_seeds = np.where((s.n_draws > 1), OVER_BOTH, OVER_SEEDS)
    return np.where(s.n_seeds > 1, over_seeds, np.where(s.n > 1, OVER_DRAWS, NOTHING))


def _frame(data: Cube, numbers: dict[str, NDArray[Any]]) -> pd.DataFrame:
    """One row for each cell with a finite `mean`, by variant, then setting. Each of numbers: [setting, variant]."""
    variant, setting = np.nonzero(np.isfinite(numbers["mean"]).T)
    rows = data.variants.iloc[variant].reset_index(drop=True)
    columns = data.settings.iloc[setting].reset_index(drop=True)
    cells = pd.DataFrame({name: values[setting, variant] for name, values in numbers.items()})
    return pd.concat([rows, columns, cells], axis=1)
