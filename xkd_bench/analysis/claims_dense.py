"""Tests of claims on records of segmentation: methods, what an option of one is worth, networks and their cost."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

import pandas as pd

from xkd_bench.analysis.claims_records import CELL, FT, beats, difference, mean_evidence, series
from xkd_bench.analysis.ledger import Data, Test
from xkd_bench.analysis.verdicts import Evidence, Region, missing

METRIC = "mIoU"
PAIRED = [*CELL, "teacher", "seed"]
NOTHING = pd.DataFrame(columns=[*PAIRED, "value"])
_TRANSFORMER = re.compile(r"segformer|mit_b|vit|swin|deit|beit")


def dense(method: str, reference: str) -> Test:
    """Mean IoU of a method minus another's."""
    return beats(method, reference, FT, metric=METRIC)


def option_effect(method: str, option: str, words: str, off: bool = False) -> Test:
    """Mean IoU of a method with an option on (true, above 0) minus that with it off, all other options equal.

    Where several settings of the others have both, the mean over them. words: of the difference. off: the other way
    round, off minus on.
    """

    def test(data: Data, region: Region) -> Evidence:
        sides = _by_rest(data, method, option).values()
        found = [difference(side[not off], side[off]) for side in sides if len(side) == 2]
        rows = pd.concat(found) if found else NOTHING
        means = rows.groupby(PAIRED)["value"].mean().reset_index() if len(rows) else rows
        return mean_evidence(means, region, f"{method}, {words}, {FT}")

    return test


def _by_rest(data: Data, method: str, option: str) -> Mapping[str, Mapping[bool, pd.Series[float]]]:
    """`series` of a method by all options but one, as JSON, and by whether that one is on. (What a run changed of its
    budget stands among the changed options.)"""
    rows = _of(data, method)
    told = zip(rows.get("options", ()), rows.get("option_changes", ()), strict=True)
    parsed = [json.loads(options) | json.loads(changes) for options, changes in told]
    on = [bool(options.pop(option, False)) for options in parsed]
    rests = [json.dumps(options, sort_keys=True) for options in parsed]
    out: dict[str, dict[bool, pd.Series[float]]] = {}
    for rest, value in sorted(set(zip(rests, on, strict=True))):
        alike = [one == (rest, value) for one in zip(rests, on, strict=True)]
        found = series(Data(rows[alike].assign(option_changes="{}")), method, FT, metric=METRIC)
        if len(found):
            out.setdefault(rest, {})[value] = found
    return out


def _of(data: Data, method: str) -> pd.DataFrame:
    return data.scores[data.scores["method"] == method] if len(data.scores) else data.scores


def is_transformer(student: str) -> bool:
    """Whether a student's encoder is a transformer, by its name: `segformer-mit_b0`, `deeplabv3plus-tu-vit_...`."""
    return _TRANSFORMER.search(student) is not None


def smaller_on_transformers(method: str, reference: str) -> Test:
    """A method's gain over a reference with convolutional students minus that with transformers, task by task."""

    def test(data: Data, region: Region) -> Evidence:
        gains = difference(*(series(data, name, FT, metric=METRIC) for name in (method, reference)))
        kinds = gains["student"].astype(str).map(is_transformer)
        keys = [name for name in PAIRED if name != "student"]
        convolutional, transformer = (
            gains[kinds == kind].groupby(keys)["value"].mean() for kind in (False, True)
        )  # fmt: skip
        rows = (convolutional - transformer).dropna().rename("value").reset_index().assign(student="both kinds")
        what = f"gain of {method} over {reference} with a CNN − with a transformer, {FT}"
        return mean_evidence(rows, region, what)

    return test


def inference_cost(method: str) -> Test:
    """Operations of a method's network with the target alone, over those of the plain network on the same input.

    Of every student that there are records of, the largest ratio. Operations are those of convolutions and matrix
    products, counted as they are carried out; no seed and no test item is in it, so that the count settles the claim.
    """

    def test(data: Data, region: Region) -> Evidence:
        rows = _of(data, method)
        if rows.empty or data.cost is None:
            return missing(f"records of {method}, whose students are then counted")
        networks = rows[["student", "budget"]].drop_duplicates().itertuples(index=False, name=None)
        found = [data.cost(method, student, budget) for student, budget in networks]
        ratios = [one["operations"] / one["plain_operations"] for one in found]
        sizes = max(one["parameters"] / one["plain_parameters"] for one in found)
        both = max(one["both_operations"] / one["plain_operations"] for one in found)
        note = f"parameters in use: ratio {sizes:.3g}; with both modalities {both:.3g} times the operations"
        worst, what = max(ratios), f"{method} with the target alone, {len(found)} student{'s' * (len(found) != 1)}"
        settled = region.judge(worst, worst)
        return Evidence(worst, worst, worst, n=len(found), basis="networks counted", settled=settled, data=what,
                        note=note)  # fmt: skip

    return test
