"""Graded gaps: any image task with its target made worse, `emoji-sketch@blur=0.4` or `folder:PATH@noise=0.3,grey=1`."""

import re
from copy import copy
from dataclasses import replace

import numpy as np

from xkd_bench.errors import UsageError, nearest
from xkd_bench.tasks._cache import Allocate, Array, cached, sha256
from xkd_bench.tasks._degrade import AXES, VERSION, degrade
from xkd_bench.tasks._packages import Report, silent
from xkd_bench.tasks.base import Progress, Task, TaskData

_SUFFIX = re.compile(r"(.*)@([A-Za-z_-]*=[^@/]*)", re.DOTALL)


def parse(name: str) -> tuple[str, dict[str, float]]:
    """A task's name without its degradation, and the strengths by axis: in the order of AXES, empty if there is none.

    Raises UsageError for an unknown axis, an axis named twice, and what is no number from 0 to 1.
    """
    found = _SUFFIX.fullmatch(name)
    plain = found[1] if found else name
    if "@" in plain.partition(":")[0]:
        axes = ", ".join(AXES)
        raise UsageError(f"task '{name}': after one @ comes axis=strength, such as @blur=0.4,noise=0.1 (axes: {axes})")
    if found is None:
        return name, {}
    strengths: dict[str, float] = {}
    for part in found[2].split(","):
        axis, _, text = part.partition("=")
        if axis not in AXES:
            raise nearest("axis", axis, list(AXES))
        if axis in strengths:
            raise UsageError(f"task '{name}' names the axis '{axis}' twice")
        try:
            strengths[axis] = float(text)
        except ValueError:
            strengths[axis] = np.nan
        if not 0 <= strengths[axis] <= 1:
            raise UsageError(f"task '{name}': the strength of '{axis}' is '{text}', and must be a number from 0 to 1")
    return plain, {axis: strengths[axis] for axis in AXES if axis in strengths}


class Graded(Task):
    """A task whose target items are degraded; all else, the splits too, is the task's own."""

    def __init__(self, task: Task, strengths: dict[str, float]) -> None:
        if task.card.target_kind != "image":
            raise UsageError(f"task '{task.card.name}' has no image for its target: only images can be degraded")
        self.task, self.strengths = task, strengths
        self.packages, self.skip_bad = task.packages, task.skip_bad
        words = ", ".join(f"{axis} {strength:g}" for axis, strength in strengths.items())
        self.card = replace(
            task.card,
            name=f"{task.card.name}@{','.join(f'{axis}={strength:g}' for axis, strength in strengths.items())}",
            title=f"{task.card.title}; simulated degradation of the target: {words}",
            target=f"{task.card.target}, degraded ({words})",
            origin="simulated" if any(strengths.values()) else task.card.origin,
        )

    def load(self, source_size: int, target_size: int, progress: Progress | None = None) -> TaskData:
        """The task's data with a degraded copy of its target, which is kept in the cache."""
        self.task.skip_bad = self.skip_bad
        data = self.task.load(source_size, target_size, progress)
        images = np.asarray(data.target.data)
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
            raise UsageError(f"task '{self.task.card.name}': only images of one or three channels can be degraded")
        if self.strengths.get("grey") and images.shape[1] == 1:
            raise UsageError(f"the target of task '{self.task.card.name}' has no colour: grey would change nothing")
        acting = {axis: strength for axis, strength in self.strengths.items() if strength}
        if not acting:
            return data

        def build(allocate: Allocate) -> Array:
            return degrade(images, acting, allocate(images.shape))

        key = sha256(data.digest, acting, VERSION)
        worse, digest = cached(f"degraded-{images.shape[-1]}", key, build)
        graded = copy(data)  # its split looks at concepts, groups and labels, which stay
        graded.target = replace(data.target, data=worse)
        graded.digest = sha256(key, digest)
        return graded

    def prepare(self, report: Report = silent) -> None:
        self.task.prepare(report)

    def prepared(self) -> str:
        return self.task.prepared()

    def ready(self) -> bool:
        return self.task.ready()

    def check(self) -> list[str]:
        return self.task.check()

    def not_prepared(self) -> UsageError:
        return self.task.not_prepared()
