"""What a comparison rests on, what it lacks, the commands that make it, and the machines that it was made on."""

import json
from collections.abc import Mapping, Sequence
from shlex import quote
from typing import Any

import pandas as pd

from xkd_bench.analysis.compare import variants
from xkd_bench.analysis.scores import NO_TEACHER, is_random
from xkd_bench.report.words import count, listing, names_of

SHARED = ("option_changes", "teacher", "student", "init", "batch", "precision")
Records = Sequence[Mapping[str, Any]]
ORIGIN = {"real": "real data", "rendered": "rendered data, not photographs or drawings by hand",
          "simulated": "simulated data, whose truth is known"}  # fmt: skip


def rests_on(df: pd.DataFrame) -> str:
    """'Rests on 45 runs: 3 seeds, 10 label draws each; 1,330 test items; real data.'"""
    draws = df.groupby(["key", "seed", "trained", "labels_per_class", "pair_fraction"], dropna=False)["draw"].nunique()
    each = f", {count(int(draws.max()), 'label draw')} each" if draws.max() > 1 else ""
    fewest, most = int(df["n_test"].min()), int(df["n_test"].max())
    items = f"{fewest:,}" if fewest == most else f"{fewest:,} to {most:,}"
    runs, seeds = count(df["key"].nunique(), "run"), count(df["seed"].nunique(), "seed")
    origin = str(df["origin"].iloc[0])
    return f"Rests on {runs}: {seeds}{each}; {items} test items; {ORIGIN.get(origin, origin)}."


def reconstructed(df: pd.DataFrame) -> str:
    """A sentence that names what was rebuilt from a paper's words; '' if nothing was."""
    tagged = df.loc[df["provenance"].fillna("").str.contains("RECON"), "method"]
    if tagged.empty:
        return ""
    return f"Rebuilt from the papers' words, not from their code: {listing(names_of(tagged), most=12)}."


def commands(df: pd.DataFrame) -> list[str]:
    """Commands that run this comparison again: one for all methods that share options, teacher, student and so on.

    `df` may say with which `batch` (<NA>: the budget's) and `precision` its runs were asked for.
    """
    named, one = variants(df).merge(_asked(df), on="key"), df.iloc[0]
    tested = named[named["role"] == "method"]
    alone = tested.empty
    found: dict[tuple[str, ...], list[str]] = {}
    for row in (named if alone else tested).drop_duplicates(["variant", "batch", "precision"]).to_dict("records"):
        method, *shared = (str(row[name]) for name in ("method", *SHARED))
        methods = found.setdefault(tuple(shared), [])
        if method not in methods:
            methods.append(method)
    seeds = ",".join(map(str, sorted(named["seed"].unique()))) + "," * (named["seed"].nunique() == 1)
    out = []
    for (changes, teacher, student, init, batch, precision), methods in found.items():
        words = [f"xkd-bench run --protocol {quote(one['protocol'])} --task {quote(one['task'])}"]
        words += [f"--budget {quote(one['budget'])}", *(f"--method {quote(name)}" for name in methods)]
        words += [_change(name, value) for name, value in sorted(json.loads(changes or "{}").items())]
        words += [*_teacher(teacher), f"--student {quote(student)}"]
        words += _start(init) + [f"--batch {batch}"] * (batch != "")
        words += [f"--precision {precision}"] * (precision != "32") + [f"--seeds {seeds}"] + ["--alone"] * alone
        out.append(" ".join(words))
    return out


def _asked(df: pd.DataFrame) -> pd.DataFrame:
    """Batch ('' where it is the budget's) and precision of each run, by its key."""
    batch = df["batch"].map(lambda b: "" if pd.isna(b) else str(int(b))) if "batch" in df else ""
    asked = pd.DataFrame({"key": df["key"], "batch": batch, "precision": df.get("precision", "32")})
    return asked.drop_duplicates("key")


def _change(name: str, value: Any) -> str:
    """The words of a changed option, or of a change of the budget, which records name `recipe.FIELD`."""
    bare = name.removeprefix("recipe.")
    return f"--{'option' if bare == name else 'recipe'} {quote(f'{bare}={_plain(value)}')}"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _start(init: str) -> list[str]:
    if init.startswith("backbone "):  # of a file, known by its digest
        return [f"--student-backbone FILE_{init.removeprefix('backbone ')}"]
    return [f"--init {quote(init)}"] * (init != "random")


def _teacher(teacher: str) -> list[str]:
    if teacher in NO_TEACHER or is_random(teacher):
        return []
    name, _, digest = teacher.partition(" ")  # weights from a file have their digest behind the name
    option = "--teacher-backbone" if digest.startswith("from ") else "--teacher-weights"
    return [f"--teacher {quote(name)}"] + [f"{option} FILE_{digest.removeprefix('from ')}"] * bool(digest)


def lacking(df: pd.DataFrame, gained: pd.DataFrame, against: str) -> list[tuple[str, str]]:
    """What keeps the comparison from saying more: (sentence, command that mends it)."""
    named = variants(df)
    again = commands(df)
    mend = again[0].partition(" --seeds")[0]
    out = []
    methods = list(named.loc[named["role"] == "method", "variant"].unique())
    if named["seed"].nunique() == 1:
        out.append(("One seed: what is said holds for this one split and these initial weights only.",
                    f"{mend} --seeds 3"))  # fmt: skip
    elif named["seed"].nunique() == 2:
        out.append(("Two seeds: intervals have one degree of freedom and are very wide.", f"{mend} --seeds 5"))
    without = [m for m in methods if not ((gained["variant"] == m) & (gained["part"] == "gain")).any()]
    if without:
        out.append((f"No gain over {against} for {listing(without)}: {against} was not run on the same draws.", mend))
    for part, what in (("knowledge", "a random teacher"), ("pairing", "shuffled pairs")):
        bare = [m for m in methods if not ((gained["variant"] == m) & (gained["part"] == part)).any()]
        if bare:
            out.append((f"Without the control with {what}: {listing(bare)}.", mend))
    return out


def environments(records: Records) -> list[dict[str, Any]]:
    """The machines and versions of these records, the commonest first, each with its number of runs and hours."""
    found: dict[str, dict[str, Any]] = {}
    for record in records:
        environment = dict(record.get("environment", {}))
        entry = found.setdefault(json.dumps(environment, sort_keys=True), {**environment, "runs": 0, "seconds": 0.0})
        entry["runs"] += 1
        entry["seconds"] += float(record.get("seconds") or 0.0)
    return sorted(found.values(), key=lambda e: (-e["runs"], json.dumps(e, sort_keys=True)))


def summaries(records: Records, what: str) -> dict[str, str]:
    """name: one line, of the protocols or budgets that these records ran under."""
    return {r[what]["name"]: str(r[what].get("summary", "")) for r in records if isinstance(r.get(what), Mapping)}
