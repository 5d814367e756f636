"""Oracle encoders of both modalities: stand-ins for the φ_A* and φ_B* of the theory, which no student had a part in.

In Theorem 3.3 φ_M* is the encoder by which P_φ(x, z) is the true law of input and latent, and the gap of two modalities
is that of φ_A* and φ_B*. It is unknown, except in a simulated world. Here two encoders of the student's network, each
with a linear projection into one space, are trained together on all items but those of the held-out pairs:

contrastive (the default): by CMC on pairs, both sides trained. Its optimum is the theory's own, the encoders whose
    Gibbs law (eq. 9) is the true law of a pair's other half, as E[z | x] is in `twin-gaussian`. It sees no labels.
supervised: by cross-entropy under one linear head for both sides, so that they share a space. It finds of z what the
    label needs, y being a function of z, and its head is a reference for the best attainable risk.
exact: no training, where the task knows its oracles in closed form.

A gap measured on the distilled student would be circular: it would say how well distillation went.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

from protocols import load_budget
from xkd_bench import tasks
from xkd_bench.augment import augmentation
from xkd_bench.errors import UsageError
from xkd_bench.losses.contrastive import cmc
from xkd_bench.models import weights
from xkd_bench.models.encoders import Encoder, build_encoder
from xkd_bench.models.teachers import encode, to_float
from xkd_bench.sampling import PairSampler, partners_by_concept
from xkd_bench.seeds import stream
from xkd_bench.spec import FORMAT, digest
from xkd_bench.stages.context import Context
from xkd_bench.stages.held_out import HeldOut, held_out
from xkd_bench.stages.kept import write_history
from xkd_bench.tasks.base import Index, Items
from xkd_bench.training import fit

Kind = Literal["exact", "supervised", "contrastive"]
Side = Literal["source", "target"]
KINDS: tuple[Kind, ...] = get_args(Kind)
DEFAULT: Kind = "contrastive"
"""The theory's own, without labels and in one space: at gap 0.5 of `twin-gaussian` (true oracles: TV 0.5) a classifier
tells contrastive features apart by 0.40 and supervised ones by 1.00. A shared head does not make a shared space."""
SIDES: tuple[Side, ...] = get_args(Side)
WIDTH = 64
"""Of the space that both sides are projected into."""
TEMPERATURE = 0.1
VERSION = 1
"""Part of every key: raised when the training of oracles changes."""


class Oracle(Protocol):
    """Encoders of both modalities."""

    kind: Kind

    def features(self, side: Side, items: Index) -> NDArray[np.float64]:
        """[n, d] of these items of one modality, in one space with the other's."""


def usual(task: str) -> Kind:
    """The oracle of a task where none is named."""
    return "exact" if _world(task) is not None else DEFAULT


def oracle(run: Context, kind: Kind | None = None) -> Oracle:
    """Oracle encoders for the task and seed of this run, trained first if they are not in the store.

    Of the run they depend on its task, seed, budget, student network and precision alone.

    Raises:
        UsageError: the task is not for classification, has no held-out pairs, or no oracle in closed form is known.
    """
    kind = kind or usual(run.spec.task)
    check_oracle(run.spec.task, kind)
    return _Exact(run.spec.task) if kind == "exact" else _trained(run, kind)


def check_oracle(task: str, kind: Kind) -> None:
    """Raise UsageError if a task has no such oracle."""
    if tasks.get(task).card.kind != "classification":
        raise UsageError(f"task '{task}' is for segmentation: oracle encoders are for classification")
    if kind == "exact" and _world(task) is None:
        raise UsageError(f"the oracle encoders of task '{task}' are not known: train them ({DEFAULT})")


def oracle_key(run: Context, kind: Kind) -> str:
    """What trained oracles depend on."""
    recipe = run.budget.all.model_dump(mode="json")
    own = {"oracle": kind, "version": VERSION, "networks": [_network(run, side) for side in SIDES]}
    return digest({
        "format": FORMAT, "data": run.data.digest, "seed": run.spec.seed, "recipe": recipe,
        "precision": run.spec.precision, **own,
    })  # fmt: skip


def _world(task: str) -> Any:
    """The simulated world of a task that knows its truths, or None."""
    return getattr(tasks.get(task), "world", None)


class _Exact:
    """Oracles in closed form. The world draws the same items again, unrounded."""

    kind: Kind = "exact"

    def __init__(self, task: str) -> None:
        self.world = _world(task)
        drawn = self.world.draw(getattr(tasks.get(task), "items"))  # noqa: B009  (a task like this has them)
        self.items: dict[Side, NDArray[np.float64]] = {"source": drawn.source, "target": drawn.target}

    def features(self, side: Side, items: Index) -> NDArray[np.float64]:
        return np.asarray(self.world.oracle(self.items[side][items], side))


@dataclass
class _Trained:
    """Oracles that were trained, and the run whose items they encode."""

    kind: Kind
    run: Context
    sides: nn.ModuleDict

    def features(self, side: Side, items: Index) -> NDArray[np.float64]:
        data = _items(self.run, side).data[items]
        return torch.cat(list(encode(self.sides[side], data, self.run.device))).double().numpy()


def _trained(run: Context, kind: Kind) -> Oracle:
    folder = run.store.compute("oracles", oracle_key(run, kind), lambda folder: _train(run, kind, folder))
    sides = _fresh(run)
    sides.load_state_dict(load_file(folder / "oracles.safetensors"))
    return _Trained(kind, run, sides)


def _train(run: Context, kind: Kind, folder: Path) -> None:
    started = time.perf_counter()
    known, seed = held_out(run), run.spec.seed
    sides = _fresh(run)
    batches = _Batches(run, _sampler(run, known, kind), known.label)
    classes = len(run.split.classes) if kind == "supervised" else None
    recipe = run.budget.all.fitted(len(batches))
    history = fit(
        _Twins(sides, classes), batches, len(batches), recipe, seed=stream(seed, "oracle"), fabric=run.fabric,
        what=f"{kind} oracles of {run.spec.task}", on_step=run.on_step("oracles"),
        checkpoint=run.store.work_folder("oracles", oracle_key(run, kind)) / "checkpoint.pt",
    )  # fmt: skip
    weights.save(sides, folder / "oracles.safetensors")
    write_history(run, folder, oracle_networks(run, kind), history, started)


def _items(run: Context, side: Side) -> Items:
    return run.data.source if side == "source" else run.data.target


def oracle_networks(run: Context, kind: Kind) -> str:
    """The networks that these oracles would be trained with, and how."""
    return ", ".join([*(_network(run, side) for side in SIDES), kind])


def _network(run: Context, side: Side) -> str:
    """The student's network; for a source of another kind the budget's for that."""
    if (run.data.source.data.ndim == run.data.target.data.ndim) or side == "target":
        return run.spec.student
    return load_budget(run.spec.budget, tasks.get(run.spec.task).card.source_kind).student


def _fresh(run: Context) -> nn.ModuleDict:
    torch.manual_seed(stream(run.spec.seed, "oracles"))
    return nn.ModuleDict({side: _projected(run, side) for side in SIDES})


def _projected(run: Context, side: Side) -> nn.Sequential:
    shape = _items(run, side).data.shape
    encoder: Encoder = build_encoder(_network(run, side), shape[1], shape[2:])
    return nn.Sequential(encoder, nn.Linear(encoder.dim, WIDTH))


def _sampler(run: Context, known: HeldOut, kind: Kind) -> PairSampler:
    """Batches of pairs that are not held out; for `supervised` those with a label, in any order."""
    source = known.source[known.label[known.source] >= 0] if kind == "supervised" else known.source
    target = np.intersect1d(known.target, run.split.train) if kind == "supervised" else known.target
    concept = run.data.source.concept[source]
    target = target[np.isin(run.data.target.concept[target], concept)]
    found = run.data.target.concept[target]
    partners = partners_by_concept(target, found, source, concept)
    distinct = kind == "contrastive"
    room = len(np.unique(found)) if distinct else len(target)
    batch = min(run.budget.all.batch, room)
    if batch < 2:
        raise UsageError(f"task '{run.spec.task}' leaves {room} pairs for oracles: too few")
    return PairSampler(target, found, partners, batch, "distinct" if distinct else "all", run.spec.seed)


class _Batches:
    """Batches of (source items, target items, class), augmented as the recipe says."""

    def __init__(self, run: Context, sampler: PairSampler, label: Index) -> None:
        self.run, self.sampler, self.label = run, sampler, torch.from_numpy(label)
        recipe = run.budget.all
        self.augment = {
            side: augmentation(recipe.augmentation, _items(run, side).data.shape[1:], run.flip) for side in SIDES
        }

    def __len__(self) -> int:
        return len(self.sampler)

    def __call__(self, epoch: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        for target, source in self.sampler.epoch(epoch):
            label = self.label[torch.from_numpy(source)].to(self.run.device)
            yield self._view("source", source), self._view("target", target), label

    def _view(self, side: Side, items: Index) -> Tensor:
        data = torch.from_numpy(np.ascontiguousarray(_items(self.run, side).data[items]))
        return self.augment[side](to_float(data.to(self.run.device)))


class _Twins(nn.Module):
    """Both sides and what trains them: a head that they share (classes), or contrast (None)."""

    def __init__(self, sides: nn.ModuleDict, classes: int | None) -> None:
        super().__init__()
        self.sides = sides
        self.head = None if classes is None else nn.Linear(WIDTH, classes)

    def forward(self, batch: tuple[Tensor, Tensor, Tensor]) -> dict[str, Tensor]:
        x_a, x_b, y = batch
        z_a, z_b = self.sides["source"](x_a), self.sides["target"](x_b)
        if self.head is None:
            return {"loss": cmc(z_a, z_b, TEMPERATURE)}
        surprise = partial(nn.functional.cross_entropy, target=y)
        return {"loss": (surprise(self.head(z_a).float()) + surprise(self.head(z_b).float())) / 2}
