"""A worker of `_blocks` for tests: scenes of random bytes. What it does wrong is asked for by its environment."""

import os
import sys
import time
from pathlib import Path

import numpy as np

from xkd_bench.tasks._blocks import Blocks, Facts, Planes, serve
from xkd_bench.tasks._packages import silent

SIZE = 4


def blocks(name: str = "toy-1") -> Blocks:
    return Blocks(name, __name__ if __name__ != "__main__" else "tests.tasks.block_worker", SIZE)


def scene(number: int) -> tuple[Planes, Facts]:
    time.sleep(float(os.environ.get("TOY_SECONDS", "0")))
    if number == int(os.environ.get("TOY_BREAKS_AT", "-1")):
        raise RuntimeError("no light\nin this room")
    rng = np.random.default_rng(number)
    return {"rgb": rng.integers(0, 256, (3, 5, 3), np.uint8), "depth": rng.integers(0, 9, (3, 5), np.uint16)}, {
        "number": number
    }


if __name__ == "__main__":
    if sys.argv[1] == "make":  # as a user's process does that a test kills
        blocks().make(int(sys.argv[2]), silent)
    else:
        if log := os.environ.get("TOY_LOG"):
            with Path(log).open("a") as out:
                out.write(f"{sys.argv[2]}\n")
        serve(scene, sys.stdout)
