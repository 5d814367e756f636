"""The training loop: schedules, resuming, a stop on a broken loss, devices and precision."""

import math
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from protocols import Recipe
from xkd_bench import training
from xkd_bench.errors import TrainingError, UsageError
from xkd_bench.training import fit, learning_rate_factor, make_fabric


def recipe(**fields) -> Recipe:
    base = {"lr": 0.1, "epochs": 4, "batch": 8, "schedule": "constant", "augmentation": "none"}
    return Recipe.model_validate({**base, **fields})


# --- learning rates -------------------------------------------------------------------------------------------------


def factors(steps_per_epoch: int = 5, **fields) -> list[float]:
    plan = recipe(**fields)
    return [learning_rate_factor(plan, steps_per_epoch)(step) for step in range(plan.epochs * steps_per_epoch)]


def test_constant():
    assert factors() == [1.0] * 20


def test_warm_up_rises_in_equal_steps_to_the_peak_and_stays():
    assert factors(warmup_epochs=2) == pytest.approx([i / 10 for i in range(1, 11)] + [1.0] * 10)
    assert factors(warmup_epochs=0.4) == pytest.approx([0.5, 1.0] + [1.0] * 18)


@pytest.mark.parametrize("warmup", [0, 1])
def test_cosine_is_torchs_after_the_warm_up(warmup):
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=20 - 5 * warmup)
    expected = []
    for _ in range(20 - 5 * warmup):
        expected.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        theirs.step()
    mine = factors(schedule="cosine", warmup_epochs=warmup)
    assert mine[5 * warmup :] == pytest.approx(expected, abs=1e-12)
    assert mine[5 * warmup] == 1.0
    assert 0 < mine[-1] < 0.02


def test_multistep_falls_by_gamma_at_the_first_step_of_each_milestone():
    assert factors(schedule="multistep", milestones=(1, 3), gamma=0.1) == pytest.approx(
        [1.0] * 5 + [0.1] * 10 + [0.01] * 5
    )


def test_the_published_schedule_of_the_evaluation():
    rates = factors(7, epochs=100, schedule="multistep", milestones=(60, 70, 80))
    assert [rates[7 * epoch] for epoch in (0, 59, 60, 69, 70, 79, 80, 99)] == pytest.approx(
        [1, 1, 0.1, 0.1, 0.01, 0.01, 0.001, 0.001]
    )
    assert rates[7 * 60 - 1] == 1


class Slope(nn.Module):
    """Its loss has the gradient 1 everywhere: each step of Adam moves the weight by the learning rate of that step."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        return {"loss": self.weight * 1}


def test_every_step_is_taken_at_its_learning_rate():
    plan = recipe(schedule="multistep", milestones=(2, 3), warmup_epochs=1, gamma=0.5)
    path: list[float] = []
    module = Slope()
    fit(
        module, lambda epoch: iter(torch.zeros(5, 1)), 5, plan, seed=0, fabric=make_fabric("cpu"), what="x",
        on_step=lambda done, total, loss: path.append(loss),
    )  # fmt: skip
    path.append(module.weight.item())
    moves = [before - after for before, after in pairwise(path)]
    assert moves == pytest.approx([0.1 * learning_rate_factor(plan, 5)(step) for step in range(20)], rel=1e-6)


# --- the loop -------------------------------------------------------------------------------------------------------


class Noisy(nn.Module):
    """All that has a state: weights, batch-normalisation statistics, and dropout from the global generator."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.net = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.Dropout(0.3), nn.ReLU(), nn.Linear(16, 3))
        self.frozen = nn.Parameter(torch.ones(3), requires_grad=False)

    def forward(self, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        x, y = batch
        x = x + 0.1 * torch.randn_like(x)
        return {"loss": nn.functional.cross_entropy(self.net(x) * self.frozen, y), "shown": x.mean()}


class Data:
    """Five batches an epoch that depend on its number; remembers which epochs were asked for; may break."""

    def __init__(self, broken_at: tuple[int, int] | None = None) -> None:
        self.asked: list[int] = []
        self.broken_at = broken_at

    def __call__(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        self.asked.append(epoch)
        generator = torch.Generator().manual_seed(epoch)
        for step in range(5):
            if (epoch, step) == self.broken_at:
                raise KeyboardInterrupt
            y = torch.randint(3, (8,), generator=generator)
            yield 3 * nn.functional.one_hot(y, 4) + torch.randn(8, 4, generator=generator), y


def train(plan: Recipe, data: Data, checkpoint: Path | None = None, precision: str = "32"):
    module = Noisy()
    fabric = make_fabric("cpu", precision)
    history = fit(module, data, 5, plan, seed=7, fabric=fabric, what="noisy", checkpoint=checkpoint)
    return history, {name: tensor.clone() for name, tensor in module.state_dict().items()}


def assert_same(one, other) -> None:
    assert one[0] == other[0]
    assert one[1].keys() == other[1].keys()
    assert all(torch.equal(tensor, other[1][name]) for name, tensor in one[1].items())


@pytest.fixture
def eager_checkpoints(monkeypatch):
    """A checkpoint after every epoch, however short."""
    monkeypatch.setattr(training, "CHECKPOINT_EVERY_S", -1.0)


def test_the_same_seed_trains_the_same_network_and_it_learns():
    plan = recipe(lr=0.05, epochs=12, optimiser="adamw")
    one = train(plan, Data())
    torch.manual_seed(99)  # what the global generator did before must not matter
    assert_same(one, train(plan, Data()))
    assert len(one[0]) == 12
    assert one[0][-1] < 0.8 * one[0][0]
    assert torch.equal(one[1]["frozen"], torch.ones(3))


@pytest.mark.parametrize("broken_at", [(1, 0), (1, 4), (2, 2), (5, 4)])
@pytest.mark.parametrize(
    "fields",
    [
        {"optimiser": "adam", "schedule": "cosine", "warmup_epochs": 1},
        {"optimiser": "sgd", "schedule": "multistep", "milestones": (2, 4), "weight_decay": 0.1, "clip_norm": 0.5},
        {"optimiser": "adamw", "schedule": "constant", "weight_decay": 0.1},
        {"optimiser": "adamw", "schedule": "cosine", "weight_decay": 0.1, "decay_norms": False, "ema": 0.9},
    ],
)
def test_interrupted_and_resumed_is_as_if_never_interrupted(fields, broken_at, tmp_path, eager_checkpoints):
    plan, file = recipe(lr=0.05, epochs=6, **fields), tmp_path / "work" / "checkpoint.pt"
    expected = train(plan, Data())
    with pytest.raises(KeyboardInterrupt):
        train(plan, Data(broken_at), file)
    resumed = Data()
    assert_same(train(plan, resumed, file), expected)
    assert resumed.asked == list(range(broken_at[0], 6))  # what was done is not done again
    assert [f.name for f in file.parent.iterdir()] == ["checkpoint.pt"]  # and nothing half-written is left


def test_interrupted_again_and_again_is_as_if_never_interrupted(tmp_path, eager_checkpoints):
    plan, file = recipe(lr=0.05, epochs=6, schedule="cosine"), tmp_path / "checkpoint.pt"
    for epoch in range(1, 6):
        with pytest.raises(KeyboardInterrupt):
            train(plan, Data((epoch, 3)), file)
    assert_same(train(plan, Data(), file), train(plan, Data()))


def test_a_short_training_writes_no_checkpoint(tmp_path):
    train(recipe(), Data(), tmp_path / "checkpoint.pt")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["garbage", "truncated", "empty"])
def test_a_checkpoint_that_cannot_be_read_is_as_good_as_none(damage, tmp_path, eager_checkpoints):
    plan, file = recipe(epochs=4), tmp_path / "checkpoint.pt"
    with pytest.raises(KeyboardInterrupt):
        train(plan, Data((3, 0)), file)
    whole = file.read_bytes()
    file.write_bytes({"garbage": b"no checkpoint", "truncated": whole[: len(whole) // 2], "empty": b""}[damage])
    again = Data()
    assert_same(train(plan, again, file), train(plan, Data()))
    assert again.asked == [0, 1, 2, 3]


class Breaking(nn.Module):
    """Its loss is not finite at one step."""

    def __init__(self, at: int, value: float) -> None:
        super().__init__()
        self.weight, self.at, self.value, self.step = nn.Parameter(torch.zeros(())), at, value, 0

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        self.step += 1
        return {"loss": self.weight + (self.value if self.step == self.at else 1.0)}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_stops_at_its_step_and_names_it(value, tmp_path):
    file = tmp_path / "checkpoint.pt"
    steps: list[int] = []
    module = Breaking(8, value)
    with pytest.raises(TrainingError) as caught:
        fit(
            module, lambda e: iter(torch.zeros(5, 1)), 5, recipe(), seed=0, fabric=make_fabric("cpu"),
            what="cmc on toy", checkpoint=file, on_step=lambda done, total, loss: steps.append(done),
        )  # fmt: skip
    message = str(caught.value)
    assert message.startswith(f"cmc on toy: loss {value} at step 8 of 20; last good checkpoint: none was written yet")
    assert "\n" not in message
    assert caught.value.exit_code == 3
    assert module.step == 8
    assert steps == list(range(1, 8))


def test_a_broken_loss_names_the_last_good_checkpoint(tmp_path, eager_checkpoints):
    file = tmp_path / "checkpoint.pt"
    with pytest.raises(TrainingError, match="step 13 of 20") as caught:
        fit(
            Breaking(13, math.nan), lambda e: iter(torch.zeros(5, 1)), 5, recipe(), seed=0,
            fabric=make_fabric("cpu"), what="x", checkpoint=file,
        )  # fmt: skip
    assert str(file) in str(caught.value)
    assert torch.load(file, weights_only=True)["epochs"] == 2


def test_gradients_are_clipped_to_the_norm():
    class Steep(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(4))

        def forward(self, batch: Tensor) -> dict[str, Tensor]:
            return {"loss": (self.weight * torch.tensor([30.0, 0, 0, 40.0])).sum()}

    for clip, expected in ((None, [-30.0, 0, 0, -40.0]), (0.5, [-0.3, 0, 0, -0.4])):
        module, plan = Steep(), recipe(lr=1.0, epochs=1, optimiser="sgd", clip_norm=clip)
        fit(module, lambda e: iter(torch.zeros(1, 1)), 1, plan, seed=0, fabric=make_fabric("cpu"), what="x")
        assert module.weight.tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("optimiser", ["adam", "adamw", "sgd"])
def test_weight_decay_pulls_weights_without_gradient_to_zero(optimiser):
    class Idle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(()))

        def forward(self, batch: Tensor) -> dict[str, Tensor]:
            return {"loss": self.weight * 0}

    for decay in (0.0, 0.5):
        module, plan = Idle(), recipe(lr=0.1, epochs=1, optimiser=optimiser, weight_decay=decay)
        fit(module, lambda e: iter(torch.zeros(1, 1)), 1, plan, seed=0, fabric=make_fabric("cpu"), what="x")
        # Adam's first step is the learning rate, whatever the gradient; the others move by lr · decay.
        assert module.weight.item() == pytest.approx({"adam": 0.9}.get(optimiser, 0.95) if decay else 1.0, rel=1e-5)


# --- devices and precision ------------------------------------------------------------------------------------------


def test_bf16_trains_in_mixed_precision_with_weights_in_float32():
    seen: list[torch.dtype] = []

    class Spy(Noisy):
        def forward(self, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
            seen.append(self.net[0](batch[0]).dtype)
            return super().forward(batch)

    module = Spy()
    losses = fit(module, Data(), 5, recipe(lr=0.01), seed=7, fabric=make_fabric("cpu", "bf16"), what="x")
    assert set(seen) == {torch.bfloat16}
    assert all(p.dtype == torch.float32 for p in module.parameters())
    exact = train(recipe(lr=0.01), Data())[0]
    assert losses != exact
    assert losses == pytest.approx(exact, rel=0.05)


@pytest.mark.parametrize(
    ("device", "precision", "message"),
    [
        ("tpu", "32", "device 'tpu' is not known: use auto, cpu or cuda"),
        ("cpu", "8", "precision '8' is not known: use 32, bf16, 16"),
        ("cpu", "16", "precision 16 needs CUDA: on a CPU use bf16 or 32"),
    ],
)
def test_devices_and_precisions_that_are_not_there(device, precision, message):
    with pytest.raises(UsageError) as caught:
        make_fabric(device, precision)
    assert str(caught.value) == message


def test_cuda_that_is_not_there_is_one_line_and_auto_falls_back(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="torch sees no CUDA device here: use --device cpu or auto"):
        make_fabric("cuda")
    assert make_fabric("auto").device.type == "cpu"
    with pytest.raises(UsageError, match="precision 16 needs CUDA"):
        make_fabric("auto", "16")
