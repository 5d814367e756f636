"""The page: whole, escaped, offline, accessible, and its numbers are those of the analysis."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.report.frames import METHODS, frame, row, study
from xkd_bench.analysis.compare import gains, summarise
from xkd_bench.errors import UsageError
from xkd_bench.report import plots
from xkd_bench.report.html import Gap, Study, build, write
from xkd_bench.report.html.inline import GROUND, contrast, inline, on_dark

RULE = "hyper-parameters chosen on validation data only"
VOID = {"meta", "link", "br", "hr", "img", "input"}
EVIL = "<script>alert(1)</script>"


class Page(HTMLParser):
    """Elements as (tag, attributes, tags above), texts by element; refuses tags that do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str], tuple[str, ...]]] = []
        self.tables: list[list[list[str]]] = []
        self.stack: list[str] = []
        self.feed(text)
        self.close()
        assert not self.stack

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, {k: v or "" for k, v in attrs}, tuple(self.stack)))
        if tag not in VOID:
            self.stack.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, {k: v or "" for k, v in attrs}, tuple(self.stack)))

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        if {"td", "th"} & set(self.stack[-4:]) and "table" in self.stack:
            self.tables[-1][-1][-1] += data

    def of(self, *tags):
        return [(attrs, above) for tag, attrs, above in self.elements if tag in tags]


def scores(**fixed: object) -> pd.DataFrame:
    df = study(("cmc", "cmc · random teacher", "ssl", "sup-ft"), shots=(1, 5), draws=2, **fixed)  # type: ignore[arg-type]
    keys = df.groupby(["method", "teacher", "pairs", "seed", "protocol"], dropna=False).ngroup()
    return df.assign(key=keys.astype(str))


def estimates() -> pd.DataFrame:
    shared = {"confidence": 0.95, "n": 400, "note": "", "explain": "What it\nmeans.", "estimator": "e"}
    rows = [("distance", "tv_classifier", 0.5, 0.4, 1.0, "lower bound"), ("alignment", "cka", 0.2, 0.1, 0.3, "plug-in")]
    names = ("panel", "name", "value", "low", "high", "kind")
    return pd.DataFrame([dict(zip(names, line, strict=True)) | shared for line in rows])


RECORD = {
    "protocol": {"name": "few-shot", "summary": "few labels"},
    "budget": {"name": "laptop", "summary": "minutes"},
    "seconds": 1800.0,
    "environment": {"python": "3.11", "device": "x86_64", "threads": 1, "packages": {"torch": "2.15"}},
}


def whole() -> Study:
    first, second = scores(), scores(rng=1, task="other", task_title=EVIL, origin="simulated")
    return Study(pd.concat([first, second]), [("first", first), ("second", second)], [RECORD, RECORD], RULE,
                 [Gap("emoji", "Modality gap: a → b", estimates(), "xkd-bench gap --task emoji")])  # fmt: skip


@pytest.fixture(scope="module")
def made():
    """The page, parsed; its text; its numbers; the files beside it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "png", lambda figure: b"\x89PNG")  # costly, and tested with the plots
        text, numbers, files = build(whole())
    return Page(text), text, json.loads(numbers), files


def test_every_part_is_there_and_reached_from_the_contents(made):
    page, _, _, _ = made
    ids = {attrs["id"] for _, attrs, _ in page.elements if "id" in attrs}
    linked = {attrs["href"][1:] for attrs, above in page.of("a") if "nav" in above}
    assert linked == {
        "overview",
        "task-1",
        "first",
        "task-2",
        "second",
        "gains",
        "gains-emoji-sketch-few-shot-laptop",
        "gains-other-few-shot-laptop",
        "gap",
        "gap-emoji",
        "rankings",
        "theory",
        "relation",
        "reading",
        "reproduce",
    }
    assert linked <= ids
    assert [len(page.of(tag)) for tag in ("main", "nav", "header", "footer", "h1")] == [1] * 5
    assert all(attrs.get("aria-labelledby") in ids for attrs, _ in page.of("section", "nav"))


def test_ids_are_unique_and_every_reference_has_its_target(made):
    page, text, _, files = made
    ids = [attrs["id"] for _, attrs, _ in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    for _, attrs, _ in page.elements:
        for name in ("href", "xlink:href"):
            if attrs.get(name, "").startswith("#"):
                assert attrs[name][1:] in ids
        for value in attrs.values():
            assert {match[1] for match in re.finditer(r"url\(#(.+?)\)", value)} <= set(ids)
    relative = {attrs["href"] for attrs, _ in page.of("a") if not re.match(r"#|https:", attrs["href"])}
    assert relative == {*files, "report.json"}
    assert "<?xml" not in text


def test_nothing_is_loaded_from_anywhere_and_no_script_runs(made):
    page, text, _, _ = made
    for tag, attrs, _ in page.elements:
        assert tag not in ("script", "img", "iframe", "object")
        assert not {"src", "srcset", "onload", "onclick"} & set(attrs)
        if tag == "link":
            assert attrs["href"] == "data:,"
        if "http" in attrs.get("href", ""):
            assert tag == "a"
            assert attrs["href"].startswith("https://arxiv.org/abs/")
    assert not re.search(r"@import|url\((?!#)", text)
    assert EVIL not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text


def test_tables_have_captions_scopes_and_boxes_of_their_own(made):
    page, _, numbers, _ = made
    assert len(page.of("table")) == len(page.of("caption")) == len(page.tables) == 1 + 2 * 3 + 2 + 2
    assert all(attrs["scope"] in ("col", "row", "rowgroup") for attrs, _ in page.of("th"))
    ids = {attrs.get("id") for _, attrs, _ in page.elements}
    boxes = [attrs for attrs, _ in page.of("div") if attrs.get("class") == "scroll"]
    assert all(a["tabindex"] == "0" and a["role"] == "region" for a in boxes)
    assert all(a.get("aria-label") or a.get("aria-labelledby") in ids for a in boxes)
    blocks = numbers["comparisons"] + numbers["gains"] + numbers["gaps"]
    shown = [numbers["overview"], *(t for b in blocks for t in b["tables"])]
    assert [table["table"] for table in shown] == list(range(1, 12))
    for block in numbers["comparisons"]:
        for table in block["tables"]:
            assert "Rests on 12 runs: 3 seeds, 2 label draws each; 2,000 test items" in table["caption"]
            assert "Rebuilt from the papers' words" in table["caption"]
    assert "simulated data" in numbers["comparisons"][1]["tables"][0]["caption"]


def test_figures_say_what_is_seen_and_lie_beside_the_page_in_three_formats(made):
    page, _, numbers, files = made
    plots_seen = [attrs for attrs, _ in page.of("svg")]
    assert len(plots_seen) == 5
    assert len(page.of("figcaption")) == 5
    for attrs in plots_seen:
        assert attrs["role"] == "img"
        assert len(attrs["aria-label"]) > 60
        assert "viewbox" in attrs
    names = [figure["name"] for block in numbers["comparisons"] + numbers["gaps"] for figure in block["figures"]]
    assert names == ["first", "first-gains", "second", "second-gains", "gap-emoji"]
    assert {f for f in files if f.startswith("figures/")} == {
        f"figures/{name}.{ending}" for name in names for ending in ("svg", "png", "pdf")
    }
    assert all(files[f"figures/{name}.pdf"].startswith(b"%PDF") for name in names)
    assert r"\toprule" in files["tables/gap-emoji.tex"].decode()
    assert r"\label{tab:first-gains}" in files["tables/first.tex"].decode()


def points(value: float) -> str:
    text = f"{abs(100 * value):.1f}"
    return text if text == "0.0" or value > 0 else "−" + text


def test_numbers_of_the_tables_are_those_of_the_json_and_of_the_analysis(made):
    page, _, numbers, _ = made
    block, df = numbers["comparisons"][0], whole().comparisons[0][1]
    told, expected = pd.DataFrame(block["scores"]), summarise(df)
    for name in ("mean", "low", "high"):
        assert told[name].to_numpy() == pytest.approx(expected[name].to_numpy(dtype=float), abs=1e-12)
    for table, trained in ((page.tables[1], "head"), (page.tables[2], "all")):
        for label, *cells in table[1:]:
            rows = told[(told["variant"] == label.strip()) & (told["trained"] == trained)].sort_values(
                "labels_per_class"
            )
            assert len(rows) == len(cells) == 2
            for cell, mean, low, high in zip(cells, rows["mean"], rows["low"], rows["high"], strict=True):
                assert re.findall(r"[\d.]+", cell)[:2] == [points(mean), points((high - low) / 2)]
    gained, parts = pd.DataFrame(block["gains"]), gains(df)
    assert gained["mean"].to_numpy() == pytest.approx(parts["difference"].to_numpy(dtype=float), abs=1e-12)
    assert page.tables[3][0][1:] == ["gain", "knowledge", "verdict"]
    first = gained[(gained["quantity"] == "gain") & (gained["trained"] == "head")].iloc[0]
    assert page.tables[3][1] == ["cmc over ssl"]
    assert page.tables[3][2][1].split()[0].lstrip("+") == points(first["mean"])


def test_what_is_missing_is_said_with_the_command_that_mends_it():
    df = frame([row(METHODS["cmc"], 0.5), row(METHODS["sup-ft"], 0.4)])
    text, numbers, _ = build(Study(df, [("one", df)], [], RULE))
    lacking = {part["what"]: part["command"] for part in json.loads(numbers)["comparisons"][0]["lacking"]}
    assert any("One seed" in what for what in lacking)
    assert any("No gain over ssl for cmc" in what for what in lacking)
    assert any("random teacher" in what for what in lacking)
    assert all(c.startswith("xkd-bench run --protocol few-shot --task emoji-sketch") for c in lacking.values())
    assert "What is missing" in text


def test_scores_that_do_not_share_a_table_do_not_hide_the_rest():
    twice = frame([row(METHODS["cmc"], 0.5), row(METHODS["cmc"], 0.6)])
    good = scores()
    text, numbers, _ = build(Study(pd.concat([good, twice]), [("good", good), ("bad", twice)], [], RULE))
    assert "more than one score" in json.loads(numbers)["comparisons"][1]["problem"]
    assert len(Page(text).of("svg")) == 2


def test_files_are_written_whole_and_the_same_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(plots, "png", lambda figure: b"\x89PNG")
    df = scores()
    made = Study(df, [("one", df)], [RECORD], RULE)
    paths = write(made, tmp_path / "new" / "report.html")
    assert paths[-1] == tmp_path / "new" / "report.html"
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["figures", "report.html", "report.json", "tables"]
    assert not list(tmp_path.rglob("*.tmp"))
    before = {path: path.read_bytes() for path in paths}
    shuffled = df.sample(frac=1, random_state=0)
    write(Study(shuffled, [("one", shuffled)], [RECORD], RULE), tmp_path / "new" / "report.html")
    assert {path: path.read_bytes() for path in paths} == before


def test_what_cannot_be_a_page_is_one_line(tmp_path: Path):
    df = scores()
    with pytest.raises(UsageError, match=r"ends in \.html"):
        write(Study(df, [("one", df)], [], RULE), tmp_path / "report.pdf")
    with pytest.raises(UsageError, match="no scores"):
        build(Study(df[:0], [], [], RULE))
    assert not list(tmp_path.iterdir())


def test_colours_keep_their_contrast_in_the_dark():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)  # WCAG's well-known near miss
    for colour in ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#6b6b6b", "#e6e6e6", "#4d9dcc"):
        wanted = contrast(colour, "#ffffff")
        wanted = max(wanted, 4.0) if wanted > 2 else wanted
        assert contrast(on_dark(colour), GROUND) == pytest.approx(wanted, rel=0.04)
    assert contrast(on_dark("#1a1a1a"), GROUND) == pytest.approx(14, rel=0.04)
    assert contrast(on_dark("#ffffff"), GROUND) == pytest.approx(1, abs=0.03)


def test_style_and_figures_share_the_dark_ground_and_texts_are_legible():
    style = (Path(plots.__file__).parent / "html" / "style.css").read_text()
    light, dark = (dict(re.findall(r"--(\w+): (#\w{6})", part)) for part in style.split("prefers-color-scheme")[:2])
    assert dark["ground"] == GROUND
    for scheme in (light, dark):
        for name in ("ink", "quiet", "accent", "good", "bad", "warn"):
            assert contrast(scheme[name], scheme["ground"]) >= 4.5, name
            assert contrast(scheme[name], scheme["soft"]) >= 4.5, name


def test_inline_figures_keep_their_shapes_and_lose_the_rest():
    from matplotlib.figure import Figure

    fig = Figure(figsize=(2, 1))
    ax = fig.add_subplot()
    ax.plot(np.arange(3), color="#0072b2")
    ax.set_title("<b>&")
    svg = inline(plots.svg(fig), "f9", 'a "b" <c>')
    parsed = Page(svg)
    assert parsed.elements[0][1]["aria-label"] == 'a "b" <c>'
    assert not {"metadata", "style"} & {tag for tag, _, _ in parsed.elements}
    assert all(attrs["id"].startswith("f9-") for _, attrs, _ in parsed.elements if "id" in attrs)
    assert "var(--k0072b2,#0072b2)" in svg
    assert "<!--" not in svg
    assert len(parsed.of("path")) >= 5
