"""The loss forms: equal to the estimators, right gradients, defined where features do not vary."""

import numpy as np
import pytest
import torch

from estimators import Kernel, cka, cka_loss, cka_value, hsic, hsic_value, mmd2, mmd2_value

KERNELS = ["linear", "rbf", "laplace_l1", "laplace_l2"]


def pair(n=14, d=3, e=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    return x, torch.tanh(x @ torch.randn(d, e, generator=generator, dtype=torch.float64)) + 0.2


@pytest.mark.parametrize("kind", KERNELS)
@pytest.mark.parametrize("debiased", [True, False])
@pytest.mark.parametrize("d", [3, 30])
def test_values_equal_the_estimators(kind, debiased, d):
    x, y = pair(d=d)
    assert cka_value(x, y, kind, debiased=debiased).item() == pytest.approx(
        cka(x, y, kernel=kind, debiased=debiased).value
    )
    assert hsic_value(x, y, kind, unbiased=debiased).item() == pytest.approx(
        hsic(x, y, kernel=kind, unbiased=debiased).value
    )
    z = pair(d=d, n=11, seed=1)[0]
    if kind != "linear":
        assert mmd2_value(x, z, kind).item() == pytest.approx(mmd2(x, z, paired=False, kernel=kind).value)


@pytest.mark.parametrize("kind", KERNELS)
@pytest.mark.parametrize("debiased", [True, False])
def test_gradients_match_finite_differences(kind, debiased):
    """Centring, norms and denominators included; the bandwidth is fixed, since it is a constant by definition."""
    x, y = (t.requires_grad_() for t in pair(n=6))
    kernel = Kernel(kind, bandwidth=2.0)
    assert torch.autograd.gradcheck(lambda a, b: cka_value(a, b, kernel, debiased=debiased), (x, y))
    assert torch.autograd.gradcheck(lambda a, b: hsic_value(a, b, kernel, unbiased=debiased), (x, y))
    z = pair(n=5, seed=2)[0].requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: mmd2_value(a, b, kernel), (x, z))


def test_gradient_is_scale_free_and_centred():
    """<grad, x - mean> = 0 and column sums of the gradient are 0, since CKA ignores scale and offset."""
    x, y = pair()
    x.requires_grad_()
    cka_value(x, y).backward()
    assert (x.grad * (x - x.mean(0))).sum().item() == pytest.approx(0, abs=1e-14)
    assert x.grad.sum(0).abs().max().item() < 1e-14
    assert x.grad.abs().max().item() > 1e-3


def test_loss_is_0_with_gradient_0_for_a_rotated_scaled_copy():
    x, _ = pair(n=20)
    rotation = torch.linalg.qr(pair(n=3, seed=3)[0])[0]
    y = (3.0 * x @ rotation + 5.0).requires_grad_()
    loss = cka_loss(x, y)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-12)
    assert y.grad.abs().max().item() < 1e-12
    padded = torch.cat([y.detach(), torch.zeros(20, 4, dtype=y.dtype)], 1)
    assert cka_loss(x, padded).item() == pytest.approx(0, abs=1e-12)


def test_gradient_ascent_raises_alignment():
    x, _ = pair(n=30)
    y = torch.randn(30, 3, generator=torch.Generator().manual_seed(5), dtype=torch.float64, requires_grad=True)
    before = cka_loss(x, y).item()
    optimiser = torch.optim.Adam([y], lr=0.1)
    for _ in range(60):
        optimiser.zero_grad()
        cka_loss(x, y, "rbf").backward()
        optimiser.step()
    assert cka_loss(x, y).item() < 0.3 * before


@pytest.mark.parametrize("kind", KERNELS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("debiased", [True, False])
def test_constant_features_have_cka_0_and_gradient_0(kind, dtype, debiased):
    x = torch.full((10, 3), 0.1, dtype=dtype, requires_grad=True)
    y = pair(n=10)[1].to(dtype).requires_grad_()
    value = cka_value(x, y, kind, debiased=debiased)
    value.backward()
    assert value.item() == 0.0
    assert x.grad.abs().max().item() == 0.0
    assert y.grad.abs().max().item() == 0.0


@pytest.mark.parametrize("kind", KERNELS)
def test_batches_are_independent_problems(kind):
    one, two = pair(seed=0), pair(seed=1)
    x, y = (torch.stack(sides) for sides in zip(one, two, strict=True))
    values = cka_value(x, y, kind)
    assert values.shape == (2,)
    assert values.tolist() == pytest.approx([cka_value(*one, kind).item(), cka_value(*two, kind).item()])
    assert mmd2_value(x, x + 0.5, "rbf").shape == (2,)


def test_golden_loss_per_image():
    k = np.arange(2 * 8 * 4 * 8)
    sides = np.sin(0.37 * k + 0.2) + 0.1 * np.cos(0.011 * k), np.cos(0.23 * k + 0.5) + 0.2 * np.sin(0.017 * k)
    fs, ft = (torch.from_numpy(s.reshape(2, 8, 4, 8)).permute(0, 2, 3, 1).reshape(2, -1, 8) for s in sides)
    assert cka_loss(fs, ft).item() == pytest.approx(0.8818143703537373, abs=1e-12)


def test_half_precision_neither_overflows_nor_vanishes():
    x, y = pair(n=500)
    huge = (100.0 * x).half(), (1e-3 * y).half()
    assert cka_value(*huge).item() == pytest.approx(cka_value(x, y).item(), abs=5e-3)


def test_shapes_are_checked():
    x, y = pair()
    with pytest.raises(ValueError, match="pairs do not match"):
        cka_value(x, y[:-1])
    with pytest.raises(ValueError, match="at least 4 rows"):
        hsic_value(x[:3], y[:3])
    with pytest.raises(ValueError, match="n, m >= 2"):
        mmd2_value(x, y)
