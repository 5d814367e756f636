"""Short for tests: run a spec of the toy task over a store."""

from pathlib import Path
from typing import Any

from xkd_bench.runner import Runner
from xkd_bench.spec import RunSpec
from xkd_bench.stages.context import Context
from xkd_bench.store import Store
from xkd_bench.training import make_fabric

METHODS = ("cmc", "cmd", "ssl", "sup-ft")
PROTOCOLS = ("linear-eval", "fine-tune", "few-shot", "reduced-pair")


def spec(**fields: Any) -> RunSpec:
    return RunSpec.make(**{"task": "toy", "budget": "smoke", "protocol": "linear-eval", **fields})


def runner(root: Path) -> Runner:
    return Runner(Store(root), make_fabric("cpu"))


def context(root: Path, **fields: Any) -> Context:
    return runner(root).context(spec(**fields))


def run(root: Path, **fields: Any) -> dict[str, Any]:
    """The record, by a runner that remembers nothing."""
    one = runner(root)
    return one.store.record(one.run(spec(**fields)))


def numbers(record: dict[str, Any]) -> list[dict[str, Any]]:
    """All of the scores but how long they took."""
    return [{k: v for k, v in score.items() if k != "seconds"} for score in record["scores"]]
