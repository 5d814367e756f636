"""Loss curves, learning rates and scores, told to experiment trackers as runs go on: TensorBoard, CSV, W&B, MLflow.

A `Tracker` is a callback of the Fabric that runs are carried out on (`training.make_fabric`); it is told of runs by
`Runner`, of trainings by `training.fit`. It reads numbers and changes none. A tracker that breaks down is left out from
there on, with one line: no run is lost for it.
"""

import importlib.util
import json
import logging
import os
import re
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from xkd_bench.errors import UsageError, nearest

log = logging.getLogger("xkd_bench")
Row = Mapping[str, float]


class Sink(Protocol):
    """One experiment tracker. It has one run open at a time."""

    def begin(self, name: str, spec: Mapping[str, Any]) -> None:
        """A run of this name and these hyper-parameters begins."""

    def point(self, stage: str, step: int, values: Row) -> None:
        """Numbers of a training of the run after so many steps."""

    def end(self, scores: Row, ok: bool) -> None:
        """The run ended with these scores, or failed."""


class Tracker:
    """Tells its sinks of runs: name, spec, the curves of each training, and the scores."""

    def __init__(self, sinks: Mapping[str, Sink]) -> None:
        self.sinks = dict(sinks)
        self._running = False
        self._stage = ""
        self._trained: dict[str, int] = {}

    def on_run_start(self, key: str, label: str, spec: Mapping[str, Any]) -> None:
        """What is trained from here on is trained for this run: a student that runs share is of the first one."""
        self._trained.clear()
        self._running = True
        flat = {k: v for k, v in spec.items() if k != "options" and v is not None}
        flat |= {f"options.{k}": v for k, v in spec["options"].items()}
        name = re.sub(r"[^\w.+-]+", "-", f"{label} {spec['task']} {spec['protocol']}")[:80]
        self._tell(lambda sink: sink.begin(f"{name}-{key[:6]}", flat))

    def on_train_start(self, what: str) -> None:
        """A training begins; of several by one name in a run, the later ones are numbered."""
        count = self._trained[what] = self._trained.get(what, 0) + 1
        self._stage = what if count == 1 else f"{what} {count}"

    def on_loss(self, step: int, loss: float, rate: float) -> None:
        """The loss of a step and its learning rate."""
        if self._running:
            self._tell(lambda sink: sink.point(self._stage, step, {"loss": loss, "learning_rate": rate}))

    def on_run_end(self, record: Mapping[str, Any] | None) -> None:
        """The run has this record, or broke off."""
        self._running = False
        scores = summary(record) if record else {}
        self._tell(lambda sink: sink.end(scores, record is not None))

    def _tell(self, say: Callable[[Sink], None]) -> None:
        for name, sink in list(self.sinks.items()):
            try:
                say(sink)
            except Exception as error:  # a server out of reach, a full disk, …: the run matters more
                del self.sinks[name]
                why = " ".join(str(error).split()) or "no reason given"
                log.warning("--logger %s stops here, the runs go on (%s: %s)", name, type(error).__name__, why)


def summary(record: Mapping[str, Any]) -> dict[str, float]:
    """Mean over label draws of each score of a record, with deviation and number of draws where there are several."""
    values: dict[str, list[float]] = {}
    for score in record["scores"]:
        labels = "all" if score["labels_per_class"] is None else score["labels_per_class"]
        words = [score["metric"], score["trained"], f"{labels} labels per class"]
        words += [f"{score['pair_fraction']:g} of pairs"] if score["pair_fraction"] != 1 else []
        words += [score["inputs"]] if score["inputs"] != "target" else []
        values.setdefault("/".join(words), []).append(score["value"])
    out = {}
    for name, found in values.items():
        out[name] = statistics.fmean(found)
        if len(found) > 1:
            out |= {f"{name}/sd": statistics.stdev(found), f"{name}/draws": float(len(found))}
    return out


class TensorBoard:
    """Event files in FOLDER/RUN; a run that is taken up again goes on there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def begin(self, name: str, spec: Mapping[str, Any]) -> None:
        from lightning_fabric.loggers import TensorBoardLogger

        self.spec = dict(spec)
        self.logger = TensorBoardLogger(self.folder, name, version="", default_hp_metric=False)
        self.logger.experiment.add_text("spec", f"    {json.dumps(self.spec)}")

    def point(self, stage: str, step: int, values: Row) -> None:
        self.logger.log_metrics({f"{stage}/{name}": value for name, value in values.items()}, step)

    def end(self, scores: Row, ok: bool) -> None:
        if ok:
            self.logger.log_hyperparams(self.spec, dict(scores))
        self.logger.finalize("success" if ok else "failed")


class CSV:
    """FOLDER/RUN/version_N/metrics.csv and spec.json; a run that is taken up again begins a new version."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def begin(self, name: str, spec: Mapping[str, Any]) -> None:
        from lightning_fabric.loggers import CSVLogger

        self.logger, self.step = CSVLogger(self.folder, name), 0
        (Path(self.logger.experiment.log_dir) / "spec.json").write_text(json.dumps(spec, indent=1), encoding="utf-8")

    def point(self, stage: str, step: int, values: Row) -> None:
        self.step = step
        self.logger.log_metrics({f"{stage}/{name}": value for name, value in values.items()}, step)

    def end(self, scores: Row, ok: bool) -> None:
        if scores:
            self.logger.log_metrics(dict(scores), self.step)
        self.logger.finalize("success" if ok else "failed")


class WandB:
    """Weights & Biases, project `xkd-bench`; without a login, offline in FOLDER (`wandb sync` sends it later)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def begin(self, name: str, spec: Mapping[str, Any]) -> None:
        import wandb

        self.folder.mkdir(parents=True, exist_ok=True)
        offline = "WANDB_MODE" not in os.environ and not wandb.login(prompt=False, verify=False)
        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "xkd-bench"), name=name, config=dict(spec), dir=self.folder,
            mode="offline" if offline else None, reinit="create_new",
            settings=wandb.Settings(silent=True, console="off"),
        )  # fmt: skip
        self.stages: set[str] = set()

    def point(self, stage: str, step: int, values: Row) -> None:
        if stage not in self.stages:  # each training counts its own steps
            self.stages.add(stage)
            self.run.define_metric(f"{stage}/*", step_metric=f"{stage}/step")
        self.run.log({f"{stage}/step": step} | {f"{stage}/{name}": value for name, value in values.items()})

    def end(self, scores: Row, ok: bool) -> None:
        self.run.summary.update(dict(scores))
        self.run.finish(exit_code=0 if ok else 1)


class MLflow:
    """MLflow, experiment `xkd-bench`, at MLFLOW_TRACKING_URI; where that is not set, a database in FOLDER."""

    MOST, EVERY_S = 500, 5.0  # a call to the server takes tens of milliseconds

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.waiting: list[Any] = []

    def begin(self, name: str, spec: Mapping[str, Any]) -> None:
        from mlflow import MlflowClient

        for chatty in ("mlflow", "alembic"):
            logging.getLogger(chatty).setLevel(logging.WARNING)
        where = os.environ.get("MLFLOW_TRACKING_URI")
        if not where:
            self.folder.mkdir(parents=True, exist_ok=True)
            where = f"sqlite:///{self.folder.resolve() / 'mlflow.db'}"
        self.client, self.waiting, self.sent = MlflowClient(where), [], time.monotonic()
        found = self.client.get_experiment_by_name("xkd-bench")
        experiment = found.experiment_id if found else self.client.create_experiment("xkd-bench")
        self.run = self.client.create_run(experiment, run_name=name).info.run_id
        for field, value in spec.items():
            self.client.log_param(self.run, field, value)

    def point(self, stage: str, step: int, values: Row) -> None:
        self._wait({f"{stage}/{name}": value for name, value in values.items()}, step)
        if len(self.waiting) >= self.MOST or time.monotonic() - self.sent > self.EVERY_S:
            self._send()

    def end(self, scores: Row, ok: bool) -> None:
        self._wait(scores, 0)
        self._send()
        self.client.set_terminated(self.run, "FINISHED" if ok else "FAILED")

    def _wait(self, values: Row, step: int) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        # Names there may hold letters, digits and these signs alone.
        self.waiting += [Metric(re.sub(r"[^\w\-. :/]", "-", name), value, now, step) for name, value in values.items()]

    def _send(self) -> None:
        for start in range(0, len(self.waiting), self.MOST):
            self.client.log_batch(self.run, metrics=self.waiting[start : start + self.MOST])
        self.waiting, self.sent = [], time.monotonic()


SINKS: dict[str, tuple[Callable[[Path], Sink], tuple[str, ...]]] = {
    "tensorboard": (TensorBoard, ("tensorboard",)),
    "csv": (CSV, ()),
    "wandb": (WandB, ("wandb",)),
    "mlflow": (MLflow, ("mlflow", "sqlalchemy", "alembic")),
}
"""What makes each sink, of the folder it may write to, and the modules that it needs."""


def check_loggers(names: Sequence[str]) -> None:
    """Raise UsageError at a name that is not known, or whose packages are not here."""
    for name in names:
        if name not in SINKS:
            raise nearest("logger", name, list(SINKS))
        if missing := [module for module in SINKS[name][1] if importlib.util.find_spec(module) is None]:
            raise UsageError(f"--logger {name} needs {', '.join(missing)}: pip install 'xkd-bench[logging]'")


def make_tracker(names: Sequence[str], out: Path) -> Tracker:
    """A tracker that tells these sinks; what they write here is in `out`/logs/NAME."""
    return Tracker({name: SINKS[name][0](out / "logs" / name) for name in names})
