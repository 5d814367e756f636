"""`xkd-bench run`: methods under a protocol, beside their controls and references."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xkd_bench import processes
from xkd_bench.cli.clusters import Cluster, CpusPerRun, GpusPerRun, Ray
from xkd_bench.cli.runs import (
    Compile,
    Deterministic,
    Device,
    Devices,
    Loggers,
    Machine,
    Nodes,
    Precision,
    Profile,
    Quiet,
    Threads,
    carry_out,
)
from xkd_bench.cli.shared import (
    Json,
    Out,
    Seeds,
    file_name,
    parse_options,
    parse_recipe,
    parse_seeds,
    publish,
    seeds_words,
)

if TYPE_CHECKING:
    from xkd_bench.store import Store

Methods = Annotated[list[str], typer.Option("--method", "-m", help="Method under test; may be repeated.")]
MethodOptions = Annotated[list[str], typer.Option("--option", "-o", help="A method's key=value; may be repeated.")]

Recipes = Annotated[
    list[str],
    typer.Option("--recipe", help="FIELD=VALUE instead of the budget's: distil.ema=0.999, target_size=[512,1024], ..."),
]


def run(
    method: Methods = ["cmc"],
    protocol: Annotated[str, typer.Option("--protocol", "-p", help="How students are scored.")] = "few-shot",
    task: Annotated[str, typer.Option("--task", "-t", help="Data; folder:PATH for your own.")] = "emoji-sketch",
    budget: Annotated[str, typer.Option("--budget", "-b", help="smoke, laptop or paper.")] = "laptop",
    teacher: Annotated[str | None, typer.Option(help="Source encoder: see `list teachers`.")] = None,
    student: Annotated[str | None, typer.Option(help="Target encoder; the budget's, if not given.")] = None,
    pairs: Annotated[str, typer.Option(help="true, or shuffled: the control that breaks the pairs.")] = "true",
    option: MethodOptions = [],
    seeds: Seeds = None,
    batch: Annotated[int | None, typer.Option(help="Batch of distillation; the budget's, if not given.")] = None,
    init: Annotated[
        str, typer.Option(help="How the student starts: random, or source (weights of Step 1).")
    ] = "random",
    teacher_weights: Annotated[Path | None, typer.Option(help="A file with weights of the teacher's network.")] = None,
    student_backbone: Annotated[
        Path | None, typer.Option(help="Dense tasks: a file whose backbone the student starts from.")
    ] = None,
    teacher_backbone: Annotated[
        Path | None, typer.Option(help="Dense tasks: a file whose backbone the teacher's training starts from.")
    ] = None,
    recipe: Recipes = [],
    alone: Annotated[bool, typer.Option("--alone", help="Only the methods: no controls, no references.")] = False,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out files that cannot be read.")] = False,
    device: Device = "auto",
    devices: Devices = 1,
    nodes: Nodes = 1,
    precision: Precision = "32",
    compiled: Compile = False,
    threads: Threads = None,
    deterministic: Deterministic = False,
    logger: Loggers = [],
    profile: Profile = False,
    ray: Ray = None,
    cpus_per_run: CpusPerRun = 1,
    gpus_per_run: GpusPerRun = None,
    out: Out = Path("results"),
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run methods under a protocol beside their controls and references, and write the comparison into --out.

    What is in the store already is not run again; killed anywhere, the same command does the rest.
    """
    from xkd_bench.recall import recall
    from xkd_bench.store import Store

    request = {
        "methods": list(method), "options": parse_options(option), "seeds": parse_seeds(seeds, budget), "task": task,
        "protocol": protocol, "budget": budget, "teacher": teacher, "student": student, "pairs": pairs, "batch": batch,
        "alone": alone, "precision": precision, "init": init,
        "teacher_weights": str(teacher_weights) if teacher_weights else None,
        "student_backbone": str(student_backbone) if student_backbone else None,
        "teacher_backbone": str(teacher_backbone) if teacher_backbone else None,
    }  # fmt: skip
    if recipe:
        request["recipe"] = parse_recipe(recipe)
    if skip_bad:
        from xkd_bench.tasks import SKIP_BAD

        request["task"] = task = task.removesuffix(SKIP_BAD) + SKIP_BAD
    store = Store(out)
    machine = Machine(
        device, precision, compiled, tuple(logger), profile, devices, nodes, threads, deterministic
    )  # fmt: skip
    cluster = Cluster(ray, cpus_per_run, gpus_per_run)
    cluster.check(machine)
    keys = None if processes.is_one_of_several() else recall(store, request)
    if keys is None and devices * nodes != 1 and not processes.is_one_of_several():
        raise typer.Exit(processes.launch([sys.executable, "-m", "xkd_bench.cli", *sys.argv[1:]], devices, nodes))
    with processes.together():
        keys = keys or _run_missing(store, request, machine, cluster, quiet)
    if not processes.is_first():
        return
    frame = store.frame(keys)
    command = _command(request, option, recipe)
    plain = {"methods": method, "protocol": protocol, "task": task, "budget": budget}
    name = file_name(frame, "+".join(method), command if command != _command(plain, []) else "")
    rows = publish(frame, out, name, command, shown=not (quiet or as_json))
    if as_json:
        typer.echo(json.dumps(rows, indent=1))


def _run_missing(store: "Store", request: dict[str, Any], machine: Machine, cluster: Cluster, quiet: bool) -> list[str]:
    """Run what a request asks for and the store does not have; keys of all its records. The first error ends it."""
    from xkd_bench.recall import remember
    from xkd_bench.suite.comparison import comparison

    plan, failed = carry_out(store, comparison(**request), machine, quiet=quiet, max_failures=1, cluster=cluster)
    for outcome in failed:
        assert outcome.error is not None
        raise outcome.error
    keys = list(plan.runs)
    if processes.is_first():
        remember(store, request, keys)
    return keys


DEFAULTS = {"task": "emoji-sketch", "budget": "laptop", "teacher": None, "student": None, "pairs": "true"}


def _command(request: Mapping[str, Any], options: Sequence[str], recipe: Sequence[str] = ()) -> str:
    """The command that makes this comparison again, with what differs from the defaults. Its digest names files."""
    words = ["xkd-bench run", f"--protocol {request['protocol']}", *(f"--method {m}" for m in request["methods"])]
    words += _changed(request, DEFAULTS)
    words += [f"--option {o}" for o in options]
    words += seeds_words(request.get("seeds"), request["budget"])
    words += _changed(request, {"batch": None})
    words += ["--alone"] if request.get("alone") else []
    words += _changed(request, {"precision": "32", "init": "random"})
    words += _changed(request, dict.fromkeys(("teacher_weights", "student_backbone", "teacher_backbone")))
    words += [f"--recipe {quote(change)}" for change in recipe]
    return " ".join(words)


def _changed(request: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[str]:
    return [
        f"--{name.replace('_', '-')} {quote(str(request[name]))}"
        for name, default in defaults.items()
        if request.get(name, default) != default
    ]
