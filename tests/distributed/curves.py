"""The loss curves of two gloo processes against those of one with the whole batches: see test_curves.py.

python -m tests.distributed.curves CASE...
"""

import copy
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from lightning_fabric import Fabric
from torch import Tensor, nn

from protocols import Recipe
from tests.methods import dense_toys, test_contract
from tests.toy import ToyData
from xkd_bench import evaluation, machine
from xkd_bench.augment import Augment
from xkd_bench.batches import LabelledBatches
from xkd_bench.dense_batches import DenseBatches, in_order
from xkd_bench.methods.base import Centred
from xkd_bench.models.encoders import build_encoder
from xkd_bench.models.teachers import simclr_teacher
from xkd_bench.processes import _free_port
from xkd_bench.training import fit, make_fabric

WORLD = 2
Made = tuple[nn.Module, Any, int]


def compute_in_float64() -> None:
    """In this process: rounding then does not grow to be seen within a test's steps, as it does in float32 after some
    ten."""
    machine.MODES["64"] = "64-true"
    evaluation.to_float = lambda x: x.double()
    Centred.centred = lambda self, features: features.double() - self.get_buffer("teacher_mean")  # type: ignore[method-assign]


def features() -> Tensor:
    pixels = torch.from_numpy(ToyData(16, 16).source.data).float().flatten(1) / 255
    projection = torch.randn(pixels.shape[1], test_contract.DIM, generator=torch.Generator().manual_seed(0))
    return ((pixels - pixels.mean(0)) @ projection / 10).exp()


def classification(name: str, batch: int = 9, **options: Any) -> Made:
    """A method on the toy task, in batches that two processes cannot halve."""
    model = test_contract.build(name, features(), **options)
    batches = test_contract.batches_for(model, ToyData(16, 16), features(), batch)
    return model, batches, len(batches)


def seen_anew(name: str, **options: Any) -> Made:
    """A method whose teacher sees augmented images at each step; all strengths of augmentation."""
    model, batches, steps = classification(name, **options)
    source = ToyData(16, 16).source.data
    batches.augment, batches.strength = Augment("simclr", 1, 16), "simclr"
    torch.manual_seed(4)
    teacher = simclr_teacher(build_encoder(f"conv4-w{test_contract.DIM // 8}", 3, 16)).double()
    batches._known = None
    batches.show_images(teacher, source)
    return model, batches, steps


def dense(name: str, labelled: bool = True, batch: int = 5, augmentation: str = "dense", **options: Any) -> Made:
    """A dense method on the toy task, beside the labels' loss or without it."""
    model = dense_toys.build(name, **options)
    data, rows = dense_toys.data(), dense_toys.data().split(0).train[:20]
    inputs = type(model).teacher_inputs
    network = copy.deepcopy(dense_toys.teacher(inputs, options.get("fusion", "intermediate"))).double()

    def says(source: Tensor, image: Tensor) -> Any:
        return dense_toys.outputs_of(network, source.double(), image.double(), inputs)

    order, steps = in_order(rows, rows, batch, 0)
    labels: Any = "given" if labelled else "teacher"
    answers = torch.no_grad()(says)
    return model, DenseBatches(torch.device("cpu"), data, order, steps, augmentation, answers, labels), steps


def fine_tuning(student: str, items: int, batch: int) -> Made:
    data = ToyData(16, 16)
    torch.manual_seed(1)
    model = evaluation._Classifier(build_encoder(student, 1, 16), build_encoder(student, 1, 16).dim, 4)
    x, y = torch.from_numpy(data.target.data[:items]).double() / 255, torch.from_numpy(data.label[:items])
    batches = LabelledBatches(x, y, batch, 0, torch.device("cpu"))
    return model, batches, len(batches)


class Dropping(nn.Module):
    """An encoder whose network has dropout, of single features and of whole maps, and stochastic depth."""

    def __init__(self) -> None:
        from timm.layers import DropPath

        super().__init__()
        self.first, self.norm = nn.Conv2d(1, 6, 3, 2, 1), nn.BatchNorm2d(6)
        self.second, self.path = nn.Conv2d(6, 6, 3, 1, 1), DropPath(0.3)
        self.maps, self.some = nn.Dropout2d(0.2), nn.Dropout(0.3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maps(self.norm(self.first(x)).relu())
        x = x + self.path(self.second(x))
        return self.some(x).flatten(2).mean(2)


def dropping() -> Made:
    model, batches, steps = fine_tuning("conv4-w4", 40, 9)
    torch.manual_seed(2)
    model.encoder.backbone, model.head = Dropping(), nn.Linear(6, 4)  # type: ignore[union-attr,assignment]
    return model, batches, steps


@dataclass(frozen=True)
class Case:
    make: Callable[[], Made]
    changes: dict[str, Any]


CASES: dict[str, Case] = {
    "cmc": Case(lambda: classification("cmc"), {"ema": 0.9}),
    "cmc-queue": Case(lambda: classification("cmc", queue=40, learn_tau=True), {"clip_norm": 0.5}),
    "cmc-even": Case(lambda: classification("cmc", batch=8, positives="all"), {"optimiser": "sgd"}),
    "cmd-queue": Case(lambda: classification("cmd", bank="queue", bank_size=40), {}),
    "cmd-intra": Case(lambda: classification("cmd", form="intra"), {}),
    "cmc-images": Case(lambda: seen_anew("cmc"), {}),
    "ssl": Case(lambda: classification("ssl"), {}),
    "crd": Case(lambda: classification("crd", negatives=16), {}),
    "cmst": Case(lambda: classification("cmst"), {}),
    "cmkd": Case(lambda: classification("cmkd"), {}),
    "socket": Case(lambda: classification("socket", pair_term=1.0), {}),
    "kd": Case(lambda: dense("kd"), {}),
    "kd-unmoved": Case(lambda: dense("kd", augmentation="none"), {}),
    "cirkd": Case(lambda: dense("cirkd", pixels=64, regions=16), {}),
    "cirkd-label-free": Case(lambda: dense("cirkd", labelled=False, pixels=64, regions=16), {}),
    "pixel-contrast": Case(lambda: dense("pixel-contrast"), {}),
    "lix": Case(lambda: dense("lix"), {}),
    "csk-net": Case(lambda: dense("csk-net", exchange_probability=0.5), {}),
    "fine-tuning": Case(lambda: fine_tuning("resnet8-w4", 40, 9), {}),
    "one-item": Case(lambda: fine_tuning("conv4-w4", 1, 8), {}),
    "dropout": Case(dropping, {}),
}


def curve(case: Case, fabric: Fabric, epochs: int = 5) -> dict[str, Tensor]:
    """Losses of all steps, and what was learned in them."""
    model, batches, steps = case.make()
    base = {"lr": 0.01, "epochs": epochs, "batch": 8, "schedule": "cosine", "augmentation": "none"}
    recipe = Recipe.model_validate({**base, **case.changes})
    losses: list[float] = []
    fit(
        model, batches, steps, recipe, seed=0, fabric=fabric, what="a curve",
        on_step=lambda done, total, loss: losses.append(loss),
    )  # fmt: skip
    state = {name: value.clone() for name, value in model.state_dict().items()}
    return {"losses": torch.tensor(losses, dtype=torch.float64), **state}


def compare(rank: int, names: list[str], port: int) -> None:
    torch.set_num_threads(1)
    compute_in_float64()
    expected = {name: curve(CASES[name], make_fabric("cpu", "64")) for name in names} if rank == 0 else {}
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(WORLD), "RANK": str(rank),
        "LOCAL_RANK": str(rank), "NODE_RANK": "0",
    }  # fmt: skip
    fabric = make_fabric("cpu", "64", devices=WORLD)
    for name in names:
        found = curve(CASES[name], fabric)
        if rank == 0:
            furthest = max(difference(found[k], expected[name][k]) for k in expected[name])
            moved = (found["losses"].max() - found["losses"].min()).item()
            print(f"{name}: {len(found['losses'])} steps, loss moved {moved:.2g}, apart {furthest:.2g}", flush=True)
    dist.destroy_process_group()


def difference(a: Tensor, b: Tensor) -> float:
    """The largest difference, of numbers above 1 relative to them."""
    assert a.shape == b.shape
    return ((a.double() - b.double()).abs() / b.double().abs().clamp_min(1)).max().item() if a.numel() else 0.0


def main(names: list[str]) -> None:
    mp.start_processes(compare, args=(names, _free_port()), nprocs=WORLD, start_method="fork")


if __name__ == "__main__":
    main(sys.argv[1:] or list(CASES))
