"""What `run` and `sweep` share: the machine, the progress, the plan and its carrying out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from xkd_bench.spec import RunSpec
    from xkd_bench.store import Store
    from xkd_bench.suite.engine import Outcome
    from xkd_bench.suite.plan import Plan

Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
Precision = Annotated[str, typer.Option("--precision", help="32, bf16 or 16.")]
Compile = Annotated[bool, typer.Option("--compile", help="torch.compile what is trained; needs a C++ compiler.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no table.")]


@dataclass(frozen=True)
class Machine:
    """What runs are carried out on."""

    device: str = "auto"
    precision: str = "32"
    compiled: bool = False


def carry_out(
    store: "Store",
    specs: Sequence["RunSpec"],
    machine: Machine,
    *,
    quiet: bool,
    timeout: float | None = None,
    max_failures: int | None = None,
    dry_run: bool = False,
) -> tuple["Plan", list["Outcome"]]:
    """Plan these runs and do what is missing; the plan, and what failed. Interrupted, it says so and exits with 130.

    dry_run: only plan.
    """
    from xkd_bench.progress import progress
    from xkd_bench.runner import Runner
    from xkd_bench.suite import engine
    from xkd_bench.suite.plan import make_plan
    from xkd_bench.training import make_fabric

    def end(done: "Outcome") -> None:
        if done.error is None or max_failures != 1:  # the one error that ends it all is said by who raises it
            shown.end(plan.labels[done.spec], done.reason() if done.error else None)

    fabric = make_fabric(machine.device, machine.precision, machine.compiled)
    try:
        with progress(quiet) as shown:
            runner = Runner(store, fabric, shown.report)
            plan = make_plan(runner, specs)
            if dry_run:
                return plan, []
            shown.expect(len(plan.missing()))
            failed = engine.carry_out(
                plan,
                engine.SerialEngine(runner, timeout),
                lambda spec: shown.begin(plan.labels[spec]),
                end,
                max_failures,
            )
    except KeyboardInterrupt:  # here, and not in main: typer would say no more than that it was aborted
        typer.echo("xkd-bench: stopped; the same command does the rest", err=True)
        raise typer.Exit(130) from None
    return plan, failed
