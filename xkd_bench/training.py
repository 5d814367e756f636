"""The one training loop: devices and precision by Lightning Fabric, schedules, checkpoints, a stop on a broken loss."""

import io
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision import MixedPrecision
from torch import Tensor, nn
from torch.optim import Optimizer

from protocols import Recipe
from xkd_bench.distributed import check_together, dividing
from xkd_bench.errors import TrainingError
from xkd_bench.machine import alone as alone
from xkd_bench.machine import is_compiled as is_compiled
from xkd_bench.machine import make_fabric as make_fabric
from xkd_bench.models.temperature import Temperature
from xkd_bench.seeds import stream

OnStep = Callable[[int, int, float], None]
"""Told (steps done, steps in all, loss) as training goes on."""

CHECKPOINT_EVERY_S = 30.0
CHECK_EVERY_STEPS_CUDA = 50  # reading the loss waits for the GPU


def learning_rate_factor(recipe: Recipe, steps_per_epoch: int) -> Callable[[int], float]:
    """The factor on recipe.lr at each step: linear warm-up, then constant, cosine or poly to 0, or by milestones."""
    total = recipe.epochs * steps_per_epoch
    warmup = recipe.warmup_epochs * steps_per_epoch

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        if recipe.schedule == "cosine":
            return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))
        if recipe.schedule == "poly":
            return (1 - (step - warmup) / max(1, total - warmup)) ** 0.9
        if recipe.schedule == "multistep":
            return recipe.gamma ** sum(step >= m * steps_per_epoch for m in recipe.milestones)
        return 1.0

    return factor


def make_optimiser(module: nn.Module, recipe: Recipe, fused: bool = True) -> Optimizer:
    """recipe's optimiser at its peak learning rate, for all parameters of `module` that take a gradient.

    No weight decay pulls at temperatures, nor at what a module names as `undecayed()`, nor at biases and norms if the
    recipe says so (`decay_norms`). fused: one
    kernel for all parameters, on CPU and GPU alike.
    """
    kinds: dict[str, Callable[..., Optimizer]] = {
        "adam": torch.optim.Adam,
        "adamw": torch.optim.AdamW,
        "sgd": lambda p, **kw: torch.optim.SGD(p, momentum=0.9, **kw),
    }
    groups = _parameter_groups(module, recipe)
    return kinds[recipe.optimiser](groups, lr=recipe.lr, weight_decay=recipe.weight_decay, fused=fused)


def _parameter_groups(module: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """Parameters with and without weight decay. Biases and norms are the vectors, as in timm and OpenCLIP."""
    trained = [p for p in module.parameters() if p.requires_grad]
    spared = {id(p) for m in module.modules() if isinstance(m, Temperature) for p in m.parameters()}
    spared |= {id(p) for m in module.modules() for p in getattr(m, "undecayed", tuple)()}
    if not recipe.decay_norms:
        spared |= {id(p) for p in trained if p.ndim < 2}
    groups: list[dict[str, Any]] = [
        {"params": [p for p in trained if id(p) not in spared]},
        {"params": [p for p in trained if id(p) in spared], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


class _Average:
    """Exponential moving average of a module's trained parameters and batch-normalisation statistics.

        average ← d_t · average + (1 - d_t) · current,    d_t = min(decay, (1 + t) / (10 + t)),  t = 1, 2, … steps

    The growing d_t (TensorFlow's ExponentialMovingAverage) keeps a short training from ending near its random start.
    The statistics are averaged like the weights, as timm's ModelEmaV2 does, and not computed again for the averaged
    weights, as stochastic weight averaging would. Other buffers (a memory, a queue) keep their last values.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay, self.steps = decay, 0
        norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        statistics = [s for m in norms for s in (m.running_mean, m.running_var) if s is not None]
        self.current: list[Tensor] = [*(p.detach() for p in module.parameters() if p.requires_grad), *statistics]
        self.average = [tensor.clone() for tensor in self.current]

    @torch.no_grad()
    def update(self) -> None:
        """After a step of the optimiser."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(self.average, self.current, 1 - decay)

    @torch.no_grad()
    def apply(self) -> None:
        """Put the average in place of what was averaged."""
        torch._foreach_copy_(self.current, self.average)

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps, "average": self.average}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps = state["steps"]
        torch._foreach_copy_(self.average, state["average"])


def fit(
    module: nn.Module,
    batches: Callable[[int], Iterator[Any]],
    steps_per_epoch: int,
    recipe: Recipe,
    *,
    seed: int,
    fabric: Fabric,
    what: str,
    on_step: OnStep | None = None,
    checkpoint: Path | None = None,
) -> list[float]:
    """Train all parameters of `module` and return the mean loss of each epoch.

    module: maps a batch to a dict of scalars, of which `loss` is minimised. batches: the batches of an epoch, by its
    number. what: names the training in messages. checkpoint: a file; training goes on from it if it is there, with the
    same result as if it had never stopped, for each epoch starts from a seed of its own. With `recipe.ema` the module
    ends with its averaged weights.

    Raises TrainingError (exit code 3) at the first step whose loss is not finite.
    """
    # Before the optimiser is made or restored: its state goes where the parameters are.
    module.to(fabric.device).to(memory_format=torch.channels_last)  # 1.4 times faster on CPU
    precision = fabric.strategy.precision
    scaler = precision.scaler if isinstance(precision, MixedPrecision) else None
    optimiser = make_optimiser(module, recipe, fused=scaler is None)  # a fused one would unscale by itself, unclipped
    factor = learning_rate_factor(recipe, steps_per_epoch)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, factor)
    average = _Average(module, recipe.ema) if recipe.ema is not None else None
    parts: dict[str, Any] = {"module": module, "optimiser": optimiser, "schedule": schedule}
    parts |= ({"average": average} if average else {}) | ({"scaler": scaler} if scaler else {})
    done, history = _restore(checkpoint, parts)
    model, fast = fabric.setup(module, optimiser)
    if is_compiled(fabric):
        module.compile()  # in place: names of weights stay

    def tell(step: int, total: int, loss: float) -> None:
        fabric.call("on_loss", step=step, loss=loss, rate=recipe.lr * factor(step - 1))
        if on_step:
            on_step(step, total, loss)

    fabric.call("on_train_start", what=what, steps=(recipe.epochs - done) * steps_per_epoch)
    saved_at = time.monotonic()
    for epoch in range(done, recipe.epochs):
        torch.manual_seed(stream(seed, "epoch", epoch))
        model.train()
        watch = _LossWatch(what, epoch * steps_per_epoch, recipe.epochs * steps_per_epoch, checkpoint, tell)
        with dividing(fabric.world_size):
            for batch in batches(epoch):
                loss = model(batch)["loss"]
                fabric.backward(loss)
                if recipe.clip_norm is not None and recipe.clip_part == "all":
                    # No error where they are not finite: a scaler leaves such a step out, and else the next loss tells.
                    fabric.clip_gradients(model, fast, max_norm=recipe.clip_norm, error_if_nonfinite=False)
                elif recipe.clip_norm is not None:
                    precision.unscale_gradients(optimiser)
                    nn.utils.clip_grad_norm_(_criterion(module), recipe.clip_norm)
                fast.step()
                fast.zero_grad()
                schedule.step()
                if average:
                    average.update()
                watch.see(loss.detach())
                fabric.call("on_train_batch_end")
        if fabric.world_size > 1:
            check_together(what, fabric.device)
        history.append(watch.close())
        due = time.monotonic() - saved_at > CHECKPOINT_EVERY_S and epoch + 1 < recipe.epochs
        if checkpoint is not None and due and fabric.is_global_zero:
            state = {name: part.state_dict() for name, part in parts.items()}
            _save(checkpoint, {**state, "epochs": epoch + 1, "history": history})
            saved_at = time.monotonic()
    fabric.call("on_train_end")
    if average:
        average.apply()
    return history


def _criterion(module: nn.Module) -> list[nn.Parameter]:
    """What a method trains beside its student; nothing of a module that has none."""
    student = getattr(module, "student", module)
    of_student = {id(p) for p in student.parameters()}
    return [p for p in module.parameters() if p.requires_grad and id(p) not in of_student]


class _LossWatch:
    """Checks that losses are finite and reports them, without making a GPU wait at each step."""

    def __init__(self, what: str, start: int, total: int, checkpoint: Path | None, on_step: OnStep) -> None:
        self.what, self.step, self.total, self.checkpoint, self.on_step = what, start, total, checkpoint, on_step
        self.pending: list[Tensor] = []
        self.seen: list[float] = []

    def see(self, loss: Tensor) -> None:
        self.pending.append(loss)
        if len(self.pending) >= (CHECK_EVERY_STEPS_CUDA if loss.is_cuda else 1):
            self._flush()

    def close(self) -> float:
        self._flush()
        return sum(self.seen) / max(1, len(self.seen))

    def _flush(self) -> None:
        if not self.pending:
            return
        values = torch.stack(self.pending).tolist()
        self.pending.clear()
        for value in values:
            self.step += 1
            if not math.isfinite(value):
                good = self.checkpoint if self.checkpoint and self.checkpoint.exists() else "none was written yet"
                raise TrainingError(
                    f"{self.what}: loss {value} at step {self.step} of {self.total}; last good checkpoint: {good}. "
                    f"Lower the learning rate, raise the temperature or use --precision 32"
                )
            self.seen.append(value)
        self.on_step(self.step, self.total, values[-1])


def _save(path: Path, state: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    whole = io.BytesIO()
    torch.save(state, whole)  # into memory first: on a full disk torch raises no OSError
    temporary.write_bytes(whole.getbuffer())
    os.replace(temporary, path)


def _restore(path: Path | None, parts: Mapping[str, Any]) -> tuple[int, list[float]]:
    """Epochs done and their losses, all parts as they were then; a file that cannot be read is as good as none."""
    if path is None or not path.exists():
        return 0, []
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not set(parts) <= set(state):
            raise KeyError(f"parts are missing: {path}")
    except Exception:
        path.unlink(missing_ok=True)
        return 0, []
    for name, part in parts.items():
        part.load_state_dict(state[name])
    return state["epochs"], state["history"]
