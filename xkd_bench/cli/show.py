"""`xkd-bench show`: one record of the store, or all of them in a line each."""

import json
from pathlib import Path
from typing import Annotated

import typer

from xkd_bench.cli.shared import Json, Out, no_records


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
            raise no_records(out)
        Console().print(record_list(records))
        return
    record = store.record(store.find(key))
    if as_json:
        typer.echo(json.dumps(record, indent=1))
    else:
        Console().print(record_view(record))
