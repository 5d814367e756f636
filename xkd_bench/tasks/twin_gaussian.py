"""A simulated world whose total variation, Bayes accuracy and oracle encoders are known: two noisy views of z."""

import math
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np

from xkd_bench.errors import UsageError, nearest
from xkd_bench.tasks._rows import RowData
from xkd_bench.tasks._twin_gaussian_images import MOST, SMALLEST, render
from xkd_bench.tasks._twin_gaussian_world import World
from xkd_bench.tasks.base import Card, Progress, Task

ITEMS = 4000
RENDERS = ("vector", "image")
_GRID = 4096
"""Vectors are multiples of its inverse, so that the last digits of a processor's arithmetic leave no trace."""
_LIMITS: dict[str, tuple[Callable[[str], Any], float, float]] = {
    "gap": (float, 0, 0.99),
    "shift": (float, 0, 0.99),
    "private": (float, 0, 1),
    "classes": (int, 2, 64),
    "latents": (int, 1, MOST // 2),
    "noise": (float, 0.01, 10),
    "items": (int, 100, 1_000_000),
}


class TwinGaussian(Task):
    """`twin-gaussian:gap=0.3,render=image`; all may be left out, and `_twin_gaussian_world` says what they mean.

    gap, shift, private, classes, latents, noise: of the world. items: how many pairs. render: `vector`, or
    `image`, grey textures whose contrasts are the vector's coordinates. `world` has the truths. Tasks of one number of
    items and latents have the same latents and noise, so that what they differ in is what their names differ in.
    """

    card = Card(
        name="twin-gaussian",
        title="Twin Gaussians: two noisy views of one latent vector, all truths known",
        source="simulated vectors",
        target="simulated vectors with more noise",
        pairing="instance",
        origin="simulated",
        licence="MIT",
        source_kind="vector",
        target_kind="vector",
    )

    def __init__(self, argument: str = "") -> None:
        given = _parse(argument)
        self.items, self.render = given.pop("items", ITEMS), given.pop("render", RENDERS[0])
        self.world = World(**given)
        _check(self.world)
        said = {f.name: getattr(self.world, f.name) for f in fields(World)} | {
            "items": self.items,
            "render": self.render,
        }
        defaults = {f.name: f.default for f in fields(World)} | {"items": ITEMS, "render": RENDERS[0]}
        changed = [f"{name}={_text(value)}" for name, value in said.items() if value != defaults[name]]
        words = ", ".join(f"{name} {_text(v)}" for name, v in said.items() if name == "gap" or v != defaults[name])
        kind = "vectors" if self.render == "vector" else "textures"
        self.card = replace(
            self.card,
            name=":".join(["twin-gaussian", *([",".join(changed)] if changed else [])]),
            title=f"{self.card.title} ({words})",
            source=f"simulated {kind}",
            target=f"simulated {kind} with {'more' if self.world.gap else 'other'} noise",
            source_kind=self.render,
            target_kind=self.render,
        )

    def load(self, source_size: int, target_size: int, progress: Progress | None = None) -> RowData:
        """Draw the items, and render images at the asked sizes; vectors have no size."""
        drawn = self.world.draw(self.items)
        source, target = (np.rint(x * _GRID) / _GRID for x in (drawn.source, drawn.target))
        names = [f"{c:0{self.world.bits}b}".replace("0", "-").replace("1", "+") for c in range(self.world.classes)]
        if self.render == "vector":
            return RowData(source.astype(np.float32), target.astype(np.float32), drawn.label, names)
        if min(source_size, target_size) < SMALLEST:
            raise UsageError(f"task '{self.card.name}' is rendered at {SMALLEST} pixels a side or more")
        return RowData(render(source, source_size), render(target, target_size), drawn.label, names)


def _parse(argument: str) -> dict[str, Any]:
    """Parameters by name, each in its limits. Raises UsageError with one line."""
    given: dict[str, Any] = {}
    for part in argument.split(",") if argument else ():
        name, _, text = part.partition("=")
        if name not in (*_LIMITS, "render"):
            raise nearest("parameter of twin-gaussian", name, [*_LIMITS, "render"])
        if name in given:
            raise UsageError(f"task 'twin-gaussian:{argument}' has '{name}' twice")
        if name == "render":
            if text not in RENDERS:
                raise UsageError(f"task 'twin-gaussian:{argument}': render is {' or '.join(RENDERS)}, not '{text}'")
            given[name] = text
            continue
        kind, least, most = _LIMITS[name]
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            what = "whole number" if kind is int else "number"
            raise UsageError(
                f"task 'twin-gaussian:{argument}': {name} is a {what} from {least:g} to {most:g}, not '{text}'"
            )
        given[name] = value
    return given


def _text(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.10g}"


def _check(world: World) -> None:
    if world.classes != 1 << world.bits or world.bits > world.latents:
        raise UsageError(
            f"task 'twin-gaussian': classes is a power of two, at most 2 to the latents, not {world.classes} "
            f"with {world.latents} latents"
        )


TASK = TwinGaussian
