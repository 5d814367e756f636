"""SKD's pair-wise term and CIRKD: golden values, loops, invariances, gradients."""

import pytest
import torch
import torch.nn.functional as F

from tests.losses import dense_golden, naive_dense
from tests.losses.dense_golden import GOLDEN
from tests.losses.test_contrastive import rotation
from tests.losses.test_dense_features import turned
from xkd_bench.losses.dense_pixels import pixel_rows
from xkd_bench.losses.dense_relations import cirkd_memory, cirkd_mini_batch, skd_pair
from xkd_bench.losses.similarity import cmd

STUDENT, TEACHER = dense_golden.features()
LABELS = dense_golden.fine_labels()
BANK = torch.randn(7, 8, generator=torch.Generator().manual_seed(9)).double()
VALID = torch.tensor([True, True, False, True, True, False, True])

LOSSES = {
    "skd, official": skd_pair,
    "skd, cirkd": lambda s, t: skd_pair(s, t, (2, 2), detach_norm=False),
    "cirkd, mini-batch": cirkd_mini_batch,
    "cirkd, memory": lambda s, t: cirkd_memory(s, t, BANK[:, : s.shape[1]]),
}
EACH = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


def test_golden_values():
    assert skd_pair(STUDENT, TEACHER).item() == pytest.approx(GOLDEN["SKD_pair_official_scale0.5"], rel=1e-7)
    cirkd = skd_pair(STUDENT, TEACHER, (2, 2), detach_norm=False)
    assert cirkd.item() == pytest.approx(GOLDEN["SKD_pair_CIRKD"], rel=1e-12)
    assert cirkd_mini_batch(STUDENT, TEACHER).item() == pytest.approx(GOLDEN["CIRKD_minibatch_tau0.1"], rel=1e-12)


@pytest.mark.parametrize("tau", [0.1, 0.7])
def test_values_are_those_of_the_loops(tau):
    pooled = [F.max_pool2d(f, (2, 2), ceil_mode=True) for f in (STUDENT[..., :7], TEACHER[:, :5, :, :7])]
    value = skd_pair(STUDENT[..., :7], TEACHER[:, :5, :, :7], (2, 2))
    assert value.item() == pytest.approx(naive_dense.skd_pair(*pooled), rel=1e-7)
    s, t = STUDENT[:, :, :3, :3], TEACHER[:, :5, :3, :3]
    assert skd_pair(s, t, None, detach_norm=False).item() == pytest.approx(naive_dense.skd_pair(s, t), rel=1e-10)
    assert cirkd_mini_batch(s, t, tau).item() == pytest.approx(naive_dense.cirkd_mini_batch(s, t, tau), rel=1e-9)
    means = [F.avg_pool2d(f, 2, ceil_mode=True) for f in (s, t)]
    expected = naive_dense.cirkd_mini_batch(*means, tau)
    assert cirkd_mini_batch(s, t, tau, pool=True).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("tau_kd", [1.0, 2.0])
def test_memory_is_that_of_the_loops_over_pixels_that_count(tau_kd):
    coarse = LABELS[:, ::2, ::2]
    rows = [f.permute(0, 2, 3, 1)[coarse != -1].tolist() for f in (STUDENT, TEACHER)]
    assert 0 < len(rows[0]) < coarse.numel()
    expected = tau_kd**2 * naive_dense.memory(*rows, BANK[VALID].tolist(), 0.3 * tau_kd)
    value = cirkd_memory(
        STUDENT, TEACHER, BANK, bank_valid=VALID, labels=LABELS, ignore=-1, tau=0.3, tau_kd=tau_kd, chunk=5
    )
    assert value.item() == pytest.approx(expected, rel=1e-9)


def test_memory_without_pixels_is_zero_with_a_gradient():
    s = STUDENT.clone().requires_grad_()
    value = cirkd_memory(s, TEACHER, BANK, labels=torch.full_like(LABELS, -1), ignore=-1)
    value.backward()
    assert value.item() == 0
    assert s.grad.abs().max() == 0


def test_memory_is_the_same_as_cmd_with_a_bank():
    s, again = (STUDENT.clone().requires_grad_() for _ in range(2))
    value = cirkd_memory(s, TEACHER, BANK, bank_valid=VALID, tau=0.3, tau_kd=2.0, chunk=5)
    rows = [pixel_rows(f) for f in (TEACHER, again)]
    expected = 4 * cmd(*rows, tau_t=0.6, tau_s=0.6, include_self=False, bank=BANK, bank_valid=VALID).kl
    assert value.item() == pytest.approx(expected.item(), rel=1e-12)
    value.backward()
    expected.backward()
    torch.testing.assert_close(s.grad, again.grad, rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_chunks_change_neither_value_nor_gradient(chunk):
    s, again = (STUDENT.clone().requires_grad_() for _ in range(2))
    whole, parts = cirkd_mini_batch(s, TEACHER, chunk=1000), cirkd_mini_batch(again, TEACHER, chunk=chunk)
    assert parts.item() == pytest.approx(whole.item(), rel=1e-13)
    whole.backward()
    parts.backward()
    torch.testing.assert_close(again.grad, s.grad, rtol=1e-10, atol=1e-15)


def test_the_detached_norm_changes_the_gradient_and_not_the_value():
    s, again = (STUDENT.clone().requires_grad_() for _ in range(2))
    official, through = skd_pair(s, TEACHER, (2, 2)), skd_pair(again, TEACHER, (2, 2), detach_norm=False)
    assert official.item() == pytest.approx(through.item(), rel=1e-7)
    official.backward()
    through.backward()
    assert (s.grad - again.grad).norm() > again.grad.norm()
    # Through the norm, no gradient is along a pixel's own feature; that is what detaching lets in.
    t, own = TEACHER.clone(), STUDENT.clone().requires_grad_()
    skd_pair(own, t, None, detach_norm=False).backward()
    assert (own.grad * own).sum(1).abs().max() < 1e-15
    own.grad = None
    skd_pair(own, t, None).backward()
    assert (own.grad * own).sum(1).abs().max() > 1e-5


def test_what_skd_does_not_see():
    expected = skd_pair(STUDENT, TEACHER).item()
    assert skd_pair(37 * STUDENT, TEACHER).item() == pytest.approx(expected, rel=1e-7)
    per_pixel = 1 + torch.rand(2, 1, 4, 8, generator=torch.Generator().manual_seed(0)).double()
    for changed in (per_pixel * STUDENT, turned(STUDENT, rotation(8))):
        assert skd_pair(changed, TEACHER, None).item() == pytest.approx(
            skd_pair(STUDENT, TEACHER, None).item(), rel=1e-7
        )
        assert abs(skd_pair(changed, TEACHER).item() - expected) > 1e-4  # pooled, it does


def test_what_cirkd_does_not_see():
    per_pixel = 0.1 + torch.rand(2, 1, 4, 8, generator=torch.Generator().manual_seed(0)).double()
    for changed in (per_pixel * STUDENT, turned(STUDENT, rotation(8))):
        assert cirkd_mini_batch(changed, TEACHER).item() == pytest.approx(GOLDEN["CIRKD_minibatch_tau0.1"], rel=1e-10)
    assert cirkd_mini_batch(2 * turned(TEACHER, rotation(8)), TEACHER).item() == pytest.approx(0, abs=1e-12)
    assert cirkd_memory(3 * TEACHER, TEACHER, BANK).item() == pytest.approx(0, abs=1e-12)
    assert cirkd_memory(turned(TEACHER, rotation(8)), TEACHER, BANK).item() > 0.1


@EACH
def test_gradients_are_those_of_finite_differences_and_the_teacher_has_none(loss):
    s = STUDENT[:, :3, ::2, ::3].clone().requires_grad_()
    t = TEACHER[:, :3, ::2, ::3].clone().requires_grad_()
    if loss is not skd_pair:  # whose norm is a constant for the gradient alone
        assert torch.autograd.gradcheck(lambda x: loss(x, t.detach()), (s,))
    loss(s, t).backward()
    assert t.grad is None
    assert s.grad.abs().max() > 0


def test_the_official_gradient_holds_norms_constant():
    s = STUDENT[:, :3, ::2, ::3].clone().requires_grad_()
    t, norm = TEACHER[:, :3, ::2, ::3], s.detach().norm(dim=1, keepdim=True)

    def held(x: torch.Tensor) -> torch.Tensor:
        rows, others = ((f / n).flatten(2) for f, n in ((x, norm), (t, t.norm(dim=1, keepdim=True))))
        return (rows.mT @ rows - others.mT @ others).square().mean()

    assert torch.autograd.gradcheck(held, (s,))
    expected = torch.autograd.grad(held(s), s)[0]
    skd_pair(s, t, None).backward()
    torch.testing.assert_close(s.grad, expected, rtol=1e-6, atol=1e-10)


@EACH
@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_saturated_features_stay_finite_in_half_precision(loss, half):
    generator = torch.Generator().manual_seed(3)
    s, t = ((6e4 * torch.randn(2, 8, 4, 8, generator=generator).sign()).to(half) for _ in range(2))
    s.requires_grad_()
    with torch.autocast("cpu", dtype=half):
        value = loss(s, t)
    value.backward()
    assert value.dtype == torch.float32
    assert torch.isfinite(value)
    assert torch.isfinite(s.grad).all()


def test_dead_pixels_leave_the_gradient_finite():
    for loss in LOSSES.values():
        s = STUDENT.float()
        s[:, :, :2] = 0
        s.requires_grad_()
        value = loss(s, TEACHER.float())
        value.backward()
        assert torch.isfinite(value)
        assert torch.isfinite(s.grad).all()


def test_what_cannot_be_meant_is_refused():
    with pytest.raises(ValueError, match="one n, h and w"):
        skd_pair(STUDENT, TEACHER[:1])
    with pytest.raises(ValueError, match="positive"):
        cirkd_mini_batch(STUDENT, TEACHER, -1.0)
    with pytest.raises(ValueError, match="8 and 3 channels"):
        cirkd_memory(STUDENT, TEACHER[:, :3], BANK)
    with pytest.raises(ValueError, match="bank"):
        cirkd_memory(STUDENT, TEACHER, BANK[:, :3])
    with pytest.raises(ValueError, match="empty bank"):
        cirkd_memory(STUDENT, TEACHER, BANK, bank_valid=torch.zeros(7, dtype=torch.bool))
