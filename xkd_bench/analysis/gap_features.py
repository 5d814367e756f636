"""Features of two modalities, from arrays or from a file, checked once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray


@dataclass(frozen=True)
class Features:
    """Rows of two modalities.

    Attributes:
        source, target: [n, d_s] and [m, d_t].
        groups: one label per pair; for unpaired rows (labels of source, labels of target); or None.
        paired: row i of both belong together.
    """

    source: NDArray[Any]
    target: NDArray[Any]
    groups: NDArray[Any] | tuple[NDArray[Any], NDArray[Any]] | None
    paired: bool


def read_features(path: Path | str, paired: bool | None = None) -> Features:
    """Features from a file.

    npz: arrays `source` [n, d] and `target` [m, d], optionally `groups` [n] (pairs), or `source_groups` and
    `target_groups` (unpaired). npy: one array [2, n, d], source first. parquet: one row per pair; list columns `source`
    and `target`, or columns `source_0, source_1, ...` and `target_0, ...`; optionally `groups`.

    Args:
        path: where.
        paired: whether rows correspond; when not given, they do if both sides have as many rows.

    Raises:
        ValueError: one line that says what is wrong with the file and what was expected.
    """
    path = Path(path)
    readers = {".npz": _from_npz, ".npy": _from_npy, ".parquet": _from_parquet}
    if path.suffix not in readers:
        raise ValueError(
            f"{path}: features are read from {', '.join(readers)}, not from {path.suffix or 'no ending'!r}"
        )
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        arrays = readers[path.suffix](path)
    except _MalformedError as error:
        raise ValueError(f"{path}: {error}") from None
    except Exception as error:  # whatever the reading library raises
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{path}: cannot be read as {path.suffix[1:]}: {why[:120]}") from None
    try:
        return features(**arrays, paired=paired)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def features(
    source: NDArray[Any],
    target: NDArray[Any],
    groups: NDArray[Any] | None = None,
    source_groups: NDArray[Any] | None = None,
    target_groups: NDArray[Any] | None = None,
    paired: bool | None = None,
) -> Features:
    """Check arrays and say what is paired; images and other shapes [n, ...] become rows.

    Raises:
        ValueError: not numbers, not finite, fewer than 8 rows a side, rows or labels that do not match.
    """
    rows = {"source": np.asarray(source), "target": np.asarray(target)}
    for name, array in rows.items():
        if array.dtype.kind not in "fiub":
            raise ValueError(f"{name} holds {array.dtype}, not numbers")
        if array.ndim < 2:
            raise ValueError(f"{name} has shape {list(array.shape)}, expected [n, d]")
        if len(array) < 8:
            raise ValueError(f"{name} has {len(array)} rows, at least 8 are needed")
        rows[name] = array.reshape(len(array), -1)
        bad = int((~np.isfinite(rows[name]).all(axis=1)).sum())
        if bad:
            raise ValueError(f"{bad} of {len(array)} rows of {name} hold NaN or infinity")
    equal = len(rows["source"]) == len(rows["target"])
    paired = equal if paired is None else paired
    if paired and not equal:
        raise ValueError(f"pairs need equal rows: source has {len(rows['source'])}, target {len(rows['target'])}")
    labels = _labels(groups, source_groups, target_groups, paired)
    for name, label in zip(rows, labels if isinstance(labels, tuple) else (labels, labels), strict=True):
        if label is not None and label.shape != (len(rows[name]),):
            raise ValueError(f"groups of {name} have shape {list(label.shape)}, expected one label for each row")
    return Features(rows["source"], rows["target"], labels, paired)


def _labels(
    groups: NDArray[Any] | None, source: NDArray[Any] | None, target: NDArray[Any] | None, paired: bool
) -> NDArray[Any] | tuple[NDArray[Any], NDArray[Any]] | None:
    if (source is None) != (target is None):
        raise ValueError("source_groups and target_groups are given together")
    if groups is not None:
        if source is not None:
            raise ValueError("give groups, or source_groups and target_groups, not both")
        return np.asarray(groups) if paired else (np.asarray(groups), np.asarray(groups))
    if source is None or target is None:
        return None
    if paired:
        raise ValueError("pairs take one array `groups`; source_groups and target_groups are for unpaired rows")
    return np.asarray(source), np.asarray(target)


class _MalformedError(ValueError):
    """A file that can be read but does not hold features."""


def _from_npz(path: Path) -> dict[str, NDArray[Any]]:
    known = ("source", "target", "groups", "source_groups", "target_groups")
    with np.load(path, allow_pickle=False) as file:
        missing = [name for name in known[:2] if name not in file.files]
        if missing:
            raise _MalformedError(f"no array {' and '.join(missing)} (found: {', '.join(file.files) or 'nothing'})")
        return {name: file[name] for name in known if name in file.files}


def _from_npy(path: Path) -> dict[str, NDArray[Any]]:
    array = np.load(path, allow_pickle=False)
    if array.ndim < 3 or array.shape[0] != 2:
        raise _MalformedError(f"shape {list(array.shape)}, expected [2, n, d]: source, then target")
    return {"source": array[0], "target": array[1]}


def _from_parquet(path: Path) -> dict[str, NDArray[Any]]:
    table = pd.read_parquet(path)
    found: dict[str, NDArray[Any]] = {}
    for name in ("source", "target"):
        columns = [c for c in table.columns if str(c).startswith(f"{name}_") and str(c).split("_", 1)[1].isdigit()]
        if name in table.columns:
            widths = {len(np.atleast_1d(v)) for v in table[name]}
            if len(widths) != 1:
                raise _MalformedError(f"rows of column {name} have different lengths")
            found[name] = np.stack([np.atleast_1d(np.asarray(v)) for v in table[name]])
        elif columns:
            found[name] = table[sorted(columns, key=lambda c: int(str(c).split("_", 1)[1]))].to_numpy()
        else:
            raise _MalformedError(f"no column {name}, nor {name}_0 (found: {', '.join(map(str, table.columns[:6]))})")
    if "groups" in table.columns:
        found["groups"] = table["groups"].to_numpy()
    return found
