"""What is written beside the table of a dense task: panels of what was predicted, the IoU of each class, and what the
networks cost."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from xkd_bench.report.panels import Column
    from xkd_bench.store import Store


def beside(frame: "pd.DataFrame", out: Path, name: str) -> list[Path]:
    """Write `out/tables/name`-classes.md, -networks.md and, where label maps were kept and the data is here,
    -panels.png."""
    from xkd_bench.report.atomic import write_all
    from xkd_bench.store import Store

    if (frame["metric"] != "mIoU").any():
        return []
    store = Store(out)
    named, records = _named(frame, store)
    files = write_all(out / "tables", f"{name}-classes", {"md": _classes(named, records).encode()})
    if costs := _networks(named, records):
        files += write_all(out / "tables", f"{name}-networks", {"md": costs.encode()})
    panel = _panels(named, records, store)
    return files + (write_all(out / "tables", f"{name}-panels", {"png": panel[0]}) if panel else [])


def panel_of(frame: "pd.DataFrame", store: "Store") -> "tuple[bytes, list[str]] | None":
    """A PNG of test images with what was predicted, and the titles of its columns; None where there is nothing."""
    if (frame["metric"] != "mIoU").any():
        return None
    named, records = _named(frame, store)
    return _panels(named, records, store)


def _named(frame: "pd.DataFrame", store: "Store") -> "tuple[pd.DataFrame, dict[str, Any]]":
    """Scores with their variants and their place in their record, and the records by their key."""
    from xkd_bench.analysis.scores import variants
    from xkd_bench.report.recipe import shared_recipe_apart

    named = variants(shared_recipe_apart(frame))
    records = {key: store.record(key) for key in named["key"].unique()}
    named["place"] = [_place(records[row["key"]], row) for row in named.to_dict("records")]
    return named, records


def _place(record: dict[str, Any], row: Any) -> int:
    """Where a row's score stands in its record."""
    import pandas as pd

    labels = None if pd.isna(row["labels_per_class"]) else row["labels_per_class"]
    wanted = (row["trained"], labels, row["pair_fraction"], row["draw"], row["inputs"])
    names = ("trained", "labels_per_class", "pair_fraction", "draw", "inputs")
    return next(i for i, score in enumerate(record["scores"]) if tuple(score[n] for n in names) == wanted)


def _classes(named: "pd.DataFrame", records: dict[str, Any]) -> str:
    import pandas as pd

    from xkd_bench.report.classes import per_class

    rows = []
    for row in named.to_dict("records"):
        iou = records[str(row["key"])]["scores"][row["place"]]["details"]["iou"]
        rows += [{**row, "class": k, "iou": float("nan") if v is None else v} for k, v in iou.items()]
    return per_class(pd.DataFrame(rows), next(iter(records.values()))["classes"])


def _networks(named: "pd.DataFrame", records: dict[str, Any]) -> str:
    """'' of records that say nothing of it."""
    import pandas as pd

    from xkd_bench.report.networks import networks

    kept = ("variant", "order", "inputs")
    rows = [
        {**{name: row[name] for name in kept}, "used": used}
        for row in named.drop_duplicates(["variant", "key"]).to_dict("records")
        for used in records[str(row["key"])].get("networks", [])
    ]
    return networks(pd.DataFrame(rows), next(iter(records.values()))["budget"]["target_size"]) if rows else ""


def _panels(named: "pd.DataFrame", records: dict[str, Any], store: "Store") -> "tuple[bytes, list[str]] | None":
    """Of the first seed and draw, with the most labels; None where there is nothing to show."""
    from xkd_bench.errors import UsageError
    from xkd_bench.report.panels import panels
    from xkd_bench.runner import Runner
    from xkd_bench.spec import RunSpec
    from xkd_bench.training import make_fabric

    shown = named[(named["trained"] == "all") & (named["role"] != "control") & (named["draw"] == 0)]
    shown = shown[shown["seed"] == shown["seed"].min()]
    shown = shown[shown["labels_per_class"].isna() | (shown["labels_per_class"] == shown["labels_per_class"].max())]
    rows = shown.assign(reference=shown["role"] != "reference").sort_values(["reference", "order"]).to_dict("records")
    predicted = [(str(row["variant"]), store.shown(str(row["key"])).get(int(row["place"]))) for row in rows]
    predicted = [(variant, maps) for variant, maps in predicted if maps is not None]
    if not predicted:
        return None
    spec = RunSpec.model_validate(records[str(rows[0]["key"])]["spec"])
    try:
        data: Any = Runner(store, make_fabric("cpu")).data(spec).at(spec.seed)
    except UsageError:  # a table can be made again where the data is not
        return None
    columns = _columns(data, spec.seed, predicted)
    image = panels(columns, data.split(spec.seed).classes, data.maps.palette, shared=3)
    return image, [column.title for column in columns]


def _columns(data: Any, seed: int, predicted: list[tuple[str, Any]]) -> "list[Column]":
    from xkd_bench.report.panels import Column, painted, picture
    from xkd_bench.segmentation import shown_rows

    items = shown_rows(data.split(seed)).tolist()
    truth = [data.maps.data[i] for i in items]
    palette, scored = data.maps.palette, [label != data.maps.ignore for label in truth]
    columns = [
        Column("source", [picture(data.source.data[i]) for i in items]),
        Column("target", [picture(data.target.data[i]) for i in items]),
        Column("label", [painted(t, palette, s) for t, s in zip(truth, scored, strict=True)], sharp=True),
    ]
    for variant, maps in predicted:
        pictures = [painted(p, palette, s) for p, s in zip(maps, scored, strict=True)]
        columns.append(Column(variant, pictures, sharp=True))
    return columns
