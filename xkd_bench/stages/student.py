"""The student, distilled without labels."""

import json
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from xkd_bench.batches import Known, PairBatches
from xkd_bench.methods.base import Teacher
from xkd_bench.models import weights
from xkd_bench.models.encoders import Encoder, build_encoder
from xkd_bench.models.initialise import initialise
from xkd_bench.seeds import stream
from xkd_bench.spec import FORMAT, digest
from xkd_bench.stages.context import Context
from xkd_bench.stages.dense_student import dense_student_key
from xkd_bench.stages.maps import teacher_levels, teacher_maps
from xkd_bench.stages.teacher import build_teacher, source_key, source_state, teacher_features, teacher_key
from xkd_bench.training import fit


def student_key(run: Context, fraction: float) -> str:
    """What the student depends on: of the protocol, nothing but the fraction of the pairs."""
    if run.data.maps is not None:
        return dense_student_key(run, fraction)
    spec = run.spec
    fields: dict[str, Any] = {"format": FORMAT, "data": run.data.digest, "seed": spec.seed, "student": spec.student}
    if run.method.distils:
        fields |= {
            "method": spec.method,
            "options": spec.options,
            "fraction": fraction,
            "recipe": run.budget.distil.model_dump(mode="json"),
            "precision": spec.precision,
        }
    if run.init == "source":
        fields |= {"init": source_key(run)}
    if run.method.uses_pairs:
        fields |= {"pairs": spec.pairing, "teacher": teacher_key(run), "views": run.budget.teacher_views}
    return digest(fields)


def distilled_student(run: Context, fraction: float) -> Encoder:
    """The student of this run, trained first if it is not in the store."""
    key = student_key(run, fraction)
    folder = run.store.compute("students", key, lambda folder: _distil(run, fraction, key, folder))
    encoder = _fresh(run)
    encoder.load_state_dict(load_file(folder / "student.safetensors"))
    return encoder


def _fresh(run: Context) -> Encoder:
    """An untrained student: the same for every method of a seed."""
    torch.manual_seed(stream(run.spec.seed, "student"))
    return build_encoder(run.spec.student, run.data.target.data.shape[1], run.data.target.data.shape[2:])


def _initial(run: Context) -> Encoder:
    """The student before it is distilled: fresh, or with weights that know the source modality."""
    student = _fresh(run)
    if run.init == "source":
        state, channels = source_state(run)
        initialise(student, state, channels)
    return student


def _distil(run: Context, fraction: float, key: str, folder: Path) -> None:
    started = time.perf_counter()
    student = _initial(run)
    history = _train(run, student, fraction, key) if run.method.distils else []
    weights.save(student, folder / "student.safetensors")
    report = {"loss": history, "seconds": time.perf_counter() - started}
    (folder / "history.json").write_text(json.dumps(report), encoding="utf-8")


def _train(run: Context, student: Encoder, fraction: float, key: str) -> list[float]:
    """Train the student in place; mean loss of each epoch."""
    method, recipe, target = run.method, run.budget.distil, run.data.target
    sampler = run.sampler(fraction)
    batches = PairBatches(
        run.device, target.data, target.concept, sampler, recipe.augmentation, method.views, run.flip
    )  # fmt: skip
    known = _show_teacher(run, student, batches) if method.uses_pairs else None
    torch.manual_seed(stream(run.spec.seed, "method"))
    model = method(student, known, run.options)
    recipe = recipe.fitted(len(batches))
    return fit(
        model, batches, len(batches), recipe, seed=stream(run.spec.seed, "train"), fabric=run.fabric,
        what=f"{run.spec.method} on {run.spec.task}" + (f", {fraction:.0%} of the pairs" if fraction < 1 else ""),
        on_step=run.on_step(run.spec.method),
        checkpoint=run.store.work_folder("students", key) / "checkpoint.pt",
    )  # fmt: skip


def seen_levels(run: Context, student: Encoder | None = None) -> int:
    """How many of the teacher's last feature maps the method sees: no more than the student has stages."""
    if run.method.sees == "features":
        return 0
    return min(run.method.levels(run.options), len((student or _fresh(run)).stages))


def _show_teacher(run: Context, student: Encoder, batches: PairBatches) -> Teacher:
    """Let the batches show what the method sees of the teacher; what it may know of it before training."""
    levels = seen_levels(run, student)
    maps = levels if run.method.sees == "maps" else 0
    features = teacher_features(run)
    if run.budget.teacher_views == "cached":
        batches.show_features(teacher_maps(run, maps) if maps else Known(features))
    else:
        batches.show_images(build_teacher(run), run.data.source.data, maps)
    paired = features[torch.from_numpy(run.split.pairs_source)]
    concept = torch.from_numpy(batches.sampler.concept)
    return Teacher(paired, concept, teacher_levels(run, levels) if levels else ())
