"""The benchmark of reading reads what training would, and does not read for ever."""

import numpy as np

from xkd_bench.benchmarks.data_speed import Timed, images, measure, reader, table


def test_images_are_mapped_and_an_epoch_reads_every_batch(tmp_path, monkeypatch):
    monkeypatch.setenv("XKD_BENCH_CACHE", str(tmp_path))
    data = images(70)
    assert isinstance(data, np.memmap)
    assert data.shape == (70, 3, 64, 64)
    epoch = reader(data, 16)
    assert [epoch(), epoch()] == [4, 4], "the partial batch is left out"


def test_both_sides_are_timed_in_every_round(tmp_path, monkeypatch):
    monkeypatch.setenv("XKD_BENCH_CACHE", str(tmp_path))
    times = measure(32, 8, rounds=2)
    assert {name: len(rounds) for name, rounds in times.items()} == {"read, cold": 2, "read, warm": 2, "student": 2}
    assert all(t.wall > 0 for rounds in times.values() for t in rounds)


def test_ratios_are_of_the_same_round():
    rows = table({"read": [Timed(0.001, 0.002), Timed(0.010, 0.020)], "student": [Timed(0.01, 0.01), Timed(0.1, 0.1)]})
    assert "| read | 5.50 | 10.0 % | 11.00 | 20.0 % |" in rows
    assert "| student | 55.00 | 100.0 % | 55.00 | 100.0 % |" in rows
