"""What the ledger tells to run: commands that parse, name what exists, and make what the claims are decided on."""

import json
import shlex

import numpy as np
import pandas as pd
import pytest

from xkd_bench import methods, tasks
from xkd_bench.analysis import study
from xkd_bench.analysis.claims import CLAIMS
from xkd_bench.analysis.ledger import Data, evaluate
from xkd_bench.cli import SUMMARIES, command
from xkd_bench.cli.shared import parse_options, parse_seeds
from xkd_bench.suite.comparison import comparison
from xkd_bench.suite.grid import load_sweep

FILLS = sorted({claim.fill for claim in CLAIMS if claim.fill})
COMMANDS = sorted({part for fill in FILLS for part in fill.split(" && ")})


def parsed(words):
    """The subcommand and its parameters, as the command line reads them; nothing is run."""
    program, name, *rest = shlex.split(words)
    assert program == "xkd-bench"
    assert name in SUMMARIES
    return name, command(name).make_context(name, rest).params


def specs(words):
    """The runs that a command would carry out."""
    name, given = parsed(words)
    if name == "sweep":
        seeds = parse_seeds(given["seeds"], "laptop") if given["seeds"] else None
        return load_sweep(given["which"]).specs(given["budget"], seeds)
    assert name == "run"
    shared = {field: given[field] for field in ("task", "protocol", "budget", "teacher", "student", "pairs")}
    seeds = parse_seeds(given["seeds"], given["budget"])
    return comparison(given["method"], seeds, given["alone"], options=parse_options(given["option"]), **shared)


def scores(fill):
    """Scores that the runs of a fill would give, their values made up: better with more labels, by little."""
    random, rows = np.random.default_rng(0), []
    for spec in dict.fromkeys(spec for part in fill.split(" && ") for spec in specs(part)):
        protocol, method, card = spec.load_protocol(), methods.get(spec.method), tasks.get(spec.task).card
        defaults = method.parse_options(spec.method, {}).model_dump(mode="json")
        changes = {k: v for k, v in spec.options.items() if v != defaults[k]}
        shared = {name: getattr(spec, name) for name in
                  ("task", "method", "teacher", "pairs", "student", "init", "budget", "seed")}  # fmt: skip
        shared |= {"options": json.dumps(spec.options, sort_keys=True), "option_changes": json.dumps(changes)}
        shared |= {"metric": "mIoU" if card.kind == "segmentation" else "accuracy"}
        luck = random.normal(0, 0.01)
        for trained in protocol.trained:
            for labels in protocol.label_counts():
                for fraction in protocol.pair_fractions:
                    for inputs in getattr(method, "inputs", ("target",)):
                        cell = {"trained": trained, "labels_per_class": labels, "pair_fraction": fraction}
                        value = 0.5 - 0.2 / (labels or 100) ** 0.5 + luck
                        rows.append(shared | cell | {"inputs": inputs, "value": value})
    return pd.DataFrame(rows).astype({"labels_per_class": "Int64"})


def cost(method, student, budget):
    return dict.fromkeys(("operations", "parameters", "both_operations", "plain_operations", "plain_parameters"), 1)


@pytest.mark.parametrize("words", COMMANDS)
def test_every_fill_is_a_command_that_parses_and_names_what_exists(words):
    assert words.startswith("xkd-bench ")
    assert specs(words)


def test_every_claim_on_records_has_a_command():
    assert all(claim.fill for claim in CLAIMS if claim.kind == "suite")
    assert not any(claim.fill for claim in CLAIMS if claim.kind == "published")


@pytest.mark.parametrize("fill", [fill for fill in FILLS if fill != study.COMMAND])
def test_what_a_command_makes_is_what_its_claims_need(fill):
    claims = [claim for claim in CLAIMS if claim.fill == fill]
    before = evaluate(claims).set_index("claim")
    assert (before["fill"] == fill).all()
    assert before["missing"].str.endswith(f"; fill: {fill}").all()
    after = evaluate(claims, Data(scores(fill), cost=cost)).set_index("claim")
    assert list(after.index[after["missing"] != ""]) == []
    assert (after["n"] > 0).all()


def test_the_study_has_the_conditions_seeds_and_measurements_that_its_claims_need():
    (words,) = [words for words in COMMANDS if words == study.COMMAND]
    sweep = load_sweep(parsed(words)[1]["which"])
    assert {"gap", "bound"} <= set(sweep.measure)
    runs = pd.DataFrame([{name: getattr(spec, name) for name in ("task", "method", "protocol", "seed", "pairs")}
                         for spec in sweep.specs() if spec.teacher != "random"])  # fmt: skip
    runs = runs[(runs["protocol"] == study.PROTOCOL) & (runs["pairs"] == "true")]
    for method in (*study.OURS, "ssl"):
        seeds = runs[runs["method"] == method].groupby("task")["seed"].nunique()
        assert (seeds >= study.MIN_SEEDS).sum() >= study.MIN_CONDITIONS, method
