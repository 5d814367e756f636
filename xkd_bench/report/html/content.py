"""What the page shows, made once and in its order: comparisons, gaps and claims, each with tables, figures, numbers."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count as counting
from typing import Any

import pandas as pd
from matplotlib.figure import Figure as Drawn

from xkd_bench.analysis.compare import gains, variants
from xkd_bench.analysis.scores import reference_of
from xkd_bench.errors import UsageError
from xkd_bench.report import plots, tables
from xkd_bench.report.forest import TITLES, forest
from xkd_bench.report.html import facts, table
from xkd_bench.report.html.gains import gains_figure
from xkd_bench.report.html.inline import embedded, inline
from xkd_bench.report.html.latex import gap_document, plain_document
from xkd_bench.report.recipe import shared_recipe_apart
from xkd_bench.report.sheet import ALPHA, Sheet, sheet
from xkd_bench.report.words import count, listing, protocol_title, title_of

AGAINST = "ssl"
Files = dict[str, bytes]
Panel = tuple[bytes, Sequence[str]]
"""A PNG of test images of a dense task, and the titles of its columns."""


@dataclass(frozen=True)
class Figure:
    """An inline figure, an <svg> or an <img> of its own bytes; files: (words, path beside the page)."""

    number: int
    name: str
    element: str
    caption: str
    files: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Block:
    """A section of the page. lacking: (what is missing, command). problem: why there is nothing else to see."""

    anchor: str
    title: str
    group: str = ""
    lead: str = ""
    badges: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    tables: tuple[table.Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    lacking: tuple[tuple[str, str], ...] = ()
    commands: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    problem: str = ""
    numbers: dict[str, Any] = field(default_factory=dict)
    glance: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Gap:
    """A table of gap estimates as `xkd-bench gap` wrote it, and the command that did."""

    name: str
    title: str
    estimates: pd.DataFrame
    command: str = ""


class Maker:
    """Makes blocks one after the other: numbers tables and figures, collects the files that lie beside the page."""

    def __init__(self, records: facts.Records, selection_rule: str, panels: Mapping[str, Panel] | None = None) -> None:
        self.files: Files = {}
        self.panels = panels or {}
        self.protocols = facts.summaries(records, "protocol")
        self.budgets = facts.summaries(records, "budget")
        self.selection_rule = selection_rule
        self._tables, self._figures = counting(1), counting(1)

    def next_table(self) -> int:
        return next(self._tables)

    def keep(self, folder: str, name: str, contents: Files) -> tuple[tuple[str, str], ...]:
        """Remember files for `folder`; what the page calls them and where they are."""
        paths = {ending: f"{folder}/{name}.{ending}" for ending in contents}
        self.files |= {paths[ending]: content for ending, content in contents.items()}
        words = {"tex": "LaTeX"}
        return tuple((words.get(ending, ending.upper()), path) for ending, path in paths.items())

    def figure(self, drawn: Drawn, name: str, alt: str, caption: str) -> Figure:
        number, svg = next(self._figures), plots.svg(drawn)
        files = self.keep("figures", name, {"svg": svg, "png": plots.png(drawn), "pdf": plots.pdf(drawn)})
        return Figure(number, name, inline(svg, f"f{number}", alt), caption, files)

    def finished(self, shown: table.Table, found: pd.DataFrame) -> table.Table:
        """The table with its files beside the page: all numbers of `found` as CSV, what is shown as LaTeX."""
        csv = found.to_csv(index=False, lineterminator="\n", float_format="%.10g").encode()
        return _with_files(shown, self.keep("tables", shown.name, {"csv": csv, "tex": plain_document(shown).encode()}))

    def panel(self, name: str, df: pd.DataFrame) -> list[Figure]:
        """Test images of a dense task with what was predicted, where there are any."""
        if name not in self.panels:
            return []
        image, titles = self.panels[name]
        files = self.keep("figures", f"{name}-panels", {"png": image})
        alt = f"Test images in rows, with columns: {listing(titles, most=20)}. Colours of the classes below them."
        caption = (
            f"What was predicted of a few test images of {_first(df, 'task_title')}: one seed, to look at, not to "
            "judge by. Light grey is not scored."
        )
        return [Figure(next(self._figures), f"{name}-panels", embedded(image, alt), caption, files)]

    def comparison(self, name: str, df: pd.DataFrame, drawn: bool = True) -> Block:
        """Everything of one task, protocol and budget; where its scores cannot be compared, only why. drawn: with
        figures."""
        one = df.iloc[0]
        group, title = str(one["task_title"]), f"{protocol_title(one['protocol'])}, {one['budget']} budget"
        try:
            content = sheet(df, self.selection_rule, AGAINST)
        except UsageError as error:
            return Block(name, title, group, problem=f"These scores do not share a table: {error}.")
        against, gained = reference_of(df, AGAINST), gains(df, AGAINST)
        lead = " ".join(_sentence(text) for text in (self.protocols.get(one["protocol"], ""),
                                                     self.budgets.get(one["budget"], "")) if text)  # fmt: skip
        long = tables.long(df, self.selection_rule, AGAINST)
        return Block(
            name, title, group, lead, _badges(df), content.facts,
            tuple(self._score_tables(name, df, content)),
            (*self._score_figures(name, shared_recipe_apart(df), content), *self.panel(name, df)) if drawn else (),
            tuple(facts.lacking(df, gained, against)), tuple(facts.commands(df)), content.notes,
            numbers={"scores": records_of(long[long["quantity"] == one["metric"]]),
                     "gains": records_of(long[long["quantity"] != one["metric"]])},
            glance=_glance(df, gained),
        )  # fmt: skip

    def _score_tables(self, name: str, df: pd.DataFrame, content: Sheet) -> list[table.Table]:
        files = self.keep("tables", name, {
            "csv": tables.csv(df, self.selection_rule, AGAINST).encode(),
            "tex": tables.latex(df, self.selection_rule, AGAINST, label=name).encode(),
        })  # fmt: skip
        rests = " ".join(filter(None, (facts.rests_on(df), facts.reconstructed(df))))
        spread = dict(content.facts)["±"]
        shown = f"{title_of(_first(df, 'metric'))} in percent. " + title_of(
            f"± is {spread}. " if "half" in spread else f"{spread}. "
        )
        out = [
            table.of_scores(part, self.next_table(), f"{name}-{i}", shown + rests, content.legend)
            for i, part in enumerate(content.scores)
        ]
        if content.gains:
            caption = f"Differences within the same seed and label draw, in points. {rests}"
            out.append(table.of_gains(content, self.next_table(), f"{name}-gains", caption))
        return [_with_files(part, files) for part in out]

    def _score_figures(self, name: str, df: pd.DataFrame, content: Sheet) -> list[Figure]:
        rows = [row[0].value for section in content.scores for row in section.rows]
        names = listing(list(dict.fromkeys(rows)), most=20)
        rests = facts.rests_on(df)
        alt = f"Plot of {_first(df, 'metric')}: {content.title}. Rows: {names}. All its numbers are in the tables here."
        shown = "Lines or dots are means, bands and bars their 95 % intervals; the dashed grey line is the floor."
        against = reference_of(df, AGAINST)
        out = [self.figure(plots.figure(df), name, alt, f"{content.title}. {shown} {rests}")]
        if content.gains:
            gained = gains(df, AGAINST)
            with_gain = gained[gained["variant"].isin(gained.loc[gained["part"] == "gain", "variant"])]
            title = f"Gains over {against} · {protocol_title(_first(df, 'protocol')).lower()}"
            words = f"{_first(df, 'task_title')}, budget {_first(df, 'budget')}; 95 % intervals of paired differences"
            drawn = gains_figure(with_gain, title, words)
            alt = (
                f"Dots with intervals about a line at zero: gains over {against} and their parts. Rows: "
                + listing(list(with_gain["variant"].unique()), most=20)
                + ". All its numbers are in the table of gains."
            )
            filled = f"Filled: told from zero (Holm over the methods of a column, {100 * ALPHA:g} %); open: not."
            out.append(self.figure(drawn, f"{name}-gains", alt, f"Gains over {against}, in points. {filled} {rests}"))
        return out

    def gap(self, study: Gap) -> Block:
        """The gap's forest plot and a table for each of its panels."""
        estimates = study.estimates
        name = f"gap-{study.name}"
        confidence = f"{100 * float(estimates['confidence'].max()):g} %"
        csv = estimates.to_csv(index=False, lineterminator="\n").encode()
        tex = gap_document(estimates, study.title, name).encode()
        files = self.keep("tables", name, {"csv": csv, "tex": tex})
        rests = f"Ranges hold at {confidence} each, not jointly; n is the number of rows that each estimate rests on."
        shown = [
            table.of_gap(part, TITLES.get(str(panel), str(panel)), self.next_table(), f"{name}-{panel}", rests)
            for panel, part in estimates.groupby("panel", sort=False)
        ]
        alt = (
            f"Forest plot. {study.title}: {', '.join(map(str, estimates['name']))}. Its numbers are in the tables here."
        )
        caption = (
            f"{study.title}. A bar is an estimate's range; that of a lower bound fades where nothing is certified."
        )
        drawn = forest(estimates, study.title, rests)
        return Block(name, study.title, tables=tuple(_with_files(part, files) for part in shown),
                     figures=(self.figure(drawn, name, alt, caption),),
                     commands=(study.command,) * bool(study.command),
                     numbers={"estimates": records_of(estimates)})  # fmt: skip

    def claims(self, ledger: pd.DataFrame, command: str) -> Block:
        """The ledger: a table for each paper and kind."""
        from xkd_bench.report import claims

        files = self.keep("tables", "claims", {
            "csv": ledger.to_csv(index=False, lineterminator="\n", float_format="%.10g").encode(),
            "tex": claims.latex(ledger).encode(),
        })  # fmt: skip
        shown = []
        for i, (title, rows) in enumerate(claims.sections(ledger)):
            open_ = sum(bool(row["missing"]) for row in rows)
            caption = f"{count(len(rows), 'claim')}" + (f", {open_} of them without data yet." if open_ else ".")
            shown.append(table.of_claims(title, rows, self.next_table(), f"claims-{i + 1}", caption))
        return Block("claims", "Claims of the papers", lead=claims.summary(ledger) + ".",
                     tables=tuple(_with_files(part, files) for part in shown), commands=(command,),
                     numbers={"claims": records_of(ledger)})  # fmt: skip


def _with_files(part: table.Table, files: Sequence[tuple[str, str]]) -> table.Table:
    return replace(part, files=tuple(files))


def _first(df: pd.DataFrame, column: str) -> str:
    return str(df[column].iloc[0])


def _sentence(text: str) -> str:
    return title_of(text) + "." * (text[-1:] not in ".?!")


def _badges(df: pd.DataFrame) -> tuple[str, ...]:
    one = df.iloc[0]
    rebuilt = df["provenance"].fillna("").str.contains("RECON").any()
    return (f"{one['origin']} data", f"{one['source']} → {one['target']}", f"pairs by {one['pairing']}",
            *["with reconstructed methods"] * bool(rebuilt))  # fmt: skip


def _glance(df: pd.DataFrame, gained: pd.DataFrame) -> dict[str, Any]:
    """A row of the overview: what was run, and how many gains are told from zero."""
    gain = gained[gained["part"] == "gain"]
    told = gain["p_holm"] < ALPHA
    named = variants(df)
    return {
        "task": _first(df, "task"), "protocol": _first(df, "protocol"), "budget": _first(df, "budget"),
        "origin": _first(df, "origin"), "runs": int(df["key"].nunique()), "seeds": int(df["seed"].nunique()),
        "scores": len(df), "methods": int(named.loc[named["role"] == "method", "variant"].nunique()),
        "gains": int((told & (gain["difference"] > 0)).sum()), "losses": int((told & (gain["difference"] < 0)).sum()),
        "undecided": int((~told).sum()),
    }  # fmt: skip


def records_of(df: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows for JSON: NaN is null, numbers keep 15 digits."""
    rows: list[dict[str, Any]] = json.loads(df.to_json(orient="records", double_precision=15))
    return rows
