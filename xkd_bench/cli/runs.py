"""What `run` and `sweep` share: the machine, the progress, the plan and its carrying out."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xkd_bench.cli.clusters import HERE, Cluster, engine_on

if TYPE_CHECKING:
    from xkd_bench.runner import Runner
    from xkd_bench.spec import RunSpec
    from xkd_bench.stages.context import Report
    from xkd_bench.store import Store
    from xkd_bench.suite.asked import Work
    from xkd_bench.suite.engine import Outcome
    from xkd_bench.suite.plan import Plan

Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
Precision = Annotated[str, typer.Option("--precision", help="32, bf16 or 16.")]
Compile = Annotated[bool, typer.Option("--compile", help="torch.compile what is trained; needs a C++ compiler.")]
Loggers = Annotated[
    list[str], typer.Option("--logger", help="tensorboard, csv, wandb or mlflow, into --out/logs; may be repeated.")
]
Profile = Annotated[bool, typer.Option("--profile", help="Profile some steps of each training, into --out/profiles.")]
Devices = Annotated[int, typer.Option("--devices", help="Processes that train together, each on a device of its own.")]
Nodes = Annotated[int, typer.Option("--nodes", help="Machines with --devices each; see README.")]
Threads = Annotated[int | None, typer.Option("--threads", help="Of the CPU; torch's choice, if not given.")]
Deterministic = Annotated[bool, typer.Option("--deterministic", help="The same bits each time, on a GPU too.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no table.")]


@dataclass(frozen=True)
class Machine:
    """What runs are carried out on, and who is told of it."""

    device: str = "auto"
    precision: str = "32"
    compiled: bool = False
    loggers: tuple[str, ...] = ()
    profile: bool = False
    devices: int = 1
    nodes: int = 1
    threads: int | None = None
    deterministic: bool = False

    def __post_init__(self) -> None:
        if self.loggers:
            from xkd_bench.tracking import check_loggers

            check_loggers(self.loggers)

    def runner(self, store: "Store", report: "Report | None" = None) -> "Runner":
        """Sets this process up, and makes what carries runs out in it."""
        from xkd_bench.machine import make_fabric, set_up
        from xkd_bench.runner import Runner

        set_up(self.threads, self.deterministic)
        fabric = make_fabric(
            self.device, self.precision, self.compiled, self.callbacks(store.root), devices=self.devices,
            nodes=self.nodes,
        )  # fmt: skip
        return Runner(store, fabric, report) if report else Runner(store, fabric)

    def callbacks(self, out: Path) -> list[Any]:
        """Trackers and the profiler that were asked for; they write into `out`."""
        found: list[Any] = []
        if self.loggers:
            from xkd_bench.tracking import make_tracker

            found.append(make_tracker(self.loggers, out))
        if self.profile:
            from xkd_bench.profiling import Profiles

            found.append(Profiles(out / "profiles"))
        return found


def carry_out(
    store: "Store",
    specs: Sequence["RunSpec"],
    machine: Machine,
    *,
    quiet: bool,
    timeout: float | None = None,
    max_failures: int | None = None,
    dry_run: bool = False,
    cluster: Cluster = HERE,
    measure: Sequence[str] = (),
    check: "Callable[[Plan], None]" = lambda plan: None,
) -> tuple["Plan", list["Outcome"]]:
    """Plan these runs and do what is missing; the plan, and what failed. Interrupted, it says so and exits with 130.

    dry_run: only plan. cluster: on which several runs are carried out at once. measure: gap, bound. check: may refuse
    the plan.
    """
    from xkd_bench.processes import is_first
    from xkd_bench.progress import progress
    from xkd_bench.suite import engine
    from xkd_bench.suite.plan import make_plan

    def end(done: "Outcome") -> None:
        if done.error is None or max_failures != 1:  # the one error that ends it all is said by who raises it
            shown.end(plan.labels[done.work], done.reason() if done.error else None)

    def follow(work: "Work", stage: str, done: int, total: int, note: str) -> None:
        shown.report(stage, done, total, note, plan.labels[work])

    try:
        with progress(quiet or not is_first()) as shown:
            runner = (machine if cluster.where is None else Machine("cpu")).runner(store, shown.report)
            plan = make_plan(runner, specs, measure=measure)
            check(plan)
            if dry_run or not plan.missing():
                return plan, []
            shown.expect(len(plan.missing()))
            serial = nullcontext(engine.SerialEngine(runner, timeout))
            with engine_on(cluster, machine, runner, timeout, follow) if cluster.where else serial as chosen:
                failed = engine.carry_out(plan, chosen, lambda work: shown.begin(plan.labels[work]), end, max_failures)
    except KeyboardInterrupt:  # `main` says so
        raise typer.Exit(130) from None
    return plan, failed
