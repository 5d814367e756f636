"""The table of scores that every analysis starts from: its columns, what may not be mixed in it, its rows' names."""

import json
import re
from typing import Any

import pandas as pd

from xkd_bench.errors import UsageError

COLUMNS = (
    *("key", "task", "task_title", "source", "target", "pairing", "origin"),
    *("method", "options", "option_changes", "provenance", "teacher", "pairs", "student", "init"),
    *("protocol", "protocol_version", "budget", "seed", "trained", "labels_per_class", "pair_fraction", "draw"),
    *("metric", "value", "n_test", "data_digest"),
)
"""One row a score. `value` is a fraction in 0..1; `labels_per_class` is <NA> where all labels are used. A further
column, `inputs`, may say which modalities the network was given: target (where it is missing), source or both."""

SETTING = ["trained", "labels_per_class", "pair_fraction"]
"""What makes a column of a table: scores are compared within one setting only."""

ONE_OF_A_KIND = (
    *("task", "task_title", "source", "target", "pairing", "origin"),
    *("protocol", "protocol_version", "budget", "metric"),
)
MAY_BE_NULL = ("labels_per_class", "teacher", "provenance")
REFERENCES = ("ssl", "pressl", "sup-ft", "teacher", "teacher-both")
FLOOR = "random features"
TARGET = "target"
ROLES = ("method", "control", "reference", "floor")
PAIRS = ("true", "shuffled")
NO_TEACHER = ("", "-", "none")
TRAINED = {"head": "linear evaluation", "all": "fine-tuning"}
"""What is trained on the labels, in the field's words."""


def check(df: pd.DataFrame) -> None:
    """Raise UsageError (a ValueError), one line, if `df` cannot be compared within itself."""
    missing = [name for name in COLUMNS if name not in df.columns]
    if missing:
        raise UsageError(f"scores lack the column{'s' * (len(missing) > 1)} {', '.join(missing)}")
    if df.empty:
        raise UsageError("there are no scores to compare")
    for name in COLUMNS:
        if name not in MAY_BE_NULL and (empty := int(df[name].isna().sum())):
            raise UsageError(f"{empty} of {len(df)} scores have no '{name}': a run without a score has no row")
    value = pd.to_numeric(df["value"], errors="coerce")
    if not value.between(0, 1).all():
        raise UsageError("a score is outside 0..1: 'value' is a fraction, not a percentage")
    for name, known in (("trained", TRAINED), ("pairs", PAIRS)):
        if unknown := sorted(set(df[name].astype(str)) - set(known)):
            raise UsageError(f"'{name}' is one of {', '.join(known)}, not '{unknown[0]}'")
    for name in ONE_OF_A_KIND:
        if len(kinds := sorted(df[name].astype(str).unique())) > 1:
            raise UsageError(f"scores of different {name.replace('_', ' ')} do not share a table: {', '.join(kinds)}")
    for name in ("data_digest", "n_test"):
        kinds_of_seed = df.groupby("seed")[name].nunique()
        if (kinds_of_seed > 1).any():
            seed = kinds_of_seed.idxmax()
            raise UsageError(
                f"seed {seed} has scores of {kinds_of_seed.max()} different {name.replace('_', ' ')}: not the same test"
            )


def variants(df: pd.DataFrame) -> pd.DataFrame:
    """Check `df`, name its rows and sort them; the order of the rows given does not matter.

    Adds three columns:
    variant: the row's label: the method, its changed options in brackets, `· random teacher` and `· shuffled pairs`
        for the controls, `· both inputs` or `· source input` where the network saw those, the teacher's name where it
        is not the usual one, and the student's where the table has several. `sup-ft` with `trained='head'` is an
        untrained frozen encoder: `random features`, the floor.
    role: 'method' (under test), 'control', 'reference' (`REFERENCES`) or 'floor': also the order of rows.
    order: int, rank of the variant in the table.
    """
    check(df)
    out = df.loc[:, list(COLUMNS)].assign(inputs=df.get("inputs", TARGET))
    out["labels_per_class"] = out["labels_per_class"].astype("Int64")
    out[["teacher", "provenance"]] = out[["teacher", "provenance"]].astype(object).fillna("").astype(str)
    out[["value", "pair_fraction"]] = out[["value", "pair_fraction"]].astype(float)
    out.loc[out["method"].isin(REFERENCES), "teacher"] = ""  # references have none, whatever the run was told
    usual = usual_teacher(out["teacher"])
    show_student = out["student"].nunique() > 1
    identity = ["method", "options", "option_changes", "teacher", "pairs", "student", "init", "inputs", "trained"]
    kinds = out[identity].drop_duplicates()
    named = []
    for row in kinds.itertuples(index=False, name=None):
        named.append((*row, *_name(dict(zip(identity, row, strict=True)), usual, show_student)))
    names = pd.DataFrame(named, columns=[*identity, "variant", "role", "rank"])
    ranks = {rank: i for i, rank in enumerate(sorted(set(names["rank"])))}
    names["order"] = names.pop("rank").map(ranks)
    out = out.merge(names, on=identity, how="left")
    _refuse_collisions(out)
    return out.sort_values(["order", *SETTING, "seed", "draw"], na_position="last").reset_index(drop=True)


def _refuse_collisions(out: pd.DataFrame) -> None:
    """No two rows for one cell, and no two kinds of run under one name."""
    kinds = out[["variant", "options", "teacher", "pairs", "student", "init", "inputs"]].drop_duplicates()
    twice = kinds["variant"][kinds["variant"].duplicated()]
    if len(twice):
        raise UsageError(f"different runs would both be called '{twice.iloc[0]}': compare them in separate tables")
    repeated = out[out.duplicated(["variant", *SETTING, "seed", "draw"])]
    if len(repeated):
        row = repeated.iloc[0]
        raise UsageError(
            f"'{row['variant']}' has more than one score for seed {row['seed']}, draw {row['draw']}, "
            f"{setting_name(row['trained'], row['labels_per_class'], row['pair_fraction'])}"
        )


def reference_of(df: pd.DataFrame, against: str) -> str:
    """What gains are over: `against`, or, of dense tasks, which have no ssl, sup-ft in its place."""
    return "sup-ft" if against == "ssl" and (df["metric"] == "mIoU").all() else against


def usual_teacher(teachers: "pd.Series[Any]") -> str:
    """The trained teacher of more than half of the scores that have one, which rows need not name; '' if none is."""
    trained = teachers[~teachers.isin(NO_TEACHER) & ~teachers.map(is_random)]
    shares = trained.value_counts(normalize=True)
    return str(shares.index[0]) if len(shares) and shares.iloc[0] > 0.5 else ""


def is_random(teacher: str) -> bool:
    """Whether this teacher is a control: a network with random weights (`random`, `random:NETWORK`)."""
    return teacher == "random" or teacher.startswith("random:")


def random_name(teacher: str) -> str:
    """'random', or 'random resnet50': a random teacher in words."""
    return teacher.replace(":", " ", 1)


def _name(run: dict[str, str], usual: str, show_student: bool) -> tuple[str, str, tuple[Any, ...]]:
    """Label, role and sort key of one kind of run."""
    changes: dict[str, Any] = json.loads(run["option_changes"] or "{}")
    floor = run["method"] == "sup-ft" and run["trained"] == "head"
    random, shuffled = is_random(run["teacher"]), run["pairs"] == "shuffled"
    label = FLOOR if floor else run["method"]
    if changes:
        label += f" ({', '.join(f'{name}={_short(value)}' for name, value in sorted(changes.items()))})"
    parts = [label]
    parts += [f"{random_name(run['teacher'])} teacher"] * random + ["shuffled pairs"] * shuffled
    if not random and run["teacher"] not in (*NO_TEACHER, usual):
        parts.append(f"{run['teacher']} teacher")
    parts += [f"{run['init']} start"] * (run["init"] != "random")
    parts += {"both": ["both inputs"], "source": ["source input"]}.get(run["inputs"], [])
    if show_student:
        parts.append(f"{run['student']} student")
    role = "floor" if floor else "reference" if run["method"] in REFERENCES else "method"
    if role == "method" and (random or shuffled):
        role = "control"
    options = tuple((name, _sortable(value)) for name, value in sorted(changes.items()))
    student, teacher = natural(run["student"]), natural(run["teacher"])
    key = (ROLES.index(role), run["method"], options, student, shuffled, teacher, *parts)
    return " · ".join(parts), role, key


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _sortable(value: Any) -> tuple[int, float, str]:
    """Numbers by size, before everything else by its text."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return (0, float(value), "") if number else (1, 0.0, _short(value))


def natural(name: str) -> tuple[tuple[str | int, ...], str]:
    """Sorts names by the numbers in them, conv4-w8 before conv4-w16: text and numbers in turn, then the name itself."""
    return tuple(int(part) if i % 2 else part for i, part in enumerate(re.split(r"(\d+)", name))), name


def setting_name(trained: str, labels: Any, fraction: float) -> str:
    """'linear evaluation, 5 labels per class, 10 % of pairs': one setting in words."""
    words = [TRAINED.get(trained, trained)]
    if not pd.isna(labels):
        words.append(f"{int(labels)} label{'s' * (int(labels) != 1)} per class")
    if fraction != 1.0:
        words.append(f"{100 * fraction:g} % of pairs")
    return ", ".join(words)
