"""`xkd-bench sweep`: a grid of runs from a TOML file."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xkd_bench.cli.clusters import Cluster, CpusPerRun, GpusPerRun, Ray
from xkd_bench.cli.runs import (
    Compile,
    Deterministic,
    Device,
    Loggers,
    Machine,
    Precision,
    Profile,
    Quiet,
    Threads,
    carry_out,
)
from xkd_bench.cli.shared import Json, Out, Seeds, groups, named, parse_seeds, parse_value, publish, seeds_words
from xkd_bench.errors import UsageError

if TYPE_CHECKING:
    from xkd_bench.suite.engine import Outcome
    from xkd_bench.suite.plan import Plan

Which = Annotated[str, typer.Argument(help="A shipped sweep (see `list sweeps`), or a file, FILE.toml.")]
Tasks = Annotated[list[str], typer.Option("--task", "-t", help="Instead of the file's tasks; may be repeated.")]
Sets = Annotated[
    list[str], typer.Option("--set", help="FIELD=VALUE for all runs, instead of the file's; may be repeated.")
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume/--no-resume",
        help="Go on from what is in --out, or insist that nothing of this sweep is there.",
    ),
]


def sweep(
    which: Which,
    budget: Annotated[str | None, typer.Option("--budget", "-b", help="smoke, laptop or paper.")] = None,
    seeds: Seeds = None,
    task: Tasks = [],
    changed: Sets = [],
    alone: Annotated[bool, typer.Option("--alone", help="No controls: only what the file names.")] = False,
    resume: Resume = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan, and run nothing.")] = False,
    show_file: Annotated[bool, typer.Option("--print", help="Print the file, to copy and change.")] = False,
    max_failures: Annotated[int | None, typer.Option(min=1, help="Stop at so many failed runs.")] = None,
    timeout: Annotated[
        float | None, typer.Option(min=0, help="Seconds a run or a measurement may take; it can go on later.")
    ] = None,
    device: Device = "auto",
    precision: Precision = "32",
    compiled: Compile = False,
    logger: Loggers = [],
    profile: Profile = False,
    threads: Threads = None,
    deterministic: Deterministic = False,
    ray: Ray = None,
    cpus_per_run: CpusPerRun = 1,
    gpus_per_run: GpusPerRun = None,
    out: Out = Path("results"),
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run a grid of runs, checked as a whole before the first is begun, and write its tables into --out.

    A run that fails does not stop the others: it is listed at the end, and the exit code is 1. What is in the store
    already is not run again; killed anywhere, the same command does the rest. Gaps and bounds that the file asks for
    (measure) are carried out like runs. To make all of it anew, give another --out.
    """
    from xkd_bench.store import Store
    from xkd_bench.suite.grid import check_fields, load_sweep, sweep_text

    if show_file:
        typer.echo(sweep_text(which), nl=False)
        return
    machine = Machine(device, precision, compiled, tuple(logger), profile, threads=threads, deterministic=deterministic)
    cluster = Cluster(ray, cpus_per_run, gpus_per_run)
    cluster.check(machine)
    grid = load_sweep(which)
    budget = budget or grid.budget
    chosen = parse_seeds(seeds, budget) if seeds else None
    overrides = _overrides(changed) | ({"task": list(task)} if task else {})
    check_fields(overrides, "--set")
    specs = grid.specs(budget, chosen, alone, precision, **overrides)
    store = Store(out)
    plan, failed = carry_out(
        store, specs, machine, quiet=quiet, timeout=timeout, max_failures=max_failures, dry_run=dry_run,
        cluster=cluster, measure=grid.measure, check=lambda plan: None if resume else _check_new(plan, out),
    )  # fmt: skip
    if dry_run:
        _show_plan(plan, as_json)
        return
    words = [*seeds_words(chosen, budget), *(f"--set '{text}'" for text in changed), *(["--alone"] if alone else [])]
    words += [f"--precision {precision}"] if precision != "32" else []
    command = ["xkd-bench sweep", which, *([f"--budget {budget}"] if budget != grid.budget else [])]
    command += [*(f"--task {name}" for name in task), *words]
    rows, unwritten = [], []
    keys = plan.present(store)
    for name, part in groups(store.frame(keys), grid.name, " ".join(words)) if keys else ():
        try:
            rows += publish(part, out, name, " ".join(command), shown=not (quiet or as_json))
        except UsageError as error:  # the other tables can be written all the same
            unwritten.append(f"table {name}: {error}")
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
    _end(plan, plan.left(store), failed, unwritten)


def _overrides(given: Sequence[str]) -> dict[str, Any]:
    """Fields from the words of --set: a value is TOML, or else the text itself."""
    fields = named("--set", given, "a field is FIELD=VALUE, such as --set student=resnet8-w16")
    return {name: parse_value(value) for name, value in fields.items()}


def _check_new(plan: "Plan", out: Path) -> None:
    """UsageError if something of the plan is there already."""
    stages = {"teachers": plan.teachers, "students": plan.students, **plan.measurements()}
    there = {"runs": len(plan.there)} | {name: stage.there for name, stage in stages.items()}
    if found := ", ".join(f"{count} {name}" for name, count in there.items() if count):
        raise UsageError(
            f"--no-resume: {out} has {found} of this sweep, which would be the same again: give another --out, or "
            f"leave --no-resume out to do the rest"
        )


def _show_plan(plan: "Plan", as_json: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    if as_json:
        stages = {"teachers": plan.teachers, "students": plan.students, **plan.measurements()}
        shared = {name: asdict(stage) for name, stage in stages.items()}
        runs = [{"key": key, "run": plan.labels[s], "there": key in plan.there} for key, s in plan.runs.items()]
        typer.echo(json.dumps({"runs": runs, **shared, "seconds": plan.seconds, "untimed": plan.untimed}, indent=1))
        return
    kinds: dict[str, list[bool]] = {}
    for key, spec in plan.runs.items():
        kinds.setdefault(plan.labels[spec].replace(f" · seed {spec.seed}", ""), []).append(key in plan.there)
    listed = Table("run", "seeds", "in the store", box=None, header_style="bold")
    for kind, there in kinds.items():
        listed.add_row(kind, str(len(there)), str(sum(there)))
    facts = Table.grid(padding=(0, 2))
    for name, text in plan.facts():
        facts.add_row(name, text)
    console = Console()
    console.print(listed, "", facts, highlight=False)


def _end(plan: "Plan", left: int, failed: Sequence["Outcome"], unwritten: Sequence[str]) -> None:
    """Say what did not go well, if anything, and exit with 1. left: runs and measurements that are not in the store."""
    if not failed and not unwritten:
        return
    runs = sum(one.work in plan.runs.values() for one in failed)
    counts = ((runs, len(plan.runs), "runs"), (len(failed) - runs, len(plan.measured), "measurements"))
    head = ", ".join(f"{bad} of {number} {what} failed" for bad, number, what in counts if bad)
    typer.echo(f"xkd-bench: {head or 'not all could be written'}", err=True)
    for line in [*(f"{plan.labels[one.work]}: {one.reason()}" for one in failed), *unwritten]:
        typer.echo(f"  {line}", err=True)
    if left > len(failed):
        typer.echo(f"  {left - len(failed)} more were not begun; the same command does the rest", err=True)
    raise typer.Exit(1)
