"""Runs of the toy tasks by two processes, for test_runs.py.

Each of the two is a fork; a process that is one of several knows it by its environment.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from tests.cli.program import know_toy, know_toy_dense
from xkd_bench.machine import make_fabric
from xkd_bench.processes import _free_port
from xkd_bench.runner import Runner
from xkd_bench.spec import RunSpec
from xkd_bench.store import Store


def by_two(root: Path, work: Callable[[Runner], Any]) -> None:
    """Both processes do this with a runner over the store."""
    mp.start_processes(_one, args=(str(root), work, _free_port()), nprocs=2, start_method="fork")


def _one(rank: int, root: str, work: Callable[[Runner], Any], port: int) -> None:
    torch.set_num_threads(1)
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "RANK": str(rank),
        "LOCAL_RANK": str(rank), "NODE_RANK": "0",
    }  # fmt: skip
    know_toy()
    know_toy_dense()
    work(Runner(Store(root), make_fabric("cpu", devices=2)))
    dist.destroy_process_group()


def spec(**fields: Any) -> RunSpec:
    return RunSpec.make(**{"task": "toy", "budget": "smoke", "protocol": "linear-eval", "method": "cmc", **fields})


SGD = {"optimiser": "sgd", "lr": 0.1}


def both_and_one(root: Path) -> None:
    """The same runs by two processes into root/two, and by one into root/one."""
    know_toy()
    know_toy_dense()
    specs = [spec(protocol="fine-tune"), spec(method="cmst"), spec(teacher="simclr")]
    # By SGD: of a gradient that is rounding alone, as dense networks have, Adam would make a step. The head of a dense
    # task is trained by a recipe, by the first process alone.
    plain = {f"{stage}.{name}": to for stage in ("pretrain", "distil") for name, to in SGD.items()}
    specs += [spec(task="toy-dense", method="kd", recipe=plain)]
    by_two(root / "two", lambda runner: [runner.run(one) for one in specs])
    one = Runner(Store(root / "one"), make_fabric("cpu"))
    print(*(one.run(each) for each in specs))
