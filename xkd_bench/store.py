"""The results folder: content-addressed stages, written atomically, checked when read, safe for several processes.

    runs/KEY/            one folder a run: record.json, correct.npz (what each item was worth) and, of dense tasks,
                         shown.npz (label maps predicted of a few test images)
    gaps/KEY/            gap.json: how far apart the modalities of a task are, by every estimator
    bounds/KEY/          bound.json: the terms of the bound of a run
    artefacts/STAGE/KEY/ what runs share: teachers, features, students, scores

Every folder holds a checksums.json, and appears under its name only when it is whole: it is written beside it under a
temporary name and renamed. A KEY is a digest of all that the content depends on. The folders are the truth; tables are
derived.
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from xkd_bench.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

log = logging.getLogger("xkd_bench")
CHECKSUMS = "checksums.json"
MEASURED = {"gaps": "gap.json", "bounds": "bound.json"}
TOP = ("runs", *MEASURED)


class Store:
    """A results folder. Nothing is created before the first write."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self._told: set[Path] = set()

    def folder(self, stage: str, key: str) -> Path:
        """Where a stage's result is, or would be."""
        return (self.root / stage if stage in TOP else self.root / "artefacts" / stage) / key

    def work_folder(self, stage: str, key: str) -> Path:
        """Where an unfinished stage keeps its checkpoint; it outlives a kill and goes when the stage is whole."""
        folder = self.folder(stage, key)
        return folder.with_name(f"{folder.name}.work")

    def has(self, stage: str, key: str) -> bool:
        """Whether the stage is there, whole and uncorrupted."""
        folder = self.folder(stage, key)
        return folder.is_dir() and _problem(folder) is None

    def compute(self, stage: str, key: str, make: Callable[[Path], None]) -> Path:
        """The stage's folder; `make` fills a temporary one if it is missing or corrupt. One process makes a key."""
        folder = self.folder(stage, key)
        if self.has(stage, key):
            return folder
        with self._writing(folder.parent):
            folder.parent.mkdir(parents=True, exist_ok=True)
        with self._lock(stage, key):
            if self.has(stage, key):
                return folder
            with self._writing(folder.parent):
                self._clear(folder)
                temporary = folder.with_name(f".{key}.{os.getpid()}")
                temporary.mkdir()
                try:
                    make(temporary)
                    _seal(temporary)
                    os.replace(temporary, folder)
                except BaseException:
                    shutil.rmtree(temporary, ignore_errors=True)
                    raise
                shutil.rmtree(self.work_folder(stage, key), ignore_errors=True)
        return folder

    def _clear(self, folder: Path) -> None:
        """Remove what a killed process or a broken disk left of a folder whose lock we hold."""
        for stale in folder.parent.glob(f".{folder.name}.*"):
            shutil.rmtree(stale, ignore_errors=True)
        if folder.is_dir():
            self._tell(folder, _problem(folder))
            shutil.rmtree(folder)

    def records(self) -> list[dict[str, Any]]:
        """All whole records, in the order of their keys."""
        return [self.record(key) for key in self._keys("runs")]

    def measured(self, stage: str) -> list[dict[str, Any]]:
        """All whole measurements of a kind (`gaps`, `bounds`), in the order of their keys."""
        files = [self.folder(stage, key) / MEASURED[stage] for key in self._keys(stage)]
        return [json.loads(file.read_text(encoding="utf-8")) for file in files]

    def _keys(self, stage: str) -> list[str]:
        """Keys of what is there and whole, in order; what is corrupt is told, and left out."""
        folder = self.root / stage
        names = sorted(f.name for f in folder.iterdir() if f.is_dir() and f.name[0] != ".") if folder.is_dir() else []
        keys = [name for name in names if not name.endswith(".work")]
        for key in list(keys):
            if problem := _problem(self.folder(stage, key)):
                keys.remove(key)
                self._tell(self.folder(stage, key), problem)
        return keys

    def _tell(self, folder: Path, problem: str | None) -> None:
        """Say once what is corrupt."""
        if folder not in self._told:
            self._told.add(folder)
            log.warning("%s is corrupt (%s): left out, and made again by the command that made it", folder, problem)

    def record(self, key: str) -> dict[str, Any]:
        """The record of this key."""
        record: dict[str, Any] = json.loads((self.folder("runs", key) / "record.json").read_text(encoding="utf-8"))
        return record

    def correct(self, key: str) -> "np.ndarray":
        """What each test item was worth to a record's scores, in their order: [scores, n_test] bool, right or wrong; of
        a dense task float32, each image's mean IoU."""
        import numpy as np

        with np.load(self.folder("runs", key) / "correct.npz") as arrays:
            if "items" in arrays:
                return arrays["items"]
            packed, n_test = arrays["packed"], int(arrays["n_test"])
        return np.unpackbits(packed, axis=1, count=n_test).astype(bool)

    def shown(self, key: str) -> "dict[int, np.ndarray]":
        """The classes predicted of a few test images, [m, h, w] uint8, by those of a record's scores (by their
        place) that kept them; none but of dense tasks."""
        import numpy as np

        file = self.folder("runs", key) / "shown.npz"
        if not file.exists():
            return {}
        with np.load(file) as arrays:
            return {int(place): arrays[place] for place in arrays}

    def find(self, prefix: str) -> str:
        """The one key that begins with `prefix`. UsageError if there is none or several."""
        keys = [r["key"] for r in self.records() if r["key"].startswith(prefix)]
        if len(keys) != 1:
            what = "no record" if not keys else f"{len(keys)} records"
            raise UsageError(
                f"{what} in {self.root / 'runs'} with a key that begins with '{prefix}': see xkd-bench show"
            )
        return keys[0]

    def frame(self, keys: list[str] | None = None) -> "pd.DataFrame":
        """Tidy scores, one row each, of these keys or of all records; the columns are those of `tidy`."""
        import pandas as pd

        records = self.records() if keys is None else [self.record(key) for key in keys]
        return pd.DataFrame([row for record in records for row in tidy(record)])

    @contextmanager
    def _lock(self, stage: str, key: str) -> Iterator[None]:
        locks = self.root / "artefacts" / "locks"
        lock = FileLock(locks / f"{stage}-{key}.lock")
        with self._writing(locks):
            locks.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def _writing(self, where: Path) -> Iterator[None]:
        """Turns what the disk refuses into one line."""
        try:
            yield
        except OSError as error:
            if error.errno is None or (error.filename is None and error.strerror is None):
                raise
            raise UsageError(
                f"cannot write to {where}: {error.strerror}; free some space or choose another --out"
            ) from error


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _seal(folder: Path) -> None:
    """Write the checksums of all files: what a power cut leaves half on the disk is known by them, and made again."""
    sums = {str(f.relative_to(folder)): _hash(f) for f in sorted(folder.rglob("*")) if f.is_file()}
    (folder / CHECKSUMS).write_text(json.dumps(sums, indent=1), encoding="utf-8")


def _problem(folder: Path) -> str | None:
    """What is wrong with a sealed folder, or None."""
    try:
        sums = json.loads((folder / CHECKSUMS).read_text(encoding="utf-8"))
        for name, expected in sums.items():
            if _hash(folder / name) != expected:
                return f"{name} has another checksum"
    except (OSError, ValueError) as error:
        return str(error)
    return None


def tidy(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One row per score of a record: what `analysis` and `report` take."""
    import pandas as pd

    spec, card = record["spec"], record["task"]
    shared = {
        "key": record["key"],
        "task": spec["task"],
        "task_title": card["title"],
        "source": card["source"],
        "target": card["target"],
        "pairing": card["pairing"],
        "origin": card["origin"],
        "method": spec["method"],
        "options": json.dumps(spec["options"], sort_keys=True),
        "option_changes": json.dumps(record["option_changes"], sort_keys=True),
        "provenance": record["provenance"],
        "teacher": spec["teacher"]
        + _told(" ", spec.get("teacher_digest"))
        + _told(" from ", spec.get("teacher_backbone_digest")),
        "pairs": spec["pairs"],
        "student": spec["student"],
        "init": _told("backbone ", spec.get("student_backbone_digest")) or spec.get("init", "random"),
        "protocol": spec["protocol"],
        "protocol_version": record["protocol"]["version"],
        "budget": spec["budget"],
        "batch": pd.NA if spec.get("batch") is None else spec["batch"],
        "precision": spec["precision"],
        "seed": spec["seed"],
        "data_digest": record["data_digest"],
    }
    for score in record["scores"]:
        per_class = score["labels_per_class"]
        yield {
            **shared,
            "trained": score["trained"],
            "labels_per_class": pd.NA if per_class is None else per_class,
            "pair_fraction": score["pair_fraction"],
            "draw": score["draw"],
            "metric": score["metric"],
            "inputs": score.get("inputs", "target"),
            "value": score["value"],
            "n_test": score["n_test"],
        }


def _told(before: str, digest: str | None) -> str:
    """What a file of weights is called by, if there is one."""
    return f"{before}{digest[:6]}" if digest else ""
