"""One RunSpec from start to Record."""

import json
import platform
import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray

from xkd_bench import __version__, tasks
from xkd_bench.errors import UsageError
from xkd_bench.machine import explained
from xkd_bench.models.encoders import build_encoder
from xkd_bench.sampling import draw_labels
from xkd_bench.seeds import streams
from xkd_bench.segmentation import draw_images
from xkd_bench.shared_store import SharedStore
from xkd_bench.spec import FORMAT, RunSpec, digest
from xkd_bench.stages.context import Context, Recent, Report
from xkd_bench.stages.dense_student import check_networks
from xkd_bench.stages.kept import jsonable
from xkd_bench.stages.networks import dense_networks
from xkd_bench.stages.scores import scores
from xkd_bench.stages.student import student_key
from xkd_bench.store import Store
from xkd_bench.tasks.base import TaskData
from xkd_bench.training import is_compiled

RECORDED_PACKAGES = ("torch", "torchvision", "timm", "kornia", "lightning-fabric", "numpy", "scikit-learn")


def _silent(stage: str, done: int, total: int, note: str) -> None:
    return


class Runner:
    """Runs RunSpecs on one device over one store. Loaded tasks are kept, so that many runs share them."""

    def __init__(self, store: Store, fabric: Fabric, report: Report = _silent) -> None:
        self.store = store if fabric.world_size == 1 else SharedStore(store.root, fabric)
        self.fabric, self.report = fabric, report
        self._data: dict[tuple[Any, ...], TaskData] = {}
        self._recent = Recent()

    def data(self, spec: RunSpec) -> TaskData:
        """The task's data at the budget's sizes."""
        budget = spec.load_budget()
        key = (spec.task, *budget.sizes())
        if key not in self._data:
            with self.fabric.rank_zero_first():  # it prepares what the others then read
                self._data[key] = tasks.get(spec.task).load(
                    *budget.sizes(),
                    progress=lambda done, total: self.report("data", done, total, ""),
                )
        return self._data[key]

    def context(self, spec: RunSpec, report: Report | None = None) -> Context:
        """What the stages of this spec need. report: told how it goes, instead of the runner's."""
        data = self.data(spec).at(spec.seed)
        return Context(spec, data, self.store, self.fabric, report or self.report, self._recent)

    def key(self, spec: RunSpec) -> str:
        """The key of the record: the spec, the numbers of its protocol and budget, and the data."""
        fields = {
            "format": FORMAT,
            "spec": spec.fields(),
            "protocol": spec.load_protocol().model_dump(mode="json"),
            "budget": spec.load_budget().model_dump(mode="json"),
            "data": self.data(spec).digest,
        }
        return digest(fields)

    def check(self, spec: RunSpec) -> None:
        """Raise UsageError if the spec cannot run on its data: too few labels, too large a batch. Trains nothing."""
        run = self.context(spec)
        for per_class in run.protocol.label_counts():
            if run.data.maps is not None:
                draw_images(run.data, run.split, per_class, seed=spec.seed, draw=0)
            else:
                draw_labels(run.split, per_class, seed=spec.seed, draw=0)
        if run.data.maps is not None:
            check_networks(run)
        else:
            build_encoder(spec.student, run.data.target.data.shape[1], run.data.target.data.shape[2:])
        if not run.method.distils:
            return
        for fraction in run.protocol.pair_fractions:
            room = run.sampler(fraction).batch
            if room < run.method.smallest_batch(run.options):
                raise UsageError(
                    f"{fraction:.0%} of the pairs of {spec.task} leave a batch of {room}, and {spec.method} with these "
                    f"options needs {run.method.smallest_batch(run.options)}: use a task with more pairs"
                )
        if spec.batch is not None and spec.batch > run.sampler().batch:
            sampler = run.sampler()
            what = "distinct concepts" if sampler.positives == "distinct" else "items"
            raise UsageError(
                f"batch {spec.batch} is larger than the {sampler.batch} {what} that {spec.method} is distilled from "
                f"on {spec.task}: use --batch {sampler.batch} or less"
            )

    def run(self, spec: RunSpec, report: Report | None = None) -> str:
        """Do what is missing and return the key of the record. report: as for `context`."""
        key = self.key(spec)

        def make(folder: Path) -> None:
            record = None
            self.fabric.call("on_run_start", key=key, label=spec.label(), spec=spec.model_dump(mode="json"))
            try:
                record = self._write_record(self.context(spec, report), key, folder)
            finally:
                self.fabric.call("on_run_end", record=record)

        with explained():
            self.store.compute("runs", key, make)
        return key

    def _write_record(self, run: Context, key: str, folder: Path) -> dict[str, Any]:
        started = time.perf_counter()
        spec = run.spec
        rows: list[dict[str, Any]] = []
        correct, shown = [], {}
        for fraction, score in scores(run):
            if score.shown is not None:
                shown[str(len(rows))] = score.shown
            rows.append({**jsonable(score), "pair_fraction": fraction})
            correct.append(score.correct)
        _write_items(np.stack(correct), folder)
        if shown:
            np.savez_compressed(folder / "shown.npz", **shown)  # type: ignore[arg-type]
        defaults = run.method.parse_options(spec.method, {}).model_dump(mode="json")
        parts = ("pairs_source", "pairs_target", "train", "val", "test")
        record = {
            "key": key,
            "spec": spec.model_dump(),
            "option_changes": {k: v for k, v in spec.options.items() if v != defaults[k]}
            | {f"recipe.{k}": v for k, v in spec.recipe.items()},
            "init": run.init,
            "provenance": run.method.provenance,
            "task": asdict(tasks.get(spec.task).card),
            "classes": list(run.split.classes),
            "split": {name: len(getattr(run.split, name)) for name in parts},
            "absent": list(run.split.absent),
            "batch": run.sampler().batch if run.method.distils else None,
            "protocol": run.protocol.model_dump(mode="json"),
            "budget": run.budget.model_dump(mode="json"),
            "data_digest": self.data(spec).digest,
            "skipped": len(self.data(spec).skipped),
            "students": {str(f): student_key(run, f) for f in run.protocol.pair_fractions},
            "networks": dense_networks(run) if run.data.maps is not None else [],
            "scores": rows,
            "seconds": time.perf_counter() - started,
            "seeds": streams(spec.seed),
            "environment": environment(self.fabric),
        }
        (folder / "record.json").write_text(json.dumps(record, indent=1, allow_nan=False), encoding="utf-8")
        return record


def _write_items(items: NDArray[Any], folder: Path) -> None:
    """What each test item was worth to each score: a bit where it is right or wrong, else a number."""
    if items.dtype == np.bool_:
        packed = np.packbits(items, axis=1)
        np.savez_compressed(folder / "correct.npz", packed=packed, n_test=np.int64(items.shape[1]))
    else:
        np.savez_compressed(folder / "correct.npz", items=items.astype(np.float32))


def environment(fabric: Fabric) -> dict[str, Any]:
    """What the numbers were computed with."""
    on_gpu = fabric.device.type == "cuda"
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "packages": {"xkd-bench": __version__, **{name: version(name) for name in RECORDED_PACKAGES}},
        "device": torch.cuda.get_device_name(fabric.device) if on_gpu else platform.machine(),
        "devices": fabric.world_size,
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "compiled": is_compiled(fabric),
    }
