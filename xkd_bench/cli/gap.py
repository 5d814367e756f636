"""`xkd-bench gap`: how far apart two modalities are."""

from pathlib import Path
from shlex import quote
from typing import Annotated, Any

import typer

from xkd_bench.cli.shared import Json, Out, Seeds, parse_seeds
from xkd_bench.errors import UsageError

Encoders = Annotated[
    str | None, typer.Option("--encoders", help="oracle, oracle-supervised, raw or teacher: over seeds, and kept.")
]


def gap(
    task: Annotated[str | None, typer.Option("--task", "-t", help="Raw features (pixels) of this task.")] = None,
    features: Annotated[Path | None, typer.Option("--features", "-f", help="Your own: .npz, .npy or .parquet.")] = None,
    unpaired: Annotated[bool, typer.Option("--unpaired", help="Rows of your features are not pairs.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Say in two lines what each number means.")] = False,
    seed: Annotated[int, typer.Option(help="Of splits, resamples and permutations.")] = 0,
    encoders: Encoders = None,
    seeds: Seeds = None,
    budget: Annotated[str, typer.Option("--budget", "-b", help="Of the encoders that are trained.")] = "laptop",
    out: Out = Path("results"),
    as_json: Json = False,
) -> None:
    """Estimate the gap between two modalities: distances, alignment and capacity, each with its uncertainty.

    Of features of yours, or of a task's pixels; with --encoders, by encoders of the task's held-out pairs, over seeds.
    """
    if (task is None) == (features is None):
        raise UsageError("give one of --task NAME and --features FILE")
    if encoders is not None:
        if task is None:
            raise UsageError("--encoders are trained on a task: give --task NAME")
        _measured(task, encoders, parse_seeds(seeds, budget), budget, explain, out, as_json)
        return
    if seeds is not None:
        raise UsageError("--seeds goes with --encoders; without, there is one seed: --seed")
    _once(task, features, unpaired, explain, seed, out, as_json)


def _measured(task: str, encoders: str, seeds: list[int], budget: str, explain: bool, out: Path, as_json: bool) -> None:
    """The stored gap of a task over seeds, measured where it is missing."""
    from rich.console import Console

    from xkd_bench.analysis.gap import explain as meaning
    from xkd_bench.analysis.results import gap_frame
    from xkd_bench.cli.runs import Machine
    from xkd_bench.progress import progress
    from xkd_bench.store import Store
    from xkd_bench.suite.measure import measured_gap

    with progress(quiet=False) as shown:
        runner = Machine().runner(Store(out), shown.report)
        shown.expect(len(seeds))
        found = []
        for one in seeds:
            shown.begin(f"seed {one}")
            found.append(measured_gap(runner, task, one, budget, encoders))
            shown.end(f"seed {one}")
    frame = gap_frame(found)
    if as_json:
        typer.echo(frame.to_json(orient="records", indent=1, double_precision=15))
        return
    how = f" ({found[0]['oracle']})" if found[0]["oracle"] else ""
    title = f"Modality gap of {task}: {encoders}{how}, budget {budget}"
    words = f"{found[0]['pairs']:,} pairs; mean over {len(seeds)} seeds ± half a 95 % interval"
    console = Console()
    console.print(title, words, _table(frame), sep="\n", highlight=False)
    for name in frame["estimator"].unique() if explain else ():
        console.print(f"{name}: {meaning(name)}", style="dim", highlight=False)
    console.print(f"kept: {out / 'gaps'}", style="dim", highlight=False)


def _table(frame: Any) -> Any:
    """A row for each estimator."""
    from rich.table import Column, Table

    from xkd_bench.analysis.intervals import half_width

    name_column = Column("", no_wrap=True, min_width=max(map(len, frame["estimator"])))
    table = Table(name_column, "mean", "a seed's range", "n", "kind", box=None, header_style="bold")
    for name, part in frame.groupby("estimator", sort=False):
        value = part["value"].astype(float)
        half = float(half_width(value.std(ddof=1), len(value))) if len(value) > 1 else float("nan")
        first = part.iloc[0]
        spread = f" ± {half:.3f}" if half == half else ""
        low, high = part["low"].astype(float), part["high"].astype(float)
        own = f"{low.mean():.3f} to {high.mean():.3f}" if low.notna().any() else ""
        table.add_row(str(name), f"{value.mean():.3f}{spread}", own, f"{first['n']:,}", first["kind"])
    return table


def _once(
    task: str | None, features: Path | None, unpaired: bool, explain: bool, seed: int, out: Path, as_json: bool
) -> None:
    """Every estimator on a file's features or a task's raw ones, with a page and a plot."""
    from rich.console import Console

    from xkd_bench.analysis.gap import features as as_features
    from xkd_bench.analysis.gap import gap_table, read_features
    from xkd_bench.progress import steps
    from xkd_bench.report import gap as report

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
            f"{card.source} → {card.target}, raw {'vectors' if card.target_kind == 'vector' else 'pixels'}",
        )
        command = f"xkd-bench gap --task {quote(str(task))}"
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
