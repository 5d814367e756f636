"""`xkd-bench run`: methods under a protocol, beside their controls and references."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xkd_bench.cli.shared import Json, Out, file_name, parse_options, parse_seeds, publish

if TYPE_CHECKING:
    from xkd_bench.store import Store

Methods = Annotated[list[str], typer.Option("--method", "-m", help="Method under test; may be repeated.")]
MethodOptions = Annotated[list[str], typer.Option("--option", "-o", help="A method's key=value; may be repeated.")]


def run(
    method: Methods = ["cmc"],
    protocol: Annotated[str, typer.Option("--protocol", "-p", help="How students are scored.")] = "few-shot",
    task: Annotated[str, typer.Option("--task", "-t", help="Data; folder:PATH for your own.")] = "emoji-sketch",
    budget: Annotated[str, typer.Option("--budget", "-b", help="smoke, laptop or paper.")] = "laptop",
    teacher: Annotated[str | None, typer.Option(help="Source encoder: see `list teachers`.")] = None,
    student: Annotated[str | None, typer.Option(help="Target encoder; the budget's, if not given.")] = None,
    pairs: Annotated[str, typer.Option(help="true, or shuffled: the control that breaks the pairs.")] = "true",
    option: MethodOptions = [],
    seeds: Annotated[
        str | None, typer.Option(help="How many (3), or which (0,1,7); the budget's, if not given.")
    ] = None,
    batch: Annotated[int | None, typer.Option(help="Batch of distillation; the budget's, if not given.")] = None,
    alone: Annotated[bool, typer.Option("--alone", help="Only the methods: no controls, no references.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    precision: Annotated[str, typer.Option(help="32, bf16 or 16.")] = "32",
    out: Out = Path("results"),
    as_json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no table.")] = False,
) -> None:
    """Run methods under a protocol beside their controls and references, and write the comparison into --out.

    What is in the store already is not run again; killed anywhere, the same command does the rest.
    """
    from xkd_bench.recall import recall
    from xkd_bench.store import Store

    seed_list = parse_seeds(seeds, budget)
    request = {
        "methods": list(method), "options": parse_options(option), "seeds": seed_list, "task": task,
        "protocol": protocol, "budget": budget, "teacher": teacher, "student": student, "pairs": pairs, "batch": batch,
        "alone": alone, "precision": precision,
    }  # fmt: skip
    store = Store(out)
    keys = recall(store, request) or _run_missing(store, request, device, quiet)
    frame = store.frame(keys)
    command = _command(
        method, protocol, task, budget, teacher, student, pairs, option, seed_list, batch, alone, precision
    )
    defaults = _command(method, protocol, task, budget, None, None, "true", [], None, None, False, "32")
    name = file_name(frame, "+".join(method), command if command != defaults else "")
    rows = publish(frame, out, name, command, shown=not (quiet or as_json))
    if as_json:
        typer.echo(json.dumps(rows, indent=1))


def _run_missing(store: "Store", request: dict[str, Any], device: str, quiet: bool) -> list[str]:
    """Run what a request asks for and the store does not have; keys of all its records."""
    from xkd_bench.progress import progress
    from xkd_bench.recall import remember
    from xkd_bench.runner import Runner
    from xkd_bench.suite import comparison, run_all
    from xkd_bench.training import make_fabric

    specs = comparison(**request)
    fabric = make_fabric(device, request["precision"])
    keys = []
    try:
        with progress(len(specs), quiet) as shown:
            runner = Runner(store, fabric, shown.report)
            for spec, done in zip(specs, run_all(runner, specs, shown.begin), strict=True):
                shown.end(spec.label(), done.was_there)
                keys.append(done.key)
    except KeyboardInterrupt:  # here, and not in main: typer would say no more than that it was aborted
        typer.echo("xkd-bench: stopped; the same command does the rest", err=True)
        raise typer.Exit(130) from None
    remember(store, request, keys)
    return keys


def _command(
    methods: Sequence[str], protocol: str, task: str, budget: str, teacher: str | None, student: str | None, pairs: str,
    options: Sequence[str], seeds: list[int] | None, batch: int | None, alone: bool, precision: str,
) -> str:  # fmt: skip
    """The command that makes this comparison again, with what differs from the defaults."""
    from protocols import load_budget

    words = ["xkd-bench run", f"--protocol {protocol}", *(f"--method {m}" for m in methods)]
    defaults = {"task": "emoji-sketch", "budget": "laptop", "teacher": None, "student": None, "pairs": "true"}
    for key, value in {"task": task, "budget": budget, "teacher": teacher, "student": student, "pairs": pairs}.items():
        if value != defaults[key]:
            words.append(f"--{key} {value}")
    words += [f"--option {o}" for o in options]
    if seeds is not None and seeds != list(range(load_budget(budget).seeds)):
        words.append("--seeds " + (",".join(map(str, seeds)) + ("," if len(seeds) == 1 else "")))
    if batch is not None:
        words.append(f"--batch {batch}")
    if alone:
        words.append("--alone")
    if precision != "32":
        words.append(f"--precision {precision}")
    return " ".join(words)
