"""`about.toml`: what the owner of a folder says of the data in it."""

import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from xkd_bench.errors import UsageError

Colour = tuple[int, int, int]


class About(BaseModel):
    """All may be left out. Those of the second part are for segmentation. seconds: how much of sounds is heard.

    classes: names, in the order of the numbers in the label maps. ignore_label: the number that is not scored.
    palette: colours of the classes (label maps may be in these colours). absent: classes that may lack pixels in train
    or in test. source_range, target_range: the values that become 0 and 255 (of 16 bits the upper 8 are kept without).
    ignore_empty: pixels that are black in source and target alike are not scored.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str | None = None
    source: str | None = None
    target: str | None = None
    licence: str | None = None
    origin: Literal["real", "rendered", "simulated"] | None = None
    seconds: float = Field(default=10.0, gt=0, le=600)

    classes: tuple[str, ...] = ()
    ignore_label: int = Field(default=255, ge=0, le=65535)
    palette: tuple[Colour, ...] = ()
    absent: tuple[str, ...] = ()
    ignore_empty: bool = False
    source_range: tuple[float, float] | None = None
    target_range: tuple[float, float] | None = None

    def card(self) -> dict[str, Any]:
        """What goes into the task's card."""
        keys = {"title", "source", "target", "licence", "origin"}
        return self.model_dump(include=keys, exclude_none=True)


def read_about(root: Path) -> About:
    """Raises UsageError that names the file and the key."""
    path = root / "about.toml"
    if not path.exists():
        return About()
    try:
        said = tomllib.loads(path.read_text("utf8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UsageError(f"'{path}' cannot be read: {error}") from None
    try:
        about = About.model_validate(said)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        known = ", ".join(About.model_fields)
        hint = f": known are {known}" if first["type"] == "extra_forbidden" else f" (not {first['input']!r})"
        raise UsageError(f"'{path}': {where}: {first['msg'].lower()}{hint}") from None
    return _checked(path, about)


def _checked(path: Path, about: About) -> About:
    if len(set(about.classes)) != len(about.classes) or len(about.classes) == 1 or len(about.classes) > 255:
        raise UsageError(f"'{path}': classes are 2 to 255 different names")
    if about.palette and len(about.palette) != len(about.classes):
        raise UsageError(f"'{path}': {len(about.palette)} colours in palette for {len(about.classes)} classes")
    if any(not 0 <= value <= 255 for colour in about.palette for value in colour):
        raise UsageError(f"'{path}': colours in palette are [red, green, blue], each 0 to 255")
    if strange := set(about.absent) - set(about.classes):
        raise UsageError(f"'{path}': absent names '{min(strange)}', which is not one of classes")
    for key in ("source_range", "target_range"):
        values = getattr(about, key)
        if values and not values[0] < values[1]:
            raise UsageError(f"'{path}': {key} is [lowest, highest], not {list(values)}")
    return about
