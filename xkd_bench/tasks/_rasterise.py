"""Drawings to pixels: SVG documents and sketches as uint8 images on white."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from itertools import pairwise
from threading import Event, Lock
from typing import IO

import numpy as np
from numpy.typing import NDArray

from xkd_bench.tasks.base import Progress

_STEP = 50
_MOST_WORKERS = 8
_ENOUGH = 1000
"""Drawings for which a second process is worth its start."""
_MARGIN = 2


def count(total: int, progress: Progress | None) -> Callable[[int], None]:
    """A function that adds to what is done and reports it, if anyone listens."""
    done = 0
    lock = Lock()

    def add(n: int) -> None:
        nonlocal done
        with lock:
            done += n
            if progress is not None and n:
                progress(done, total)

    return add


def renderer() -> str:
    """Name and version of the renderer: its pixels are its own."""
    return f"resvg_py {version('resvg_py')}"


def rasterise(
    documents: Sequence[str], out: NDArray[np.uint8], add: Callable[[int], None] = lambda n: None
) -> NDArray[np.uint8]:
    """SVG documents as images on white, drawn into `out` [n, channels, size, size], channels 3 (RGB) or 1 (grey).

    The renderer holds the interpreter's lock, so many documents are shared among processes. These are started as
    commands of their own: that needs no `if __name__ == "__main__"` in the caller's script, and no fork beside the
    threads of a caller. What a process fails to deliver is drawn here. add: told how many were drawn, as it goes.
    """
    stop = Event()
    workers = min(_cores(), _MOST_WORKERS, len(documents) // _ENOUGH + 1) if sys.executable else 1
    if workers == 1:
        _draw_here(documents, out, add, stop)
        return out
    edges = np.linspace(0, len(documents), workers + 1).astype(int).tolist()
    with ThreadPoolExecutor(workers - 1) as pool:
        spans = list(pairwise(edges))
        waits = [pool.submit(_draw_elsewhere, documents[a:b], out[a:b], add, stop) for a, b in spans[1:]]
        try:
            _draw_here(documents[: edges[1]], out[: edges[1]], add, stop)
            for wait in waits:
                wait.result()
        except BaseException:
            stop.set()
            raise
    return out


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _draw_here(documents: Sequence[str], out: NDArray[np.uint8], add: Callable[[int], None], stop: Event) -> None:
    for start in range(0, len(documents), _STEP):
        if stop.is_set():
            return
        block = documents[start : start + _STEP]
        for i, document in enumerate(block, start):
            out[i] = _render(document, out.shape[-1], out.shape[1])
        add(len(block))


def _draw_elsewhere(documents: Sequence[str], out: NDArray[np.uint8], add: Callable[[int], None], stop: Event) -> None:
    done = 0
    try:
        with subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            task = json.dumps([list(documents), out.shape[-1], out.shape[1]]).encode()
            process.stdin.write(task)
            process.stdin.close()
            while done < len(documents):
                block = out[done : done + _STEP]
                pixels = process.stdout.read(block.nbytes)
                if len(pixels) < block.nbytes or stop.is_set():
                    process.kill()
                    break
                block[:] = np.frombuffer(pixels, np.uint8).reshape(block.shape)
                done += len(block)
                add(len(block))
    except OSError:
        pass
    _draw_here(documents[done:], out[done:], add, stop)


def _serve(source: IO[bytes], sink: IO[bytes]) -> None:
    """The other side of `_draw_elsewhere`: documents in, pixels out, block by block."""
    documents, size, channels = json.loads(source.read())
    for start in range(0, len(documents), _STEP):
        block = [_render(document, size, channels) for document in documents[start : start + _STEP]]
        sink.write(np.stack(block).tobytes())
        sink.flush()


def _render(document: str, size: int, channels: int) -> NDArray[np.uint8]:
    import resvg_py
    from PIL import Image

    png = resvg_py.svg_to_bytes(
        svg_string=document, width=size, height=size, background="#ffffff", skip_system_fonts=True
    )
    with Image.open(io.BytesIO(bytes(png))) as image:
        pixels = np.asarray(image.convert("RGB" if channels == 3 else "L"))
    return pixels.transpose(2, 0, 1) if channels == 3 else pixels[None]


def sketches_at(ink: NDArray[np.bool_], size: int) -> NDArray[np.uint8]:
    """Bitmaps [n, side, side] as grey images [n, 1, size, size]: dark ink on white, with a margin of two pixels.

    At size = side + 4 the bitmap is kept as it is; at other sizes it is resampled (bicubic).
    """
    from PIL import Image

    paper = np.where(np.pad(ink, ((0, 0), (_MARGIN, _MARGIN), (_MARGIN, _MARGIN))), 0, 255).astype(np.uint8)
    if paper.shape[1] == size:
        return paper[:, None]
    scaled = [np.asarray(Image.fromarray(sheet).resize((size, size), Image.Resampling.BICUBIC)) for sheet in paper]
    return np.stack(scaled)[:, None]


if __name__ == "__main__":
    _serve(sys.stdin.buffer, sys.stdout.buffer)
