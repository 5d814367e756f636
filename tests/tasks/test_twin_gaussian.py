"""The task on the simulated world: names, items, splits, both renderings, and what a run of it may score."""

import numpy as np
import pytest

from tests.runs import run
from xkd_bench import tasks
from xkd_bench.errors import UsageError
from xkd_bench.tasks._twin_gaussian_images import decode, textures
from xkd_bench.tasks._twin_gaussian_world import World


@pytest.mark.parametrize(
    ("argument", "world", "name"),
    [
        ("", World(), "twin-gaussian"),
        (":gap=0.5", World(gap=0.5), "twin-gaussian:gap=0.5"),
        (":gap=.30", World(), "twin-gaussian"),
        (":noise=0.5,gap=0", World(gap=0, noise=0.5), "twin-gaussian:gap=0,noise=0.5"),
        (":classes=8,render=image", World(classes=8), "twin-gaussian:classes=8,render=image"),
        (":shift=0.2,private=1,latents=12,items=500", World(shift=0.2, private=1, latents=12), None),
    ],
)
def test_parameters_are_in_the_name(argument, world, name):
    task = tasks.get(f"twin-gaussian{argument}")
    assert task.world == world
    assert task.card.name == (name or "twin-gaussian:shift=0.2,private=1,latents=12,items=500")
    assert task.card.origin == "simulated"
    assert "simulated" in task.card.source
    again = tasks.get(task.card.name)
    assert (again.world, again.items, again.render) == (task.world, task.items, task.render)


@pytest.mark.parametrize(
    ("argument", "line"),
    [
        ("gp=0.3", "unknown parameter of twin-gaussian 'gp': did you mean 'gap'?"),
        ("gap=1", "gap is a number from 0 to 0.99, not '1'"),
        ("gap=nan", "gap is a number from 0 to 0.99, not 'nan'"),
        ("gap", "gap is a number from 0 to 0.99, not ''"),
        ("noise=0", "noise is a number from 0.01 to 10, not '0'"),
        ("items=1e3", "items is a whole number from 100 to 1e+06, not '1e3'"),
        ("gap=0.1,gap=0.1", "has 'gap' twice"),
        ("render=png", "render is vector or image, not 'png'"),
        ("classes=6", "classes is a power of two"),
        ("classes=8,latents=2", "at most 2 to the latents, not 8 with 2 latents"),
    ],
)
def test_what_cannot_be_meant_is_one_line(argument, line):
    with pytest.raises(UsageError) as error:
        tasks.get(f"twin-gaussian:{argument}")
    assert line in str(error.value)
    assert "\n" not in str(error.value)


def test_vectors_are_the_worlds_items_and_pairs_are_by_row():
    data = tasks.get("twin-gaussian:items=600").load(32, 32)
    drawn = World().draw(600)
    assert data.source.data.dtype == np.float32
    assert np.allclose(data.source.data, drawn.source, atol=2e-4)
    assert np.allclose(data.target.data, drawn.target, atol=2e-4)
    assert np.array_equal(data.source.concept, data.target.concept)
    split = data.split(0)
    assert np.array_equal(split.label, drawn.label)
    assert split.classes == ("--", "-+", "+-", "++")
    sizes = np.array([len(split.train), len(split.val), len(split.test)])
    assert sizes.sum() == 600
    assert np.allclose(sizes / 600, (0.60, 0.15, 0.25), atol=0.01)
    assert np.array_equal(split.pairs_source, split.train)
    assert data.digest == tasks.get("twin-gaussian:items=600").load(8, 64).digest
    assert data.digest != tasks.get("twin-gaussian:items=600,gap=0.31").load(8, 64).digest


@pytest.mark.parametrize("size", [12, 31, 64])
@pytest.mark.parametrize("d", [2, 16, 24])
def test_textures_are_orthogonal_and_mirrored_in_themselves(size, d):
    basis = textures(d, size)
    gram = basis @ basis.T
    assert np.allclose(gram, np.diag(np.diag(gram)), atol=1e-9)
    images = basis.reshape(d, size, size)
    assert np.allclose(images, images[:, :, ::-1])
    assert np.allclose(images, images[:, ::-1])


@pytest.mark.parametrize(("gap", "latents"), [(0.3, 8), (0.9, 8), (0.3, 12)])
def test_images_hold_what_the_vectors_do(gap, latents):
    task = tasks.get(f"twin-gaussian:gap={gap},latents={latents},items=3000,render=image")
    data = task.load(24, 32)
    drawn = task.world.draw(3000)
    for items, side, x in ((data.source, "source", drawn.source), (data.target, "target", drawn.target)):
        assert items.data.shape[1:] == ((1, 24, 24) if side == "source" else (1, 32, 32))
        assert items.data.dtype == np.uint8
        assert 0 < items.data.min() <= items.data.max() < 255, "nothing is clipped"
        again = decode(items.data, 2 * latents)
        usual = np.abs(x) < 3  # beyond, textures are near their full contrast, and rounding tells
        assert np.abs(again - x)[usual].max() < 0.6
        assert np.sqrt(np.mean((again - x)[usual] ** 2)) < 0.1
        lost = (task.world.predict(again, side) == drawn.label).mean() - (
            task.world.predict(x, side) == drawn.label
        ).mean()
        assert abs(lost) < 0.012


def test_images_too_small_for_the_textures_are_one_line():
    with pytest.raises(UsageError, match="12 pixels a side or more"):
        tasks.get("twin-gaussian:items=100,render=image").load(8, 32)


@pytest.mark.parametrize("render", ["vector", "image"])
def test_the_same_task_again_is_the_same_data(render, monkeypatch, tmp_path):
    name = f"twin-gaussian:items=200,render={render}"
    first = tasks.get(name).load(16, 16)
    monkeypatch.setenv("XKD_BENCH_CACHE", str(tmp_path))
    second = tasks.get(name).load(16, 16)
    assert first.digest == second.digest
    assert np.array_equal(first.split(3).test, second.split(3).test)
    assert not np.array_equal(first.split(3).test, first.split(4).test)


@pytest.mark.parametrize("method", ["cmc", "cmd", "ssl", "sup-ft"])
@pytest.mark.parametrize("gap", [0.0, 0.8])
def test_no_run_scores_above_bayes(tmp_path, method, gap):
    """Linear evaluation on all labels: above chance, and never above the best that there is, but for noise."""
    task = f"twin-gaussian:gap={gap},items=1600,latents=4"
    bayes = tasks.get(task).world.bayes_accuracy()
    (score,) = run(tmp_path, task=task, method=method)["scores"]
    noise = np.sqrt(bayes * (1 - bayes) / score["n_test"])
    assert 0.25 + 2 * noise < score["value"] < bayes + 3 * noise
    # Random features of an MLP hold most of what there is to know here, and 960 labels find much of it.
    assert score["value"] > bayes - 0.25


def test_fine_tuning_stays_below_bayes_too(tmp_path):
    task = "twin-gaussian:gap=0.5,items=1600,latents=4"
    bayes = tasks.get(task).world.bayes_accuracy()
    (score,) = run(tmp_path, task=task, method="sup-ft", protocol="fine-tune")["scores"]
    assert 0.3 < score["value"] < bayes + 3 * np.sqrt(0.25 / score["n_test"])


def test_images_run_with_the_default_teacher(tmp_path):
    record = run(tmp_path, task="twin-gaussian:gap=0.3,items=300,latents=4,render=image", method="cmc")
    assert record["spec"]["teacher"] == "efficientnet-lite0"
    assert record["task"]["origin"] == "simulated"
    assert record["scores"][0]["value"] > 0.25
