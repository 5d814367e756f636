"""What `sweep` measures of its runs afterwards: gaps and bounds."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from xkd_bench.cli.runs import Machine
    from xkd_bench.spec import RunSpec
    from xkd_bench.store import Store


def measure(
    store: "Store", specs: Sequence["RunSpec"], kinds: Sequence[str], machine: "Machine", quiet: bool
) -> list[str]:
    """Measure what is missing of these runs, on this machine; a line for each that failed. `kinds` may be empty."""
    from xkd_bench.progress import progress
    from xkd_bench.suite.engine import Outcome
    from xkd_bench.suite.measure import measure, missing, plan

    if not kinds:
        return []
    try:
        with progress(quiet) as shown:
            runner = machine.runner(store, shown.report)
            todo = missing(runner, plan(specs, kinds))
            shown.expect(len(todo))
            failed = measure(
                runner, todo, lambda one: shown.begin(one.label),
                lambda one, error: shown.end(one.label, Outcome(one.spec, 0, error).reason() if error else None),
            )  # fmt: skip
    except KeyboardInterrupt:  # `main` says so
        raise typer.Exit(130) from None
    return [f"{one.label}: {Outcome(one.spec, 0, error).reason()}" for one, error in failed]
