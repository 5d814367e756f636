"""`xkd-bench table`: every table and plot again, from the store."""

import json
from pathlib import Path

import typer

from xkd_bench.cli.shared import Json, Out, file_name, no_records, publish


def table(
    out: Out = Path("results"),
    as_json: Json = False,
) -> None:
    """Rebuild every table and plot from the store: one for each task, protocol and budget."""
    from xkd_bench.store import Store

    frame = Store(out).frame()
    if frame.empty:
        raise no_records(out)
    rows = []
    groups = [part.reset_index(drop=True) for _, part in frame.groupby(["protocol", "task", "budget", "data_digest"])]
    names = [file_name(part, "all", "") for part in groups]
    for part, name in zip(groups, names, strict=True):
        if names.count(name) > 1:  # the same task with other data: a folder that changed, another version
            name += f"-{part.data_digest[0][:6]}"
        rows += publish(part, out, name, "xkd-bench table", shown=not as_json)
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
