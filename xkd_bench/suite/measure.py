"""Measures gaps and bounds, and keeps them: `gaps/KEY/gap.json`, `bounds/KEY/bound.json` of a store.

A gap is of a task, a seed, a budget and an encoder of both modalities; a bound is of a run. What is there is not
measured again.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
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
from xkd_bench.stages.bound import Ingredients, Rows, check_bound, ingredients
from xkd_bench.stages.context import Context
from xkd_bench.stages.held_out import held_out
from xkd_bench.stages.oracle import KINDS, Kind, check_oracle, oracle, oracle_key, usual
from xkd_bench.stages.teacher import build_teacher, teacher_key

VERSION = 1
"""Part of every key: raised when a measurement changes."""
KINDS_OF_MEASURE = ("gap", "bound")
ENCODERS = ("oracle", *(f"oracle-{kind}" for kind in KINDS), "raw", "teacher")
SWEPT = ("oracle", "raw")
"""Encoders whose gaps a sweep measures."""
ESTIMATORS = (
    *("tv_classifier", "tv_modality_gap", "tv_gibbs", "modality_gap", "tv_gibbs_normalised", "cka", "mutual_knn"),
    *("effective_rank_source", "effective_rank_target"),
)
"""One of each sort: a certified lower bound, the paper's, alignments, covariates. The others repeat these at many times
the cost (`xkd-bench gap --task` has them all)."""


@dataclass(frozen=True)
class Asked:
    """A measurement: of a run's bound (spec), or of the gap of its task, seed and budget (encoders)."""

    spec: RunSpec
    encoders: str = ""

    @property
    def label(self) -> str:
        """A name for progress and messages."""
        if self.encoders:
            return f"gap of {self.spec.task}, {self.encoders}, seed {self.spec.seed}"
        return f"bound of {self.spec.label()}, {self.spec.task}"


def gap_spec(task: str, seed: int, budget: str, precision: str = "32") -> RunSpec:
    """The run whose data, split and networks a gap is measured with: it trains nothing before the labels."""
    return RunSpec.make(
        task=task, method="sup-ft", protocol="linear-eval", budget=budget, seed=seed, precision=precision
    )


def plan(specs: Sequence[RunSpec], measure: Sequence[str]) -> list[Asked]:
    """What is to be measured of these runs: gaps of their tasks, seeds and budgets, and bounds of those that have one.

    Raises:
        UsageError: a kind of measurement that does not exist, or runs of which none has a bound.
    """
    if unknown := sorted(set(measure) - set(KINDS_OF_MEASURE)):
        raise UsageError(f"measure is of {', '.join(KINDS_OF_MEASURE)}, not '{unknown[0]}'")
    asked: dict[Asked, None] = {}
    if "gap" in measure:
        for spec in specs:
            for encoders in SWEPT:
                asked[Asked(gap_spec(spec.task, spec.seed, spec.budget, spec.precision), encoders)] = None
    if "bound" in measure:
        fit = [spec for spec in specs if _has_bound(spec)]
        if not fit:
            check_bound(specs[0])
        asked |= dict.fromkeys(Asked(spec) for spec in fit)
    return sorted(asked, key=lambda one: (one.spec.task, one.spec.seed))  # they share what is of the task


def _has_bound(spec: RunSpec) -> bool:
    try:
        check_bound(spec)
    except UsageError:
        return False
    return True


def measure(
    runner: Runner,
    asked: Sequence[Asked],
    begin: Callable[[Asked], None],
    end: Callable[[Asked, Exception | None], None],
) -> list[tuple[Asked, Exception]]:
    """Do what is missing; an error ends no other measurement. Those that failed."""
    failed = []
    for one in asked:
        begin(one)
        error: Exception | None = None
        try:
            key_of(runner, one)
        except Exception as caught:  # whatever it is, the others go on
            error = caught
            failed.append((one, caught))
        end(one, error)
    return failed


def missing(runner: Runner, asked: Sequence[Asked]) -> list[Asked]:
    """Those that are not in the store, and, of bounds, whose run is there."""
    out = []
    for one in asked:
        stage, key = ("gaps", gap_key(runner, one)) if one.encoders else ("bounds", bound_key(runner, one.spec))
        there = one.encoders or runner.store.has("runs", runner.key(one.spec))
        if there and not runner.store.has(stage, key):
            out.append(one)
    return out


def key_of(runner: Runner, one: Asked) -> str:
    """Measure it if it is missing; its key."""
    return _gap(runner, one) if one.encoders else _bound(runner, one.spec)


def measured_gap(runner: Runner, task: str, seed: int, budget: str, encoders: str) -> dict[str, Any]:
    """The gap of one task, seed and budget, from the store or measured now."""
    key = _gap(runner, Asked(gap_spec(task, seed, budget), encoders))
    found: dict[str, Any] = json.loads((runner.store.folder("gaps", key) / "gap.json").read_text(encoding="utf-8"))
    return found


def gap_key(runner: Runner, one: Asked) -> str:
    """What a gap depends on."""
    run = runner.context(one.spec)
    kind, fields = _kind(one), {"format": FORMAT, "version": VERSION, "task": one.spec.task, "data": run.data.digest}
    fields |= {"seed": one.spec.seed, "budget": one.spec.budget, "encoders": _name(one), "estimators": ESTIMATORS}
    if kind not in (None, "exact"):
        fields |= {"oracle": oracle_key(run, kind)}
    if one.encoders == "teacher":
        fields |= {"teacher": teacher_key(_taught(runner, one))}
    return digest(fields)


def bound_key(runner: Runner, spec: RunSpec) -> str:
    """What a bound depends on: the run, and its oracles."""
    run, kind = runner.context(spec), usual(spec.task)
    own = {} if kind == "exact" else {"oracle": oracle_key(run, kind)}
    return digest({"format": FORMAT, "version": VERSION, "run": runner.key(spec), **own})


def _kind(one: Asked) -> Kind | None:
    """Which oracle is meant, None if none is."""
    if one.encoders == "oracle":
        return usual(one.spec.task)
    return next((kind for kind in KINDS if one.encoders == f"oracle-{kind}"), None)


def _name(one: Asked) -> str:
    """The encoders' name: the usual oracle of a task is `oracle`, however it was asked for."""
    kind = _kind(one)
    return "oracle" if kind == usual(one.spec.task) and kind is not None else one.encoders


def _gap(runner: Runner, one: Asked) -> str:
    if one.encoders not in ENCODERS:
        raise UsageError(f"encoders are {', '.join(ENCODERS)}, not '{one.encoders}'")
    if (kind := _kind(one)) is not None:
        check_oracle(one.spec.task, kind)
    key, spec = gap_key(runner, one), one.spec

    def make(folder: Path) -> None:
        found = _features(runner, one)
        table = gap_table(
            found, only=ESTIMATORS, seed=spec.seed, tick=lambda name: runner.report(f"gap: {name}", 0, 1, "")
        )
        record = {
            "key": key, "version": VERSION, "task": spec.task, "card": asdict(tasks.get(spec.task).card),
            "seed": spec.seed, "budget": spec.budget, "encoders": _name(one), "oracle": _kind(one) or "",
            "pairs": len(found.source), "width": [found.source.shape[1], found.target.shape[1]],
            "data_digest": runner.data(spec).digest, "rows": _rows(table.drop(columns="explain")),
            "left_out": table.attrs["left_out"],
        }  # fmt: skip
        (folder / "gap.json").write_text(json.dumps(record, indent=1, allow_nan=False), encoding="utf-8")

    runner.store.compute("gaps", key, make)
    return key


def _features(runner: Runner, one: Asked) -> Features:
    """Both modalities by the encoders asked for: of held-out pairs or, raw, of a pair for each concept."""
    spec, run = one.spec, runner.context(one.spec)
    card = tasks.get(spec.task).card
    if one.encoders == "raw":
        source, target, groups = raw_features(tasks.get(spec.task).load(SIZE, SIZE), card, spec.seed)
        return features(source, target, groups=groups, paired=True)
    pairs = held_out(run)
    items = {side: np.concatenate([getattr(p, side) for p in (pairs.bank, pairs.scored)])
             for side in ("source", "target", "group")}  # fmt: skip
    if one.encoders == "teacher":
        both = _by_teacher(_taught(runner, one), items)
    else:
        eyes = oracle(run, _kind(one))
        both = eyes.features("source", items["source"]), eyes.features("target", items["target"])
    return features(*both, groups=items["group"], paired=True)


def _taught(runner: Runner, one: Asked) -> Context:
    """A run with the usual teacher of the task."""
    spec = one.spec
    return runner.context(RunSpec.make(
        task=spec.task, method="cmc", protocol="linear-eval", budget=spec.budget, seed=spec.seed,
        precision=spec.precision,
    ))  # fmt: skip


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


def _bound(runner: Runner, spec: RunSpec) -> str:
    check_bound(spec)
    key, run_key = bound_key(runner, spec), runner.key(spec)
    if not runner.store.has("runs", run_key):
        raise UsageError(f"the run of {spec.label()} on {spec.task} is not in the store: run it first")

    def make(folder: Path) -> None:
        found = bound_of(as_measured(ingredients(runner.context(spec))), seed=spec.seed)
        told = {name: getattr(spec, name) for name in
                ("task", "method", "pairs", "teacher", "student", "protocol", "budget", "seed")}  # fmt: skip
        record = {
            "key": key, "version": VERSION, "run": run_key,
            "spec": told | {"options": json.dumps(spec.options, sort_keys=True)},
            "card": asdict(tasks.get(spec.task).card), **found.as_dict(),
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
