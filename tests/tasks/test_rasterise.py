"""Drawings and sketches become pixels, by one process or several, and an interruption leaves nothing behind."""

import sys

import numpy as np
import pytest

from xkd_bench import tasks
from xkd_bench.tasks import _rasterise
from xkd_bench.tasks._cache import cache_dir
from xkd_bench.tasks._embedded import archive, sketches
from xkd_bench.tasks._rasterise import rasterise, sketches_at


def test_drawings_lie_on_white_in_the_right_channels():
    red_square = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 4 4"><path fill="#f00" d="M1 1h2v2H1z"/></svg>'
    colour = rasterise([red_square], np.empty((1, 3, 8, 8), np.uint8))[0]
    grey = rasterise([red_square], np.empty((1, 1, 8, 8), np.uint8))[0]
    assert (colour[:, 0, 0] == 255).all()
    assert colour[:, 4, 4].tolist() == [255, 0, 0]
    assert grey[0, 4, 4] == 76  # ITU-R 601 luma of red


@pytest.mark.parametrize("executable", [sys.executable, "/bin/false", "/nowhere/python"])
def test_processes_draw_what_one_would(monkeypatch, executable):
    style = archive().colour[1]
    documents = [style.svg(code) for code in list(style.drawings)[:130]]
    alone = rasterise(documents, np.zeros((130, 3, 12, 12), np.uint8))
    monkeypatch.setattr(_rasterise, "_ENOUGH", 50)
    monkeypatch.setattr(_rasterise, "_cores", lambda: 3)
    monkeypatch.setattr(sys, "executable", executable)
    told: list[int] = []
    together = rasterise(documents, np.zeros((130, 3, 12, 12), np.uint8), told.append)
    assert (alone == together).all()
    assert sum(told) == 130


def test_an_interruption_ends_all_processes_and_caches_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("XKD_BENCH_CACHE", str(tmp_path))

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tasks.get("emoji-sketch").load(8, 8, progress=stop)
    assert [path.suffix for path in cache_dir().iterdir()] == [".lock"]


def test_a_sketch_is_kept_as_it_is_at_32_and_resampled_elsewhere():
    ink = sketches()[0, :3]
    assert ((sketches_at(ink, 32)[:, 0, 2:-2, 2:-2] == 0) == ink).all()
    assert sketches_at(ink, 48).shape == (3, 1, 48, 48)
