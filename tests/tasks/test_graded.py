"""Names of degraded tasks, and what becomes of card, digest, splits and preparation."""

import numpy as np
import pytest

from tests.tasks.folders import manifest, pairs
from xkd_bench import tasks
from xkd_bench.errors import UsageError
from xkd_bench.tasks import _graded
from xkd_bench.tasks._graded import parse
from xkd_bench.tasks.base import Card, Task


@pytest.mark.parametrize(
    ("name", "plain", "strengths"),
    [
        ("emoji-sketch", "emoji-sketch", {}),
        ("emoji-sketch@blur=0.4", "emoji-sketch", {"blur": 0.4}),
        ("emoji:noto>noto@noise=1e-1,grey=1", "emoji:noto>noto", {"grey": 1.0, "noise": 0.1}),
        ("folder:/home/me@work/data", "folder:/home/me@work/data", {}),
        ("folder:/home/me@work", "folder:/home/me@work", {}),
        ("folder:/a@b=c/data", "folder:/a@b=c/data", {}),
        ("folder:/home/me@work@edge=1", "folder:/home/me@work", {"edge": 1.0}),
    ],
)
def test_names_are_read(name, plain, strengths):
    found = parse(name)
    assert found == (plain, strengths)
    assert list(found[1]) == list(strengths), "in the order in which they act"


@pytest.mark.parametrize(
    ("suffix", "said"),
    [
        ("@blurr=0.4", "unknown axis 'blurr': did you mean 'blur'"),
        ("@blur=0.4,blur=0.5", "names the axis 'blur' twice"),
        ("@blur=1.5", "the strength of 'blur' is '1.5', and must be a number from 0 to 1"),
        ("@blur=-1", "must be a number from 0 to 1"),
        ("@blur=nan", "must be a number from 0 to 1"),
        ("@blur=", "the strength of 'blur' is ''"),
        ("@=1", "unknown axis ''"),
        ("@blur", "after one @ comes axis=strength, such as @blur=0.4"),
        ("@blur=1@noise=1", "after one @ comes axis=strength"),
    ],
)
def test_what_cannot_be_meant_is_one_line(toy, suffix, said):
    with pytest.raises(UsageError) as caught:
        tasks.get(f"toy{suffix}")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_card_says_that_it_is_simulated(toy):
    plain, worse = tasks.get("toy").card, tasks.get("emoji-sketch@noise=0.25,blur=0.5").card
    assert worse.name == "emoji-sketch@blur=0.5,noise=0.25"
    assert worse.origin == "simulated"
    assert "simulated degradation" in worse.title
    assert worse.target == "line drawings, degraded (blur 0.5, noise 0.25)"
    assert worse.source == tasks.get("emoji-sketch").card.source
    assert (worse.licence, worse.pairing) == (
        tasks.get("emoji-sketch").card.licence,
        "instance",
    )
    assert tasks.get("emoji-sketch@blur=0").card.origin == "real", "it is as it was"
    assert plain.name == "toy"


def test_only_the_target_changes_and_splits_stay(toy):
    plain, worse = tasks.get(toy).load(16, 24), tasks.get(f"{toy}@noise=0.5").load(16, 24)
    assert (worse.source.data == plain.source.data).all()
    assert worse.target.data.shape == plain.target.data.shape
    assert isinstance(worse.target.data, np.memmap)
    assert (worse.target.data != plain.target.data).mean() > 0.3
    for part in ("pairs_source", "pairs_target", "train", "val", "test", "label"):
        assert (getattr(worse.split(3), part) == getattr(plain.split(3), part)).all()


def test_digests_tell_degradations_apart(toy):
    names = ["toy", "toy@blur=0.5", "toy@blur=0.6", "toy@noise=0.5", "toy@blur=0.5,noise=0.5", "toy@edge=0.5"]
    digests = {name: tasks.get(name).load(16, 16).digest for name in names}
    assert len(set(digests.values())) == len(names)
    assert digests["toy@blur=0.5"] == tasks.get("toy@noise=0,blur=0.5").load(16, 16).digest
    assert digests["toy@blur=0.5"] != tasks.get("toy@blur=0.5").load(16, 24).digest


def test_zero_is_the_task_itself(toy):
    assert tasks.get("toy@blur=0,noise=0").load(16, 16).digest == tasks.get("toy").load(16, 16).digest


def test_folders_can_be_degraded(tmp_path):
    name = manifest(tmp_path / "own@home", pairs(24))
    plain, worse = tasks.get(name).load(8, 8), tasks.get(f"{name}@contrast=0.5").load(8, 8)
    assert np.asarray(worse.target.data).std() < np.asarray(plain.target.data).std()
    assert tasks.get(f"{name}@contrast=0.5").card.name == "folder:own@home@contrast=0.5"


def test_greying_what_has_no_colour_is_refused(toy):
    with pytest.raises(UsageError, match="the target of task 'toy' has no colour: grey would change nothing"):
        tasks.get("toy@grey=0.5").load(16, 16)


class Sound(Task):
    card = Card("sound", "t", "a", "b", "instance", "real", "none", target_kind="audio")

    def load(self, source_size, target_size, progress=None):
        raise AssertionError


def test_only_images_can_be_degraded():
    with pytest.raises(UsageError, match="task 'sound' has no image for its target"):
        _graded.Graded(Sound(), {"blur": 0.1})


def test_preparing_is_the_task_s_own_affair(tmp_path, monkeypatch):
    monkeypatch.setenv("XKD_BENCH_CACHE", str(tmp_path))
    plain, worse = tasks.get("emoji:noto>openmoji-line"), tasks.get("emoji:noto>openmoji-line@blur=0.5")
    assert worse.packages == plain.packages
    assert worse.ready() == plain.ready()
    assert worse.check() == plain.check()
    with pytest.raises(UsageError, match=r"prepare 'emoji:noto>openmoji-line'$"):
        worse.load(16, 16)
