"""What the bound of a run needs, measured on it: features of the same held-out pairs by every encoder, and the head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from xkd_bench import tasks
from xkd_bench.errors import UsageError
from xkd_bench.evaluation import standardised, target_features
from xkd_bench.models.teachers import encode
from xkd_bench.probes import fit_logistic
from xkd_bench.seeds import stream
from xkd_bench.spec import RunSpec, digest
from xkd_bench.stages.context import Context
from xkd_bench.stages.held_out import HeldOut, held_out
from xkd_bench.stages.oracle import Kind, Oracle, oracle
from xkd_bench.stages.scores import scores
from xkd_bench.stages.student import distilled_student
from xkd_bench.stages.teacher import build_teacher, teacher_features
from xkd_bench.tasks.base import Index

Floats = NDArray[np.float64]
Rows = tuple[Floats, Floats]
"""Features of the scored pairs, [n, d], and of the bank, [q, d]."""
PROTOCOL = "linear-eval"
TRAINING_PAIRS = 2048
"""As many of the pairs that distillation saw are looked at."""
RIDGES = tuple(10.0**k for k in range(-1, 5))


@dataclass(frozen=True)
class Ingredients:
    """Arrays of one run; see `analysis.bound.Measured`, which has the same fields and says what they are."""

    correct: NDArray[np.bool_]
    group: Index
    stars: Mapping[str, NDArray[np.bool_]]
    teacher: Rows
    student: Rows
    oracle_source: Rows
    oracle_target: Rows
    pair_group: Index
    mapped: Floats
    train: Rows
    head: tuple[Floats, Index, Floats, Floats]
    parameters: int
    oracle: str
    truth: tuple[float, Floats, NDArray[np.bool_], float] | None


def check_bound(spec: RunSpec) -> None:
    """Raise UsageError if the bound is not for such a run."""
    kind = tasks.get(spec.task).card.kind
    if kind != "classification":
        raise UsageError(f"the bound is for classification, and task '{spec.task}' is for {kind}")
    if spec.protocol != PROTOCOL:
        raise UsageError(f"the bound is of a linear head with all labels: protocol {PROTOCOL}, not {spec.protocol}")
    if spec.load_budget().head.solver != "logistic":
        raise UsageError(f"the bound needs a head that is the solution of its problem: budget '{spec.budget}' has none")


def ingredients(run: Context, kind: Kind | None = None) -> Ingredients:
    """Measure a run; what is missing of it (student, teacher, oracles) is trained first."""
    check_bound(run.spec)
    known = _task(run, kind)
    pairs = known.pairs
    ((_, score),) = scores(run)
    student = distilled_student(run, 1.0)
    raw = target_features(student, run.data, run.device)
    features = raw.double().numpy()
    teacher = _teacher(run, pairs)
    x = standardised(raw, run.split)
    mapped, seen = _into_teacher(run, features, teacher, pairs)
    return Ingredients(
        correct=score.correct.astype(bool), group=run.data.target.group[run.split.test], stars=known.stars,
        teacher=(teacher[pairs.scored.source], teacher[pairs.bank.source]),
        student=(features[pairs.scored.target], features[pairs.bank.target]),
        oracle_source=known.source, oracle_target=known.target,
        pair_group=pairs.scored.group, mapped=mapped, train=seen, head=_head(run, x, score.chosen["C"]),
        parameters=sum(p.numel() for p in student.parameters()), oracle=known.kind,
        truth=_truth(run, features, pairs) if known.kind == "exact" else None,
    )  # fmt: skip


def prepare(run: Context) -> None:
    """Make what bounds of a task share and what is kept: oracles, the usual teacher's features, and a fine-tuning."""
    oracle(run)
    teacher_features(taught(run))
    list(scores(tuned(run)))


@dataclass(frozen=True)
class _Known:
    """What all runs of a task, seed, budget and student network have in common."""

    kind: Kind
    pairs: HeldOut
    source: Rows
    target: Rows
    stars: Mapping[str, NDArray[np.bool_]]


def _task(run: Context, kind: Kind | None) -> _Known:
    """It is kept for the next run of the task."""

    def make() -> _Known:
        pairs, eyes = held_out(run), oracle(run, kind)
        stars = _stars(run, pairs, eyes, _teacher(taught(run), pairs))
        return _Known(eyes.kind, pairs, _rows(eyes, "source", pairs), _rows(eyes, "target", pairs), stars)

    spec = run.spec
    fields = [spec.task, spec.seed, spec.budget, spec.student, spec.precision, run.data.digest, kind]
    return run.recent.get(digest(["bound", *fields]), make)


def taught(run: Context) -> Context:
    """A run with the teacher that methods with a teacher have on this task."""
    return _sibling(run, method="cmc", protocol=PROTOCOL)


def tuned(run: Context) -> Context:
    """A run that fine-tunes on all labels."""
    return _sibling(run, method="sup-ft", protocol="fine-tune")


def _rows(eyes: Oracle, side: Any, pairs: HeldOut) -> Rows:
    scored, bank = (getattr(part, side) for part in (pairs.scored, pairs.bank))
    return eyes.features(side, scored), eyes.features(side, bank)


def _teacher(run: Context, pairs: HeldOut) -> Floats:
    """Features of the source items that are needed, NaN elsewhere: by the run's teacher, or else the usual."""
    run = taught(run) if run.spec.teacher == "none" else run
    features = teacher_features(run).double().numpy()
    parts = [run.split.pairs_source, pairs.scored.source, pairs.bank.source, _labelled(pairs)]
    needed = np.unique(np.concatenate(parts))
    items = needed[np.isnan(features[needed]).any(1)]
    if len(items):
        found = encode(build_teacher(run), run.data.source.data[items], run.device)
        features[items] = torch.cat(list(found)).double().numpy()
    return features


def _sibling(run: Context, **fields: Any) -> Context:
    """Another run on the same data, in the same place."""
    spec = run.spec
    made = RunSpec.make(
        task=spec.task, budget=spec.budget, student=spec.student, seed=spec.seed, precision=spec.precision, **fields
    )  # fmt: skip
    return Context(made, run.data, run.store, run.fabric, run.report, run.recent)


def _into_teacher(run: Context, features: Floats, teacher: Floats, pairs: HeldOut) -> tuple[Floats, Rows]:
    """The scored items' student features mapped into the teacher's space, and the pairs that the map was fitted on.

    The student's projector is the method's own and is not kept; a linear map is what a linear head absorbs, and the
    same for all methods. It is a ridge regression on (at most `TRAINING_PAIRS` of) the pairs that distillation saw, its
    strength chosen by leaving one out.
    """
    from sklearn.linear_model import RidgeCV

    rng = np.random.default_rng(stream(run.spec.seed, "training pairs"))
    target = rng.permutation(run.split.pairs_target)[:TRAINING_PAIRS]
    concept = run.data.source.concept[run.split.pairs_source]
    mates = {int(c): run.split.pairs_source[concept == c] for c in np.unique(concept)}
    source = np.array([rng.choice(mates[int(c)]) for c in run.data.target.concept[target]])
    mean, deviation = features[target].mean(0), features[target].std(0) + 1e-8
    centred = teacher[source] - teacher[pairs.bank.source].mean(0)
    wanted = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    ridge = RidgeCV(alphas=RIDGES).fit((features[target] - mean) / deviation, wanted)
    mapped = ridge.predict((features[pairs.scored.target] - mean) / deviation)
    return np.asarray(mapped), (teacher[source], features[target])


def _head(run: Context, x: torch.Tensor, strength: float) -> tuple[Floats, Index, Floats, Floats]:
    """The run's head, solved again: features and labels it learned from, weights [d, k], bias [k]."""
    rows = torch.from_numpy(run.split.train)
    label = torch.from_numpy(run.split.label)[rows]
    heads = fit_logistic(x[rows][None], label[None], torch.tensor([strength]), len(run.split.classes))
    return x[rows].double().numpy(), label.numpy(), heads.weight[0, 0].numpy(), heads.bias[0, 0].numpy()


def _stars(run: Context, pairs: HeldOut, eyes: Oracle, teacher: Floats) -> dict[str, NDArray[np.bool_]]:
    """Stand-ins for the best classifier, and whether each is right on the test items: a network fine-tuned on all
    labels; a head on the oracle's features; and on the teacher's, of the test items' partners in the source.

    They are of the task, not of the run: the teacher is the usual one."""
    split, label = run.split, run.split.label
    ((_, best),) = scores(tuned(run))
    features = [eyes.features("target", items) for items in (split.train, split.val, split.test)]
    labels = [label[items] for items in (split.train, split.val, split.test)]
    found = {"sup-ft": best.correct.astype(bool), "oracle-target": _right(run, features, labels)}
    if np.array_equal(pairs.scored.target, split.test):  # else some test items have no partner
        items = _labelled(pairs), pairs.bank.source, pairs.scored.source
        labels = [pairs.label[items[0]], label[pairs.bank.target], label[pairs.scored.target]]
        found["teacher-on-source"] = _right(run, [teacher[rows] for rows in items], labels)
    return found


def _labelled(pairs: HeldOut) -> Index:
    """Source items that are not held out, and whose class the train part tells."""
    return pairs.source[pairs.label[pairs.source] >= 0]


def _right(run: Context, features: list[Floats], labels: list[Index]) -> NDArray[np.bool_]:
    """Whether a linear head is right on the last of three parts: it learns from the first, the second chooses."""
    mean, deviation = features[0].mean(0), features[0].std(0) + 1e-8
    x = [torch.from_numpy((part - mean) / deviation) for part in features]
    y = [torch.from_numpy(part) for part in labels]
    strengths = torch.tensor(sorted(run.budget.head.inverse_strengths))
    heads = fit_logistic(x[0][None], y[0][None], strengths, len(run.split.classes))
    right = [(heads.logits(part)[0].argmax(-1) == label) for part, label in zip(x[1:], y[1:], strict=True)]
    best = int(right[0].double().mean(-1).argmax())
    return right[1][best].numpy()


def _truth(run: Context, features: Floats, pairs: HeldOut) -> tuple[float, Floats, NDArray[np.bool_], float]:
    """R*, TV of P_φ̂B(z | x) and the truth at the scored items, whether acting on it is right there, its training risk.

    φ̂_B is the student's features mapped to the latent: by least squares on the oracle's at the train part's items.
    """
    task = tasks.get(run.spec.task)
    world, split = task.world, run.split  # type: ignore[attr-defined]
    x = world.draw(task.items).target  # type: ignore[attr-defined]
    inputs = np.column_stack([features, np.ones(len(features))])
    wanted = world.oracle(x[split.train], "target")
    latent = inputs @ np.linalg.lstsq(inputs[split.train], wanted, rcond=None)[0]
    scored = pairs.scored.target
    right = world.decide(latent) == split.label
    tv = world.tv_joint(latent[scored], x[scored], "target")
    return 1 - world.bayes_accuracy("target"), tv, right[scored], float((~right[split.train]).mean())
