"""Gains of the page: every reference, every scale, both intervals; summed up and folded where there are many."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from tests.analysis.test_gains import stored
from tests.report.frames import METHODS, frame, row, study
from tests.report.test_html import RULE, Page
from xkd_bench.analysis.gains import gain_table
from xkd_bench.report.html import Study, build
from xkd_bench.report.html.gain_tables import OPEN_ROWS

NAMES = ("cmc", "cmc · random teacher", "cmd", "ssl", "sup-ft")
SHAPE = {"shots": (None,), "draws": 1, "trained": ("all",)}


pytestmark = pytest.mark.usefixtures("without_figures")


def made(parts, correct=None):
    text, numbers, files = build(Study(pd.concat([df for _, df in parts]), parts, [], RULE, correct=correct))
    return text, json.loads(numbers)["gains"], files


def test_one_task_shows_every_reference_in_every_scale_with_both_intervals():
    df, tables = stored(study(NAMES, protocol="fine-tune", **SHAPE))
    text, (block,), files = made([("one", df)], tables.__getitem__)
    expected, told = gain_table(df, correct=tables.__getitem__), pd.DataFrame(block["gains"])
    keys = ["variant", "against", "definition"]
    expected, told = (part.set_index(keys).sort_index() for part in (expected, told))
    for name in ("gain", "low", "high", "boot_low", "boot_high", "p_holm", "n_items"):
        assert told[name].astype(float).tolist() == pytest.approx(expected[name].astype(float).tolist())
    (table,) = block["tables"]
    assert [group["title"] for group in table["groups"]] == ["over ssl", "over sup-ft", "over its random teacher"]
    assert [[line[0] for line in group["rows"]] for group in table["groups"]] == [
        ["cmc", "cmd"],
        ["cmc", "cmd"],
        ["cmc"],
    ]
    assert table["groups"][0]["rows"][0][4] == "3 × 1 × 200"
    assert "hierarchical bootstrap" in table["caption"]
    assert "Rests on 15 runs: 3 seeds, 200 test items" in table["caption"]
    one = expected.loc[("cmc", "sup-ft", "relative")]
    cell = re.search(r"over sup-ft.*?<tr>\s*<th scope=\"row\">cmc.*?</tr>", text, re.S)
    assert cell
    for low, high in (("low", "high"), ("boot_low", "boot_high")):
        words = [f"{'+' if one[end] > 0 else '−'}{abs(100 * one[end]):.1f}" for end in (low, high)]
        assert " to ".join(words) in cell[0]
        assert " to ".join(words).replace("−", "$-$") in files[f"tables/{block['name']}-all.tex"].decode()
    assert len(files[f"tables/{block['name']}-all.csv"].decode().splitlines()) == 1 + len(expected)
    assert f'href="#{block["name"]}"' in text
    assert "folded" not in re.sub(r"<style>.*?</style>", "", text, flags=re.S)
    (lacking,) = block["lacking"]
    assert lacking["what"] == "No gain over pressl: it was not run on the same draws."
    assert lacking["command"] == (
        "xkd-bench run --protocol fine-tune --task emoji-sketch --budget laptop --method pressl --student resnet18 "
        "--seeds 0,1,2 --alone"
    )


def conditions(number):
    names = ("cmc", "cmd", "cmst", "ssl", "sup-ft")
    return [(f"c{i}", study(names, rng=i, task=f"emoji:a>{i}", key=f"k{i}", **SHAPE)) for i in range(number)]


def test_many_conditions_are_summed_up_and_their_details_folded():
    parts = conditions(8)
    text, (block,), _ = made(parts)
    summary, details = block["tables"]
    (folded,) = Page(text).of("details")
    assert folded[0] == {"class": "folded"}
    (rows,) = [group["rows"] for group in summary["groups"]]
    assert [line[0] for line in rows[:3]] == ["cmc over ssl", "cmd over ssl", "cmst over ssl"]
    gained = pd.concat([gain_table(df).assign(task=df["task"].iloc[0]) for _, df in parts])
    for line, (variant, against) in zip(
        rows, [(v, a) for a in ("ssl", "sup-ft") for v in ("cmc", "cmd", "cmst")], strict=True
    ):
        mine = gained[(gained["variant"] == variant) & (gained["against"] == against)]
        raw = mine[mine["definition"] == "raw"]
        told = raw["p_holm"] < 0.05
        counts = [8, (told & (raw["gain"] > 0)).sum(), (told & (raw["gain"] < 0)).sum(), (~told).sum()]
        assert [int(cell) for cell in line[4:]] == counts
        for cell, definition in zip(line[1:4], ("raw", "relative", "error_reduction"), strict=True):
            value = 100 * mine.loc[mine["definition"] == definition, "gain"].mean()
            assert float(cell.replace("−", "-")) == pytest.approx(value, abs=0.0501)
    assert len(details["groups"]) == 8
    assert sum(len(group["rows"]) for group in details["groups"]) == 48 > OPEN_ROWS
    assert "8 conditions" in details["caption"]
    assert "bootstrap" not in details["caption"]


def test_settings_of_one_task_are_places_too():
    df = study(NAMES, draws=2, shots=(1, 2, 5, 10))
    _, (block,), _ = made([("one", df)])
    summary, details = block["tables"]
    assert summary["title"] == "Gains, summed up over settings"
    assert "linear, 5 labels" in [group["title"] for group in details["groups"]]
    assert "3 seeds of 2 label draws" in details["caption"]


def test_what_cannot_be_said_is_not():
    """One seed and one draw: no interval, no verdict; a reference of nothing: no relative gain."""
    df = frame([row(METHODS["cmc"], 0.5, trained="all"), row(METHODS["ssl"], 0.0, trained="all")])
    text, (block,), _ = made([("one", df)])
    assert block["tables"][0]["groups"][0]["rows"] == [["cmc", "+50.0", "—", "+50.0", "1 × 1", "too few to decide"]]
    assert any(part["what"].startswith("Fewer than 3 seeds") for part in block["lacking"])
    assert "nan" not in re.sub(r"<style>.*?</style>|<svg.*?</svg>", "", text, flags=re.S).lower().split()
    missing = frame([row(METHODS["cmc"], 0.5)])
    _, (block,), _ = made([("one", missing)])
    assert not block["tables"]
    assert [part["what"].split()[3] for part in block["lacking"]] == ["ssl:", "pressl:"]


def test_items_that_are_not_in_the_store_leave_student_alone():
    def gone(key: str) -> np.ndarray:
        raise FileNotFoundError(key)

    _, (block,), _ = made([("one", study(NAMES, **SHAPE))], gone)
    assert all(gain["boot_low"] is None for gain in block["gains"])
    assert "bootstrap" not in block["tables"][0]["caption"]
    assert block["tables"][0]["groups"][0]["rows"][0][4] == "3 × 1"


def test_a_comparison_without_methods_has_no_section():
    text, blocks, _ = made([("one", study(("ssl", "sup-ft"), **SHAPE))])
    assert not blocks
    assert 'href="#gains"' not in text
