"""KD, DKD, CWD, DIST and SKD's pixel term: golden values, loops over pixels, identities, invariances, gradients."""

import pytest
import torch
import torch.nn.functional as F

from tests.losses import dense_golden, naive_dense
from tests.losses.dense_golden import GOLDEN
from xkd_bench.losses.dense_logits import cwd, dist, dkd, kd, skd_pixel

STUDENT, TEACHER, LABELS = dense_golden.logits()
HIDDEN = LABELS.clone()
HIDDEN[0, 0, :3] = 255
ALL = torch.ones_like(LABELS, dtype=torch.bool)

LOSSES = {
    "kd": lambda s, t: kd(s, t, 2.0),
    "kd, ignoring": lambda s, t: kd(s, t, 1.0, labels=HIDDEN),
    "dkd": lambda s, t: dkd(s, t, HIDDEN).loss,
    "cwd": lambda s, t: cwd(s, t, 4.0),
    "dist": lambda s, t: dist(s, t, 2.0, labels=HIDDEN),
    "skd_pixel": lambda s, t: skd_pixel(s, t),
}
EACH = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


def test_golden_values():
    assert kd(STUDENT, TEACHER).item() == pytest.approx(GOLDEN["KD_T1"], rel=1e-12)
    assert kd(STUDENT, TEACHER, 4.0).item() == pytest.approx(GOLDEN["KD_T4"], rel=1e-12)
    ignoring = kd(STUDENT, TEACHER, 4.0, labels=HIDDEN)
    assert ignoring.item() == pytest.approx(GOLDEN["KD_T4_first3px_of_img0_ignored"], rel=1e-12)
    published = dkd(STUDENT, TEACHER, LABELS)
    assert published.loss.item() == pytest.approx(GOLDEN["DKD_a1_b8_T4"], rel=1e-12)
    assert published.target.item() == pytest.approx(GOLDEN["TCKD_T4"], rel=1e-12)
    assert published.non_target.item() == pytest.approx(GOLDEN["NCKD_T4"], rel=1e-12)
    assert published.target.item() / 16 == pytest.approx(GOLDEN["mean_TC_T4"], rel=1e-12)
    assert published.non_target.item() / 16 == pytest.approx(GOLDEN["mean_NC_T4"], rel=1e-12)
    assert dkd(STUDENT, TEACHER, LABELS, 1, 1, 1).loss.item() == pytest.approx(GOLDEN["DKD_a1_b1_T1"], rel=1e-12)
    assert cwd(STUDENT, TEACHER).item() == pytest.approx(GOLDEN["CWD_tau4_logits"], rel=1e-12)
    assert cwd(STUDENT, TEACHER, 1.0).item() == pytest.approx(GOLDEN["CWD_tau1_logits"], rel=1e-12)
    assert dist(STUDENT, TEACHER).item() == pytest.approx(GOLDEN["DIST_tau1_w1_w1"], rel=1e-12)
    assert dist(STUDENT, TEACHER, 1, 1, 2).item() == pytest.approx(GOLDEN["DIST_tau1_w1_w2"], rel=1e-12)
    assert skd_pixel(STUDENT, TEACHER).item() == pytest.approx(GOLDEN["SKD_pixelwise_official"], rel=1e-12)
    assert skd_pixel(STUDENT, TEACHER, over_batch=True).item() == pytest.approx(4.612935418061545 / 2, rel=1e-12)


@pytest.mark.parametrize("tau", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("labels", [LABELS, HIDDEN], ids=["all", "some ignored"])
def test_values_are_those_of_the_loops(tau, labels):
    counts = labels != 255
    assert kd(STUDENT, TEACHER, tau, labels=labels).item() == pytest.approx(
        naive_dense.kd(STUDENT, TEACHER, tau, counts), rel=1e-10
    )
    target, others = naive_dense.dkd(STUDENT, TEACHER, labels, tau, 255)
    out = dkd(STUDENT, TEACHER, labels, 0.5, 3.0, tau)
    assert [x.item() for x in out] == pytest.approx([0.5 * target + 3 * others, target, others], rel=1e-9)
    rows, columns = naive_dense.dist(STUDENT, TEACHER, tau, counts)
    assert dist(STUDENT, TEACHER, tau, 0.3, 2.0, labels=labels).item() == pytest.approx(
        0.3 * rows + 2 * columns, rel=1e-9
    )
    assert cwd(STUDENT, TEACHER, tau).item() == pytest.approx(naive_dense.cwd(STUDENT, TEACHER, tau), rel=1e-10)


def test_labels_come_down_to_the_grid_of_the_logits():
    fine = HIDDEN.repeat_interleave(4, 1).repeat_interleave(4, 2)
    for labels in (fine, fine.to(torch.uint8)):
        assert torch.equal(kd(STUDENT, TEACHER, labels=labels), kd(STUDENT, TEACHER, labels=HIDDEN))
        assert torch.equal(dkd(STUDENT, TEACHER, labels).loss, dkd(STUDENT, TEACHER, HIDDEN).loss)


def test_what_ignored_pixels_say_does_not_matter():
    other = STUDENT.clone()
    other[0, :, 0, :3] += torch.linspace(-3, 5, 5).double()[:, None]
    for loss in (
        lambda s: kd(s, TEACHER, labels=HIDDEN),
        lambda s: dkd(s, TEACHER, HIDDEN).loss,
        lambda s: dist(s, TEACHER, labels=HIDDEN),
    ):
        assert loss(other).item() == pytest.approx(loss(STUDENT).item(), rel=1e-13)
    assert abs(kd(other, TEACHER) - kd(STUDENT, TEACHER)) > 1e-3


def test_nothing_but_ignored_pixels_is_zero_with_a_gradient():
    nothing = torch.full_like(LABELS, 255)
    for loss in (kd, dist, lambda s, t, labels: dkd(s, t, labels).loss):
        s = STUDENT.clone().requires_grad_()
        value = loss(s, TEACHER, labels=nothing)
        value.backward()
        assert value.item() == 0
        assert s.grad.abs().max() == 0


def test_decoupled_parts_make_the_divergence_again():
    # KL = TCKD + (1 - b_T) NCKD at each pixel: with one pixel counted at a time, the means are the pixel's values.
    p = TEACHER.softmax(1)
    for image, row, column in ((0, 0, 0), (1, 3, 5), (0, 2, 4)):
        one = torch.full_like(LABELS, 255)
        y = one[image, row, column] = LABELS[image, row, column]
        parts = dkd(STUDENT, TEACHER, one, 1, 1, 1)
        rest = 1 - p[image, y, row, column]
        assert (parts.target + rest * parts.non_target).item() == pytest.approx(
            kd(STUDENT, TEACHER, labels=one).item(), rel=1e-12
        )


def test_mean_non_target_probability():
    others = 1 - (TEACHER / 4).softmax(1).gather(1, LABELS[:, None])
    assert others.mean().item() == pytest.approx(0.7926070114485332, rel=1e-12)


def test_gradients_of_the_decoupled_parts_have_their_closed_form():
    is_y = F.one_hot(LABELS, 5).permute(0, 3, 1, 2).bool()
    p, q = TEACHER.softmax(1), STUDENT.softmax(1)
    b_t, b_s = ((x * is_y).sum(1, keepdim=True) for x in (p, q))
    p_hat, q_hat = (p / (1 - b_t)).masked_fill(is_y, 0), (q / (1 - b_s)).masked_fill(is_y, 0)
    for weights, expected in (((1, 0), torch.where(is_y, b_s - b_t, (b_t - b_s) * q_hat)), ((0, 1), q_hat - p_hat)):
        s = STUDENT.clone().requires_grad_()
        dkd(s, TEACHER, LABELS, *weights, 1.0).loss.backward()
        torch.testing.assert_close(s.grad, expected / LABELS.numel(), rtol=1e-11, atol=1e-15)


def test_non_targets_do_not_see_the_target_logit_and_two_classes_have_none():
    moved = STUDENT.scatter_add(1, LABELS[:, None], torch.full((2, 1, 4, 6), 1.7).double())
    before, after = dkd(STUDENT, TEACHER, LABELS), dkd(moved, TEACHER, LABELS)
    assert after.non_target.item() == pytest.approx(before.non_target.item(), rel=1e-13)
    assert abs(after.target - before.target) > 0.01
    assert dkd(STUDENT[:, :2], TEACHER[:, :2], LABELS % 2).non_target.item() == 0


def test_equal_logits_are_the_minimum():
    s = TEACHER.clone().requires_grad_()
    for loss in (LOSSES["kd"], LOSSES["dkd"], LOSSES["cwd"], LOSSES["skd_pixel"], LOSSES["dist"]):
        s.grad = None
        loss(s, TEACHER).backward()
        assert s.grad.abs().max() < 1e-7  # DIST's 1e-8 beside its norms
        assert loss(STUDENT, TEACHER) > loss(TEACHER, TEACHER)
    assert kd(TEACHER, TEACHER).item() == 0
    entropy = -(TEACHER.softmax(1) * TEACHER.log_softmax(1)).sum(1)
    assert skd_pixel(TEACHER, TEACHER).item() == pytest.approx(entropy.mean().item() * 2, rel=1e-12)


def test_kd_sees_differences_within_a_pixel_and_cwd_within_a_channel():
    s = STUDENT.clone().requires_grad_()
    kd(s, TEACHER, 2.0).backward()
    assert s.grad.sum(1).abs().max() < 1e-15
    s.grad = None
    cwd(s, TEACHER).backward()
    assert s.grad.sum((2, 3)).abs().max() < 1e-15
    generator = torch.Generator().manual_seed(0)
    per_pixel = STUDENT + torch.randn(2, 1, 4, 6, generator=generator).double()
    per_channel = STUDENT + torch.randn(2, 5, 1, 1, generator=generator).double()
    assert kd(per_pixel, TEACHER).item() == pytest.approx(GOLDEN["KD_T1"], rel=1e-12)
    assert cwd(per_channel, TEACHER).item() == pytest.approx(GOLDEN["CWD_tau4_logits"], rel=1e-12)
    assert abs(kd(per_channel, TEACHER).item() - GOLDEN["KD_T1"]) > 0.01
    assert abs(cwd(per_pixel, TEACHER).item() - GOLDEN["CWD_tau4_logits"]) > 0.01


def test_cwd_does_not_see_where_places_are():
    order = torch.randperm(24, generator=torch.Generator().manual_seed(1))
    s, t = (z.flatten(2)[..., order].reshape(z.shape) for z in (STUDENT, TEACHER))
    assert cwd(s, t).item() == pytest.approx(GOLDEN["CWD_tau4_logits"], rel=1e-13)
    assert abs(cwd(s, TEACHER).item() - GOLDEN["CWD_tau4_logits"]) > 0.01


def test_a_hot_temperature_compares_centred_logits():
    apart = STUDENT - TEACHER
    limit = (apart - apart.mean(1, keepdim=True)).square().sum(1).mean() / (2 * 5)
    assert kd(STUDENT, TEACHER, 1000.0).item() == pytest.approx(limit.item(), rel=2e-4)


def test_rows_of_dist_do_not_see_affine_maps_of_probabilities_and_columns_do():
    # q = a p + (1 - a)/k is a law again, and a positive affine map of p at each pixel.
    p = TEACHER.softmax(1)
    mix = torch.rand(2, 1, 4, 6, generator=torch.Generator().manual_seed(2)).double() * 0.8 + 0.1
    q = (mix * p + (1 - mix) / 5).log()
    assert dist(q, TEACHER, inter=1, intra=0).item() == pytest.approx(0, abs=1e-6)
    assert dist(q, TEACHER, inter=0, intra=1).item() > 0.01


def test_a_head_that_starts_at_zero_has_a_finite_gradient():
    s = torch.zeros(2, 5, 4, 6, requires_grad=True)
    value = dist(s, TEACHER.float())
    value.backward()
    assert value.item() == pytest.approx(2)
    assert s.grad.abs().max() < 1


@EACH
def test_gradients_are_those_of_finite_differences_and_the_teacher_has_none(loss):
    s = STUDENT[:, :, :2, :3].clone().requires_grad_()
    t = TEACHER[:, :, :2, :3].clone().requires_grad_()
    hidden = HIDDEN[:, :2, :3]
    small = {
        "kd, ignoring": lambda s, t: kd(s, t, 1.0, labels=hidden),
        "dkd": lambda s, t: dkd(s, t, hidden).loss,
        "dist": lambda s, t: dist(s, t, 2.0, labels=hidden),
    }
    name = next(name for name, f in LOSSES.items() if f is loss)
    loss = small.get(name, loss)
    assert torch.autograd.gradcheck(lambda x: loss(x, TEACHER[:, :, :2, :3]), (s,))
    loss(s, t).backward()
    assert t.grad is None


@EACH
@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_saturated_logits_stay_finite_in_half_precision(loss, half):
    generator = torch.Generator().manual_seed(3)
    s, t = ((6e4 * torch.randn(2, 5, 4, 6, generator=generator).sign()).to(half) for _ in range(2))
    s.requires_grad_()
    with torch.autocast("cpu", dtype=half):
        value = loss(s, t)
    value.backward()
    assert value.dtype == torch.float32
    assert torch.isfinite(value)
    assert torch.isfinite(s.grad).all()


@EACH
def test_float32_is_near_float64(loss):
    assert loss(STUDENT.float(), TEACHER.float()).item() == pytest.approx(loss(STUDENT, TEACHER).item(), rel=2e-5)


def test_what_cannot_be_meant_is_refused():
    with pytest.raises(ValueError, match="one n, h and w"):
        kd(STUDENT, TEACHER[:, :, :2])
    with pytest.raises(ValueError, match="5 and 4 channels"):
        cwd(STUDENT, TEACHER[:, :4])
    with pytest.raises(ValueError, match="positive"):
        kd(STUDENT, TEACHER, 0.0)
    with pytest.raises(ValueError, match="integers"):
        kd(STUDENT, TEACHER, labels=LABELS.float())
    with pytest.raises(ValueError, match="as many label maps"):
        kd(STUDENT, TEACHER, labels=LABELS[:1])
    with pytest.raises(ValueError, match="2 classes"):
        dkd(STUDENT[:, :1], TEACHER[:, :1], LABELS * 0)
