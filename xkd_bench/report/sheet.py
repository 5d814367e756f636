"""What a table says, before it is laid out for a terminal, Markdown or LaTeX: facts, sections, legends, notes."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from xkd_bench.analysis.compare import distinguish, gains, summarise, variants
from xkd_bench.analysis.scores import NO_TEACHER, TRAINED, is_random, reference_of, usual_teacher
from xkd_bench.report.recipe import shared_recipe_apart
from xkd_bench.report.words import count, listing, names_of, points, protocol_title, short_setting, signed, title_of

ALPHA = 0.05
SAME, UNDECIDED, ZERO = "†", "‡", "°"
Row = Mapping[Hashable, Any]
MIOU = (
    "mIoU: the mean over classes of intersection over union, by one confusion matrix over all pixels of the test part "
    "that are labelled; classes that are not in train and in test are left out."
)
PARTS = ("gain", "knowledge", "pairing", "objective")


@dataclass(frozen=True)
class Cell:
    """`value` ± `spread` and a mark; the value is set bold if it is the best of its column."""

    value: str
    spread: str = ""
    bold: bool = False
    mark: str = ""

    def plain(self) -> str:
        return self.value + (f" ± {self.spread}" if self.spread else "") + (f" {self.mark}" if self.mark else "")


NONE = Cell("—")


@dataclass(frozen=True)
class Section:
    """One block of rows; `title` heads the first column, which names the rows, `header` the others."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Sheet:
    """A whole table. facts: (name, text) for the head; legends: lines that explain scores and gains."""

    title: str
    facts: tuple[tuple[str, str], ...]
    scores: tuple[Section, ...]
    legend: str
    notes: tuple[str, ...] = ()
    gains: tuple[Section, ...] = ()
    gains_legend: str = ""
    caption: str = field(default="")


def sheet(df: pd.DataFrame, selection_rule: str, against: str = "ssl", confidence: float = 0.95) -> Sheet:
    """Say what `df` says. `selection_rule` is how hyper-parameters and checkpoints were chosen, in words."""
    df = shared_recipe_apart(df)
    named, summary, marks = variants(df), summarise(df, confidence), distinguish(df, ALPHA)
    one = named.iloc[0]
    against = reference_of(named, against)
    gained = gains(df, against, confidence)
    sections = _gain_sections(gained)
    return Sheet(
        title=f"{protocol_title(one['protocol'])} on {one['task_title']}",
        facts=(*_facts(named, selection_rule), ("±", _plus_minus(summary, confidence))),
        scores=tuple(
            _score_section(summary, marks, trained) for trained in TRAINED if trained in set(summary["trained"])
        ),
        legend=_legend(marks),
        notes=_notes(summary, gained, against),
        gains=sections,
        gains_legend=_gains_legend(sections, against),
        caption=_caption(named, confidence),
    )


def _facts(named: pd.DataFrame, selection_rule: str) -> list[tuple[str, str]]:
    one = named.iloc[0]
    origin = {"real": "real data", "rendered": "rendered data", "simulated": "simulated data"}
    made_from = named.loc[named["provenance"] != ""].drop_duplicates(["method", "provenance"])
    teachers = [name for name in names_of(named["teacher"]) if name not in NO_TEACHER and not is_random(name)]
    if (usual := usual_teacher(named["teacher"])) and len(teachers) > 1:
        teachers = [f"{usual} where a row names no other", *(name for name in teachers if name != usual)]
    n_test = sorted(named["n_test"].unique())
    size = f"{n_test[0]:,}" + (f" to {n_test[-1]:,}" if len(n_test) > 1 else "")
    return [
        ("Task", f"{one['task_title']} ({one['task']}): {origin.get(one['origin'], one['origin'])}"),
        ("Modalities", f"{one['source']} → {one['target']}, paired by {one['pairing']}"),
        ("Protocol", f"{one['protocol']}, version {one['protocol_version']}; budget {one['budget']}"),
        ("Teacher", listing(teachers) or "none"),
        ("Student", listing(names_of(named["student"]))),
        ("Seeds", _seeds(named)),
        ("Scores", f"{one['metric']} in percent, on {size} test items"),
        ("Model selection", selection_rule),
        ("Data digest", listing([digest[:12] for digest in names_of(named["data_digest"])], most=4)),
        ("Methods", "; ".join(f"{m} {p}" for m, p in zip(made_from["method"], made_from["provenance"], strict=True))),
    ]


def _seeds(named: pd.DataFrame) -> str:
    draws = named.groupby(["order", "trained", "labels_per_class", "pair_fraction", "seed"], dropna=False)[
        "draw"
    ].size()
    fewest, most = draws.min(), draws.max()
    each = count(most, "label draw") if fewest == most else f"{fewest} to {most} label draws"
    seeds = sorted(named["seed"].unique())
    text = ", ".join(map(str, seeds)) if len(seeds) <= 10 else f"{len(seeds)} from {seeds[0]} to {seeds[-1]}"
    return f"{text}; {each} per seed" if most > 1 or fewest > 1 else text


def _plus_minus(summary: pd.DataFrame, confidence: float) -> str:
    """What the half-widths of this table mean."""
    covers = list(dict.fromkeys(summary.sort_values("n_scores", ascending=False)["covers"]))
    if all(cover.startswith("one score") for cover in covers):
        return "one score in each cell: no interval"
    unit = "seeds" if (summary["n_seeds"] > 1).any() else "label draws"
    return f"half the {100 * confidence:g} % Student t interval over {unit}; it covers {', or '.join(covers)}"


def _score_section(summary: pd.DataFrame, marks: pd.DataFrame, trained: str) -> Section:
    rows = _with_setting(summary.assign(status=marks["status"]))
    rows = rows[rows["trained"] == trained]
    header = rows.sort_values(["labels_per_class", "pair_fraction"], na_position="last")["setting"].unique()
    cells = {(row["variant"], row["setting"]): _score(row) for row in rows.to_dict("records")}
    lines = []
    for variant in rows["variant"].unique():
        lines.append((Cell(variant), *(cells.get((variant, setting), NONE) for setting in header)))
    return Section(title_of(TRAINED[trained]), tuple(header), tuple(lines))


def _with_setting(rows: pd.DataFrame, trained: bool = False) -> pd.DataFrame:
    """Add `setting`: each row's setting in a few words, with what is trained if asked."""
    many = bool(rows["pair_fraction"].nunique() > 1)
    columns = (rows["labels_per_class"], rows["pair_fraction"].astype(float), rows["trained"].astype(str))
    names = [short_setting(labels, f, what * trained, many) for labels, f, what in zip(*columns, strict=True)]
    return rows.assign(setting=names)


def _score(row: Row) -> Cell:
    mark = {"not distinguishable": SAME, "undecided": UNDECIDED}.get(row["status"], "")
    return Cell(points(row["mean"]), points((row["high"] - row["low"]) / 2), row["status"] == "best", mark)


def _legend(marks: pd.DataFrame) -> str:
    status = set(marks["status"])
    words = ["bold: highest mean of its column"] * ("best" in status)
    if "not distinguishable" in status or "distinguishable" in status:
        over = "seeds, on the same draws" if marks["n_seeds"].max() > 1 else "label draws, so of this one split"
        how = f"paired t tests over {over}; Holm over all pairs of the column, {100 * ALPHA:g} %"
        words.append(f"{SAME}: not distinguishable from it ({how})")
    words += [f"{UNDECIDED}: too few scores to decide"] * ("undecided" in status)
    words += ["networks given other inputs than the target alone do not compete"] * ("other inputs" in status)
    return "; ".join(words)


def _notes(summary: pd.DataFrame, gained: pd.DataFrame, against: str) -> tuple[str, ...]:
    """What is incomplete, or not as the reader would expect."""
    notes = []
    if (summary["metric"] == "mIoU").any():
        notes.append(MIOU)
    short = summary[summary["n_scores"] < summary["n_scores"].max()]
    cells = short.groupby(["variant", "n_seeds", "n_scores"], sort=False).size().reset_index(name="columns")
    words = [
        f"{variant} ({count(seeds, 'seed')}, {count(n, 'score')}, in {count(columns, 'column')})"
        for variant, seeds, n, columns in cells.itertuples(index=False, name=None)
    ]
    if words:
        notes.append(f"Fewer scores than the rest, compared on the draws in common only: {listing(words)}.")
    if (gained["against_fraction"] != gained["pair_fraction"]).any():
        notes.append(f"{against} uses no pairs: its score at all pairs stands for every fraction.")
    return tuple(notes)


def _gain_sections(gained: pd.DataFrame) -> tuple[Section, ...]:
    """Gain and parts in points, and a verdict in words: a section for each method with its settings as rows or, where
    methods are more than settings, one for each setting and reference with the methods as rows."""
    rows = _with_setting(gained, trained=True)
    gain = rows[rows["part"] == "gain"]
    over = gain.drop_duplicates("variant").set_index("variant")["subtrahend"]  # of several students, each its own
    rows = rows[rows["variant"].isin(over.index)]
    head, line = "variant", "setting"
    if rows["variant"].nunique() > max(1, rows["setting"].nunique()):
        head, line = line, head
    groups = rows.groupby([head, rows["variant"].map(over)], sort=False)
    return tuple(_gain_section(part, f"{name} over {reference}", line) for (name, reference), part in groups)


def _gain_section(rows: pd.DataFrame, title: str, line: str) -> Section:
    parts = [part for part in PARTS if part in set(rows["part"])]
    out = []
    for name, of_line in rows.groupby(line, sort=False):
        found = {str(row["part"]): row for row in of_line.to_dict("records")}
        if "gain" in found:
            cells = [_gain(found[part]) if part in found else NONE for part in parts]
            out.append((Cell(str(name)), *cells, Cell(_verdict(found["gain"]))))
    return Section(title, (*parts, "verdict"), tuple(out))


def _gain(row: Row) -> Cell:
    mark = ZERO if row["p_holm"] >= ALPHA else ""
    return Cell(signed(row["difference"]), points((row["high"] - row["low"]) / 2), mark=mark)


def _verdict(row: Row) -> str:
    if pd.isna(row["p_holm"]):
        return "too few to decide"
    if not row["p_holm"] < ALPHA:
        return "undecided"
    return ("gain" if row["difference"] > 0 else "loss") + (" on this split" if row["n_seeds"] == 1 else "")


def _gains_legend(sections: tuple[Section, ...], against: str) -> str:
    if not sections:
        return ""
    parts = {name for section in sections for name in section.header}
    words = ["in points"]
    if {"knowledge", "pairing", "objective"} <= parts:
        words.append("gain = knowledge + pairing + objective")
    words += ["knowledge: method − random teacher"] * ("knowledge" in parts)
    words += ["pairing: random teacher − shuffled pairs (the latter keep the teacher)"] * ("pairing" in parts)
    words += [f"objective: shuffled pairs − {against}"] * ("objective" in parts)
    if any(cell.mark for section in sections for row in section.rows for cell in row):
        words.append(
            f"{ZERO}: not told from zero (paired t test, Holm over the methods of a column, {100 * ALPHA:g} %)"
        )
    return "; ".join(words)


def _caption(named: pd.DataFrame, confidence: float) -> str:
    one = named.iloc[0]
    kind = {"rendered": " (rendered data)", "simulated": " (simulated data)"}.get(one["origin"], "")
    what = f"{protocol_title(one['protocol'])} on {one['task_title']}{kind}, {one['source']} → {one['target']}"
    scores = f"{one['metric']} in percent, mean ± half the {100 * confidence:g} % interval"
    return f"{what}, budget {one['budget']}: {scores}."
