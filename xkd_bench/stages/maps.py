"""The frozen teacher's feature maps of the source items, for methods that see more of it than pooled features."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from xkd_bench.batches import Known
from xkd_bench.errors import UsageError
from xkd_bench.methods.base import Level
from xkd_bench.models.teachers import to_float
from xkd_bench.spec import FORMAT, digest
from xkd_bench.stages.context import Context
from xkd_bench.stages.teacher import build_teacher, teacher_features, teacher_key
from xkd_bench.tasks.base import Index

LARGEST_MAPS = 4e9
"""Bytes of maps that are kept in memory."""


def teacher_maps(run: Context, levels: int) -> Known:
    """Features, and the last `levels` feature maps, of the source items in pairs, un-augmented.

    Maps are large and quick to compute: they are kept in memory for the next runs, not in the store.
    """
    items = run.split.pairs_source
    features = teacher_features(run)
    key = digest({**teacher_key(run), "data": run.data.digest, "split": run.spec.seed, "levels": levels})
    row = torch.full((len(features),), -1)
    row[torch.from_numpy(items)] = torch.arange(len(items))
    return Known(features, run.recent.get(key, lambda: _all_maps(run, items, levels)), row)


def _all_maps(run: Context, items: Index, levels: int) -> tuple[Tensor, ...]:
    maps: list[Tensor] = []
    done = 0
    for found in _encode(run, items, levels):
        if not maps:
            size = sum(m[0].numel() for m in found) * 4 * len(items)
            if size > LARGEST_MAPS:
                raise UsageError(
                    f"the teacher's feature maps of {len(items):,} items of {run.spec.task} take {size / 1e9:.1f} GB: "
                    f"use fewer of them (--option levels=1) or a budget whose teacher sees augmented views (paper)"
                )
            maps = [torch.empty(len(items), *m.shape[1:]) for m in found]
        for whole, part in zip(maps, found, strict=True):
            whole[done : done + len(part)] = part
        done += len(found[0])
        run.report("teacher maps", done, len(items), "")
    return tuple(maps)


def levels_key(run: Context, levels: int) -> str:
    """What the statistics of the teacher's last `levels` feature maps depend on."""
    fields = {"format": FORMAT, **teacher_key(run), "data": run.data.digest, "split": run.spec.seed, "levels": levels}
    return digest(fields)


def teacher_levels(run: Context, levels: int) -> tuple[Level, ...]:
    """Statistics of the teacher's last `levels` feature maps over the source items in pairs, un-augmented."""

    def make(folder: Path) -> None:
        if not run.first:  # by now the teacher is there: its features were asked for before
            return
        sizes, mean, var = _statistics(run, levels)
        names = [f"{what}{i}" for what in ("mean", "var") for i in range(len(sizes))]
        arrays = {name: value.numpy() for name, value in zip(names, [*mean, *var], strict=True)}
        np.savez(folder / "statistics.npz", sizes=np.array(sizes), **arrays)  # type: ignore[arg-type]

    with np.load(run.store.compute("statistics", levels_key(run, levels), make) / "statistics.npz") as found:
        return tuple(
            Level((int(h), int(w)), *(torch.from_numpy(found[f"{what}{i}"]).float() for what in ("mean", "var")))
            for i, (h, w) in enumerate(found["sizes"])
        )


def _statistics(run: Context, levels: int) -> tuple[list[tuple[int, int]], list[Tensor], list[Tensor]]:
    """Size, mean and biased variance of each map, in float64."""
    n, sums, squares = 0, list[Tensor](), list[Tensor]()
    sizes: list[tuple[int, int]] = []
    for found in _encode(run, run.split.pairs_source, levels):
        new = [m.double() for m in found]
        sizes = [(m.shape[2], m.shape[3]) for m in new]
        sums = [(sums[i] if n else 0) + m.sum((0, 2, 3)) for i, m in enumerate(new)]
        squares = [(squares[i] if n else 0) + m.square().sum((0, 2, 3)) for i, m in enumerate(new)]
        n += len(found[0])
        run.report("teacher statistics", n, len(run.split.pairs_source), "")
    mean = [s / (n * h * w) for s, (h, w) in zip(sums, sizes, strict=True)]
    var = [(s / (n * h * w) - m.square()).clamp_min(0) for s, m, (h, w) in zip(squares, mean, sizes, strict=True)]
    return sizes, mean, var


def _encode(run: Context, items: Index, levels: int, batch: int = 128) -> Iterator[tuple[Tensor, ...]]:
    """The last feature maps of these source items, a batch at a time, on the CPU. UsageError if there are none."""
    teacher = build_teacher(run).to(run.device)
    for start in range(0, len(items), batch):
        x = to_float(torch.from_numpy(run.data.source.data[items[start : start + batch]]).to(run.device))
        maps = teacher.features(x).maps[-levels:]
        if not maps:
            raise UsageError(f"teacher '{run.spec.teacher}' has no feature maps, and {run.spec.method} compares them")
        yield tuple(m.float().cpu() for m in maps)
