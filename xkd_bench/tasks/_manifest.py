"""Reading the user's description of pairs: a manifest (CSV or Parquet), or folders named after the classes."""

import csv
import io
import os
import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from xkd_bench.errors import UsageError

REQUIRED, OPTIONAL = ("pair_id", "source", "target", "label"), ("group", "split")
MANIFESTS = ("manifest.csv", "manifest.parquet")
SPLITS = ("train", "val", "test")
_IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".npy", ".pgm", ".ppm")


@dataclass(frozen=True)
class Row:
    """One line. Blank is "": no item on that side, no label, no group, no split. `where` names the line."""

    pair: str
    source: str
    target: str
    label: str
    group: str
    split: str
    where: str


@dataclass(frozen=True)
class Manifest:
    """Rows that are each well formed; `name` is for messages. given: whether they say which split they are in.

    dense: the labels are images (label maps), as for segmentation.
    """

    name: str
    rows: tuple[Row, ...]
    given: bool
    dense: bool = False


def read_manifest(root: Path) -> Manifest:
    """`manifest.csv`, else `manifest.parquet`, else the folders `source/LABEL/` and `target/LABEL/` of `root`."""
    if not root.is_dir():
        wrong = "is no folder" if root.exists() else "does not exist"
        raise UsageError(f"'{root}' {wrong}: name a folder that holds manifest.csv, or source/ and target/")
    for name, read in zip(MANIFESTS, (_read_csv, _read_parquet), strict=True):
        if (root / name).exists():
            return _checked(str(root / name), read(root / name))
    if (root / "source").is_dir() and (root / "target").is_dir():
        return _checked(str(root), _read_folders(root))
    raise UsageError(
        f"folder '{root}' holds neither manifest.csv nor manifest.parquet, nor the two folders source/ and target/"
    )


def _read_csv(path: Path) -> list[Row]:
    """Comma, semicolon or tab; a byte order mark and any line ends are fine."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"'{path}' is not UTF-8 text (byte {error.start}): save it as UTF-8") from None
    except OSError as error:
        raise UsageError(f"'{path}' cannot be read: {error.strerror}") from None
    first = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = next(lines, [])
        position = _columns(path, header)
        rows = []
        for fields in lines:
            where = f"line {lines.line_num}"
            if not any(field.strip() for field in fields):
                continue
            if len(fields) != len(header):
                raise UsageError(f"'{path}', {where}: {len(fields)} fields where the header has {len(header)}")
            rows.append(_row({name: fields[i].strip() for name, i in position.items()}, where))
    except csv.Error as error:
        raise UsageError(f"'{path}', line {lines.line_num}: not valid CSV ({error})") from None
    return rows


def _read_parquet(path: Path) -> list[Row]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise UsageError(f"'{path}' is no readable Parquet file ({str(error).splitlines()[0]})") from None
    position = _columns(path, table.column_names)
    columns = {name: table.column(i).to_pylist() for name, i in position.items()}
    return [
        _row({name: _text(values[i]) for name, values in columns.items()}, f"row {i + 1}")
        for i in range(table.num_rows)
    ]


def _text(value: object) -> str:
    return "" if value is None or value != value else str(value).strip()  # NaN is not equal to itself


def _columns(path: Path, header: Iterable[str]) -> dict[str, int]:
    """Position of each column that is known; others are left alone."""
    names = [name.strip().lower() for name in header]
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        found = ", ".join(name for name in names if name) or "nothing"
        raise UsageError(f"'{path}' lacks the column {', '.join(missing)}: its header has {found}")
    for name in (*REQUIRED, *OPTIONAL):
        if names.count(name) > 1:
            raise UsageError(f"'{path}' has the column {name} twice")
    return {name: names.index(name) for name in (*REQUIRED, *OPTIONAL) if name in names}


def _row(fields: Mapping[str, str], where: str) -> Row:
    source, target = (posixpath.normpath(fields[key]) if fields[key] else "" for key in ("source", "target"))
    return Row(
        fields["pair_id"],
        source,
        target,
        fields["label"],
        fields.get("group", ""),
        fields.get("split", "").lower(),
        where,
    )


def _read_folders(root: Path) -> list[Row]:
    """Items of the same class and the same name, but for the ending, are a pair."""
    rows = []
    for side in ("source", "target"):
        for folder in _visible(root / side):
            if not folder.is_dir():
                raise UsageError(f"'{folder}' is a file where a folder named after a class is due")
            for file in _visible(folder):
                if file.is_dir():
                    raise UsageError(f"'{file}' is a folder where an image is due")
                path = file.relative_to(root).as_posix()
                both = {"source": "", "target": "", side: path}
                rows.append(
                    Row(f"{folder.name}/{file.stem}", **both, label=folder.name, group="", split="", where=path)
                )
    return rows


def _visible(folder: Path) -> list[Path]:
    """What a folder holds, sorted, without the files that systems leave behind."""
    litter = {"thumbs.db", "desktop.ini"}
    return sorted(p for p in folder.iterdir() if not p.name.startswith(".") and p.name.lower() not in litter)


def _checked(name: str, rows: list[Row]) -> Manifest:
    """What can be told from the rows alone: paths, splits, labels."""
    if not rows:
        raise UsageError(f"'{name}' has no rows: nothing to learn from")
    given = any(row.split for row in rows)
    for row in rows:
        if not row.pair:
            raise UsageError(f"'{name}', {row.where}: pair_id is blank")
        if not row.source and not row.target:
            raise UsageError(f"'{name}', {row.where}: source and target are both blank")
        for path in (row.source, row.target):
            _check_path(name, row, path)
        if given and row.split not in SPLITS:
            said = f"unknown split '{row.split}'" if row.split else "split is blank, though other rows have one"
            raise UsageError(f"'{name}', {row.where}: {said}: use train, val or test")
    labels = {row.label for row in rows if row.label}
    if sum(label.lower().endswith(_IMAGE_ENDINGS) for label in labels) > len(labels) / 2:
        return Manifest(name, tuple(_dense_row(name, row) for row in rows), given, dense=True)
    _check_labels(name, rows)
    return Manifest(name, tuple(rows), given)


def _check_path(name: str, row: Row, path: str) -> None:
    if path.split("/")[0] == ".." or os.path.isabs(path):
        raise UsageError(f"'{name}', {row.where}: '{path}' leads out of the folder: paths are relative to it")


def _dense_row(name: str, row: Row) -> Row:
    """The row with its label as a path; both sides are there, for they are one grid of pixels."""
    for key in ("source", "target"):
        if not getattr(row, key):
            raise UsageError(f"'{name}', {row.where}: {key} is blank: for segmentation a row has both sides")
    label = posixpath.normpath(row.label) if row.label else ""
    _check_path(name, row, label)
    if label and not label.lower().endswith(_IMAGE_ENDINGS):
        raise UsageError(f"'{name}', {row.where}: label '{label}' is no image, but other labels are (label maps)")
    return replace(row, label=label)


def _check_labels(name: str, rows: list[Row]) -> None:
    """One label a pair; at least two classes."""
    labels = {row.label for row in rows if row.label}
    if len(labels) < 2:
        raise UsageError(f"'{name}' has {len(labels)} class in its column label: two or more are needed")
    seen: dict[str, Row] = {}
    for row in rows:
        if not row.label:
            continue
        other = seen.setdefault(row.pair, row)
        if other.label != row.label:
            raise UsageError(
                f"'{name}', {row.where}: pair_id '{row.pair}' is labelled '{row.label}', "
                f"but '{other.label}' at {other.where}"
            )
