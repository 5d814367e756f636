"""What `run` and `sweep` share of Ray: the options, and the engine on a cluster."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xkd_bench.errors import UsageError

if TYPE_CHECKING:
    from xkd_bench.cli.runs import Machine
    from xkd_bench.runner import Runner
    from xkd_bench.suite.engine import Engine
    from xkd_bench.suite.ray_engine import Follow

Ray = Annotated[
    str | None,
    typer.Option("--ray", help="Several runs at once: local (this machine), auto (the cluster it is of) or HOST:PORT."),
]
CpusPerRun = Annotated[int, typer.Option("--cpus-per-run", min=1, help="With --ray: CPUs of a run, and its threads.")]
GpusPerRun = Annotated[
    float | None,
    typer.Option(
        "--gpus-per-run", min=0, max=1, help="With --ray: GPUs of a run, such as 0.25. 1, where there are any."
    ),
]


@dataclass(frozen=True)
class Cluster:
    """Where runs are carried out at once, and what each of them takes of it; `where` None: here, one after another."""

    where: str | None = None
    cpus: int = 1
    gpus: float | None = None

    def __post_init__(self) -> None:
        if self.where is None and (self.cpus != 1 or self.gpus is not None):
            raise UsageError(
                "--cpus-per-run and --gpus-per-run are for runs at once: give --ray local, auto or HOST:PORT"
            )

    def check(self, machine: "Machine") -> None:
        """UsageError where this is no address, or the machine is told what only one process, or one run, can be."""
        if self.where is None:
            return
        from xkd_bench.suite.ray_cluster import check_form

        check_form(self.where)
        if machine.devices * machine.nodes > 1:
            raise UsageError(
                "--devices and --nodes are for one run on several devices, --ray for several runs: give one"
            )
        if machine.loggers or machine.profile:
            raise UsageError("--logger and --profile follow the runs of one process: leave them out, or --ray")
        if machine.threads not in (None, self.cpus):
            raise UsageError(
                f"--threads {machine.threads}: with --ray a run has a thread for each of its --cpus-per-run"
            )


HERE = Cluster()
"""One run after another, in this process."""


@dataclass(frozen=True)
class Start:
    """Makes the runner of a worker process."""

    machine: "Machine"
    root: Path

    def __call__(self) -> "Runner":
        from xkd_bench.store import Store

        return self.machine.runner(Store(self.root))


@contextmanager
def engine_on(
    cluster: Cluster, machine: "Machine", planner: "Runner", timeout: float | None, follow: "Follow"
) -> Iterator["Engine"]:
    """An engine on this cluster, for as long as this lasts. planner: a runner in this process, over the same store."""
    from xkd_bench.suite import ray_cluster
    from xkd_bench.training import make_fabric

    assert cluster.where is not None
    root = planner.store.root.resolve()
    with ray_cluster.cluster(cluster.where, cluster.cpus), ray_cluster.shared_folder(root) as mark:
        from xkd_bench.suite.ray_engine import RayEngine

        gpus = _gpus(cluster.gpus, machine.device, ray_cluster.most_gpus())
        if not gpus:
            make_fabric("cpu", machine.precision)  # refuses what no CPU can do, before any run is begun
        ray_cluster.check_nodes(mark, cluster.cpus, gpus)
        start = Start(replace(machine, device="cuda" if gpus else "cpu", threads=cluster.cpus), root)
        yield RayEngine(planner, start, mark, cpus=cluster.cpus, gpus=gpus, timeout=timeout, follow=follow)


def _gpus(asked: float | None, device: str, there: float) -> float:
    """GPUs of a run: those asked for, else one where the cluster has any and --device does not say cpu."""
    if device == "cpu":
        if asked:
            raise UsageError(f"--gpus-per-run {asked:g} does not go with --device cpu")
        return 0.0
    gpus = float(there > 0) if asked is None else asked
    if device == "cuda" and not gpus:
        raise UsageError("device 'cuda' was asked for, but the cluster has no GPU for a run: use --device cpu or auto")
    return gpus
