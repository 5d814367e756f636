"""What training runs on: one device or several, their precision, threads, and whether the same bits must come out."""

import inspect
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import LightningEnvironment, TorchElasticEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy
from torch.nn.parallel import DistributedDataParallel

from xkd_bench import processes
from xkd_bench.errors import UsageError

log = logging.getLogger("xkd_bench")

LONGEST_WAIT = timedelta(days=1)
"""For one process: while it alone scores or writes, the others wait. (A process that dies ends the others at once.)"""
MODES = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}


class _Fabric(Fabric):
    """A Fabric that knows whether what is trained on it is compiled."""

    compiled = False

    def call(self, hook_name: str, *args: Any, **kwargs: Any) -> None:
        """Tell the callbacks (trackers, a profiler): of several processes only the first does."""
        if self.is_global_zero:
            super().call(hook_name, *args, **kwargs)


def is_compiled(fabric: Fabric) -> bool:
    """Whether `fit` compiles what it trains on this Fabric."""
    return getattr(fabric, "compiled", False)


def make_fabric(
    device: str = "auto",
    precision: str = "32",
    compiled: bool = False,
    callbacks: Sequence[Any] = (),
    *,
    devices: int = 1,
    nodes: int = 1,
) -> Fabric:
    """A launched Fabric. device: auto, cpu or cuda; precision: 32, bf16 or 16 (mixed).

    compiled: `fit` runs modules through torch.compile. Where that does not work (no C++ compiler), one line says so and
    they run as they are. Numbers change in their last digits, as from one machine to another.
    callbacks: told of runs and trainings by `Fabric.call`; see `tracking` and `profiling`.
    devices: of each of the nodes. With more than one in all, this process is one of as many (`processes`), each with a
    device of its own; on CPUs they talk by gloo, on GPUs by NCCL.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"device '{device}' is not known: use auto, cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("device 'cuda' was asked for, but torch sees no CUDA device here: use --device cpu or auto")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    if precision not in MODES:
        raise UsageError(f"precision '{precision}' is not known: use {', '.join(MODES)}")
    if precision == "16" and device == "cpu":
        raise UsageError("precision 16 needs CUDA: on a CPU use bf16 or 32")
    several = _several(device, devices, nodes, compiled) if devices * nodes > 1 else {"devices": 1}
    fabric = _Fabric(
        accelerator=device, precision=MODES[precision], callbacks=list(callbacks), **several,  # type: ignore[arg-type]
    )  # fmt: skip
    fabric.launch()
    fabric.compiled = compiled and _compiler_works(fabric.device)
    return fabric


def _several(device: str, devices: int, nodes: int, compiled: bool) -> dict[str, Any]:
    """What a Fabric is made with that is one of several processes."""
    if device == "cuda" and devices > torch.cuda.device_count():
        raise UsageError(f"--devices {devices}: torch sees {torch.cuda.device_count()} CUDA devices here")
    if compiled:
        raise UsageError("--compile is for one device: leave it out, or --devices")
    if not processes.is_one_of_several():
        raise UsageError(f"{devices * nodes} processes train together: start them with xkd-bench or torchrun")
    world = int(os.environ.get("WORLD_SIZE", devices * nodes))
    if world != devices * nodes:
        raise UsageError(f"{world} processes were started for --devices {devices} on {nodes} nodes")
    # A method may leave parts of a network unused: an auxiliary head where there are no labels, what comes after the
    # last map. Buffers are equal already: batch statistics are of the whole batch, memories are computed alike.
    known = inspect.signature(DistributedDataParallel).parameters
    options: dict[str, Any] = {"find_unused_parameters": True, "gradient_as_bucket_view": True}
    options["forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"] = False
    strategy = DDPStrategy(timeout=LONGEST_WAIT, **options)
    environment = TorchElasticEnvironment() if TorchElasticEnvironment.detect() else LightningEnvironment()
    return {"devices": devices, "num_nodes": nodes, "strategy": strategy, "plugins": [environment]}


def alone(fabric: Fabric) -> Fabric:
    """A Fabric for what one process trains by itself: like this one, on this process's device."""
    if fabric.world_size == 1:
        return fabric
    device = fabric.device
    devices: Any = [device.index] if device.type == "cuda" else 1
    return _Fabric(accelerator=device.type, devices=devices, precision=fabric._precision.precision)


def _compiler_works(device: torch.device) -> bool:
    """Whether torch.compile does; it is found out by compiling something small, for it fails in many ways."""
    try:
        torch.compile(lambda x: (x + 1).relu())(torch.ones(8, device=device))
    except Exception as error:  # no compiler, one that is too old, a Python that it does not know, …
        why = (str(error).splitlines() or [""])[0]
        log.warning("--compile is left out: torch.compile does not work here (%s: %s)", type(error).__name__, why)
        return False
    return True


@contextmanager
def explained() -> Iterator[None]:
    """Turns what torch says of an operation that --deterministic rules out into one line."""
    try:
        yield
    except RuntimeError as error:
        if not torch.are_deterministic_algorithms_enabled() or "deterministic" not in str(error):
            raise
        operation = str(error).split(" does not have")[0].split(" is not")[0]
        raise UsageError(
            f"--deterministic: {operation} has no such form here: leave it out, or --device cpu"
        ) from error


def set_up(threads: int | None = None, deterministic: bool = False) -> None:
    """How torch computes in this process. threads: of the CPU, torch's own choice for None; sums are split among them,
    so that results differ in their last bits between numbers of threads and are the same for the same number.

    deterministic: only operations that give the same bits each time; what has none is an error. On a CPU all are.
    Before anything is computed on a GPU.
    """
    if threads is not None:
        if threads < 1:
            raise UsageError(f"--threads {threads}: at least one thread computes")
        torch.set_num_threads(threads)
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
