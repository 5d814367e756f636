"""What `data check` counts: items, concepts, groups and classes of a loaded task, and the splits of a few seeds."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from xkd_bench.errors import UsageError
from xkd_bench.tasks.base import LabelMaps, Split, TaskData


@dataclass
class Survey:
    """sides, classes (of dense tasks), splits: rows of counts by column name. problems: a line each."""

    sides: list[dict[str, str | int]] = field(default_factory=list)
    classes: list[dict[str, str | int]] = field(default_factory=list)
    splits: list[dict[str, str | int]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def survey(data: TaskData, seeds: Sequence[int]) -> Survey:
    """Count what is there, and split it for each seed; every split goes through the checks of `check_split`."""
    found = Survey()
    for side, items in (("source", data.source), ("target", data.target)):
        n = len(items)
        found.sides.append(
            {
                "side": side,
                "items": n,
                "each": " × ".join(map(str, items.data.shape[1:])) + f" {items.data.dtype}",
                "concepts": len(np.unique(items.concept)),
                "groups": len(np.unique(items.group)),
            }
        )
        for what, length in (("arrays", len(items.data)), ("groups", len(items.group))):
            if length != n:
                found.problems.append(f"{side}: {n} concepts, but {length} {what}")
    for seed in seeds:
        try:
            split = data.split(seed)
        except UsageError as error:
            found.problems.append(f"split of seed {seed}: {error}")
            continue
        parts = ("pairs_source", "pairs_target", "train", "val", "test")
        row: dict[str, str | int] = {"seed": seed}
        row |= {part.replace("_", " "): len(getattr(split, part)) for part in parts}
        found.classes = found.classes or _classes(data.maps, split)
        found.splits.append(row | {"classes": len(split.classes), "absent": len(split.absent)})
    return found


def _classes(maps: LabelMaps | None, split: Split) -> list[dict[str, str | int]]:
    """Of a dense task: in how many images a class is, and its share of all pixels that have one."""
    if maps is None:
        return []
    pixels, parts = maps.pixels, {"train": split.train, "test": split.test}
    whole = {part: max(1, int(pixels[items].sum())) for part, items in parts.items()}
    rows = []
    for i, name in enumerate(split.classes):
        row: dict[str, str | int] = {"class": name, "images": int((pixels[:, i] > 0).sum())}
        row |= {f"pixels of {part}": f"{pixels[items, i].sum() / whole[part]:.2%}" for part, items in parts.items()}
        rows.append(row)
    return rows
