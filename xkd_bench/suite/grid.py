"""Sweeps: a grid of runs as a TOML file.

    summary = "what it is"               source = "where its design comes from"
    budget = "laptop"                    unless another is asked for
    seeds = 3                            or [0, 1, 7]; the budget's, if not given
    controls = true                      each method also with a random teacher and with shuffled pairs
    measure = ["gap", "bound"]           measured afterwards: gaps of its tasks, bounds of its runs under linear-eval

    [shared]                             fields of every run: those of `RunSpec.make`
    task = "emoji-sketch"
    protocol = ["linear-eval", "fine-tune"]

    [under.paper]                        fields of every run under this budget, over those shared
    teacher = "simclr-resnet50-1x"

    [[grid]]                             a block: its fields, over all of these
    method = "cmcd"
    options.alpha = [0, 0.5, 1]          options of the block's methods
    recipe.all.ema = 0.999               instead of the budget's (`protocols.CHANGEABLE`); in [shared], [under] too

    [[grid]]
    method = ["ssl", "sup-ft"]
    controls = false                     for this block
    budgets = ["paper"]                  the block is left out under other budgets

A list is several values, and all lists of a block are crossed; what goes together and is not to be crossed is a block
each. An option whose value is a list is a list in a list. A run that comes out twice is one run.
"""

import inspect
import itertools
import tomllib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, TypeAdapter, ValidationError

from protocols import budget_names, load_budget
from xkd_bench.errors import UsageError, nearest
from xkd_bench.seeds import seed_list
from xkd_bench.spec import RunSpec, check_change
from xkd_bench.suite.comparison import with_controls

# Seeds and budget are the sweep's, options have a table of their own, and the precision is the machine's.
FIELDS = {
    name: parameter.annotation
    for name, parameter in inspect.signature(RunSpec.make).parameters.items()
    if name not in ("seed", "budget", "options", "precision")
}
"""Fields that a grid may set, with their types."""
RECIPE = "recipe."
_BUDGET = "budget = NAME at the top of the file, or --budget NAME; budgets = [NAME] in a [[grid]] is for that block"
_SEEDS = "seeds = 3 or seeds = [0, 1] at the top of the file, or --seeds"
ELSEWHERE = {
    **dict.fromkeys(("budget", "budgets"), f"the budget is the whole sweep's: {_BUDGET}"),
    **dict.fromkeys(("seed", "seeds"), f"seeds are the whole sweep's: {_SEEDS}"),
    "options": "options are of a method: options.NAME = VALUE in its [[grid]]",
    "precision": "the precision is the machine's: --precision",
    "controls": "controls = false goes to the top of the file or into a [[grid]]; or --alone",
    "measure": 'what is measured is the whole sweep\'s: measure = ["gap"] at the top of the file',
}
"""What is no field of a run, and where it goes instead."""


class Block(BaseModel):
    """One [[grid]]: fields of `RunSpec.make` (as extra), options, and under which budgets it counts."""

    model_config = ConfigDict(frozen=True, extra="allow")

    options: dict[str, Any] = {}
    controls: StrictBool | None = None
    budgets: list[str] | None = None


class Sweep(BaseModel):
    """A grid of runs; `name` is its file's. Read it with `load_sweep`, which checks it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    summary: str
    source: str = "ours"
    budget: str = "laptop"
    seeds: StrictInt | list[StrictInt] | None = None
    controls: StrictBool = True
    measure: list[Literal["gap", "bound"]] = []
    shared: dict[str, Any] = {}
    under: dict[str, dict[str, Any]] = {}
    grid: Annotated[list[Block], Field(min_length=1)]

    def specs(
        self,
        budget: str | None = None,
        seeds: Sequence[int] | None = None,
        alone: bool = False,
        precision: str = "32",
        **overrides: Any,
    ) -> list[RunSpec]:
        """Every run, seed by seed, checked as far as it can be without data. May hold a run twice.

        budget, seeds: instead of the file's. alone: no controls. overrides: fields of the grid, for every block;
        lists are crossed. Raises UsageError, one line that says which block it is about.
        """
        budget = budget or self.budget
        if budget not in budget_names():
            raise nearest("budget", budget, list(budget_names()))
        if seeds is None:
            seeds = seed_list(load_budget(budget).seeds if self.seeds is None else self.seeds)
        asked: list[tuple[int, dict[str, Any]]] = []
        for number, block in enumerate(self.grid, 1):
            if block.budgets is None or budget in block.budgets:
                controls = not alone and (self.controls if block.controls is None else block.controls)
                tables = (self.shared, self.under.get(budget, {}), block.model_extra or {}, overrides)
                fields = {name: value for table in tables for name, value in _flat(table).items()}
                for one in _crossed(fields, block.options):
                    one |= {"budget": budget, "precision": precision}
                    with _in_block(self.name, number):
                        asked += [(number, variant) for variant in (with_controls(one) if controls else [one])]
        if not asked:
            raise UsageError(f"sweep '{self.name}' has no [[grid]] for budget '{budget}'")
        made = []
        for seed in seeds:
            for number, variant in asked:
                with _in_block(self.name, number):
                    made.append(RunSpec.make(seed=seed, **variant))
        return made


class _in_block:  # noqa: N801  (reads as a word in a with statement)
    """Says in a UsageError which block it is about."""

    def __init__(self, name: str, number: int) -> None:
        self.where = f"sweep '{name}', [[grid]] {number}"

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, UsageError):
            raise UsageError(f"{self.where}: {error}") from error


def _crossed(fields: Mapping[str, Any], options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every combination of the values listed, the first field varying slowest."""
    names, lists = list(fields), [_several(value) for value in (*fields.values(), *options.values())]
    combinations = []
    for values in itertools.product(*lists):
        one = dict(zip(names, values, strict=False))
        recipe = {name.removeprefix(RECIPE): one.pop(name) for name in names if name.startswith(RECIPE)}
        chosen = dict(zip(options, values[len(names) :], strict=True))
        combinations.append({**one, **({"recipe": recipe} if recipe else {}), "options": chosen})
    return combinations


def _flat(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields with each change of the recipe as one of its own, `recipe.all.ema`: a narrower table then changes a wider
    one's one by one, and their lists are crossed."""
    flat: dict[str, Any] = {}
    for name, value in fields.items():
        inner = {f"{name}.{key}": one for key, one in value.items()} if isinstance(value, Mapping) else None
        flat |= {name: value} if inner is None else _flat(inner)
    return flat


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def check_fields(fields: Mapping[str, Any], where: str, also: Sequence[str] = ()) -> None:
    """Raise UsageError, one line that begins with `where`, if these are not fields of a run, or of another type.

    also: what else could have been meant.
    """
    for name, value in _flat(fields).items():
        if (root := name.partition(".")[0]) in ELSEWHERE:
            raise UsageError(f"{where}: {root} is no field of a run: {ELSEWHERE[root]}")
        if change := name.startswith(RECIPE):
            try:
                check_change(name.removeprefix(RECIPE))
            except UsageError as error:
                raise UsageError(f"{where}: {error}") from error
        elif name not in FIELDS:
            raise UsageError(f"{where}: {nearest('field', name, [*FIELDS, *also])}")
        for one in [] if change else _several(value):  # the values of a recipe are the budget's to check
            try:
                TypeAdapter(FIELDS[name]).validate_python(one, strict=True)
            except ValidationError as error:
                raise UsageError(f"{where}: {name} = {one!r}: {_reason(error)}") from error
        if value == []:
            raise UsageError(f"{where}: {name} = []: a list names one value or more")


def sweep_names() -> list[str]:
    """Names of the sweeps that are shipped."""
    found = (file.name for file in files("xkd_bench").joinpath("sweeps").iterdir())
    return sorted(name.removesuffix(".toml") for name in found if name.endswith(".toml"))


def sweep_text(name: str) -> str:
    """The TOML of a sweep: one that is shipped, by its name, or a file, by its path (it ends in .toml)."""
    if name in sweep_names():
        return files("xkd_bench").joinpath("sweeps", f"{name}.toml").read_text(encoding="utf-8")
    if not name.endswith(".toml"):
        raise UsageError(f"{nearest('sweep', name, sweep_names())}; or give a file, FILE.toml")
    try:
        return Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {name}: {getattr(error, 'strerror', None) or error}") from error


def load_sweep(name: str) -> Sweep:
    """A sweep by its name or file, checked. UsageError: one line that names the file and the field."""
    try:
        table = tomllib.loads(sweep_text(name))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{name} is no TOML: {error}") from error
    try:
        sweep = Sweep.model_validate({**table, "name": Path(name).stem})
    except ValidationError as error:
        raise UsageError(f"{name}: {_place(error)}: {_reason(error)}") from error
    check_fields(sweep.shared, f"{name}: [shared]")
    for budget, fields in sweep.under.items():
        _check_budget(budget, f"{name}: [under.{budget}]")
        check_fields(fields, f"{name}: [under.{budget}]")
    for number, block in enumerate(sweep.grid, 1):
        where = f"{name}: [[grid]] {number}"
        check_fields(block.model_extra or {}, where, list(Block.model_fields))
        for option, value in block.options.items():
            if value == []:
                raise UsageError(f"{where}: options.{option} = []: a list names one value or more")
        for budget in block.budgets or []:
            _check_budget(budget, f"{where}: budgets")
    _check_budget(sweep.budget, f"{name}: budget")
    if sweep.seeds is not None:
        try:
            seed_list(sweep.seeds)
        except UsageError as error:
            raise UsageError(f"{name}: seeds = {sweep.seeds}: {error}") from error
    return sweep


def _check_budget(budget: str, where: str) -> None:
    if budget not in budget_names():
        raise UsageError(f"{where}: {nearest('budget', budget, list(budget_names()))}")


def _place(error: ValidationError) -> str:
    """Where in the file: 'seeds', '[[grid]] 2: controls'."""
    where = list(error.errors()[0]["loc"])
    if where[:1] == ["grid"] and len(where) > 1:
        where = [f"[[grid]] {int(where[1]) + 1}:", *where[2:]]
    words = [str(part) for part in where if part not in ("int", "list[int]")]
    return " ".join(words).rstrip(":")


def _reason(error: ValidationError) -> str:
    first = error.errors()[0]
    if first["type"] == "extra_forbidden":
        return str(nearest("field", str(first["loc"][-1]), list(Sweep.model_fields)))
    text: str = first["msg"]
    return text[0].lower() + text[1:]
