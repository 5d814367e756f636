"""`xkd-bench gap`: how far apart two modalities are."""

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from xkd_bench.cli.shared import Json, Out
from xkd_bench.errors import UsageError


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
