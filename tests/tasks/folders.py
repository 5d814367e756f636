"""Small folders of images to read, made on the spot."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

HEADER = "pair_id,source,target,label"


def picture(path: Path, seed: int = 0, size: tuple[int, int] = (20, 14), mode: str = "RGB") -> None:
    """An image of noise: every seed another."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).convert(mode).save(path)


def manifest(root: Path, rows: Iterable[str], header: str = HEADER, name: str = "manifest.csv") -> str:
    """Write a manifest and the images that it names; return the task's name."""
    rows = list(rows)
    columns = header.split(",")
    for i, row in enumerate(rows):
        fields = dict(zip(columns, row.split(","), strict=False))
        for key, mode in (("source", "RGB"), ("target", "L")):
            file = fields.get(key, "")
            if file and not (root / file).exists():
                picture(root / file, 2 * i + (key == "target"), mode=mode)
    root.mkdir(parents=True, exist_ok=True)
    (root / name).write_text("\n".join([header, *rows]) + "\n")
    return f"folder:{root}"


def pairs(n: int = 24, classes: str = "ab", more: str = "") -> list[str]:
    """Rows of n pairs in turn from each class."""
    return [f"p{i},s/{i}.png,t/{i}.png,{classes[i % len(classes)]}{more}" for i in range(n)]
