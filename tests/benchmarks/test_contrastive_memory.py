"""The memory study of contrastive losses as a program: what it says of a small case is true."""

import pandas as pd
import pytest
import torch

from xkd_bench.benchmarks import contrastive_memory as study
from xkd_bench.losses import chunks


@pytest.fixture
def few_at_once(monkeypatch):
    monkeypatch.setattr(chunks, "AT_ONCE_CPU", 2**8)
    monkeypatch.setattr(chunks, "FEWEST_ROWS", 4)


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_it_writes_its_table(few_at_once, one_thread, tmp_path, capsys):
    study.main(["--anchors", "16", "--candidates", "32,64", "--width", "8", "--rounds", "2", "--out", str(tmp_path)])
    frame = pd.read_csv(tmp_path / "contrastive_memory.csv")
    assert list(zip(frame["loss"], frame["anchors"], frame["candidates"], strict=True)) == [
        *[(loss, 16, q) for loss in ("cmc", "cmd") for q in (32, 64)],
        *[(loss, 32, 32) for loss in ("cmc", "cmd", "ntxent")],
    ]
    assert (frame["chunk_rows"] < frame["anchors"]).all()
    assert (frame["value_difference"] < 1e-5).all()
    assert (frame["gradient_difference"] < 1e-5).all()
    assert ((frame["time_ratio_low"] <= frame["time_ratio"]) & (frame["time_ratio"] <= frame["time_ratio_high"])).all()
    page = (tmp_path / "contrastive_memory.md").read_text()
    assert page.count("\n| c") + page.count("\n| n") == 7
    assert capsys.readouterr().out.count("contrastive_memory") == 2


def test_chunks_take_less_memory_than_the_whole():
    # The whole holds several matrices of 3,000 x 3,000, 34 MB each; what is measured is the process, not a count.
    row = study.compare("cmc", 3000, 3000, 16, 1)
    assert row["whole_mb"] > 68
    assert row["chunked_mb"] < 0.7 * row["whole_mb"]
