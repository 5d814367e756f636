"""Small folders of scenes with label maps, made on the spot."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.tasks.folders import HEADER, picture
from xkd_bench import tasks
from xkd_bench.errors import UsageError
from xkd_bench.tasks.base import TaskData

FULL = f"{HEADER},group,split"
WIDE, HIGH = 20, 14


def label(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.astype(np.uint8)).save(path)


def some_labels(seed: int, n_classes: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, n_classes, (HIGH, WIDE))


def scenes(root: Path, rows: Sequence[str], header: str = FULL, n_classes: int = 3) -> str:
    """A manifest with its pictures and label maps; return the task's name."""
    columns = header.split(",")
    for i, row in enumerate(rows):
        fields = dict(zip(columns, row.split(","), strict=True))
        picture(root / fields["source"], 3 * i)
        if fields["target"] != fields["source"]:
            picture(root / fields["target"], 3 * i + 1, mode="L")
        if fields["label"]:
            label(root / fields["label"], some_labels(i, n_classes))
    (root / "manifest.csv").write_text("\n".join([header, *rows]) + "\n")
    return f"folder:{root}"


def rows(n: int = 20, splits: Sequence[str] = ("",), group: int = 1) -> list[str]:
    return [f"p{i},s/{i}.png,t/{i}.png,y/{i}.png,g{i // group},{splits[i * len(splits) // n]}" for i in range(n)]


def load(name: str, size: tuple[int, int] = (HIGH, WIDE)) -> TaskData:
    return tasks.get(name).load(size, size)


def message(name: str, seed: int = 0) -> str:
    with pytest.raises(UsageError) as caught:
        load(name).split(seed)
    assert "\n" not in str(caught.value)
    return str(caught.value)
