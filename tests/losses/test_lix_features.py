"""Kernel regression and the CKA loss of LIX-style feature distillation: loops, golden values, invariances."""

import numpy as np
import pytest
import torch

from estimators import Kernel, cka
from tests.losses import dense_golden
from tests.losses.test_contrastive import rotation
from tests.losses.test_features import GRIDS, maps
from xkd_bench.losses.lix_features import arfd, kernel_regression
from xkd_bench.models.weighting import LearnedBandwidth

RECALIBRATIONS = ("self_teacher", "self_both", "cross", "none")


def rows(f: torch.Tensor) -> torch.Tensor:
    """[n, c, h, w] as [n, positions, c]."""
    return f.flatten(2).mT


def as_map(x: torch.Tensor, h: int, w: int) -> torch.Tensor:
    return x.mT.reshape(len(x), -1, h, w)


def regression_loop(values: np.ndarray, queries: np.ndarray, keys: np.ndarray, h: float) -> np.ndarray:
    out = []
    for q in queries:
        weights = [np.exp(-abs(q - k).sum() / h) for k in keys]
        out.append(sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights))
    return np.array(out)


def test_regression_is_that_of_the_loops():
    v, q, k = (x[0] for x in maps((1, 7, 3), (1, 5, 4), (1, 7, 4)))
    np.testing.assert_allclose(
        kernel_regression(v, q, k, bandwidth=1.7), regression_loop(v.numpy(), q.numpy(), k.numpy(), 1.7), rtol=1e-12
    )
    np.testing.assert_allclose(
        kernel_regression(v, bandwidth=0.6), regression_loop(v.numpy(), v.numpy(), v.numpy(), 0.6), rtol=1e-12
    )
    apart = [abs(p - r).sum() for p in v.numpy() for r in v.numpy()]
    for scale in (1.0, 0.3):
        np.testing.assert_allclose(
            kernel_regression(v, scale=scale), kernel_regression(v, bandwidth=scale * np.median(apart)), rtol=1e-12
        )


def test_golden_values():
    f_s, f_t = dense_golden.features()
    for h, golden in ((1.0, 0.47842772100596037), (8.0, 0.06558736789269083)):
        value = kernel_regression(rows(f_t), bandwidth=h).square().mean()
        assert value.item() == pytest.approx(golden, rel=1e-12)
    plain = arfd([f_s], [f_t], recalibration="none")
    assert plain.item() == pytest.approx(0.8818143703537373, rel=1e-12)
    assert arfd([f_s], [f_t], bandwidth=1.0).item() == pytest.approx(0.8774124945729945, rel=1e-12)


def test_regression_averages():
    (v,) = maps((2, 9, 4))
    ones = kernel_regression(torch.ones(2, 9, 1).double(), v, v, bandwidth=2.0)
    torch.testing.assert_close(ones, torch.ones_like(ones))  # the weights of a row sum to 1
    for h in (0.1, 1.0, 30.0):
        out = kernel_regression(v, bandwidth=h)
        assert (out <= v.amax(1, keepdim=True) + 1e-12).all()
        assert (out >= v.amin(1, keepdim=True) - 1e-12).all()
        shift = torch.tensor([3.0, -1.0, 0.5, 100.0]).double()
        torch.testing.assert_close(kernel_regression(v + shift, bandwidth=h), out + shift)
    torch.testing.assert_close(kernel_regression(v, bandwidth=1e-3), v)
    torch.testing.assert_close(kernel_regression(v, bandwidth=1e9), v.mean(1, keepdim=True).expand_as(v))
    constant = torch.full((1, 6, 3), 0.7).double()
    for options in ({}, {"bandwidth": 1.0}):
        torch.testing.assert_close(kernel_regression(constant, **options), constant)


@pytest.mark.parametrize(("scale", "share"), [(1.0, 1 / (1 + 15 / np.e)), (1 / np.log(16), 1 / (1 + 15 / 16))])
def test_the_share_of_a_values_own_among_values_at_like_distances(scale, share):
    v = torch.eye(16).double()
    torch.testing.assert_close(kernel_regression(v, scale=scale).diagonal(), torch.full((16,), share).double())


def test_a_median_of_0_is_no_bandwidth():
    # Three quarters of the positions are dead, and more than half of all distances are 0.
    v = torch.zeros(1, 8, 2).double()
    v[0, :2] = torch.tensor([[1.0, 2.0], [3.0, -1.0]])
    v.requires_grad_()
    out = kernel_regression(v)
    out.square().sum().backward()
    assert torch.isfinite(out).all()
    assert torch.isfinite(v.grad).all()
    # Like the median, what stands in for it goes with the features' scale.
    torch.testing.assert_close(kernel_regression(100 * v), 100 * out)


def test_the_median_is_a_constant_for_gradients():
    (v,) = maps((1, 6, 3))
    v.requires_grad_()
    h = float(np.median([abs(p - q).sum() for p in v[0].detach().numpy() for q in v[0].detach().numpy()]))
    grads = [torch.autograd.grad(kernel_regression(v, **at).square().sum(), v)[0] for at in ({}, {"bandwidth": h})]
    torch.testing.assert_close(*grads)


@pytest.mark.parametrize(("grid_b", "grid_a"), [g for g in GRIDS if min(*g[0]) > 1])
@pytest.mark.parametrize("kernel", ["linear", Kernel("rbf", bandwidth=2.0), "laplace_l1"])
def test_the_loss_is_one_less_the_mean_cka_of_the_estimators(grid_b, grid_a, kernel):
    f_s, f_t = maps((2, 3, *grid_b), (2, 5, *grid_a))
    grid = tuple(min(p, q) for p, q in zip(grid_b, grid_a, strict=True))
    x, y = (rows(torch.nn.functional.adaptive_avg_pool2d(f, grid)) for f in (f_s, f_t))
    for debiased in (False, True):
        value = arfd([f_s], [f_t], recalibration="none", kernel=kernel, debiased=debiased)
        each = [cka(p, q, kernel=kernel, debiased=debiased, interval=None).value for p, q in zip(x, y, strict=True)]
        assert value.item() == pytest.approx(1 - np.mean(each), rel=1e-9)
    recalibrated = [kernel_regression(q, bandwidth=3.0) for q in y]
    each = [cka(p, q, kernel=kernel, debiased=False, interval=None).value for p, q in zip(x, recalibrated, strict=True)]
    assert arfd([f_s], [f_t], bandwidth=3.0, kernel=kernel).item() == pytest.approx(1 - np.mean(each), rel=1e-9)


def test_levels_are_averaged():
    s, t = maps((2, 3, 4, 4), (2, 6, 3, 5)), maps((2, 4, 4, 4), (2, 2, 6, 5), seed=1)
    each = [arfd([b], [a]).item() for b, a in zip(s, t, strict=True)]
    assert arfd(s, t).item() == pytest.approx(np.mean(each), rel=1e-12)


def test_what_equal_features_give():
    (f,) = maps((2, 4, 5, 5))
    assert arfd([f], [f], recalibration="none").item() == pytest.approx(0, abs=1e-12)
    assert arfd([f], [f], recalibration="self_both").item() == pytest.approx(0, abs=1e-12)
    # The student is compared with smoothed features; not so as the bandwidth vanishes.
    assert arfd([f], [f], recalibration="self_teacher").item() > 0.01
    assert arfd([f], [f], recalibration="self_teacher", bandwidth=1e-3).item() == pytest.approx(0, abs=1e-12)
    cross = arfd([f], [f], recalibration="cross", projected=[f])
    assert cross.item() == pytest.approx(arfd([f], [f]).item(), rel=1e-12)


def test_what_linear_cka_does_not_see():
    (f,) = maps((1, 6, 6, 6))
    x = rows(f)
    q = rotation(6)
    shift = torch.arange(6).double()
    student = f.clone().requires_grad_()
    for same in (3 * x @ q + shift, -x, torch.cat((x, torch.zeros(1, 36, 2).double()), 2)):
        value = arfd([student], [as_map(same, 6, 6)], recalibration="none")
        (grad,) = torch.autograd.grad(value, student)
        assert value.item() == pytest.approx(0, abs=1e-12)
        assert grad.abs().max() < 1e-12
    (other,) = maps((1, 4, 6, 6), seed=1)
    before = arfd([f], [other], recalibration="none").item()
    order = torch.randperm(36, generator=torch.Generator().manual_seed(0))
    permuted = [as_map(rows(g)[:, order], 6, 6) for g in (f, other)]
    assert arfd(*([g] for g in permuted), recalibration="none").item() == pytest.approx(before, rel=1e-12)
    stretched = as_map(x * torch.arange(1, 7).double(), 6, 6)
    assert 0.01 < arfd([f], [stretched], recalibration="none").item() < 0.6
    turned = as_map(x @ q, 6, 6)
    for kernel, sees in (("rbf", False), ("laplace_l2", False), ("laplace_l1", True)):
        value = arfd([f], [turned], recalibration="none", kernel=kernel).item()
        assert value > 1e-3 if sees else abs(value) < 1e-9, kernel


def test_the_gradient_neither_scales_nor_shifts_the_student():
    f_s, f_t = maps((2, 3, 4, 5), (2, 4, 4, 5))
    f_s.requires_grad_()
    arfd([f_s], [f_t]).backward()
    grad, centred = f_s.grad, f_s.detach() - f_s.detach().mean((2, 3), keepdim=True)
    assert grad.abs().max() > 1e-4
    assert (grad * centred).sum((1, 2, 3)).abs().max() < 1e-15
    assert grad.sum((2, 3)).abs().max() < 1e-15


@pytest.mark.parametrize("recalibration", RECALIBRATIONS)
@pytest.mark.parametrize("kernel", ["linear", Kernel("rbf", bandwidth=2.0)])
def test_gradients_are_those_of_finite_differences_and_the_teacher_has_none(recalibration, kernel):
    f_s, f_t, q = maps((1, 2, 2, 3), (1, 3, 2, 3), (1, 3, 2, 3))
    for x in (f_s, f_t, q):
        x.requires_grad_()

    def value(student, queries):
        projected = [queries] if recalibration == "cross" else None
        return arfd([student], [f_t], recalibration=recalibration, projected=projected, bandwidth=1.5, kernel=kernel)

    inputs = (f_s, q) if recalibration == "cross" else (f_s, q.detach())
    assert torch.autograd.gradcheck(value, inputs)
    value(f_s, q).backward()
    assert f_t.grad is None
    assert (q.grad is not None) == (recalibration == "cross")


def test_a_learned_bandwidth_gets_a_gradient():
    f_s, f_t = (x.float() for x in maps((2, 3, 4, 4), (2, 3, 4, 4)))
    for name in ("bandwidth", "scale"):
        learned = LearnedBandwidth(1.5)
        value = arfd([f_s], [f_t], **{name: learned()})
        value.backward()
        assert value.item() == pytest.approx(arfd([f_s], [f_t], **{name: 1.5}).item(), rel=1e-5)
        assert learned.raw.grad.abs() > 1e-6


def test_large_maps_are_averaged_to_few_positions():
    for size, most, grid in (
        ((8, 16), 32, (4, 8)),
        ((1, 64), 10, (1, 10)),
        ((64, 1), 10, (10, 1)),
        ((2, 60), 20, (1, 20)),
    ):
        f_s, f_t = maps((2, 3, *size), (2, 4, *size))
        pooled = [torch.nn.functional.adaptive_avg_pool2d(f, grid) for f in (f_s, f_t)]
        assert arfd([f_s], [f_t], most=most).item() == pytest.approx(arfd(pooled[:1], pooled[1:]).item(), rel=1e-12)
    # The queries of 'cross' come along.
    q = maps((2, 4, 8, 8))[0]
    f_s, f_t = maps((2, 3, 8, 8), (2, 4, 8, 8), seed=1)
    assert torch.isfinite(arfd([f_s], [f_t], recalibration="cross", projected=[q], most=16))


@pytest.mark.parametrize("recalibration", ["self_teacher", "self_both", "none"])
def test_constant_features_have_loss_1_and_no_gradient(recalibration):
    (f,) = maps((2, 3, 4, 4))
    for student, teacher in ((torch.full_like(f, 0.3), f), (f, torch.full_like(f, 0.3))):
        student = student.clone().requires_grad_()
        value = arfd([student], [teacher], recalibration=recalibration)
        value.backward()
        assert value.item() == 1
        assert student.grad.abs().max() == 0


@pytest.mark.parametrize("recalibration", ["self_teacher", "self_both", "none"])
@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_half_precision_reaches_the_inputs_alone_and_saturated_ones_stay_finite(recalibration, half):
    f_s, f_t = (2e4 * x for x in maps((2, 16, 8, 8), (2, 12, 8, 8), dtype=torch.float32))
    f_s, f_t = (x.clamp(-6e4, 6e4).to(half) for x in (f_s, f_t))
    f_s.requires_grad_()
    with torch.autocast("cpu", dtype=half):
        value = arfd([f_s], [f_t], recalibration=recalibration)
    assert value.dtype == torch.float32
    assert torch.equal(value, arfd([f_s.float()], [f_t.float()], recalibration=recalibration))
    assert 0 < value < 1
    value.backward()
    assert torch.isfinite(f_s.grad).all()
    assert f_s.grad.dtype == half


def test_few_positions_make_the_biased_value_small_whatever_the_features_are():
    f_s, f_t = maps((4, 256, 2, 4), (4, 256, 2, 4))
    assert arfd([f_s], [f_t], recalibration="none").item() < 0.05
    assert arfd([f_s], [f_t], recalibration="none", debiased=True).item() > 0.9


def test_what_cannot_be_meant_is_refused():
    (f,) = maps((2, 3, 4, 4))
    for options, message in (
        ({"recalibration": "both"}, "recalibration must be"),
        ({"recalibration": "cross"}, "projected"),
        ({"projected": [f]}, "projected"),
        ({"recalibration": "cross", "projected": []}, "levels"),
        ({"recalibration": "cross", "projected": [f[:, :2]]}, "3 channels"),
        ({"bandwidth": 0.0}, "bandwidth must be positive"),
        ({"scale": -1.0}, "scale"),
        ({"most": 1}, "2 positions"),
    ):
        with pytest.raises(ValueError, match=message):
            arfd([f], [f], **options)
    with pytest.raises(ValueError, match="levels"):
        arfd([f], [])
    with pytest.raises(ValueError, match="feature maps"):
        arfd([f[:, :, 0, 0]], [f[:, :, 0, 0]])
    with pytest.raises(ValueError, match="at least 2 rows"):
        arfd([f[..., :1, :1]], [f])
