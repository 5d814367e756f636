"""Both sides of a benchmark do the same work: equal losses, equal values, equal accuracies."""

import copy
import math

import numpy as np
import pytest
import torch

from xkd_bench.benchmarks import Options, dense, distillation, few_shot, loss_speed, scaling, start_up, throughput
from xkd_bench.benchmarks import estimators_bench as estimates
from xkd_bench.benchmarks.peers import OURS, compare, targets
from xkd_bench.errors import UsageError
from xkd_bench.training import make_fabric

QUICK = Options(quick=True)


@pytest.mark.parametrize("case", loss_speed.cases(quick=True), ids=lambda case: case.what)
def test_losses_of_all_libraries_are_one_number(case):
    torch.manual_seed(0)
    values = {name: work() for name, work in case.works.items()}
    assert OURS in values
    assert values[OURS] > 0
    for name, value in values.items():
        assert value == pytest.approx(values[OURS], rel=1e-5), name


@pytest.mark.parametrize("case", [make(60, 8) for make in estimates.CASES], ids=lambda case: case.what)
def test_estimates_of_all_libraries_are_one_number(case):
    values = {name: work() for name, work in case.works.items() if name not in case.bare}
    if set(values) == {OURS}:
        pytest.skip("the other libraries are not installed: pip install '.[bench]'")
    for name, value in values.items():
        assert value == pytest.approx(values[OURS], rel=1e-6, abs=1e-9), name


def test_bootstraps_of_both_libraries_are_as_wide_as_theory_says():
    found = {name: work() for name, work in estimates.bootstrap_case(400, 20_000).works.items()}
    values = estimates.rows(400, 1)[0].double().numpy()
    expected = 1.96 * values.std() / 400**0.5
    assert found == {name: pytest.approx(expected, rel=0.05) for name in (OURS, "scipy")}


def test_every_estimator_is_compared_at_every_size_and_with_a_bootstrap():
    names = [case.what.partition(",")[0] for case in estimates.cases(quick=False)]
    assert len(estimates.SIZES) == 2
    assert {name: names.count(name) for name in names} == dict.fromkeys(
        ("cka", "hsic linear", "hsic rbf", "mmd2", "svcca", "mutual_knn", "retrieval_recall", "bootstrap of a mean"), 2
    )


def test_a_peer_is_held_against_ours_and_a_bare_computation_is_not():
    frame = compare(loss_speed.cases(quick=True)[:1], QUICK)
    assert set(frame["contender"]) >= {OURS, loss_speed.BARE}
    ours = frame[frame["contender"] == OURS].iloc[0]
    assert (ours["times_ours"], ours["low"], ours["high"], ours["difference"]) == (1, 1, 1, 0)
    assert not [t for t in targets(frame) if loss_speed.BARE in t.what]
    peers = frame.assign(contender=["ours", "peer"] + ["other"] * (len(frame) - 2), bare=False)
    found = targets(peers, {"peer": 3.0})
    assert found[0].bound == 3.0
    assert found[0].value == peers["times_ours"][1]


@pytest.mark.parametrize("method", ["cmc", "ssl"])
def test_the_loop_and_bare_steps_learn_the_same(method, tmp_path, monkeypatch):
    monkeypatch.setenv("XKD_BENCH_CACHE", str(tmp_path))
    setting = distillation.Setting(method, "conv4-w8", 1, 32, 8, 3)
    fabric = make_fabric("cpu")
    data = distillation.images(setting)
    batches = distillation.batches_of(setting, data, "none", fabric.device)
    recipe = distillation.Recipe(lr=1e-3, epochs=1, batch=8, schedule="constant", augmentation="none")
    one = distillation.model_of(setting, len(data))
    other = copy.deepcopy(one)
    there = list(batches(0))
    assert len(there) == 3
    losses = distillation.bare(one, there, recipe, fabric)
    [mean] = distillation.looped(other, batches, len(there), recipe, fabric)
    assert mean == pytest.approx(np.mean(losses), rel=1e-5)
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_the_loop_is_measured_with_and_without_augmentation():
    result = distillation.run(QUICK)
    assert list(result.frame["contender"]) == [
        "bare steps", "bare steps, plain memory format", "loop", "loop, simclr views",
    ]  # fmt: skip
    assert [t.bound for t in result.targets] == [1.10]
    assert "no CUDA device here" in result.notes[0]


@pytest.mark.parametrize("count", [1, 5])
def test_heads_fitted_together_are_as_accurate_as_scikit_learns(count):
    p = few_shot.problem("p", 16, 4, (count,), draws=2)
    mine, theirs = few_shot.batched(p, count), few_shot.looped(p, count)
    assert mine.shape == theirs.shape == (2, len(few_shot.STRENGTHS))
    assert mine.max() > 0.4  # chance is 0.25
    apart = (mine - theirs).abs()
    assert apart[:, few_shot.STRENGTHS >= 1e-2].max() < 0.004  # an item of 400: a near tie
    assert apart.mean() < 0.004  # where hardly anything is learned, theirs ends a little early
    assert (mine - few_shot.looped(p, count, solver="newton-cg")).abs().max() < 0.004


def test_draws_hold_so_many_labels_of_each_class_and_are_nested():
    p = few_shot.problem("p", 8, 3, (1, 5), draws=4)
    for count, rows in p.rows.items():
        assert (torch.stack([torch.bincount(p.y[r]) for r in rows]) == count).all()
    assert all(set(few.tolist()) <= set(many.tolist()) for few, many in zip(p.rows[1], p.rows[5], strict=True))


def test_every_dense_method_takes_a_step():
    names = dense.dense_names()
    assert names[0] == "sup-ft"
    assert {"kd", "af-dcd", "cirkd", "lix", "csk-net", "dense-cmc"} <= set(names)
    assert "teacher" not in names
    size = dense.sizes(quick=True, device="cpu")[0]
    teacher = dense.teacher_of(size, "source", torch.device("cpu"))
    for name in ("sup-ft", "kd", "af-dcd"):
        case = dense.Case(name, size, teacher, "source", torch.device("cpu"))
        first = case.step()
        assert math.isfinite(first)
        assert case.step() != first  # it learns
    frame = dense.pd.DataFrame(dense.measure(size, 1, QUICK, ["sup-ft", "kd", "af-dcd"]))
    assert list(frame["method"]) == ["sup-ft", "kd", "af-dcd", dense.TEACHER]
    in_use = frame.set_index("method")["parameters"]
    assert in_use["kd"] == in_use["af-dcd"] == in_use["sup-ft"] < in_use[dense.TEACHER], "adapters are not deployed"
    assert (frame["multiply_adds"] > 1e5).all()
    [note] = dense.claim(frame)
    assert note.startswith(f"Af-DCD at {size}")
    assert "of the 1 other methods add more" in note


def test_every_image_method_takes_a_step():
    names = throughput.image_methods()
    assert {"cmc", "cmd", "crd", "cmst", "cmkd", "socket", "ssl"} <= set(names)
    for name in names:
        model, batch = throughput.model_and_batch(throughput.Row(name, "conv4-w8", 1, 32, 8))
        loss = model(batch)["loss"]
        assert torch.isfinite(loss), name
        loss.backward()


def test_throughput_counts_the_operations_of_a_step():
    found = throughput.measure(throughput.Row("ssl", "conv4-w8", 1, 32, 4, rounds=2, steps=1))
    assert 0 < found["low"] <= found["images_per_s"] <= found["high"]
    assert found["gflop_a_step"] > 0
    assert 0 < found["share_of_peak"] < 2
    assert not found["compiled_here"]


def test_exponents_are_found():
    x = np.array([10.0, 20, 40, 80, 160])
    power = scaling.fitted(x, 3 * x**1.7)
    assert power.b == pytest.approx(1.7)
    assert math.exp(power.log_a) == pytest.approx(3)
    noisy = scaling.fitted(x, 3 * x**1.7 * np.array([1.1, 0.9, 1.05, 0.95, 1.0]))
    assert noisy.low < 1.7 < noisy.high
    assert noisy.high - noisy.low > 0.02


@pytest.mark.parametrize("curve", scaling.CURVES, ids=lambda curve: curve.what)
def test_what_grows_can_be_done_at_its_smallest_size(curve):
    curve.work(curve.sizes[0], torch.device("cpu"))()


def test_a_command_that_fails_is_not_timed():
    cpu, wall = start_up.ended((start_up.sys.executable, "-S", "-c", "pass"))
    assert cpu > 0
    assert wall > 0
    with pytest.raises(UsageError, match="ended with 1"):
        start_up.ended((start_up.sys.executable, "-S", "-c", "raise ValueError('no')"))
