"""Many runs, one after another: what is compared with what, and how far it has come."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from xkd_bench.runner import Runner
from xkd_bench.spec import RunSpec

REFERENCES = ("ssl", "sup-ft")


def comparison(methods: Sequence[str], seeds: Sequence[int], alone: bool = False, **shared: Any) -> list[RunSpec]:
    """The runs of a comparison: for each seed the methods, their two controls, and the references.

    A method that distils from pairs is run again with a random teacher and with shuffled pairs, unless it was asked
    for in that very form: what remains over these controls is what the teacher's knowledge gave. alone: only the
    methods. shared: what `RunSpec.make` takes, the same for all; `options` go to the methods named, not to the
    references.
    """
    options = shared.pop("options", None)
    variants: list[dict[str, Any]] = []
    for name in methods:
        asked = {"method": name, "options": options, **shared}
        variants.append(asked)
        made = RunSpec.make(**asked)
        if not alone and made.teacher not in ("none", "random") and made.pairs == "true":
            variants += [{**asked, "teacher": "random"}, {**asked, "pairs": "shuffled"}]
    if not alone:
        variants += [{"method": name, **shared} for name in REFERENCES if name not in methods]
    return [RunSpec.make(seed=seed, **variant) for seed in seeds for variant in variants]


@dataclass(frozen=True)
class Done:
    """A finished run: its key, and whether it was in the store already."""

    spec: RunSpec
    key: str
    was_there: bool


def run_all(runner: Runner, specs: Sequence[RunSpec], begin: Callable[[str], None]) -> Iterator[Done]:
    """Check every run before the first is begun, then run them in order. begin: told each run's label."""
    missing = {i for i, spec in enumerate(specs) if not runner.store.has("runs", runner.key(spec))}
    for i in sorted(missing):
        runner.check(specs[i])
    for i, spec in enumerate(specs):
        begin(spec.label())
        yield Done(spec, runner.run(spec), i not in missing)
