"""Measures gaps and bounds, and keeps them: `gaps/KEY/gap.json`, `bounds/KEY/bound.json` of a store.

A gap is of a task, a seed, a budget and an encoder of both modalities; a bound is of a run. What is there is not
measured again.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from xkd_bench import tasks
from xkd_bench.analysis.bound import Measured, Truth, bound_of
from xkd_bench.analysis.bound_head import Head
from xkd_bench.analysis.bound_laws import Encoded
from xkd_bench.analysis.gap import Features, features, gap_table
from xkd_bench.errors import UsageError
from xkd_bench.models.teachers import encode
from xkd_bench.raw_features import SIZE, raw_features
from xkd_bench.runner import Runner
from xkd_bench.spec import FORMAT, RunSpec, digest
from xkd_bench.stages.bound import Ingredients, Rows, check_bound, ingredients, prepare, taught
from xkd_bench.stages.context import Context, Report
from xkd_bench.stages.held_out import held_out
from xkd_bench.stages.oracle import check_oracle, oracle, oracle_key, usual
from xkd_bench.stages.teacher import build_teacher, teacher_key
from xkd_bench.suite.asked import ENCODERS, Asked, gap_spec

VERSION = 1
"""Part of every key: raised when a measurement changes."""
ESTIMATORS = (
    *("tv_classifier", "tv_modality_gap", "tv_gibbs", "modality_gap", "tv_gibbs_normalised", "cka", "mutual_knn"),
    *("effective_rank_source", "effective_rank_target"),
)
"""One of each sort: a certified lower bound, the paper's, alignments, covariates. The others repeat these at many times
the cost (`xkd-bench gap --task` has them all)."""


def key_of(runner: Runner, one: Asked) -> str:
    """What it is kept under; nothing is measured."""
    return gap_key(runner, one) if one.encoders else bound_key(runner, one.spec)


def measure(runner: Runner, one: Asked, report: Report | None = None) -> str:
    """Measure it if it is missing; its key. report: told how it goes, instead of the runner's."""
    report = report or runner.report
    return _gap(runner, one, report) if one.encoders else _bound(runner, one.spec, report)


def measured_gap(runner: Runner, task: str, seed: int, budget: str, encoders: str) -> dict[str, Any]:
    """The gap of one task, seed and budget, from the store or measured now."""
    key = _gap(runner, Asked(gap_spec(task, seed, budget), encoders), runner.report)
    found: dict[str, Any] = json.loads((runner.store.folder("gaps", key) / "gap.json").read_text(encoding="utf-8"))
    return found


def gap_key(runner: Runner, one: Asked) -> str:
    """What a gap depends on."""
    run = runner.context(one.spec)
    kind, fields = one.oracle, {"format": FORMAT, "version": VERSION, "task": one.spec.task, "data": run.data.digest}
    fields |= {"seed": one.spec.seed, "budget": one.spec.budget, "encoders": _name(one), "estimators": ESTIMATORS}
    if kind not in (None, "exact"):
        fields |= {"oracle": oracle_key(run, kind)}
    if one.encoders == "teacher":
        fields |= {"teacher": teacher_key(taught(run))}
    return digest(fields)


def bound_key(runner: Runner, spec: RunSpec) -> str:
    """What a bound depends on: the run, and its oracles."""
    run, kind = runner.context(spec), usual(spec.task)
    own = {} if kind == "exact" else {"oracle": oracle_key(run, kind)}
    return digest({"format": FORMAT, "version": VERSION, "run": runner.key(spec), **own})


def _name(one: Asked) -> str:
    """The encoders' name: the usual oracle of a task is `oracle`, however it was asked for."""
    kind = one.oracle
    return "oracle" if kind == usual(one.spec.task) and kind is not None else one.encoders


def _gap(runner: Runner, one: Asked, report: Report) -> str:
    if one.encoders not in ENCODERS:
        raise UsageError(f"encoders are {', '.join(ENCODERS)}, not '{one.encoders}'")
    if (kind := one.oracle) is not None:
        check_oracle(one.spec.task, kind)
    key, spec = gap_key(runner, one), one.spec

    def make(folder: Path) -> None:
        found = _features(runner.context(spec, report), one)
        started = time.perf_counter()  # oracles have a time of their own
        table = gap_table(found, only=ESTIMATORS, seed=spec.seed, tick=lambda name: report(f"gap: {name}", 0, 1, ""))
        record = {
            "key": key, "version": VERSION, "task": spec.task, "card": asdict(tasks.get(spec.task).card),
            "seed": spec.seed, "budget": spec.budget, "encoders": _name(one), "oracle": one.oracle or "",
            "pairs": len(found.source), "width": [found.source.shape[1], found.target.shape[1]],
            "data_digest": runner.data(spec).digest, "rows": _rows(table.drop(columns="explain")),
            "left_out": table.attrs["left_out"], "seconds": time.perf_counter() - started,
        }  # fmt: skip
        (folder / "gap.json").write_text(json.dumps(record, indent=1, allow_nan=False), encoding="utf-8")

    runner.store.compute("gaps", key, make)
    return key


def _features(run: Context, one: Asked) -> Features:
    """Both modalities by the encoders asked for: of held-out pairs or, raw, of a pair for each concept."""
    spec = one.spec
    card = tasks.get(spec.task).card
    if one.encoders == "raw":
        source, target, groups = raw_features(tasks.get(spec.task).load(SIZE, SIZE), card, spec.seed)
        return features(source, target, groups=groups, paired=True)
    pairs = held_out(run)
    items = {side: np.concatenate([getattr(p, side) for p in (pairs.bank, pairs.scored)])
             for side in ("source", "target", "group")}  # fmt: skip
    if one.encoders == "teacher":
        both = _by_teacher(taught(run), items)
    else:
        eyes = oracle(run, one.oracle)
        both = eyes.features("source", items["source"]), eyes.features("target", items["target"])
    return features(*both, groups=items["group"], paired=True)


def _by_teacher(run: Context, items: dict[str, Any]) -> tuple[Any, Any]:
    """The frozen teacher on both modalities."""
    data = run.data
    if {data.source.data.ndim, data.target.data.ndim} != {4} or data.target.data.shape[1] not in (1, 3):
        raise UsageError(
            f"the teacher of task '{run.spec.task}' takes images on both sides: use --encoders oracle or raw"
        )
    teacher = build_teacher(run)
    return tuple(
        torch.cat(list(encode(teacher, side.data[rows], run.device))).double().numpy()
        for side, rows in ((data.source, items["source"]), (data.target, items["target"]))
    )  # type: ignore[return-value]


def _rows(table: Any) -> Iterator[dict[str, Any]] | list[dict[str, Any]]:
    """Rows as JSON has them: what was not measured is null."""
    return [
        {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
        for row in table.astype(object).to_dict("records")
    ]


def _bound(runner: Runner, spec: RunSpec, report: Report) -> str:
    check_bound(spec)
    key, run_key = bound_key(runner, spec), runner.key(spec)
    if not runner.store.has("runs", run_key):
        raise UsageError(f"the run of {spec.label()} on {spec.task} is not in the store: run it first")

    def make(folder: Path) -> None:
        run = runner.context(spec, report)
        prepare(run)
        started = time.perf_counter()  # what bounds of a task share has times of its own
        report("bound", 0, 1, "")
        found = bound_of(as_measured(ingredients(run)), seed=spec.seed)
        told = {name: getattr(spec, name) for name in
                ("task", "method", "pairs", "teacher", "student", "protocol", "budget", "seed")}  # fmt: skip
        record = {
            "key": key, "version": VERSION, "run": run_key,
            "spec": told | {"options": json.dumps(spec.options, sort_keys=True)},
            "card": asdict(tasks.get(spec.task).card), **found.as_dict(), "seconds": time.perf_counter() - started,
        }  # fmt: skip
        (folder / "bound.json").write_text(json.dumps(record, indent=1, allow_nan=False), encoding="utf-8")

    runner.store.compute("bounds", key, make)
    return key


def as_measured(found: Ingredients) -> Measured:
    """Arrays of a run as the analysis takes them."""

    def encoded(rows: Rows) -> Encoded:
        return Encoded(*rows)

    return Measured(
        correct=found.correct, group=found.group, stars=found.stars, teacher=encoded(found.teacher),
        student=encoded(found.student), oracle_source=encoded(found.oracle_source),
        oracle_target=encoded(found.oracle_target), pair_group=found.pair_group, mapped=found.mapped,
        train=found.train, head=Head(*found.head), parameters=found.parameters, oracle=found.oracle,
        truth=None if found.truth is None else Truth(*found.truth),
    )  # fmt: skip
