"""What the stages of one run need: the spec, its data and split, and the place where it runs."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from lightning_fabric import Fabric

from protocols import Budget, Protocol
from xkd_bench import methods, tasks
from xkd_bench.methods.base import Method
from xkd_bench.sampling import PairSampler, pair_sampler
from xkd_bench.spec import RunSpec
from xkd_bench.store import Store
from xkd_bench.tasks.base import Split, TaskData
from xkd_bench.training import OnStep

Report = Callable[[str, int, int, str], None]
"""Told (stage, steps done, steps in all, a note such as "epoch 3/12, loss 5.013") as a run goes on."""


@dataclass(frozen=True)
class Context:
    """One run's spec and data, and the store, device and progress report of the runner it is in."""

    spec: RunSpec
    data: TaskData
    store: Store
    fabric: Fabric
    report: Report

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
    def split(self) -> Split:
        return self.data.split(self.spec.seed)

    @property
    def device(self) -> torch.device:
        return self.fabric.device

    @property
    def flip(self) -> bool:
        """Whether a mirrored target item is as good as the item: not so for spectrograms."""
        return tasks.get(self.spec.task).card.target_kind != "audio"

    def on_step(self, stage: str, epochs: int) -> OnStep:
        """What a training of this stage tells its steps to."""

        def report(done: int, total: int, loss: float) -> None:
            epoch = -(-done * epochs // total)
            self.report(stage, done, total, f"epoch {epoch}/{epochs}, loss {loss:.3f}")

        return report

    def sampler(self, fraction: float = 1.0) -> PairSampler:
        """The batches that distillation from this fraction of the pairs goes through."""
        return pair_sampler(
            self.data, self.split, seed=self.spec.seed, batch=self.budget.distil.batch, fraction=fraction,
            shuffled=self.spec.pairs == "shuffled", uses_pairs=self.method.uses_pairs,
            positives=self.method.batch_positives(self.options),
        )  # fmt: skip
