"""A results folder of several processes that train together: the first writes, all read."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from lightning_fabric import Fabric

from xkd_bench.errors import UsageError
from xkd_bench.store import Store

SEEN_WITHIN_S = 60.0
"""What one machine writes, the others see a little later on a network's disk."""


class SharedStore(Store):
    """A `Store` whose `compute` every process calls with the same keys in the same order.

    The first holds the lock, decides whether there is anything to make, and fills the stage's folder; the others do the
    same work where it is training (`Context.first`), into folders that are thrown away, and go on when it is whole. A
    lock is waited for by the first alone, so that two commands, of several processes each, do not block each other.
    """

    def __init__(self, root: Path, fabric: Fabric) -> None:
        super().__init__(root)
        self.fabric = fabric

    def compute(self, stage: str, key: str, make: Callable[[Path], None]) -> Path:
        """As `Store.compute`."""
        folder = self._first(stage, key, make) if self.fabric.is_global_zero else self._other(stage, key, make)
        deadline = time.monotonic() + SEEN_WITHIN_S
        while not self.has(stage, key):
            if time.monotonic() > deadline:
                raise UsageError(f"{folder} is not seen by all machines: --out must be a folder that they share")
            time.sleep(0.2)
        return folder

    def _first(self, stage: str, key: str, make: Callable[[Path], None]) -> Path:
        made = False

        def told(folder: Path) -> None:
            nonlocal made
            made = True
            self._said(stage, key, "make")
            make(folder)

        folder = super().compute(stage, key, told)
        self._said(stage, key, "made" if made else "there")
        return folder

    def _other(self, stage: str, key: str, make: Callable[[Path], None]) -> Path:
        if self._said(stage, key) == "make":
            with tempfile.TemporaryDirectory(prefix="xkd-bench-") as thrown_away:
                make(Path(thrown_away))
            self._said(stage, key)
        return self.folder(stage, key)

    def _said(self, stage: str, key: str, word: str = "") -> str:
        """What the first process says of this stage; all must be at the same one."""
        said = self.fabric.broadcast((stage, key, word))
        if said[:2] != (stage, key):
            raise UsageError(
                f"the processes are at different stages ({stage} {key[:6]}, {said[0]} {said[1][:6]}): another command "
                f"wrote into this store as they began; the same command does the rest"
            )
        return said[2]
