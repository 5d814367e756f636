"""Remembers which records answer a request, so that asking again needs neither torch nor the methods' code.

It is an index, derived from the runs and safe to delete: what it recalls are keys of records, checked like any other.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from protocols import budget_names, load_protocol, protocol_names
from xkd_bench import __version__, registry, tasks
from xkd_bench.spec import FORMAT, changed_budget, digest
from xkd_bench.store import Store

STAGE = "comparisons"


def recall(store: Store, request: Mapping[str, Any]) -> list[str] | None:
    """Keys of the records that answered this very request before, or None if any is missing.

    request: all that decides what runs: task, methods, options, protocol, budget, seeds, …
    """
    if not store.folder(STAGE, "").is_dir():
        return None
    key = _key(request)
    if key is None or not store.has(STAGE, key):
        return None
    text = (store.folder(STAGE, key) / "keys.json").read_text(encoding="utf-8")
    keys: list[str] = json.loads(text)
    return keys if all(store.has("runs", k) for k in keys) else None


def remember(store: Store, request: Mapping[str, Any], keys: Sequence[str]) -> None:
    """Keep the keys of the records that answer this request."""

    def make(folder: Path) -> None:
        (folder / "keys.json").write_text(json.dumps(list(keys)), encoding="utf-8")

    key = _key(request)
    if key is not None:
        store.compute(STAGE, key, make)


def _key(request: Mapping[str, Any]) -> str | None:
    """A digest of the request and of all that its names stand for; None if that is not known here."""
    protocol, budget, known = request["protocol"], request["budget"], registry.entries("methods")
    if protocol not in protocol_names() or budget not in budget_names() or not set(request["methods"]) <= set(known):
        return None
    files = ("teacher_weights", "student_backbone", "teacher_backbone")
    if any(request.get(name) is not None for name in files):  # known by what is in them, which is not read here
        return None
    task = tasks.get(request["task"])
    plan = changed_budget(budget, task.card.budget_kind, request.get("recipe", {}))
    fields = {
        "format": FORMAT,
        "version": __version__,
        "request": dict(request),
        "protocol": load_protocol(protocol).model_dump(mode="json"),
        "budget": plan.model_dump(mode="json"),
        "data": task.load(*plan.sizes()).digest,
        "methods": {name: known[name].version() for name in request["methods"]},
    }
    return digest(fields)
