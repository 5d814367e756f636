"""One command as several processes that train together: starting them, watching them, and saying what ended them once.

`xkd-bench run --devices N` starts its own command N times with a number for each (`launch`) and waits; under torchrun,
or on several nodes, others start them. Imports nothing heavy.
"""

import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from xkd_bench.errors import TrainingError, UsageError

CLAIM = "XKD_BENCH_CLAIM"
ECHO_S = 1.0
"""What ends one process ends the others a moment later, in words that explain nothing: these wait for the first's."""
GRACE_S = 10.0


def is_one_of_several() -> bool:
    """Whether this process was started as one of several: by `launch`, or by torchrun."""
    return {"RANK", "LOCAL_RANK", "WORLD_SIZE"} <= set(os.environ)


def is_first() -> bool:
    """Whether this process speaks for all: the only one, or the first of the first node."""
    return not is_one_of_several() or os.environ["RANK"] == "0"


def launch(command: Sequence[str], devices: int, nodes: int = 1) -> int:
    """Run a command as `devices` processes here, and return the exit code: that of the first to fail, else 0.

    nodes: of how many machines this is one; then NODE_RANK, MASTER_ADDR and MASTER_PORT say which, and where the first
    is. UsageError if they do not.
    """
    if devices < 1 or nodes < 1:
        raise UsageError(f"--devices {devices} --nodes {nodes}: at least one of each")
    missing = [name for name in ("NODE_RANK", "MASTER_ADDR", "MASTER_PORT") if nodes > 1 and name not in os.environ]
    if missing:
        raise UsageError(f"--nodes {nodes} needs {', '.join(missing)} in the environment of each, or torchrun")
    with tempfile.TemporaryDirectory(prefix="xkd-bench-") as folder:
        claim = Path(folder) / "claim"
        shared = {**os.environ, CLAIM: str(claim), "WORLD_SIZE": str(devices * nodes)}
        shared.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # torch warns on each where no part of a network is unused
        if nodes == 1:
            shared |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), "NODE_RANK": "0"}
        # torch would take every core for each process.
        shared.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // devices)))
        first = int(shared["NODE_RANK"]) * devices
        before = signal.signal(signal.SIGTERM, _terminated)
        ranks: list[subprocess.Popen[bytes]] = []
        try:
            ranks += [subprocess.Popen(command, env=_numbered(shared, first, i)) for i in range(devices)]
            return _watch(ranks, claim)
        except KeyboardInterrupt:  # the terminal told all of them
            return 130
        finally:
            _end(ranks)
            signal.signal(signal.SIGTERM, before)


def _numbered(shared: dict[str, str], first: int, place: int) -> dict[str, str]:
    return {**shared, "LOCAL_RANK": str(place), "RANK": str(first + place)}


def _terminated(number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


def _watch(ranks: Sequence[subprocess.Popen[bytes]], claim: Path) -> int:
    """Wait until all ended well, or one did not."""
    while True:
        codes = [rank.poll() for rank in ranks]
        failed = [(number, code) for number, code in enumerate(codes) if code]
        if failed:
            number, code = failed[0]
            if code < 0 and code != -signal.SIGINT and _claimed(claim):
                name = signal.Signals(-code).name
                print(f"xkd-bench: process {number} of {len(ranks)} was ended by {name}", file=sys.stderr)
            return code if code > 0 else 128 - code
        if all(code == 0 for code in codes):
            return 0
        time.sleep(0.05)


def _end(ranks: Sequence[subprocess.Popen[bytes]]) -> None:
    """End those that still run."""
    for rank in ranks:
        rank.terminate()
    deadline = time.monotonic() + GRACE_S
    for rank in ranks:
        try:
            rank.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            rank.kill()
            rank.wait()


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


@contextmanager
def together() -> Iterator[None]:
    """What one of several processes does with the others; for a single process this is nothing.

    An error in one ends all, and is said once; the exit code is the error's. None of them outlives who started it.
    """
    if not is_one_of_several():
        yield
        return
    _end_with_launcher()
    if not is_first():
        logging.getLogger("xkd_bench").setLevel(logging.ERROR)
        warnings.simplefilter("ignore")
    try:
        yield
    except BaseException as error:
        known = isinstance(error, UsageError | TrainingError)
        by_itself = known or not (hasattr(error, "exit_code") or isinstance(error, KeyboardInterrupt))
        if by_itself and _may_speak(known):
            print(f"xkd-bench: {error}" if known else traceback.format_exc(), file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(getattr(error, "exit_code", 1))  # at once: the others may wait for this one, and it for them


def _end_with_launcher(every_s: float = 1.0) -> None:
    """End this process when that which started it is gone: nobody else would."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(every_s)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _may_speak(known: bool) -> bool:
    """Whether this process is to say why it ends: the first to ask is.

    known: the reason is one of ours, and no echo of another process's end.
    """
    if not (known and is_first()):
        time.sleep(ECHO_S * (1 if known else 2))
    claim = os.environ.get(CLAIM)
    return _claimed(Path(claim)) if claim else _claimed_in_store()


def _claimed(claim: Path) -> bool:
    try:
        claim.touch(exist_ok=False)
    except OSError:  # another did, or the folder is gone with who would read it
        return False
    return True


def _claimed_in_store() -> bool:
    """The same among processes that torchrun started, by the store that they met at."""
    import torch.distributed as dist

    try:
        meeting = dist.TCPStore(
            os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False, wait_for_workers=False
        )
        return bool(meeting.add("xkd-bench/claim", 1) == 1)
    except Exception:  # nobody is there to ask
        return True
