"""The frozen teacher, trained first if it is one of ours, and its features of the source items."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from xkd_bench import methods
from xkd_bench.batches import PairBatches
from xkd_bench.catalogue import DEFAULT_TEACHER
from xkd_bench.models import teachers, weights
from xkd_bench.models.encoders import Encoder, build_encoder
from xkd_bench.sampling import PairSampler
from xkd_bench.seeds import stream
from xkd_bench.spec import FORMAT, digest
from xkd_bench.stages.context import Context
from xkd_bench.stages.dense_teacher import dense_teacher_key, dense_teacher_network
from xkd_bench.stages.kept import write_history
from xkd_bench.training import fit


def teacher_key(run: Context) -> dict[str, Any]:
    """What the teacher depends on: ready-made ones on their weights alone, the others on seed and source images."""
    if run.data.maps is not None:
        return dense_teacher_key(run)
    kind = run.spec.teacher
    if kind == "random" or kind.startswith(teachers.RANDOM):
        own = {"student": run.spec.student} if _random_network(run) == "simclr" else {}
        return {"teacher": kind, "seed": run.spec.seed, "data": run.data.digest, **own}
    if kind == "simclr":
        return _pretraining(run)
    return {"teacher": kind, "weights": run.spec.teacher_digest or teachers.weights_digest(kind)}


def _pretraining(run: Context) -> dict[str, Any]:
    """What Step 1 on the source side depends on."""
    recipe = run.budget.pretrain.model_dump(mode="json")
    own = {"teacher": "simclr", "seed": run.spec.seed, "data": run.data.digest, "student": run.spec.student}
    return {**own, "recipe": recipe, "precision": run.spec.precision}


def build_teacher(run: Context) -> teachers.TeacherEncoder:
    """The frozen teacher of this run."""
    if network := _random_network(run):
        return teachers.random_teacher(_sample(run), stream(run.spec.seed, "teacher"), like=_ready(run, network))
    if run.spec.teacher == "simclr":
        return teachers.simclr_teacher(pretrained(run))
    return teachers.load_teacher(run.spec.teacher, run.spec.teacher_weights)


def features_key(run: Context) -> str:
    """What the teacher's features depend on: its weights, data and size."""
    return digest({"format": FORMAT, **teacher_key(run), "data": run.data.digest})


def teacher_features(run: Context) -> Tensor:
    """Features of the source items, un-augmented: [n_source, dim] float32. Keyed by `features_key`.

    A teacher that is the same for all seeds encodes every item, once for all of them; one that is the seed's own
    encodes the items of its pairs, and the other rows are NaN.
    """
    items = run.split.pairs_source if "seed" in teacher_key(run) else np.arange(len(run.data.source))

    def make(folder: Path) -> None:
        teacher = build_teacher(run)
        if not run.first:
            return
        chunks, done = [], 0
        for chunk in teachers.encode(teacher, run.data.source.data[items], run.device):
            chunks.append(chunk)
            done += len(chunk)
            run.report("teacher features", done, len(items), "")
        np.savez(folder / "features.npz", features=torch.cat(chunks).numpy())

    folder = run.store.compute("features", features_key(run), make)
    with np.load(folder / "features.npz") as arrays:
        known = torch.from_numpy(arrays["features"])
    features = torch.full((len(run.data.source), known.shape[1]), float("nan"))
    features[torch.from_numpy(items)] = known
    return features


def _random_network(run: Context) -> str | None:
    """The teacher whose network a random one has (of vectors it is the student's), None if this run's is not random."""
    name = run.spec.teacher
    if name == "random":
        return "simclr" if _of_vectors(run) else DEFAULT_TEACHER
    return name.removeprefix(teachers.RANDOM) if name.startswith(teachers.RANDOM) else None


def _ready(run: Context, name: str) -> teachers.TeacherEncoder | None:
    """A teacher for its network's sake, None for the default one, which need not be read to be random."""
    if name == DEFAULT_TEACHER:
        return None
    if name == "simclr":
        return teachers.simclr_teacher(_fresh(run))
    return teachers.load_teacher(name, run.spec.teacher_weights)


def _sample(run: Context, n: int = 512, batch: int = 128) -> Iterator[Tensor]:
    """About n of the paired source items, as float batches."""
    items = run.split.pairs_source
    items = items[:: max(1, len(items) // n)]
    if _of_vectors(run) and len(items) % batch == 1:
        items = items[:-1]  # one vector has no variance
    for start in range(0, len(items), batch):
        yield teachers.to_float(torch.from_numpy(run.data.source.data[items[start : start + batch]]))


def source_key(run: Context) -> dict[str, Any]:
    """What weights of the student's network on the source modality depend on: see `source_state`."""
    return teacher_key(run) if _is_students(run) else _pretraining(run)


def source_state(run: Context) -> tuple[dict[str, Tensor], int]:
    """Weights of the student's network that know the source modality, and the channels that they see.

    They are the teacher's, where it is that network with weights of its own (--teacher-weights), else those of Step 1,
    trained here.
    """
    if _is_students(run):
        encoder = build_teacher(run).backbone
        assert isinstance(encoder, Encoder)
        return encoder.state_dict(), encoder.channels
    return pretrained(run).state_dict(), run.data.source.data.shape[1]


def _is_students(run: Context) -> bool:
    return run.spec.teacher == run.spec.student and run.spec.teacher_digest is not None


def _of_vectors(run: Context) -> bool:
    return run.data.source.data.ndim == 2


def _fresh(run: Context) -> Encoder:
    """The student's network for source items, untrained."""
    shape = run.data.source.data.shape
    torch.manual_seed(stream(run.spec.seed, "teacher"))
    return build_encoder(run.spec.student, shape[1], shape[2:])


def trained_network(run: Context) -> str:
    """The network that a teacher of this run would be trained with."""
    return run.spec.student if run.data.maps is None else dense_teacher_network(run)


def pretrained(run: Context) -> Encoder:
    """Step 1 of CMCD: SimCLR on the source side of the pairs, with the student's network."""
    images, items = run.data.source.data, run.split.pairs_source
    key = digest({"format": FORMAT, **_pretraining(run)})

    def make(folder: Path) -> None:
        started = time.perf_counter()
        ssl = methods.get("ssl")
        model = ssl(_fresh(run), None, ssl.parse_options("ssl", {}))
        recipe = run.budget.pretrain
        concept = run.data.source.concept
        sampler = PairSampler(items, concept[items], {}, min(recipe.batch, len(items)), "all", run.spec.seed)
        batches = PairBatches(run.device, images, concept, sampler, recipe.augmentation, views=2)
        recipe = recipe.fitted(len(batches))
        history = fit(
            model, batches, len(batches), recipe, seed=stream(run.spec.seed, "pretrain"), fabric=run.fabric,
            what=f"SimCLR teacher on {run.spec.task}",
            on_step=run.on_step("teacher"),
            checkpoint=run.store.work_folder("teachers", key) / "checkpoint.pt",
        )  # fmt: skip
        weights.save(model.student, folder / "teacher.safetensors")
        write_history(run, folder, run.spec.student, history, started)

    encoder = _fresh(run)
    encoder.load_state_dict(load_file(run.store.compute("teachers", key, make) / "teacher.safetensors"))
    return encoder
