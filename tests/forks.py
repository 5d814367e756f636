"""Programs in processes of their own, without waiting for their imports: a server that has imported, and forks.

Importing torch and its company takes seconds; a fork of a process that has done it takes none, and is as separate as
any other process: it has its own standard streams, exits with its own code and can be killed.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code (negative: the signal that killed it) and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """Lines on the standard error stream."""
        return self.err.splitlines()


class Forks:
    """The server, as the tests see it."""

    def __init__(self, preload: Sequence[str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.forks", *preload],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
        )  # fmt: skip

    def run(self, code: str, copies: int = 1, kill_after: float | None = None, cwd: Path | None = None) -> list[Ended]:
        """Run this program in so many processes at once; kill them (SIGKILL) after so many seconds."""
        request = {"code": code, "copies": copies, "kill_after": kill_after, "cwd": str(cwd or ROOT)}
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return [Ended(**answer) for answer in json.loads(self.process.stdout.readline())]

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=30)


def _child(code: str, cwd: str, out: int, err: int) -> None:
    """Become this program; never return."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(out, 1)
    os.dup2(err, 2)
    status = 1
    try:
        os.chdir(cwd)
        exec(compile(code, "<test>", "exec"), {"__name__": "__main__"})
        status = 0
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _serve(request: dict[str, Any]) -> list[dict[str, Any]]:
    with ExitStack() as stack:
        streams = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(2 * request["copies"])]
        return _run(request, list(zip(streams[::2], streams[1::2], strict=True)))


def _run(request: dict[str, Any], files: list[tuple[Any, Any]]) -> list[dict[str, Any]]:
    children = []
    for out, err in files:
        child = os.fork()
        if child == 0:
            _child(request["code"], request["cwd"], out.fileno(), err.fileno())
        children.append(child)
    if request["kill_after"] is not None:
        time.sleep(request["kill_after"])
        for child in children:
            os.kill(child, signal.SIGKILL)
    answers = []
    for child, streams in zip(children, files, strict=True):
        status = os.waitpid(child, 0)[1]
        texts = []
        for stream in streams:
            stream.seek(0)
            texts.append(stream.read().decode())
        answers.append({"code": os.waitstatus_to_exitcode(status), "out": texts[0], "err": texts[1]})
    return answers


def main(preload: Sequence[str]) -> None:
    for name in preload:
        import_module(name)
    for line in sys.stdin:
        print(json.dumps(_serve(json.loads(line))), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
