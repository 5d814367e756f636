"""`xkd-bench table`: every table and plot again, from the store."""

import json
from pathlib import Path

import typer

from xkd_bench.cli.shared import Json, Out, groups, no_records, publish


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
    for name, part in groups(frame, "all"):
        rows += publish(part, out, name, "xkd-bench table", shown=not as_json)
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
