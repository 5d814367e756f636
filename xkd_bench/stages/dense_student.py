"""The student of a dense run: how it is made, what it depends on, and how it learns from pairs without labels."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from protocols import Recipe
from xkd_bench.dense_batches import DenseBatches
from xkd_bench.methods.dense import Clock, DenseMethod, Supervised
from xkd_bench.models import weights
from xkd_bench.models.backbones import start_digest, start_from, start_of
from xkd_bench.models.segmenters import build_segmenter
from xkd_bench.seeds import stream
from xkd_bench.spec import FORMAT, digest
from xkd_bench.stages.context import Context
from xkd_bench.stages.dense_teacher import channels, dense_teacher_key, image_size, known_before, says_of
from xkd_bench.tasks.base import Index
from xkd_bench.training import fit


def new_student(run: Context) -> Any:
    """The student with random weights, from torch's global generator."""
    classes, size = len(run.split.classes), image_size(run)
    if issubclass(run.method, DenseMethod):
        return run.method.build_student(run.spec.student, channels(run), classes, size, run.options)
    return build_segmenter(run.spec.student, channels(run)[1], classes, size)


def fresh_student(run: Context) -> Any:
    """The student before it learns: the seed's, with a file's backbone or ImageNet's if the run names one."""
    torch.manual_seed(stream(run.spec.seed, "student"))
    student = new_student(run)
    if (weights := start_of(run.spec.student, run.spec.student_backbone)) is not None:
        start_from(student, weights)
    return student


def check_networks(run: Context) -> None:
    """UsageError where the student, the teacher's network or the method on the two cannot be made, or weights that are
    given do not fit."""
    student = fresh_student(run)
    if run.method.uses_pairs:
        known = known_before(run)
        if run.method.distils:
            run.method(student, known, run.options)  # type: ignore[arg-type]


def dense_student_key(run: Context, fraction: float) -> str:
    """What the student depends on that learns from pairs without labels."""
    return digest({**student_fields(run), "fraction": fraction, "recipe": run.budget.distil.model_dump(mode="json")})


def student_fields(run: Context) -> dict[str, Any]:
    spec = run.spec
    fields: dict[str, Any] = {
        "format": FORMAT, "dense": True, "data": run.data.digest, "seed": spec.seed, "student": spec.student,
        "method": spec.method, "options": spec.options, "precision": spec.precision,
    }  # fmt: skip
    if backbone := spec.student_backbone_digest or start_digest(spec.student):
        fields |= {"backbone": backbone}
    return fields | ({"pairs": spec.pairing, "teacher": dense_teacher_key(run)} if run.method.uses_pairs else {})


def learns_pairs_first(run: Context, rows: Index) -> bool:
    """Whether a method has pairs to learn from that training on these labelled rows leaves out."""
    return run.method.distils and not np.isin(run.split.pairs_target, rows).all()


def label_free_student(run: Context, fraction: float) -> Any:
    """The student, taught by the method's loss alone; fresh for a method that learns nothing without labels."""
    student = fresh_student(run)
    if not run.method.distils:
        return student
    key = dense_student_key(run, fraction)

    def make(folder: Path) -> None:
        started = time.perf_counter()
        sampler = run.sampler(fraction)
        known, says = says_of(run)
        recipe = run.budget.distil
        steps = len(sampler)
        batches = DenseBatches(run.device, run.data, sampler.epoch, steps, recipe.augmentation, says, "teacher")
        history = fit_student(run, student, known, batches, steps, recipe, run.store.work_folder("students", key))
        weights.save(student, folder / "student.safetensors")
        report = {"loss": history, "seconds": time.perf_counter() - started}
        (folder / "history.json").write_text(json.dumps(report), encoding="utf-8")

    folder = run.store.compute("students", key, make)
    student.load_state_dict(load_file(folder / "student.safetensors"))
    return student


def fit_student(
    run: Context, student: Any, known: Any, batches: DenseBatches, steps: int, recipe: Recipe, work: Path
) -> list[float]:
    """Train the student in place, by its method or, for one that has none, by the labels; mean loss of each epoch."""
    torch.manual_seed(stream(run.spec.seed, "method"))
    model = run.method(student, known, run.options) if run.method.distils else Supervised(student)
    plan = recipe.fitted(steps)
    for clock in model.modules():
        if isinstance(clock, Clock):
            clock.total = plan.epochs * steps
    return fit(
        model, batches, steps, plan, seed=stream(run.spec.seed, "train"), fabric=run.fabric,
        what=f"{run.spec.method} on {run.spec.task}", on_step=run.on_step(run.spec.method),
        checkpoint=work / "checkpoint.pt",
    )  # fmt: skip
