"""What is compared with what: methods, their controls, references."""

import inspect
from collections.abc import Sequence
from typing import Any

from xkd_bench.catalogue import DEFAULT_TEACHER, SUPERVISED_TEACHER
from xkd_bench.spec import RunSpec

REFERENCES = ("ssl", "sup-ft", "teacher")
"""Each beside the tasks and protocols that it is for."""


def with_controls(asked: dict[str, Any]) -> list[dict[str, Any]]:
    """What was asked for (fields of `RunSpec.make`) and its two controls: a random teacher, and shuffled pairs.

    The random teacher is of the teacher's own network. A method that is shown no pairs has no control, nor has one
    that distils nothing, nor what is one already.
    """
    from xkd_bench import methods, tasks

    made = RunSpec.make(**asked)
    method, card = methods.get(made.method), tasks.get(made.task).card
    if not (method.uses_pairs and method.distils) or made.teacher.startswith("random") or made.pairs != "true":
        return [asked]
    own = made.teacher in (DEFAULT_TEACHER, SUPERVISED_TEACHER) or card.source_kind == "vector"  # what `random` is
    untaught = {**asked, "teacher": "random" if own else f"random:{made.teacher}"}
    return [asked, untaught, {**asked, "pairs": "shuffled"}]


def comparison(methods: Sequence[str], seeds: Sequence[int], alone: bool = False, **shared: Any) -> list[RunSpec]:
    """The runs of a comparison: for each seed the methods, their two controls, and the references.

    What remains of a method's gain over its controls is what the teacher's knowledge gave. alone: only the methods.
    shared: what `RunSpec.make` takes, the same for all; `options` go to the methods named, not to the references.
    """
    options = shared.pop("options", None)
    variants: list[dict[str, Any]] = []
    for name in methods:
        asked = {"method": name, "options": options, **shared}
        variants += [asked] if alone else with_controls(asked)
    if not alone:
        variants += [{"method": name, **shared} for name in _references(shared) if name not in methods]
    return [RunSpec.make(seed=seed, **variant) for seed in seeds for variant in variants]


def _references(shared: dict[str, Any]) -> list[str]:
    """The references that the task and the protocol asked for have."""
    from xkd_bench import methods, tasks

    fields = {name: inspect.signature(RunSpec.make).parameters[name].default for name in ("task", "protocol")} | shared
    kind = tasks.get(fields["task"]).card.kind
    known = {name: methods.get(name) for name in REFERENCES}
    return [
        name for name, method in known.items()
        if kind in method.kinds and (method.protocols is None or fields["protocol"] in method.protocols)
    ]  # fmt: skip
