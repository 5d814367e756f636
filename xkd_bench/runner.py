"""One RunSpec from start to Record. Each stage is content-addressed: its key holds just what it depends on."""

import json
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from protocols import Budget, Protocol, Recipe
from xkd_bench import __version__, evaluation, methods, tasks
from xkd_bench.augment import Augment
from xkd_bench.errors import UsageError
from xkd_bench.methods.base import Batch, Method, Teacher
from xkd_bench.models import teachers
from xkd_bench.models.encoders import Encoder, build_encoder
from xkd_bench.sampling import PairSampler, draw_labels, pair_sampler
from xkd_bench.seeds import stream
from xkd_bench.spec import FORMAT, RunSpec, digest
from xkd_bench.store import Store
from xkd_bench.tasks.base import Split, TaskData, check_split
from xkd_bench.training import fit

Report = Callable[[str, int, int, float], None]
"""Told (stage, steps done, steps in all, loss or NaN) as a run goes on."""


def _silent(stage: str, done: int, total: int, loss: float) -> None:
    return


class Runner:
    """Runs RunSpecs on one device over one store. Loaded tasks are kept, so that many runs share them."""

    def __init__(self, store: Store, fabric: Fabric, report: Report = _silent) -> None:
        self.store, self.fabric, self.report = store, fabric, report
        self._data: dict[tuple[str, int, int], TaskData] = {}

    def data(self, spec: RunSpec) -> TaskData:
        """The task's data at the budget's sizes."""
        budget = spec.load_budget()
        key = (spec.task, budget.source_size, budget.target_size)
        if key not in self._data:
            self.report("data", 0, 1, float("nan"))
            self._data[key] = tasks.get(spec.task).load(
                *key[1:], progress=lambda done, total: self.report("data", done, total, float("nan"))
            )
        return self._data[key]

    def key(self, spec: RunSpec) -> str:
        """The key of the record: the spec, the numbers of its protocol and budget, and the data."""
        return digest(
            {
                "format": FORMAT,
                "spec": spec.model_dump(),
                "protocol": spec.load_protocol().model_dump(mode="json"),
                "budget": spec.load_budget().model_dump(mode="json"),
                "data": self.data(spec).digest,
            }
        )

    def check(self, spec: RunSpec) -> None:
        """Raise UsageError if the spec cannot run on its data: too few labels, too large a batch. Trains nothing."""
        run = _Run(self, spec)
        for per_class in run.protocol.label_counts():
            draw_labels(run.split, per_class, seed=spec.seed, draw=0)
        if run.method.distils:
            room = len(run.sampler(1.0).target)
            effective = run.sampler(1.0).batch
            if spec.batch is not None and spec.batch > effective:
                what = "distinct concepts" if run.sampler(1.0).positives == "distinct" else "items"
                raise UsageError(
                    f"batch {spec.batch} is larger than the {effective} {what} ({room} target items) "
                    f"that {spec.method} can be distilled from: use --batch {effective} or less"
                )

    def run(self, spec: RunSpec) -> str:
        """Do what is missing and return the key of the record."""
        key = self.key(spec)
        self.store.compute("runs", key, lambda folder: _Run(self, spec).write(folder, key))
        return key


@dataclass
class _Run:
    """The stages of one spec, each computed when asked for and kept in the store."""

    runner: Runner
    spec: RunSpec

    @cached_property
    def protocol(self) -> Protocol:
        return self.spec.load_protocol()

    @cached_property
    def budget(self) -> Budget:
        return self.spec.load_budget()

    @cached_property
    def method(self) -> type[Method]:
        return methods.get(self.spec.method)

    @cached_property
    def options(self) -> Any:
        return self.method.parse_options(self.spec.method, self.spec.options)

    @cached_property
    def data(self) -> TaskData:
        return self.runner.data(self.spec)

    @cached_property
    def split(self) -> Split:
        return check_split(self.data, self.data.split(self.spec.seed))

    def sampler(self, fraction: float) -> PairSampler:
        return pair_sampler(
            self.data, self.split, seed=self.spec.seed, batch=self.budget.distil.batch, fraction=fraction,
            shuffled=self.spec.pairs == "shuffled", uses_pairs=self.method.uses_pairs,
            positives=self.method.batch_positives(self.options),
        )  # fmt: skip

    # ---- stages
    # -------------------------------------------------------------------------------------------------------------

    def teacher_key(self) -> dict[str, Any]:
        """What the teacher depends on; the default one on nothing but its weights."""
        kind = self.spec.teacher
        if kind == "efficientnet-lite0":
            return {"teacher": kind, "weights": teachers.imagenet_digest()}
        common = {"teacher": kind, "seed": self.spec.seed, "data": self.data.digest}
        if kind == "random":
            return common
        return {**common, "student": self.spec.student, "recipe": self.budget.pretrain.model_dump(mode="json")}

    def teacher(self) -> teachers.TeacherEncoder:
        """The frozen teacher, trained first if it is one of ours."""
        if self.spec.teacher == "efficientnet-lite0":
            return teachers.imagenet_teacher()
        images = self.data.source.data[self.split.pairs_source]
        if self.spec.teacher == "random":
            sample = images[:: max(1, len(images) // 1024)]
            batches = (
                teachers.to_float(torch.from_numpy(np.ascontiguousarray(sample[i : i + 128])))
                for i in range(0, len(sample), 128)
            )
            return teachers.random_teacher(batches, stream(self.spec.seed, "teacher"))
        return teachers.simclr_teacher(self._pretrained(images))

    def _pretrained(self, images: NDArray[np.generic]) -> Encoder:
        """Step 1 of CMCD: SimCLR on the source side of the pairs."""
        key = digest({"format": FORMAT, **self.teacher_key()})
        encoder = build_encoder(self.spec.student, images.shape[1], images.shape[-1])

        def make(folder: Path) -> None:
            torch.manual_seed(stream(self.spec.seed, "teacher"))
            fresh = build_encoder(self.spec.student, images.shape[1], images.shape[-1])
            ssl = methods.get("ssl")
            model = ssl(fresh, None, ssl.parse_options("ssl", {}))
            recipe = self.budget.pretrain
            items = np.arange(len(images))
            sampler = PairSampler(items, items, {}, min(recipe.batch, len(items)), "all", self.spec.seed)
            batches = _Batches(self.runner.fabric, images, items, sampler, recipe, 2, flip=True)
            self._train(model, batches, recipe, "teacher", key)
            save_file(_contiguous(model.student), folder / "teacher.safetensors")

        folder = self.runner.store.compute("teacher", key, make)
        encoder.load_state_dict(load_file(folder / "teacher.safetensors"))
        return encoder

    def teacher_features(self) -> torch.Tensor:
        """Features of the source items, un-augmented: [n_source, dim] float32. Keyed by weights, data and size.

        A teacher that is the same for all seeds encodes every item, once for all of them; one that is the seed's own
        encodes the items of its pairs, and the other rows are NaN.
        """
        fields = {"format": FORMAT, **self.teacher_key(), "data": self.data.digest, "precision": "32"}
        of_all_seeds = "seed" not in fields

        def make(folder: Path) -> None:
            images = self.data.source.data
            items = np.arange(len(images)) if of_all_seeds else self.split.pairs_source
            chunks, done = [], 0
            for chunk in teachers.encode(self.teacher(), images[items], self.runner.fabric.device):
                chunks.append(chunk)
                done += len(chunk)
                self.runner.report("teacher features", done, len(items), float("nan"))
            np.savez(folder / "features.npz", items=items, features=torch.cat(chunks).numpy())

        folder = self.runner.store.compute("features", digest(fields), make)
        with np.load(folder / "features.npz") as arrays:
            features = torch.full((len(self.data.source), arrays["features"].shape[1]), float("nan"))
            features[torch.from_numpy(arrays["items"])] = torch.from_numpy(arrays["features"])
        return features

    def student_key(self, fraction: float) -> str:
        """What the distilled student depends on: nothing of the protocol but the fraction of the pairs."""
        fields = {
            "format": FORMAT,
            "data": self.data.digest,
            "seed": self.spec.seed,
            "student": self.spec.student,
            "size": self.budget.target_size,
        }
        if self.method.distils:
            fields |= {
                "method": self.spec.method,
                "options": self.spec.options,
                "pairs": self.spec.pairs,
                "fraction": fraction,
                "recipe": self.budget.distil.model_dump(mode="json"),
                "precision": self.spec.precision,
            }
            if self.method.uses_pairs:
                fields |= {"teacher": self.teacher_key(), "views": self.budget.teacher_views}
        return digest(fields)

    def student(self, fraction: float) -> Encoder:
        """The distilled student, trained first if it is not in the store."""
        key = self.student_key(fraction)
        folder = self.runner.store.compute("students", key, lambda folder: self._distil(folder, key, fraction))
        encoder = self._fresh_student()
        encoder.load_state_dict(load_file(folder / "student.safetensors"))
        return encoder

    def _fresh_student(self) -> Encoder:
        torch.manual_seed(stream(self.spec.seed, "student"))
        return build_encoder(self.spec.student, self.data.target.data.shape[1], self.budget.target_size)

    def _distil(self, folder: Path, key: str, fraction: float) -> None:
        started = time.perf_counter()
        student = self._fresh_student()
        history: list[float] = []
        if self.method.distils:
            features = self.teacher_features() if self.method.uses_pairs else None
            known = None
            if features is not None:
                known = Teacher(features.shape[1], features[torch.from_numpy(self.split.pairs_source)].mean(0))
            torch.manual_seed(stream(self.spec.seed, "method"))
            model = self.method(student, known, self.options)
            recipe = self.budget.distil
            batches = _Batches(
                self.runner.fabric, self.data.target.data, self.data.target.concept, self.sampler(fraction), recipe,
                self.method.views, flip=self._flip,
            )  # fmt: skip
            if features is not None and self.budget.teacher_views == "cached":
                batches.teacher_features = features.to(self.runner.fabric.device)
            elif features is not None:
                batches.show_teacher(self.teacher(), self.data.source.data)
            history = self._train(model, batches, recipe, self.spec.method, key)
        save_file(_contiguous(student), folder / "student.safetensors")
        seconds = time.perf_counter() - started
        (folder / "history.json").write_text(json.dumps({"loss": history, "seconds": seconds}), encoding="utf-8")

    def _train(self, model: Method, batches: "_Batches", recipe: Recipe, what: str, key: str) -> list[float]:
        stage = "teacher" if what == "teacher" else "students"
        return fit(
            model, batches, len(batches), recipe, seed=stream(self.spec.seed, "train"), fabric=self.runner.fabric,
            what=f"{what} on {self.spec.task}",
            on_step=lambda done, total, loss: self.runner.report(f"{what}: training", done, total, loss),
            checkpoint=self.runner.store.work_folder(stage, key) / "checkpoint.pt",
        )  # fmt: skip

    @property
    def _flip(self) -> bool:
        return tasks.get(self.spec.task).card.target_kind != "audio"

    def scores(self) -> Iterator[tuple[float, evaluation.Score]]:
        """Every score of the protocol with its fraction of the pairs, in the protocol's order."""
        draws = min(self.protocol.draws, self.budget.max_draws)
        for fraction in self.protocol.pair_fractions:
            for trained in self.protocol.trained:
                stage = self._head_scores if trained == "head" else self._fine_tuned_scores
                for score in stage(fraction, draws):
                    yield fraction, score

    def _head_scores(self, fraction: float, draws: int) -> list[evaluation.Score]:
        counts = self.protocol.label_counts()
        recipe = self.budget.head
        fields = {
            "student": self.student_key(fraction), "counts": counts, "draws": draws, "recipe":
            recipe.model_dump(mode="json")
        }  # fmt: skip

        def make(folder: Path) -> None:
            self.runner.report("linear evaluation", 0, len(counts), float("nan"))
            features = evaluation.target_features(self.student(fraction), self.data, self.runner.fabric.device)
            scores = evaluation.linear_scores(
                features, self.split, recipe, counts, draws, seed=self.spec.seed, fabric=self.runner.fabric,
                on_step=lambda done, total, loss: self.runner.report("linear evaluation", done, total, loss),
            )  # fmt: skip
            _write_scores(folder, scores)

        return _read_scores(self.runner.store.compute("head-scores", self._score_key(fields), make))

    def _fine_tuned_scores(self, fraction: float, draws: int) -> Iterator[evaluation.Score]:
        recipe = self.budget.all
        jobs = [(n, draw) for n in self.protocol.label_counts() for draw in range(draws)]
        for number, (per_class, draw) in enumerate(jobs):
            fields = {
                "student": self.student_key(fraction), "labels": per_class, "draw": draw,
                "recipe": recipe.model_dump(mode="json"),
            }  # fmt: skip
            key = self._score_key(fields)

            def make(folder: Path, per_class: int | None = per_class, draw: int = draw, key: str = key) -> None:
                score = evaluation.fine_tuned_score(
                    self.student(fraction), self.data, self.split, recipe, per_class, draw, seed=self.spec.seed,
                    fabric=self.runner.fabric, flip=self._flip,
                    checkpoint=self.runner.store.work_folder("tuned-scores", key) / "checkpoint.pt",
                )  # fmt: skip
                _write_scores(folder, [score])

            self.runner.report("fine-tuning", number, len(jobs), float("nan"))
            yield from _read_scores(self.runner.store.compute("tuned-scores", key, make))
            self.runner.report("fine-tuning", number + 1, len(jobs), float("nan"))

    def _score_key(self, fields: dict[str, Any]) -> str:
        return digest({"format": FORMAT, "seed": self.spec.seed, "precision": self.spec.precision, **fields})

    # ---- the record
    # ---------------------------------------------------------------------------------------------------------

    def write(self, folder: Path, key: str) -> None:
        """Do the run and write its record."""
        started = time.perf_counter()
        rows, correct = [], []
        for fraction, score in self.scores():
            row = asdict(score)
            correct.append(row.pop("correct"))
            rows.append({**_jsonable(row), "pair_fraction": fraction, "metric": "accuracy"})
        np.savez_compressed(
            folder / "correct.npz", packed=np.packbits(np.stack(correct), axis=1), n_test=np.int64(len(correct[0]))
        )
        defaults = self.method.parse_options(self.spec.method, {}).model_dump(mode="json")
        split = {
            name: len(getattr(self.split, name)) for name in ("pairs_source", "pairs_target", "train", "val", "test")
        }
        record = {
            "key": key,
            "spec": self.spec.model_dump(),
            "option_changes": {k: v for k, v in self.spec.options.items() if v != defaults[k]},
            "provenance": self.method.provenance,
            "task": asdict(tasks.get(self.spec.task).card),
            "classes": list(self.split.classes),
            "split": split,
            "batch": self.sampler(1.0).batch if self.method.distils else None,
            "protocol": self.protocol.model_dump(mode="json"),
            "budget": self.budget.model_dump(mode="json"),
            "data_digest": self.data.digest,
            "students": {str(f): self.student_key(f) for f in self.protocol.pair_fractions},
            "scores": rows,
            "seconds": time.perf_counter() - started,
            "environment": environment(self.runner.fabric),
        }
        (folder / "record.json").write_text(json.dumps(record, indent=1, allow_nan=False), encoding="utf-8")


class _Batches:
    """Batches of an epoch by its number: views of target items, and what the teacher says of their partners."""

    def __init__(
        self, fabric: Fabric, images: NDArray[np.generic], concept: NDArray[np.int64], sampler: PairSampler, recipe:
        Recipe, views: int, flip: bool,
    ) -> None:  # fmt: skip
        self.device, self.sampler, self.views = fabric.device, sampler, views
        self.images, self.concept = images, torch.from_numpy(np.asarray(concept))
        self.augment = Augment(recipe.augmentation, images.shape[1], images.shape[-1], flip)
        self.teacher_features: torch.Tensor | None = None
        self._source: tuple[teachers.TeacherEncoder, NDArray[np.generic], Augment] | None = None
        self.recipe = recipe

    def show_teacher(self, teacher: teachers.TeacherEncoder, images: NDArray[np.generic]) -> None:
        """Let the teacher see augmented source images at each step, instead of features computed once."""
        augment = Augment(self.recipe.augmentation, images.shape[1], images.shape[-1])
        self._source = (teacher.to(self.device), images, augment)

    def __len__(self) -> int:
        return len(self.sampler)

    def _load(self, images: NDArray[np.generic], items: NDArray[np.int64]) -> torch.Tensor:
        return teachers.to_float(torch.from_numpy(images[items]).to(self.device, non_blocking=True))

    def __call__(self, epoch: int) -> Iterator[Batch]:
        for target, source in self.sampler.epoch(epoch):
            x = self._load(self.images, target)
            views = tuple(self.augment(x) for _ in range(self.views))
            seen = None
            if self.teacher_features is not None:
                seen = self.teacher_features[torch.from_numpy(source).to(self.device)]
            elif self._source is not None:
                teacher, images, augment = self._source
                seen = teacher(augment(self._load(images, source)))
            yield Batch(views, self.concept[torch.from_numpy(target)].to(self.device), seen)


def environment(fabric: Fabric) -> dict[str, Any]:
    """What the numbers were computed with."""
    packages = ("torch", "torchvision", "timm", "kornia", "lightning-fabric", "numpy", "scikit-learn")
    device = (
        torch.cuda.get_device_name(fabric.device) if fabric.device.type == "cuda" else platform.processor() or "cpu"
    )
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "packages": {"xkd-bench": __version__, **{name: version(name) for name in packages}},
        "device": device,
        "threads": torch.get_num_threads(),
    }


def _contiguous(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}


def _jsonable(row: dict[str, Any]) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and v != v else v for k, v in row.items()}


def _write_scores(folder: Path, scores: list[evaluation.Score]) -> None:
    rows = [asdict(score) for score in scores]
    np.save(folder / "correct.npy", np.stack([row.pop("correct") for row in rows]))
    (folder / "scores.json").write_text(json.dumps([_jsonable(row) for row in rows]), encoding="utf-8")


def _read_scores(folder: Path) -> list[evaluation.Score]:
    rows = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    correct = np.load(folder / "correct.npy")
    for row in rows:
        row["validation"] = float("nan") if row["validation"] is None else row["validation"]
    return [evaluation.Score(**row, correct=c) for row, c in zip(rows, correct, strict=True)]
