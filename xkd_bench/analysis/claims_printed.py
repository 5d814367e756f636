"""Tests of what the papers print: whether the numbers agree, and what they can say given their test sets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise, product
from typing import Any, Literal

import numpy as np

from xkd_bench.analysis import published
from xkd_bench.analysis.permutation import association, fisher_interval
from xkd_bench.analysis.published import DATASETS, OURS, Printed, best, cell, gain, margin, printed_gain, rivals
from xkd_bench.analysis.verdicts import Evidence, Region, as_printed, every, missing

Test = Callable[[Any, Region], Evidence]
"""What a claim is evaluated by: data (unused here, the numbers are shipped) and region to evidence."""
How = Literal["printed", "sampled"]
LARGE = ("ResNet50(1x) SimCLR", "ResNet50(2x) SimCLR", "ResNet50(4x) SimCLR")
ALPHAS = ("0", "0.25", "0.5", "0.75", "1")
MIX = "alpha*CMC+(1-alpha)*CMD"
TABLE_1 = "CMCD Table 1"


def each(numbers: Callable[[], Sequence[Printed]], data: str, how: How, note: str = "") -> Test:
    """All of these numbers lie in the region."""

    def test(_: Any, region: Region) -> Evidence:
        say = Printed.rounding if how == "printed" else Printed.sampling
        return every([say(number, region, data) for number in numbers()], region, data, note)

    return test


def mean_of(numbers: Callable[[], Sequence[Printed]], data: str, note: str = "") -> Test:
    """The mean of these numbers lies in the region, given their test items."""

    def test(_: Any, region: Region) -> Evidence:
        found = numbers()
        total = found[0]
        for number in found[1:]:
            total = total + number
        return (total * (1 / len(found))).sampling(region, data, note)

    return test


def table_2(protocol: str) -> Callable[[], list[Printed]]:
    """Table 2's gains minus the same differences of Table 1."""
    reference = {"LE": "SSL", "FT": "Sup"}[protocol]
    return lambda: [
        printed_gain(d, protocol) - (cell(d, "CMD", protocol) - cell(d, reference, protocol)) for d in DATASETS
    ]


def margins(protocols: Sequence[str], datasets: Sequence[str] = DATASETS) -> Callable[[], list[Printed]]:
    """Best of ours minus best baseline, a number for each data set and protocol."""
    return lambda: [margin(d, p) for p in protocols for d in datasets]


def over_best(method: str, dataset: str, protocol: str) -> Callable[[], list[Printed]]:
    """One of ours minus the best baseline."""
    return lambda: [cell(dataset, method, protocol) - best(dataset, protocol, rivals(protocol))[1]]


def both_over_best() -> list[Printed]:
    """CMD and CMC each, minus the best baseline, everywhere."""
    return [n for d in DATASETS for p in ("LE", "FT") for m in OURS for n in over_best(m, d, p)()]


def versus(dataset: str, protocol: str, reference: str) -> Callable[[], list[Printed]]:
    """CMC minus a reference."""
    return lambda: [cell(dataset, "CMC", protocol) - cell(dataset, reference, protocol)]


def sketch_over_sound(protocol: str, mean: bool = False) -> Callable[[], list[Printed]]:
    """CMD's gain on Sketchy and on TU-Berlin minus that on VGGSound; `mean`: their mean minus it.

    The gains are differences of cells, so the shared VGGSound error is counted once in the mean.
    """
    reference = {"LE": "SSL", "FT": "Sup"}[protocol]

    def numbers() -> list[Printed]:
        sketchy, berlin, sound = (
            cell(d, "CMD", protocol) - cell(d, reference, protocol) for d in ("Sketchy", "TUBerlin", "VGGSound")
        )
        return [(sketchy + berlin) * 0.5 - sound] if mean else [sketchy - sound, berlin - sound]

    return numbers


def gain_and_distance(protocol: str, kind: str = "raw", datasets: Sequence[str] = DATASETS) -> Test:
    """Pearson's correlation of CMD's gain with Table 2's distance; its p from all arrangements of the data sets."""
    data = f"CMCD Tables 1 and 2, {len(datasets)} data sets"

    def test(_: Any, region: Region) -> Evidence:
        x = [published.total_variation(d) for d in datasets]
        found = association(x, [gain(d, protocol, kind) for d in datasets], rank=False)
        low, high = fisher_interval(found.r, found.n)
        distinct = len(set(x))
        note = f"{distinct} distinct distances; the least p that this design can give is {found.p_least:.2g}"
        return Evidence(found.r, low, high, found.p, found.n, "arrangements of data sets", None, data, note)

    return test


def same_sign_in_every_scale(protocol: str) -> Test:
    """The gain falls with the distance whether it is raw, relative or an error reduction: least favourable of three."""

    def test(_: Any, region: Region) -> Evidence:
        parts = []
        for kind in ("raw", "relative", "error"):
            rs = rounded_correlations(protocol, kind)
            middle, slack = (max(rs) + min(rs)) / 2, (max(rs) - min(rs)) / 2
            parts.append(as_printed(middle, slack, region, len(DATASETS), ""))
        note = "r of raw, relative, error reduction: " + ", ".join(f"{part.effect:+.2f}" for part in parts)
        return every(parts, region, "CMCD Tables 1 and 2, distances rounded by ±0.005", note)

    return test


def rounded_correlations(protocol: str, kind: str) -> list[float]:
    """Pearson's r at every corner of what rounding leaves open: each printed distance for itself, ± 0.005 or as is."""
    printed, gains = [published.total_variation(d) for d in DATASETS], [gain(d, protocol, kind) for d in DATASETS]
    corners = product((-0.005, 0.0, 0.005), repeat=len(DATASETS))
    return [float(np.corrcoef(np.add(printed, corner), gains)[0, 1]) for corner in corners]


def distinct_distances(_: Any, region: Region) -> Evidence:
    """How many different distances the relation rests on."""
    n = len({published.total_variation(d) for d in DATASETS})
    return as_printed(n, 0, region, len(DATASETS), "CMCD Table 2", "Sketchy and TU-Berlin carry the same value")


def wider(student: str) -> Callable[[], list[Printed]]:
    """Table 3: each teacher minus the next narrower one."""

    def numbers() -> list[Printed]:
        found = [
            cell("TUBerlin (inferred)", "CMC (inferred)", "LE (inferred)", "Table3", teacher=teacher, student=student)
            for teacher in LARGE
        ]
        return [b - a for a, b in pairwise(found)]

    return numbers


def few_shot(shots: Sequence[int], method: str, protocol: str, reference: str = "Sup") -> Callable[[], list[Printed]]:
    """Table 4: a method minus a reference under fine-tuning, at each number of labels per class."""

    def numbers() -> list[Printed]:
        return [
            cell("TUBerlin", method, protocol, "Table4", f"n_per_class={n}")
            - cell("TUBerlin", reference, "FT", "Table4", f"n_per_class={n}")
            for n in shots
        ]

    return numbers


def shared_cells() -> list[Printed]:
    """Cells that several tables print: Tables 3, 4 and 5 minus Table 1."""
    from_3 = cell(
        "TUBerlin (inferred)", "CMC (inferred)", "LE (inferred)", "Table3", teacher=LARGE[0], student="ResNet50"
    )
    out = [from_3 - cell("TUBerlin", "CMC", "LE")]
    rows = [("CMKD", "LE", "CMKD"), ("CMKD", "FT", "CMKD"), ("Ours=CMC (inferred)", "LE", "CMC")]
    rows += [("Ours=CMC (inferred)", "FT", "CMC"), ("Sup", "FT", "Sup")]
    for name, protocol, method in rows:
        out.append(cell("TUBerlin", name, protocol, "Table4", "n_per_class=60") - cell("TUBerlin", method, protocol))
    return out + mix_ends()


def mix_ends() -> list[Printed]:
    """Table 5 at α = 0 and 1 minus CMD and CMC of Table 1."""
    ends = [("alpha=0", "CMD"), ("alpha=1", "CMC")]
    return [
        cell(d, MIX, p, "Table5", setting) - cell(d, method, p)
        for d in ("Sketchy", "TUBerlin")
        for p in ("LE", "FT")
        for setting, method in ends
    ]


def mix(dataset: str, protocol: str) -> list[Printed]:
    """A row of Table 5, by α."""
    return [cell(dataset, MIX, protocol, "Table5", f"alpha={alpha}") for alpha in ALPHAS]


def best_mixes(_: Any, region: Region) -> Evidence:
    """How many different α are best in a row of Table 5."""
    rows = {f"{d} {p}": mix(d, p) for d in ("Sketchy", "TUBerlin") for p in ("LE", "FT")}
    found = {name: ALPHAS[max(range(5), key=lambda i: row[i].value)] for name, row in rows.items()}
    note = "best α: " + ", ".join(f"{name} {alpha}" for name, alpha in found.items())
    return as_printed(len(set(found.values())), 0, region, len(rows), "CMCD Table 5", note)


def mix_spread() -> list[Printed]:
    """TU-Berlin under fine-tuning: best α minus worst."""
    row = sorted(mix("TUBerlin", "FT"), key=lambda number: number.value)
    return [row[-1] - row[0]]


def mixing_over_ends() -> list[Printed]:
    """In each row of Table 5, the best α strictly between 0 and 1, minus the better end."""
    rows = [mix(d, p) for d in ("Sketchy", "TUBerlin") for p in ("LE", "FT")]
    return [max(row[1:4], key=lambda n: n.value) - max(row[0], row[4], key=lambda n: n.value) for row in rows]


def some(numbers: Callable[[], Sequence[Printed]], data: str) -> Test:
    """At least one of these numbers lies in the region: the most favourable one, corrected for the choice."""

    def test(_: Any, region: Region) -> Evidence:
        found = numbers()
        top = max(found, key=lambda number: number.value)
        evidence = top.sampling(region, data, f"best of {len(found)}")
        return Evidence(**{**evidence.__dict__, "p": min(1.0, len(found) * evidence.p), "n": len(found)})

    return test


def headline(_: Any, region: Region) -> Evidence:
    """How many of ours are needed for the best TU-Berlin scores under both protocols."""
    names = {best("TUBerlin", p, OURS)[0] for p in ("LE", "FT")}
    return as_printed(len(names), 0, region, 2, TABLE_1, f"best by {' and '.join(sorted(names))}")


def unpublished(what: str, data: str) -> Test:
    """A statement whose numbers the public text does not hold."""
    return lambda _, region: missing(what, data)


def dense_over_others() -> list[Printed]:
    """Af-DCD minus the best other method, in every printed row."""
    out = []
    for _, rows in _dense_rows():
        ours = rows.loc[rows["method"] == "Af-DCD", "value"].iloc[0]
        others = rows.loc[~rows["method"].isin(("Af-DCD", "baseline")), "value"].max()
        out.append(Printed(float(ours - others), float("nan"), 0.01))
    return out


def dense_gains(student: str = "") -> dict[str, tuple[float, float]]:
    """Af-DCD minus its baseline, and the baseline, by 'data set student'."""
    out = {}
    for (dataset, network), rows in _dense_rows():
        if student in (network, ""):
            score = rows.set_index("method")["value"]
            out[f"{dataset} {network}"] = (float(score["Af-DCD"] - score["baseline"]), float(score["baseline"]))
    return out


def dense_baseline() -> list[Printed]:
    """Af-DCD minus its baseline, in every printed row."""
    return [Printed(raw, float("nan"), 0.01) for raw, _ in dense_gains().values()]


def dense_abstract() -> list[Printed]:
    """Gains of Af-DCD's abstract minus those of its table of results."""
    rows = published.af_dcd().query("table == 'abstract'")
    by_row = dense_gains()
    return [
        Printed(float(value) - by_row[f"{d} {s}"][0], float("nan"), 0.015)
        for d, s, value in zip(rows["dataset"], rows["student"], rows["value"], strict=True)
    ]


def dense_more_data(_: Any, region: Region) -> Evidence:
    """Gain on ADE20K minus the largest of Cityscapes, VOC and CamVid, in points and relative to the baseline."""
    gains = dense_gains("DLV3-R18")
    parts, said = [], []
    for name, scale in (
        ("points", lambda raw, base: raw),
        ("percent of the baseline", lambda raw, base: 100 * raw / base),
    ):
        values = {row.split()[0]: scale(*numbers) for row, numbers in gains.items()}
        difference = values["ADE20K"] - max(values[d] for d in ("Cityscapes", "VOC", "CamVid"))
        said.append(f"{difference:+.2f} {name}")
        parts.append(as_printed(difference, 0.03, region, 4, ""))
    note = "; ".join(said) + "; a sign that depends on the scale decides nothing"
    one = parts[0] if parts[0].settled == parts[1].settled else as_printed(0, abs(parts[0].effect), region, 4, "")
    return Evidence(**{**one.__dict__, "n": 4, "data": "Af-DCD README, DLV3-R18", "note": note})


def _dense_rows() -> Any:
    return published.af_dcd().query("table == 'results'").groupby(["dataset", "student"], sort=False)
