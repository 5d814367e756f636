"""`--profile`: where the time of a training goes, by torch.profiler, for a few steps of each training of a run.

A callback of the Fabric that runs are carried out on, told by `Runner` and `training.fit`. Writes two files a training
to its folder: TRAINING.json, a trace for chrome://tracing or Perfetto, and TRAINING.txt, the operations that took most.
"""

import logging
import os
import re
import warnings
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile, schedule

log = logging.getLogger("xkd_bench")
WAIT, WARM_UP, STEPS = 2, 1, 3
"""Steps that are left out (the first ones allocate and choose kernels), that warm the profiler up, that are kept."""
ROWS = 25
QUIET = {"KINETO_LOG_LEVEL": "6"}
"""torch's tracing library writes of each start and stop, and of GPUs that are not there, into the progress. 6: of
nothing. It reads this when the first profile begins."""


class Profiles:
    """Profiles the first training of each name in a run: draws of labels do the same work."""

    def __init__(self, folder: Path) -> None:
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        self.folder = folder
        self._run, self._seen = "", set[str]()
        self._file: Path | None = None
        self._profile: profile | None = None

    def on_run_start(self, key: str, label: str) -> None:
        """Files of what is trained from here on are in a folder of this run."""
        self._run = re.sub(r"[^\w.+-]+", "-", label) + f"-{key[:6]}"
        self._seen.clear()

    def on_train_start(self, what: str, steps: int) -> None:
        """A training of so many steps begins; a short one is profiled with less of a warm-up, or none."""
        self.on_train_end()
        kind = what.partition(" (")[0]
        if kind in self._seen or steps < 1:
            return
        self._seen.add(kind)
        kept = min(STEPS, steps)
        warm_up = min(WARM_UP, steps - kept)
        with warnings.catch_warnings(action="ignore"):  # that there is no warm-up
            plan = schedule(wait=min(WAIT, steps - kept - warm_up), warmup=warm_up, active=kept, repeat=1)
        kinds = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * torch.cuda.is_available()
        self._file = self.folder / self._run / re.sub(r"[^\w.+-]+", "-", kind)
        self._profile = profile(activities=kinds, schedule=plan, on_trace_ready=self._write, acc_events=True)
        self._profile.start()

    def on_train_batch_end(self) -> None:
        """A step of the training is done."""
        if self._profile is not None:
            self._profile.step()

    def on_train_end(self) -> None:
        """The training is done, or broke off; what was profiled is written by then, or not wanted."""
        if self._profile is not None:
            self._profile.stop()
            self._profile = None

    def on_run_end(self, record: Any) -> None:
        """The run is done, or broke off."""
        self.on_train_end()

    def _write(self, found: profile) -> None:
        assert self._file is not None
        slowest = "self_device_time_total" if torch.cuda.is_available() else "self_cpu_time_total"
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            temporary = self._file.with_name(f".{self._file.name}.{os.getpid()}.json")
            found.export_chrome_trace(str(temporary))
            os.replace(temporary, f"{self._file}.json")
            table = found.key_averages().table(sort_by=slowest, row_limit=ROWS)
            Path(f"{self._file}.txt").write_text(table, encoding="utf-8")
        except (OSError, RuntimeError) as error:
            log.warning("no profile in %s, the runs go on (%s)", self._file.parent, error)
