"""Reads the protocols' TOML files and checks them."""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

Fraction = Annotated[float, Field(gt=0, le=1)]
Positive = Annotated[int, Field(gt=0)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Protocol(_Frozen):
    """How a student is scored.

    pair_fractions: the student is distilled from each of these fractions of the pairs.
    labels_per_class: a number of labels per class, or "all" labels of the train part.
    trained: `head` freezes the encoder (linear evaluation), `all` trains everything (fine-tuning).
    draws: how many independent draws of the labels; 1 where all labels are used.
    """

    name: str
    version: Positive
    summary: str
    source: str
    pair_fractions: tuple[Fraction, ...] = (1.0,)
    labels_per_class: tuple[Positive | Literal["all"], ...]
    trained: tuple[Literal["head", "all"], ...]
    draws: Positive = 1

    @model_validator(mode="after")
    def _check(self) -> "Protocol":
        for name in ("pair_fractions", "labels_per_class", "trained"):
            values = getattr(self, name)
            if not values or len(set(values)) != len(values):
                raise ValueError(f"{name} must be a non-empty list without repeats, got {list(values)}")
        if self.draws > 1 and "all" in self.labels_per_class:
            raise ValueError("several draws of all labels are the same draw: set draws = 1")
        return self

    def label_counts(self) -> tuple[int | None, ...]:
        """Labels per class of each cell, None for all labels."""
        return tuple(None if n == "all" else n for n in self.labels_per_class)


class Recipe(_Frozen):
    """How a network is optimised. `lr` is at its peak; `gamma` multiplies it at each milestone (epochs); `poly` is
    lr · (1 - step/steps)^0.9, the schedule of segmentation.

    clip_norm: gradients are scaled down to this norm, if theirs is larger; clip_part: of all parameters together, or of
    `criterion` alone, those that a method has beside the student's. augmentation: `dense` shows an image at any of half
    to twice its size, `dense-steps` at 0.5, 0.6, ... 2.0 of it, as published. ema: keep an exponential moving average
    of the weights with this decay, and end with it. decay_norms: whether weight
    decay pulls at biases and norms too. max_steps: epochs are cut to as many as fit in, at least one; min_steps: they
    are raised to as many as it takes, so that small sets are shown more often (see `fitted`).
    """

    optimiser: Literal["adam", "adamw", "sgd"] = "adam"
    lr: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    epochs: Positive
    batch: Positive
    schedule: Literal["constant", "cosine", "multistep", "poly"]
    milestones: tuple[Positive, ...] = ()
    gamma: Annotated[float, Field(gt=0, le=1)] = 0.1
    warmup_epochs: Annotated[float, Field(ge=0)] = 0.0
    clip_norm: Annotated[float, Field(gt=0)] | None = None
    clip_part: Literal["all", "criterion"] = "all"
    augmentation: Literal["none", "light", "simclr", "dense", "dense-steps"]
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    decay_norms: bool = True
    max_steps: Positive | None = None
    min_steps: Positive | None = None

    @model_serializer(mode="wrap")
    def _dump(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Fields that came later are left out at their defaults: keys of what was made before them stay as they are."""
        names = ("clip_part", "ema", "decay_norms", "max_steps", "min_steps")
        later = {name: Recipe.model_fields[name].default for name in names}
        return {k: v for k, v in plain(self).items() if k not in later or v != later[k]}

    @model_validator(mode="after")
    def _check(self) -> "Recipe":
        if (self.schedule == "multistep") != bool(self.milestones):
            raise ValueError("milestones go with schedule = 'multistep', and only with it")
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError(f"milestones must increase, got {list(self.milestones)}")
        if self.min_steps and self.milestones:
            raise ValueError("min_steps moves the last epoch, and milestones stay where they are: give one of them")
        if self.min_steps and self.max_steps and self.min_steps > self.max_steps:
            raise ValueError(f"min_steps = {self.min_steps} are more than max_steps = {self.max_steps}")
        return self

    def fitted(self, steps_per_epoch: int) -> "Recipe":
        """The recipe with the epochs that `max_steps` and `min_steps` make of it, and no limits."""
        if self.max_steps is None and self.min_steps is None:
            return self
        epochs = self.epochs
        if self.max_steps is not None:
            epochs = min(epochs, max(1, self.max_steps // steps_per_epoch))
        if self.min_steps is not None:
            epochs = max(epochs, -(-self.min_steps // steps_per_epoch))
        return self.model_copy(update={"epochs": epochs, "max_steps": None, "min_steps": None})


class HeadRecipe(_Frozen):
    """How a linear head on frozen features is trained.

    `logistic` solves the L2-regularised multinomial logistic regression to convergence, for each inverse strength
    C in `inverse_strengths` (scikit-learn's convention: the sum of losses plus |W|²/2C), and chooses C on validation
    data. `recipe` runs `recipe` as published, and chooses nothing.
    """

    solver: Literal["logistic", "recipe"]
    inverse_strengths: tuple[Annotated[float, Field(gt=0)], ...] = ()
    recipe: Recipe | None = None

    @model_validator(mode="after")
    def _check(self) -> "HeadRecipe":
        if (self.solver == "logistic") != bool(self.inverse_strengths):
            raise ValueError("inverse_strengths go with solver = 'logistic', and only with it")
        if (self.solver == "recipe") != (self.recipe is not None):
            raise ValueError("a recipe goes with solver = 'recipe', and only with it")
        return self


Size = Positive | tuple[Positive, Positive]


class Budget(_Frozen):
    """How much a run may cost: one of smoke, laptop, paper.

    source_size, target_size: pixels, of a square's side or (height, width). teacher: network that teaches dense
    tasks, trained here; None where teachers are named by the run. max_draws: no more draws than this, where the
    protocol asks for more. teacher_views: `cached` computes the teacher's features once, un-augmented; `augmented` at
    each step, on augmented inputs. (A dense task's teacher sees what the student sees: see `dense_batches`.)
    """

    name: str
    summary: str
    source: str
    seeds: Positive
    source_size: Size
    target_size: Size
    student: str
    teacher_views: Literal["cached", "augmented"]
    max_draws: Positive
    pretrain: Recipe
    distil: Recipe
    head: HeadRecipe
    all: Recipe
    teacher: str | None = None

    def changed(self, changes: Mapping[str, Any]) -> "Budget":
        """This budget with other values of some of `CHANGEABLE`. ValueError where a value does not fit."""
        table = self.model_dump()
        for name, value in changes.items():
            *path, last = name.split(".")
            place = table
            for part in path:
                place[part] = place = place[part] or {}
            place[last] = value
        return Budget.model_validate(table)

    def value(self, name: str) -> Any:
        """What a field of `CHANGEABLE` is; None for one of a recipe that there is none of."""
        found: Any = self
        for part in name.split("."):
            found = getattr(found, part, None)
        return list(found) if isinstance(found, tuple) else found

    def sizes(self) -> tuple[Any, Any]:
        """(source_size, target_size), as a task's `load` takes them: dense tasks take (height, width)."""
        return self.source_size, self.target_size

    @model_serializer(mode="wrap")
    def _dump(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """As of recipes: what came later is left out at its default."""
        return {k: v for k, v in plain(self).items() if (k, v) != ("teacher", None)}


CHANGEABLE = (
    *("source_size", "target_size", "max_draws", "teacher_views", "head.solver", "head.inverse_strengths"),
    *(f"{part}.{field}" for part in ("pretrain", "distil", "all", "head.recipe") for field in Recipe.model_fields),
)
"""What of a budget a run may change for itself: sizes, draws and recipes. (Not its networks, which a run names.)"""


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads(files("protocols").joinpath(f"{name}.toml").read_text(encoding="utf-8"))


@cache
def protocol_names() -> tuple[str, ...]:
    """Names of the protocols: one TOML file each (`few_shot.toml` is `few-shot`), except budgets.toml."""
    stems = (f.name.removesuffix(".toml") for f in files("protocols").iterdir() if f.name.endswith(".toml"))
    return tuple(sorted(s.replace("_", "-") for s in stems if s != "budgets"))


@cache
def load_protocol(name: str) -> Protocol:
    """The protocol of this name. KeyError if there is none, ValueError if its file is wrong."""
    if name not in protocol_names():
        raise KeyError(name)
    protocol = Protocol.model_validate(_read(name.replace("-", "_")))
    if protocol.name != name:
        raise ValueError(f"the file of protocol '{name}' names itself '{protocol.name}'")
    return protocol


@cache
def budget_names() -> tuple[str, ...]:
    """Names of the budgets, cheapest first."""
    return tuple(_read("budgets"))


@cache
def load_budget(name: str, target_kind: str = "image") -> Budget:
    """The budget of this name, with its overrides for a kind of target modality (image, depth, audio, …).

    KeyError if there is none, ValueError if its table is wrong.
    """
    table = dict(_read("budgets")[name])
    overrides = table.pop("for", {}).get(target_kind, {})
    merged = {k: {**table[k], **v} if isinstance(table.get(k), dict) else v for k, v in overrides.items()}
    return Budget.model_validate({"name": name, **table, **merged})
