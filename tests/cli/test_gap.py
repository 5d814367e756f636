"""`xkd-bench gap`: estimates of a task's pixels or of features of one's own, and what is refused."""

import json

import numpy as np
import pytest

from tests.cli.program import xkd
from tests.toy import CONCEPTS, ToyData, ToyTask
from xkd_bench.raw_features import SIZE, raw_features


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """Features in a file: 160 pairs in 3 dimensions, the target's first one moved by four deviations."""
    folder = tmp_path_factory.mktemp("own")
    rng = np.random.default_rng(0)
    source = rng.normal(size=(160, 3))
    np.savez(folder / "own.npz", source=source, target=source + [4, 0, 0] + 0.1 * rng.normal(size=(160, 3)))
    return folder / "own.npz"


def test_own_features_give_a_table_a_page_and_a_plot(loaded, own, tmp_path):
    ended = xkd(loaded, "gap", "--features", str(own), "--out", str(tmp_path), "--json")
    assert ended.code == 0, ended.err
    rows = {row["estimator"]: row for row in json.loads(ended.out)}
    assert rows["tv_classifier"]["low"] > 0.5  # the laws are 2Φ(2) - 1 = 0.95 apart
    assert rows["tv_classifier"]["value"] <= 1
    assert rows["cka"]["value"] > 0.9  # a shift is none to CKA, and the noise is small
    assert {f.suffix for f in (tmp_path / "gap").iterdir()} == {".md", ".csv", ".png", ".svg"}
    page = (tmp_path / "gap" / "own.md").read_text()
    assert "xkd-bench gap --features own.npz" in page
    assert "lower bound" in page


def test_explain_says_what_numbers_mean(loaded, own, tmp_path):
    plain = xkd(loaded, "gap", "--features", str(own), "--out", str(tmp_path / "a"))
    explained = xkd(loaded, "gap", "--features", str(own), "--out", str(tmp_path / "b"), "--explain")
    assert "Total variation, from below" not in plain.out
    assert "Total variation, from below" in explained.out


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "--task NAME and --features FILE"),
        (["--task", "toy", "--features", "x.npz"], "--task NAME and --features FILE"),
        (["--features", "nowhere.npz"], "nowhere.npz"),
        (["--task", "emoji-sketchy"], "did you mean 'emoji-sketch'"),
    ],
)
def test_what_cannot_be_estimated_is_one_line(loaded, tmp_path, argv, said):
    ended = xkd(loaded, "gap", *argv, "--out", str(tmp_path / "out"))
    assert ended.code == 2
    assert len(ended.lines) == 1
    assert said in ended.err
    assert not (tmp_path / "out").exists()


def test_raw_features_are_pairs_of_concepts_in_one_space():
    data = ToyData(SIZE, SIZE)
    source, target, groups = raw_features(data, ToyTask.card)
    assert source.shape == target.shape == (CONCEPTS, SIZE * SIZE)
    assert np.array_equal(groups, np.arange(CONCEPTS))
    assert np.allclose(source[5], data.source.data[5].mean(0).ravel() / 255)  # the toy has one item a concept
    assert np.allclose(target[5], data.target.data[5, 0].ravel() / 255)
    assert min(source.min(), target.min()) >= 0
    assert max(source.max(), target.max()) <= 1


def test_a_measured_gap_is_kept_and_shown_over_seeds(loaded, tmp_path):
    argv = ["gap", "--task", "toy", "--encoders", "raw", "--seeds", "2", "--budget", "smoke", "--out", str(tmp_path)]
    ended = xkd(loaded, *argv)
    assert ended.code == 0, ended.err
    assert "raw, budget smoke" in ended.out
    assert "±" in ended.out
    assert len(list((tmp_path / "gaps").iterdir())) == 2
    rows = json.loads(xkd(loaded, *argv, "--json").out)
    assert {row["seed"] for row in rows} == {0, 1}
    assert {row["encoders"] for row in rows} == {"raw"}
    cka = [row["value"] for row in rows if row["estimator"] == "cka"]
    assert len(cka) == 2
    assert f"{sum(cka) / 2:.3f} ±" in ended.out
    assert "tv_gibbs_normalised" in ended.out  # whole, at 80 columns


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--features", "x.npz", "--encoders", "raw"], "give --task NAME"),
        (["--task", "toy", "--seeds", "3"], "--seeds goes with --encoders"),
        (["--task", "toy", "--encoders", "oracel"], "encoders are oracle"),
        (["--task", "toy", "--encoders", "oracle-exact"], "are not known"),
    ],
)
def test_what_cannot_be_measured_is_one_line(loaded, tmp_path, argv, said):
    ended = xkd(loaded, "gap", *argv, "--budget", "smoke", "--out", str(tmp_path / "out"))
    assert ended.code == 2
    assert said in ended.err
    assert len(ended.lines) == 1
    assert not (tmp_path / "out" / "gaps").exists()
