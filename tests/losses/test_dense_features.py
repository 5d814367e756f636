"""FitNets, attention transfer, MGD, IFVD and CKA on feature maps: golden values, loops, invariances, gradients."""

import pytest
import torch

from estimators import Kernel
from tests.losses import dense_golden, naive_dense
from tests.losses.dense_golden import GOLDEN
from tests.losses.test_contrastive import rotation
from xkd_bench.losses.attention import attention_transfer
from xkd_bench.losses.dense_features import cka, fitnets, ifvd, mgd
from xkd_bench.losses.dense_pixels import labels_at

STUDENT, TEACHER = dense_golden.features()
LABELS = dense_golden.fine_labels()

LOSSES = {
    "fitnets": fitnets,
    "mgd": mgd,
    "ifvd": lambda s, t: ifvd(s, t, LABELS, 3, ignore=-1),
    "cka": cka,
    "cka, rbf": lambda s, t: cka(s, t, "rbf"),
}
EACH = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


def turned(f: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
    return torch.einsum("nchw,cd->ndhw", f, angle)


def test_golden_values():
    assert fitnets(STUDENT, TEACHER).item() == pytest.approx(GOLDEN["FitNet_identity_mse"], rel=1e-12)
    assert mgd(STUDENT, TEACHER).item() == pytest.approx(GOLDEN["MGD_identity_generator_nomask"], rel=1e-12)
    assert attention_transfer([STUDENT], [TEACHER]).item() == pytest.approx(GOLDEN["AT_p2_mean"], rel=1e-12)
    # The code divides by count + 1e-6, which a cosine does not see.
    assert ifvd(STUDENT, TEACHER, LABELS, 3, ignore=-1).item() == pytest.approx(GOLDEN["IFVD_K3"], rel=1e-9)
    assert cka(STUDENT, TEACHER).item() == pytest.approx(GOLDEN["CKA_loss_per_image_linear"], rel=1e-12)
    whole = cka(STUDENT, TEACHER, examples="batch")
    assert 1 - whole.item() == pytest.approx(GOLDEN["CKA_linear_feat_spatial"], rel=1e-10)


def test_golden_cka_of_the_notebook():
    x, y = (rows.T.reshape(1, 10, 10, 10) for rows in dense_golden.cka_rows())
    assert 1 - cka(x, y).item() == pytest.approx(GOLDEN["CKA_linear_1337"], rel=1e-12)
    assert 1 - cka(x, y, debiased=True).item() == pytest.approx(GOLDEN["CKA_debiased_1337"], rel=1e-12)
    rbf = cka(x, y, Kernel("rbf", scale=0.5))
    assert 1 - rbf.item() == pytest.approx(GOLDEN["CKA_rbf0.5_1337"], rel=1e-12)
    assert 1 - cka(x, y, "laplace_l1").item() == pytest.approx(GOLDEN["CKA_laplaceL1_median_1337"], rel=1e-12)


@pytest.mark.parametrize("classes", [2, 3, 6])
def test_ifvd_is_that_of_the_loops(classes):
    coarse = LABELS[:, ::2, ::2]
    expected = naive_dense.ifvd(STUDENT, TEACHER[:, :5], coarse, classes)
    assert ifvd(STUDENT, TEACHER[:, :5], LABELS, classes, ignore=-1).item() == pytest.approx(expected, rel=1e-10)


def test_ifvd_ignores_what_is_to_be_ignored():
    coarse = LABELS[:, ::2, ::2].clone()
    one = coarse.masked_fill(coarse == 1, 99)
    expected = naive_dense.ifvd(STUDENT, TEACHER, one.masked_fill(one == 99, -1), 3)
    assert ifvd(STUDENT, TEACHER, one, 3, ignore=99).item() == pytest.approx(expected, rel=1e-10)
    # Ignored pixels enter no mean either, and stay in the denominator.
    other = STUDENT + 5 * (one == 99)[:, None]
    assert ifvd(other, TEACHER, one, 3, ignore=99).item() == pytest.approx(expected, rel=1e-10)
    s = STUDENT.clone().requires_grad_()
    nothing = ifvd(s, TEACHER, torch.full_like(coarse, 99), 3, ignore=99)
    nothing.backward()
    assert nothing.item() == 0
    assert s.grad.abs().max() == 0


def test_ifvd_does_not_see_the_scale_of_an_image():
    factor = torch.tensor([0.01, 70.0]).double()[:, None, None, None]
    expected = ifvd(STUDENT, TEACHER, LABELS, 3, ignore=-1).item()
    assert ifvd(factor * STUDENT, TEACHER, LABELS, 3, ignore=-1).item() == pytest.approx(expected, rel=1e-10)
    per_pixel = 1 + torch.rand(2, 1, 4, 8, generator=torch.Generator().manual_seed(0)).double()
    assert abs(ifvd(per_pixel * STUDENT, TEACHER, LABELS, 3, ignore=-1).item() - expected) > 1e-3


def test_ifvd_of_a_class_of_one_pixel_is_zero():
    labels = torch.arange(32).reshape(1, 4, 8).repeat(2, 1, 1)
    assert ifvd(STUDENT, TEACHER, labels, 32).item() == pytest.approx(0, abs=1e-24)


def test_attention_does_not_see_the_channels_basis_and_fitnets_does():
    s = turned(STUDENT, rotation(8))
    assert attention_transfer([s], [TEACHER]).item() == pytest.approx(GOLDEN["AT_p2_mean"], rel=1e-10)
    assert fitnets(TEACHER, TEACHER).item() == 0
    assert fitnets(turned(TEACHER, rotation(8)), TEACHER).item() > 0.1


def test_mgd_is_a_sum_of_squares_and_a_mean_over_images():
    expected = sum((s - t).square().sum().item() for s, t in zip(STUDENT, TEACHER, strict=True)) / 2
    assert mgd(STUDENT, TEACHER).item() == pytest.approx(expected, rel=1e-12)
    doubled = (torch.cat((x, x)) for x in (STUDENT, TEACHER))
    assert mgd(*doubled).item() == pytest.approx(expected, rel=1e-12)


def test_cka_does_not_see_scale_rotation_offset_or_padding():
    s = -3 * turned(TEACHER, rotation(8)) + torch.arange(8.0).double()[:, None, None]
    padded = torch.cat((s, torch.zeros(2, 3, 4, 8).double()), 1).requires_grad_()
    value = cka(padded, TEACHER)
    value.backward()
    assert value.item() == pytest.approx(0, abs=1e-12)
    assert padded.grad.abs().max() < 1e-12
    stretched = TEACHER * torch.arange(1.0, 9.0).double()[:, None, None]
    assert cka(stretched, TEACHER).item() > 0.01
    assert cka(s, TEACHER, "rbf").item() == pytest.approx(0, abs=1e-12)
    assert cka(s, TEACHER, "laplace_l1").item() > 0.01


def test_cka_of_large_maps_is_that_of_their_means():
    generator = torch.Generator().manual_seed(4)
    s, t = (torch.randn(2, 3, 12, 16, generator=generator).double() for _ in range(2))
    coarse = [torch.nn.functional.adaptive_avg_pool2d(x, (6, 8)) for x in (s, t)]
    assert cka(s, t, most=48).item() == pytest.approx(cka(*coarse, most=None).item(), rel=1e-12)
    assert cka(s, t, most=192).item() == cka(s, t, most=None).item()
    long = torch.randn(1, 2, 1, 50, generator=generator).double()
    short = torch.nn.functional.adaptive_avg_pool2d(long, (1, 20))
    assert cka(long, long[:, :1], most=20).item() == pytest.approx(cka(short, short[:, :1]).item(), rel=1e-12)


def test_a_constant_side_has_no_alignment_and_no_gradient():
    s = torch.ones(2, 3, 4, 8).double().requires_grad_()
    value = cka(s, TEACHER)
    value.backward()
    assert value.item() == 1
    assert s.grad.abs().max() == 0


@EACH
def test_gradients_are_those_of_finite_differences_and_the_teacher_has_none(loss):
    s = STUDENT[:, :3, :, ::2].clone().requires_grad_()
    t = TEACHER[:, :3, :, ::2].clone().requires_grad_()
    small = {"ifvd": lambda s, t: ifvd(s, t, LABELS[:, ::2, ::4], 3, ignore=-1)}
    # A data-driven bandwidth is a constant for the gradient: give one.
    small["cka, rbf"] = lambda s, t: cka(s, t, Kernel("rbf", bandwidth=1.5))
    loss = small.get(next(name for name, f in LOSSES.items() if f is loss), loss)
    assert torch.autograd.gradcheck(lambda x: loss(x, t.detach()), (s,))
    loss(s, t).backward()
    assert t.grad is None


@EACH
@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_saturated_features_stay_finite_in_half_precision(loss, half):
    generator = torch.Generator().manual_seed(3)
    s, t = ((6e4 * torch.randn(2, 8, 4, 8, generator=generator).sign()).to(half) for _ in range(2))
    s[0, :, :2] = 0
    s.requires_grad_()
    with torch.autocast("cpu", dtype=half):
        value = loss(s, t)
    value.backward()
    assert value.dtype == torch.float32
    assert torch.isfinite(value)
    assert torch.isfinite(s.grad).all() or loss is mgd  # its gradient, 2 · 1.2e5, is beyond float16


def test_labels_come_down_as_nearest_interpolation_has_them():
    labels = torch.randint(0, 9, (2, 16, 24), generator=torch.Generator().manual_seed(5))
    for size in ((8, 12), (4, 8), (16, 24), (16, 6), (5, 7), (1, 1), (32, 24)):
        expected = torch.nn.functional.interpolate(labels[:, None].double(), size, mode="nearest")[:, 0]
        assert torch.equal(labels_at(labels, size), expected.long())


def test_what_cannot_be_meant_is_refused():
    with pytest.raises(ValueError, match="adapter"):
        fitnets(STUDENT[:, :3], TEACHER)
    with pytest.raises(ValueError, match="8 and 3 channels"):
        mgd(STUDENT, TEACHER[:, :3])
    with pytest.raises(ValueError, match="one n, h and w"):
        cka(STUDENT, TEACHER[..., :4])
