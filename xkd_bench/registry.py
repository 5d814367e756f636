"""Finds methods and tasks by name, without importing any of them.

Ours are the files of `xkd_bench/methods/` and `xkd_bench/tasks/`: the file's name is the name (`sup_ft.py` is
`sup-ft`), the first line of its docstring the summary, and `METHOD` or `TASK` in it the class. Other packages add
theirs with an entry point in the group `xkd_bench.methods` or `xkd_bench.tasks`.
"""

import ast
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.resources import files
from typing import Any, Literal

from xkd_bench import __version__
from xkd_bench.errors import UsageError, nearest

Group = Literal["methods", "tasks"]
_NOT_ENTRIES = {"__init__", "base", "dense"}  # contracts


@dataclass(frozen=True)
class Entry:
    """A method or task that can be loaded. `origin` is the package it comes from."""

    name: str
    summary: str
    origin: str
    group: Group
    point: EntryPoint | None = None

    def version(self) -> str:
        """Name and version of the package it comes from."""
        dist = self.point.dist if self.point else None
        return f"{self.origin} {dist.version if dist else __version__}"

    def load(self) -> Any:
        """Import it and return its class."""
        if self.point is None:
            module = import_module(f"xkd_bench.{self.group}.{self.name.replace('-', '_')}")
            return getattr(module, self.group.removesuffix("s").upper())
        try:
            return self.point.load()
        except Exception as error:
            raise UsageError(
                f"{self.group.removesuffix('s')} '{self.name}' of package {self.origin} does not load: {error!r}"
            ) from error


@cache
def entries(group: Group) -> dict[str, Entry]:
    """All known entries by name, ours first, then other packages' (which cannot take a name of ours)."""
    found: dict[str, Entry] = {}
    for file in sorted(files("xkd_bench").joinpath(group).iterdir(), key=lambda f: f.name):
        stem = file.name.removesuffix(".py")
        if stem == file.name or stem.startswith("_") or stem in _NOT_ENTRIES:
            continue
        text = file.read_text(encoding="utf-8")
        head = text[: text.find('"""', 3) + 3] if text.startswith('"""') else ""  # the whole takes long to parse
        docstring = ast.get_docstring(ast.parse(head)) or ""
        name = stem.replace("_", "-")
        found[name] = Entry(name, docstring.split("\n")[0], "xkd-bench", group)
    for point in entry_points(group=f"xkd_bench.{group}"):
        origin = point.dist.name if point.dist else point.value
        if point.name in found:
            raise UsageError(f"package {origin} offers {group} '{point.name}', which {found[point.name].origin} has")
        summary = (point.dist.metadata["Summary"] or "") if point.dist else ""
        found[point.name] = Entry(point.name, summary, origin, group, point)
    return found


def load(group: Group, name: str) -> Any:
    """The class of this name; an unknown one names the nearest that is known."""
    known = entries(group)
    if name not in known:
        raise nearest(group.removesuffix("s"), name, list(known))
    return known[name].load()
