"""Options of the training loop: averages, what weight decay spares, compiling; and keys that stay as they are."""

import logging
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision import MixedPrecision
from torch import Tensor, nn

from protocols import Recipe, load_budget
from tests.test_training import Data, Noisy, assert_same, factors, recipe
from xkd_bench import training
from xkd_bench.errors import TrainingError
from xkd_bench.models.temperature import Temperature
from xkd_bench.training import fit, is_compiled, make_fabric

# --- schedules against torch's own ----------------------------------------------------------------------------------


def torchs(make, steps: int) -> list[float]:
    """Learning rates of a scheduler of torch's at each step, from a peak of 1."""
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule, rates = make(optimiser), []
    for _ in range(steps):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    return rates


def test_multistep_is_torchs():
    theirs = torchs(lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [10, 25, 30], gamma=0.3), 40)
    mine = factors(epochs=8, schedule="multistep", milestones=(2, 5, 6), gamma=0.3)
    assert mine == pytest.approx(theirs, rel=1e-12)


def test_warm_up_and_cosine_are_torchs_linear_and_cosine_in_a_row():
    lr = torch.optim.lr_scheduler

    def make(optimiser):
        rise = lr.LinearLR(optimiser, start_factor=1 / 10, end_factor=1, total_iters=9)
        return lr.SequentialLR(optimiser, [rise, lr.CosineAnnealingLR(optimiser, T_max=30)], milestones=[10])

    assert factors(epochs=8, schedule="cosine", warmup_epochs=2) == pytest.approx(torchs(make, 40), abs=1e-12)


# --- averaged weights -----------------------------------------------------------------------------------------------


class Logged(Noisy):
    """Keeps its state as it was at the start of each step."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[dict[str, Tensor]] = []

    def forward(self, batch):
        self.log.append({name: tensor.clone() for name, tensor in self.state_dict().items()})
        return super().forward(batch)


def train(plan: Recipe) -> tuple[Logged, list[float]]:
    module = Logged()
    history = fit(module, Data(), 5, plan, seed=7, fabric=make_fabric("cpu"), what="logged")
    return module, history


@pytest.mark.parametrize("decay", [0.3, 0.9, 0.9999])
def test_it_ends_with_the_average_of_its_weights_and_statistics(decay):
    plain, losses = train(recipe(lr=0.05, optimiser="sgd", schedule="cosine"))
    averaged, same = train(recipe(lr=0.05, optimiser="sgd", schedule="cosine", ema=decay))
    assert same == losses  # training itself is as without
    path = [*plain.log, {name: t.clone() for name, t in plain.state_dict().items()}]
    assert len(path) == 21
    for name, ended in averaged.state_dict().items():
        expected = path[0][name].double()
        for step, state in enumerate(path[1:], 1):
            d = min(decay, (1 + step) / (10 + step))
            expected = d * expected + (1 - d) * state[name].double()
        if name.endswith("num_batches_tracked"):
            assert ended == 20
        else:
            assert torch.allclose(ended.double(), expected, atol=1e-6), name
    moved = {n for n, t in averaged.state_dict().items() if not torch.equal(t, plain.state_dict()[n])}
    assert moved >= {"net.0.weight", "net.1.weight", "net.1.running_mean", "net.1.running_var", "net.4.bias"}
    assert torch.equal(averaged.frozen, plain.frozen)


def test_other_buffers_and_frozen_weights_are_not_averaged():
    class Counter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(()))
            self.frozen = nn.Parameter(torch.ones(()), requires_grad=False)
            self.register_buffer("memory", torch.zeros(()))

        def forward(self, batch):
            self.memory += 1
            return {"loss": self.weight * 1}

    module = Counter()
    fit(
        module, lambda epoch: iter(torch.zeros(5, 1)), 5, recipe(lr=1.0, ema=0.99), seed=0, fabric=make_fabric("cpu"),
        what="x",
    )  # fmt: skip
    assert module.memory == 20
    assert module.frozen == 1
    average = 0.0
    for step in range(1, 21):  # Adam on a constant gradient moves by the learning rate, 1
        d = min(0.99, (1 + step) / (10 + step))
        average = d * average - (1 - d) * step
    assert module.weight.item() == pytest.approx(average, rel=1e-5)


# --- float16, which needs its gradients scaled ----------------------------------------------------------------------


def in_float16(scale: float, checkpoint: Path | None = None, data: Data | None = None):
    """Train with float16 and gradients scaled by this, on a CPU."""
    scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=1000)
    plugin = MixedPrecision("16-mixed", "cpu", scaler)  # type: ignore[arg-type]
    fabric = Fabric(accelerator="cpu", devices=1, plugins=[plugin])
    fabric.launch()
    module = Noisy()
    history = fit(module, data or Data(), 5, CLIPPED, seed=7, fabric=fabric, what="noisy", checkpoint=checkpoint)
    return history, {name: tensor.clone() for name, tensor in module.state_dict().items()}


CLIPPED = recipe(lr=0.05, epochs=6, optimiser="sgd", clip_norm=0.5)


def test_scaled_gradients_are_clipped_at_their_true_norm():
    exact = fit(Noisy(), Data(), 5, CLIPPED, seed=7, fabric=make_fabric("cpu"), what="noisy")
    assert in_float16(1024.0)[0] == pytest.approx(exact, rel=0.02)


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
def test_resumed_with_scaled_gradients_it_keeps_the_scale(tmp_path, monkeypatch):
    # The first scales are far too large: their steps overflow and are left out, until the scale has come down.
    monkeypatch.setattr(training, "CHECKPOINT_EVERY_S", -1.0)
    whole = in_float16(2.0**24)
    assert whole[0] != in_float16(1024.0)[0]
    with pytest.raises(KeyboardInterrupt):
        in_float16(2.0**24, tmp_path / "checkpoint.pt", Data((4, 2)))
    assert_same(in_float16(2.0**24, tmp_path / "checkpoint.pt"), whole)


@pytest.mark.parametrize("scaled", [False, True])
def test_the_criterions_gradients_can_be_clipped_alone(scaled):
    class Taught(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.student, self.own = (nn.Linear(2, 1, bias=False) for _ in range(2))
            for part in (self.student, self.own):
                nn.init.zeros_(part.weight)

        def forward(self, batch: Tensor) -> dict[str, Tensor]:
            return {"loss": ((self.student.weight + self.own.weight) * torch.tensor([30.0, 40.0])).sum()}

    plugins = [MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=8.0))] if scaled else []
    fabric = Fabric(accelerator="cpu", devices=1, plugins=plugins)
    fabric.launch()
    module = Taught()
    plan = recipe(lr=1.0, epochs=1, optimiser="sgd", clip_norm=0.5, clip_part="criterion")
    fit(module, lambda epoch: iter(torch.zeros(1, 1)), 1, plan, seed=0, fabric=fabric, what="x")
    assert module.student.weight[0].tolist() == pytest.approx([-30, -40])
    assert module.own.weight[0].tolist() == pytest.approx([-0.3, -0.4], rel=1e-4)


def test_gradients_that_are_not_finite_are_told_by_the_next_loss():
    class Root(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(()))

        def forward(self, batch):
            return {"loss": self.weight.sqrt()}  # 0, with an infinite gradient

    with pytest.raises(TrainingError, match="loss nan at step 2 of 20"):
        fit(
            Root(), lambda epoch: iter(torch.zeros(5, 1)), 5, recipe(clip_norm=1.0), seed=0, fabric=make_fabric("cpu"),
            what="x",
        )  # fmt: skip


# --- what weight decay spares ---------------------------------------------------------------------------------------


class Idle(nn.Module):
    """One of everything, and no gradient: what moves, weight decay moves."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.conv, self.norm = nn.Linear(3, 2), nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)
        self.tau = Temperature(0.1, learnable=True)
        for parameter in (*self.layer.parameters(), *self.conv.parameters(), *self.norm.parameters()):
            nn.init.ones_(parameter)

    def forward(self, batch):
        return {"loss": 0.0 * sum(p.sum() for p in self.parameters())}


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
@pytest.mark.parametrize("decay_norms", [True, False])
def test_weight_decay_pulls_at_matrices_at_biases_and_norms_if_told_and_never_at_temperatures(optimiser, decay_norms):
    module, plan = Idle(), recipe(epochs=1, optimiser=optimiser, weight_decay=0.5, decay_norms=decay_norms)
    fit(module, lambda epoch: iter(torch.zeros(1, 1)), 1, plan, seed=0, fabric=make_fabric("cpu"), what="x")
    for name, parameter in module.named_parameters():
        if name.startswith("tau"):
            assert module.tau().item() == pytest.approx(0.1)
        else:  # one step of lr · decay = 0.05
            expected = 0.95 if decay_norms or parameter.ndim > 1 else 1.0
            assert torch.allclose(parameter, torch.tensor(expected)), name


def test_the_learning_rate_is_the_same_for_what_is_spared():
    module = Idle()
    optimiser = training.make_optimiser(module, recipe(weight_decay=0.1, decay_norms=False))
    assert [group["weight_decay"] for group in optimiser.param_groups] == [0.1, 0.0]
    assert {group["lr"] for group in optimiser.param_groups} == {0.1}
    counted = [p for group in optimiser.param_groups for p in group["params"]]
    assert {id(p) for p in counted} == {id(p) for p in module.parameters()}
    assert len(counted) == len(list(module.parameters()))


# --- keys -----------------------------------------------------------------------------------------------------------

FIRST_FIELDS = {
    "optimiser", "lr", "weight_decay", "epochs", "batch", "schedule", "milestones", "gamma", "warmup_epochs",
    "clip_norm", "augmentation",
}  # fmt: skip


def test_fields_that_came_later_are_in_a_key_only_where_they_change_something():
    assert set(recipe().model_dump(mode="json")) == FIRST_FIELDS
    assert set(recipe(ema=0.99, decay_norms=False).model_dump(mode="json")) == FIRST_FIELDS | {"ema", "decay_norms"}
    assert set(load_budget("smoke").model_dump(mode="json")["all"]) == FIRST_FIELDS
    for plan in (recipe(), recipe(ema=0.5), recipe(decay_norms=False)):
        assert Recipe.model_validate(plan.model_dump(mode="json")) == plan


@pytest.mark.parametrize("wrong", [{"ema": 0.0}, {"ema": 1.0}, {"decay_norms": "perhaps"}])
def test_recipes_that_cannot_be(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        recipe(**wrong)


# --- compiling ------------------------------------------------------------------------------------------------------


@pytest.fixture
def eager(monkeypatch):
    """torch.compile with a backend that counts and leaves the graph as it is: no C++ compiler is needed."""
    calls = []

    def backend(graph, inputs):
        calls.append(len(graph.graph.nodes))
        return graph.forward

    real = torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, **options: real(f, **{**options, "backend": backend}))
    yield calls
    torch._dynamo.reset()


def test_compiled_it_trains_the_same_network(eager):
    plan = recipe(lr=0.05, epochs=2)

    def run(compiled: bool):
        module = Noisy()
        fabric = make_fabric("cpu", compiled=compiled)
        assert is_compiled(fabric) == compiled
        eager.clear()
        history = fit(module, Data(), 5, plan, seed=7, fabric=fabric, what="noisy")
        return history, {name: tensor.clone() for name, tensor in module.state_dict().items()}

    as_it_is = run(False)
    assert not eager
    assert_same(run(True), as_it_is)
    assert eager  # and it did go through the compiler


def test_without_a_compiler_one_line_says_so_and_it_runs_as_it_is(monkeypatch, caplog):
    def broken(f, **options):
        raise RuntimeError("no C++ compiler\nand much more")

    monkeypatch.setattr(torch, "compile", broken)
    with caplog.at_level(logging.WARNING, "xkd_bench"):
        assert not is_compiled(make_fabric("cpu", compiled=True))
    assert caplog.messages == [
        "--compile is left out: torch.compile does not work here (RuntimeError: no C++ compiler)"
    ]
