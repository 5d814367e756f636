"""Attention transfer and CMKD: against numpy loops, closed forms and invariances."""

import numpy as np
import pytest
import torch

from tests.losses import naive
from tests.losses.test_features import GRIDS, maps
from xkd_bench.losses.attention import attention_map, attention_transfer, cmkd
from xkd_bench.losses.features import cmst


def test_attention_is_a_unit_vector_of_channel_energies():
    (f,) = maps((3, 5, 4, 6))
    out = attention_map(f)
    assert out.shape == (3, 24)
    np.testing.assert_allclose(out, naive.attention(f.numpy()), rtol=1e-12)
    assert out.norm(dim=1).tolist() == pytest.approx([1.0] * 3, rel=1e-12)


def test_one_active_position_has_all_attention():
    f = torch.zeros(1, 2, 2, 2)
    f[0, :, 1, 0] = torch.tensor([3.0, -4.0])
    assert attention_map(f).tolist() == [[0, 0, 1, 0]]


def test_attention_does_not_see_scale_sign_or_order_of_channels():
    (f,) = maps((3, 5, 4, 4))
    factor = torch.tensor([0.01, 7.0, 400.0], dtype=torch.float64)[:, None, None, None]
    for same in (f * factor, -f, f[:, torch.tensor([4, 2, 0, 1, 3])]):
        torch.testing.assert_close(attention_map(same), attention_map(f), rtol=1e-12, atol=0)
    assert (attention_map(f.transpose(2, 3)) - attention_map(f)).abs().max() > 0.01


@pytest.mark.parametrize(("grid_b", "grid_a"), GRIDS)
def test_values_are_those_of_the_loops(grid_b, grid_a):
    b, a = maps((2, 3, *grid_b), (2, 4, 2, 2)), maps((2, 5, *grid_a), (2, 4, 3, 3), seed=1)
    assert attention_transfer(b, a).item() == pytest.approx(naive.attention_transfer(b, a), rel=1e-12, abs=1e-15)


def test_maps_are_pooled_before_they_are_squared():
    # +1 and -1 beside each other: pooled first they vanish; squared first they would not.
    b = torch.tensor([[1.0, -1.0, 2.0, 2.0]]).reshape(1, 1, 1, 4).repeat(1, 1, 2, 1)
    a = torch.tensor([[0.0, 1.0]]).reshape(1, 1, 1, 2)
    assert attention_transfer([b], [a]).item() == 0


def test_the_loss_is_zero_for_equal_attention_and_largest_for_attention_apart():
    b, _ = maps((3, 4, 4, 4), (1,))
    assert attention_transfer([b], [2 * b]).item() == pytest.approx(0, abs=1e-30)
    one, other = torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)
    one[..., 0, 0], other[..., 1, 1] = 1, 1
    assert attention_transfer([one], [other]).item() == pytest.approx(2 / 4)


def test_cmkd_is_its_weighted_parts():
    (f_b, f_a), b, a = maps((2, 6), (2, 6)), maps((2, 3, 4, 4), seed=1), maps((2, 5, 2, 2), seed=2)
    out = cmkd(f_b, f_a, b, a, beta=3.0, hint=0.5)
    assert out.activation.item() == pytest.approx(cmst([f_b], [f_a]).item(), rel=1e-12)
    assert out.attention.item() == pytest.approx(attention_transfer(b, a).item(), rel=1e-12)
    expected = 0.5 * (f_b - f_a).square().mean() + 3 * out.attention
    assert out.loss.item() == pytest.approx(expected.item(), rel=1e-12)
    default = cmkd(f_b, f_a, b, a)
    assert default.loss.item() == pytest.approx((100 * out.activation + 1000 * out.attention).item(), rel=1e-12)


def test_gradients_are_those_of_finite_differences_and_the_teacher_has_none():
    (f_b, f_a), (b,), (a,) = maps((2, 3), (2, 3)), maps((2, 2, 3, 4), seed=1), maps((2, 3, 4, 2), seed=2)
    for x in (f_b, b):
        x.requires_grad_()
    assert torch.autograd.gradcheck(lambda x, y: cmkd(x, f_a, [y], [a], 3.0, 0.5).loss, (f_b, b))
    f_a.requires_grad_()
    a.requires_grad_()
    cmkd(f_b, f_a, [b], [a]).loss.backward()
    assert f_a.grad is None
    assert a.grad is None


def test_a_dead_map_leaves_the_gradient_finite():
    b = torch.zeros(2, 3, 4, 4, requires_grad=True)
    (a,) = maps((2, 3, 4, 4), dtype=torch.float32)
    value = attention_transfer([b], [a])
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(b.grad).all()


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_half_precision_reaches_the_inputs_alone(half):
    b, a = (x.to(half) for x in maps((4, 3, 6, 6), (4, 5, 3, 3), dtype=torch.float32))
    exact = attention_transfer([b.float()], [a.float()])
    with torch.autocast("cpu", dtype=half):
        value = attention_transfer([b], [a])
        assert attention_map(b).dtype == torch.float32
    assert value.dtype == torch.float32
    assert torch.equal(value, exact)


def test_what_cannot_be_meant_is_refused():
    vector, level = torch.ones(2, 3), torch.ones(2, 3, 4, 4)
    with pytest.raises(ValueError, match="feature map"):
        attention_map(vector)
    with pytest.raises(ValueError, match="feature map"):
        attention_transfer([vector], [vector])
    with pytest.raises(ValueError, match="one n"):
        attention_transfer([level], [level[:1]])
    with pytest.raises(ValueError, match="levels"):
        attention_transfer([level], [])
    with pytest.raises(ValueError, match="adapter"):
        cmkd(vector, vector[:, :2], [level], [level])
    with pytest.raises(ValueError, match="negative"):
        cmkd(vector, vector, [level], [level], beta=-1.0)
