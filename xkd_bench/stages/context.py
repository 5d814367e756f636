"""What the stages of one run need: the spec, its data and split, and the place where it runs."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import torch
from lightning_fabric import Fabric

from protocols import Budget, Protocol
from xkd_bench import methods, tasks
from xkd_bench.methods.base import Method
from xkd_bench.sampling import PairSampler, pair_sampler
from xkd_bench.spec import RunSpec
from xkd_bench.store import Store
from xkd_bench.tasks.base import Split, TaskData
from xkd_bench.training import OnStep, alone

Report = Callable[[str, int, int, str], None]
"""Told (stage, steps done, steps in all, a note such as "loss 5.013") as a run goes on."""


Made = TypeVar("Made")


class Recent:
    """The last few large things made, by their keys."""

    def __init__(self, most: int = 2) -> None:
        self.most = most
        self._kept: dict[str, Any] = {}

    def get(self, key: str, make: Callable[[], Made]) -> Made:
        """What is kept under the key, or made now and kept; the oldest goes."""
        value: Made = self._kept.pop(key) if key in self._kept else make()
        self._kept[key] = value
        while len(self._kept) > self.most:
            del self._kept[next(iter(self._kept))]
        return value


@dataclass(frozen=True)
class Context:
    """One run's spec and data, and the store, device, memory and progress report of the runner it is in."""

    spec: RunSpec
    data: TaskData
    store: Store
    fabric: Fabric
    report: Report
    recent: Recent = field(default_factory=Recent)

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

    @property
    def init(self) -> str:
        """Where the student starts: the method's own start, where it has one, else the run's."""
        return self.method.init or self.spec.init

    @cached_property
    def split(self) -> Split:
        return self.data.split(self.spec.seed)

    @property
    def device(self) -> torch.device:
        return self.fabric.device

    @property
    def first(self) -> bool:
        """Whether this process is the one that does what is no training, and writes; where there is one, it is."""
        return self.fabric.is_global_zero

    @cached_property
    def alone(self) -> Fabric:
        """What this process trains on what it trains by itself: heads on features that one process has."""
        return alone(self.fabric)

    @property
    def flip(self) -> bool:
        """Whether a mirrored target item is as good as the item: not so for spectrograms."""
        return tasks.get(self.spec.task).card.target_kind != "audio"

    def on_step(self, stage: str) -> OnStep:
        """What a training of this stage tells its steps to."""

        def report(done: int, total: int, loss: float) -> None:
            self.report(stage, done, total, f"loss {loss:.3f}")

        return report

    def sampler(self, fraction: float = 1.0) -> PairSampler:
        """The batches that distillation from this fraction of the pairs goes through."""
        return pair_sampler(
            self.data, self.split, seed=self.spec.seed, batch=self.budget.distil.batch, fraction=fraction,
            shuffled=self.spec.pairs == "shuffled", uses_pairs=self.method.uses_pairs,
            positives=self.method.batch_positives(self.options),
        )  # fmt: skip
