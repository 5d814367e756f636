"""The command line: parses, calls, prints. Everything heavy is imported when a command needs it."""

import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from xkd_bench import __version__
from xkd_bench.errors import TrainingError, UsageError

if TYPE_CHECKING:
    from xkd_bench.store import Store

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Evaluate cross-modality knowledge distillation: methods, controls, fixed protocols, honest tables.",
)

Listed = Literal["tasks", "methods", "protocols", "budgets", "teachers", "students"]
Out = Annotated[Path, typer.Option("--out", help="Results folder.", show_default=True)]
Json = Annotated[bool, typer.Option("--json", help="Print the table as JSON, for machines.")]
Methods = Annotated[list[str], typer.Option("--method", "-m", help="Method under test; may be repeated.")]
MethodOptions = Annotated[list[str], typer.Option("--option", "-o", help="A method's key=value; may be repeated.")]
SELECTION = "hyper-parameters chosen on validation data only"


@app.callback(invoke_without_command=True)
def _version(show: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False) -> None:
    if show:
        typer.echo(f"xkd-bench {__version__}")
        raise typer.Exit


@app.command()
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

    seed_list = _parse_seeds(seeds, budget)
    request = {
        "methods": list(method), "options": _parse_options(option), "seeds": seed_list, "task": task,
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
    name = _file_name(frame, "+".join(method), command if command != defaults else "")
    rows = _publish(frame, out, name, command, shown=not (quiet or as_json))
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


@app.command("list")
def list_(what: Annotated[Listed, typer.Argument(help="What to list.")]) -> None:
    """List the names that `run` takes."""
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "what it is", "from", box=None, header_style="bold")
    for row in _listing(what):
        table.add_row(*row)
    Console(soft_wrap=not sys.stdout.isatty()).print(table)


@app.command()
def show(
    key: Annotated[str | None, typer.Argument(help="A record's key, or its first characters; none lists all.")] = None,
    out: Out = Path("results"),
    as_json: Json = False,
) -> None:
    """Show one record: what was run, on what, with what, and every score. Without a key, list the records."""
    from rich.console import Console

    from xkd_bench.report.record import record_list, record_view
    from xkd_bench.store import Store

    store = Store(out)
    if key is None:
        records = store.records()
        if not records:
            raise _no_records(out)
        Console().print(record_list(records))
        return
    record = store.record(store.find(key))
    if as_json:
        typer.echo(json.dumps(record, indent=1))
    else:
        Console().print(record_view(record))


@app.command()
def table(
    out: Out = Path("results"),
    as_json: Json = False,
) -> None:
    """Rebuild every table and plot from the store: one for each task, protocol and budget."""
    from xkd_bench.store import Store

    frame = Store(out).frame()
    if frame.empty:
        raise _no_records(out)
    rows = []
    groups = [part.reset_index(drop=True) for _, part in frame.groupby(["protocol", "task", "budget", "data_digest"])]
    names = [_file_name(part, "all", "") for part in groups]
    for part, name in zip(groups, names, strict=True):
        if names.count(name) > 1:  # the same task with other data: a folder that changed, another version
            name += f"-{part.data_digest[0][:6]}"
        rows += _publish(part, out, name, "xkd-bench table", shown=not as_json)
    if as_json:
        typer.echo(json.dumps(rows, indent=1))


@app.command()
def gap(
    task: Annotated[str | None, typer.Option("--task", "-t", help="Raw features (pixels) of this task.")] = None,
    features: Annotated[Path | None, typer.Option("--features", "-f", help="Your own: .npz, .npy or .parquet.")] = None,
    unpaired: Annotated[bool, typer.Option("--unpaired", help="Rows of your features are not pairs.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Say in two lines what each number means.")] = False,
    seed: Annotated[int, typer.Option(help="Of splits, resamples and permutations.")] = 0,
    out: Out = Path("results"),
    as_json: Json = False,
) -> None:
    """Estimate the gap between two modalities: distances, alignment and capacity, each with its uncertainty."""
    from rich.console import Console

    from xkd_bench.analysis.gap import features as as_features
    from xkd_bench.analysis.gap import gap_table, read_features
    from xkd_bench.progress import steps
    from xkd_bench.report import gap as report

    if (task is None) == (features is None):
        raise UsageError("give one of --task NAME and --features FILE")
    if features is not None:
        try:
            found, what = read_features(features, paired=False if unpaired else None), features.name
        except ValueError as error:
            raise UsageError(str(error)) from error
        command = f"xkd-bench gap --features {features.name}{' --unpaired' if unpaired else ''}"
    else:
        from xkd_bench import tasks
        from xkd_bench.raw_features import SIZE, raw_features

        card = tasks.get(str(task)).card
        source, target, groups = raw_features(tasks.get(str(task)).load(SIZE, SIZE), card, seed)
        found, what = (
            as_features(source, target, groups=groups, paired=True),
            f"{card.source} → {card.target}, raw pixels",
        )
        command = f"xkd-bench gap --task {task}"
    with steps("estimating") as tick:
        estimates = gap_table(found, seed=seed, tick=tick)
    name = (str(task) if task else Path(str(features)).stem).replace(":", "-").replace("/", "-").replace(">", "-to-")
    title = f"Modality gap: {what}"
    words = f"{len(found.source):,} rows of {found.source.shape[1]:,} features a side"
    files = report.write(estimates, out / "gap", name, title, words, command)
    if as_json:
        typer.echo(estimates.to_json(orient="records", indent=1))
    else:
        console = Console()
        console.print(report.terminal(estimates, title, explain))
        console.print("written: " + "  ".join(str(f) for f in files), style="dim", highlight=False)


def _no_records(out: Path) -> UsageError:
    return UsageError(f"no records in {out / 'runs'}: run xkd-bench run first, or give another --out")


def _file_name(frame: Any, what: str, told_apart_by: str) -> str:
    """A file name for a table: protocol, task, budget, what is in it, and a short digest of what tells it apart."""
    import re

    from xkd_bench.spec import digest

    first = frame.iloc[0]
    task = first.task.rstrip("/").rpartition("/")[2] if "/" in first.task else first.task
    words = [first.protocol, task, first.budget, what] + ([digest(told_apart_by)[:6]] if told_apart_by else [])
    return re.sub(r"[^A-Za-z0-9.+_-]+", "-", "-".join(words))


def _publish(frame: Any, out: Path, name: str, command: str, shown: bool) -> list[dict[str, Any]]:
    """Write the tables and plots of a comparison, show the table, and return its rows for machines."""
    from rich.console import Console

    from xkd_bench import report
    from xkd_bench.analysis.compare import summarise
    from xkd_bench.report.tables import terminal

    first = frame.iloc[0]
    files = report.write(frame, out / "tables", name, selection_rule=SELECTION, command=command)
    if shown:
        console = Console()
        console.print(terminal(frame, SELECTION))
        console.print("written: " + "  ".join(str(f) for f in files), style="dim", highlight=False)
    named = summarise(frame).assign(protocol=first.protocol, task=first.task, budget=first.budget)
    rows: list[dict[str, Any]] = json.loads(named.to_json(orient="records"))
    return rows


def _parse_options(given: Sequence[str]) -> dict[str, str]:
    options = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UsageError(f"--option {text}: an option is key=value, such as --option tau=0.2")
        options[key] = value
    return options


def _parse_seeds(text: str | None, budget: str) -> list[int]:
    from protocols import budget_names, load_budget
    from xkd_bench.errors import nearest

    if budget not in budget_names():
        raise nearest("budget", budget, list(budget_names()))
    if text is None:
        return list(range(load_budget(budget).seeds))
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--seeds {text}: give a number of seeds (3) or a list of them (0,1,7)") from None
    seeds = list(range(numbers[0])) if len(numbers) == 1 and "," not in text else numbers
    if not seeds or min(seeds) < 0 or len(set(seeds)) != len(seeds):
        raise UsageError(f"--seeds {text}: seeds are 0 or more, at least one, without repeats")
    return seeds


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


def _listing(what: Listed) -> list[tuple[str, str, str]]:
    if what in ("tasks", "methods"):
        from xkd_bench.registry import entries

        return [(e.name, e.summary, e.origin) for e in entries(what).values()]
    if what in ("protocols", "budgets"):
        import protocols

        if what == "protocols":
            return [(p.name, p.summary, p.source) for p in map(protocols.load_protocol, protocols.protocol_names())]
        return [(b.name, b.summary, b.source) for b in map(protocols.load_budget, protocols.budget_names())]
    from xkd_bench import catalogue

    names = catalogue.TEACHERS if what == "teachers" else catalogue.STUDENTS
    return [(name, summary, "xkd-bench") for name, summary in names.items()]


def main() -> None:
    """Entry point: what the user can mend is one line and an exit code, never a traceback."""
    logging.basicConfig(format="xkd-bench: %(message)s", level=logging.WARNING)
    try:
        app()
    except (UsageError, TrainingError) as error:
        typer.echo(f"xkd-bench: {error}", err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
