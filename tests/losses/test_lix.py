"""LIX-style logit distillation: its exact special cases, golden values, gradients in closed form, and its weights."""

import math

import pytest
import torch
import torch.nn.functional as F

from tests.losses import dense_golden
from tests.losses.dense_golden import random_logits
from tests.losses.naive_dense import lix_loop, lix_weights
from xkd_bench.losses.dense_logits import dkd
from xkd_bench.losses.dense_logits import kd as plain_kd
from xkd_bench.losses.lix import controller_objective, dwld, lix, ramp_up, weighted
from xkd_bench.losses.lix_decoupled import decouple
from xkd_bench.losses.lix_weights import CONTROLLERS, Weights, constant, discrepancy, kd, relative, uncertainty

ALL = {**CONTROLLERS, "dkd": constant(1.0, 8.0), "relative": relative(2.0)}
LEVELS = ("pixel", "element")


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("tau", [1.0, 4.0])
def test_values_are_those_of_the_loops(level, name, tau):
    z_s, z_t, label = random_logits(2, 4, 3, 2)
    label[1, 0] = 255
    value = dwld(z_s, z_t, label, ALL[name], tau, level=level)
    element = level == "element"
    assert value.loss.item() == pytest.approx(
        lix_loop(z_s, z_t, label, lix_weights(name, element), tau, element), rel=1e-11
    )


def test_golden_values():
    z_s, z_t, label = dense_golden.logits()
    whole = dwld(z_s, z_t, label, kd, 4.0)
    assert whole.loss.item() == pytest.approx(2.6905811118089282, rel=1e-12)
    assert whole.tcld.item() == pytest.approx(0.034612663931974125, rel=1e-12)
    assert whole.ncld.item() == pytest.approx(0.1655415572565847, rel=1e-12)
    parts = decouple(z_s, z_t, label, 4.0)
    assert parts.mean(parts.sure(parts.teacher)[:, 1]).item() == pytest.approx(0.7926070114485332, rel=1e-12)
    assert dwld(z_s, z_t, label, constant(1, 8), 4.0).loss.item() == pytest.approx(21.743121951754425, rel=1e-12)
    assert dwld(z_s, z_t, label, constant(1, 0), 4.0).loss.item() == pytest.approx(0.5538026229115857, rel=1e-12)
    assert dwld(z_s, z_t, label, constant(0, 1), 4.0).loss.item() == pytest.approx(2.648664916105355, rel=1e-12)
    # Two weights of 1 are not KL; a relative weight of 1 is.
    assert dwld(z_s, z_t, label, constant(1, 1)).loss.item() == pytest.approx(1.5851700012921754, rel=1e-12)
    assert dwld(z_s, z_t, label, relative(1.0)).loss.item() == pytest.approx(1.2982074386354128, rel=1e-12)
    label[0, 0, :3] = -1
    ignored = dwld(z_s, z_t, label, kd, 4.0, ignore=-1)
    assert ignored.loss.item() == pytest.approx(2.747141579823851, rel=1e-12)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("tau", [1.0, 4.0])
def test_kl_and_dkd_are_special_cases(level, tau):
    z_s, z_t, label = random_logits(2, 6, 4, 3)
    label[0, 1, 1] = 255
    kl = plain_kd(z_s, z_t, tau, labels=label)
    assert dwld(z_s, z_t, label, kd, tau, level=level).loss.item() == pytest.approx(kl.item(), abs=1e-12)
    decoupled = dkd(z_s, z_t, label, 1.5, 8.0, tau)
    assert dwld(z_s, z_t, label, constant(1.5, 8), tau, level=level).loss.item() == pytest.approx(
        decoupled.loss.item(), rel=1e-12
    )


def test_no_constant_weight_is_the_same_in_units_of_kl_at_every_pixel_and_one_weight_a_pixel_is():
    z_s, z_t, label = random_logits(2, 5, 4, 4)
    parts = decouple(z_s, z_t, label)
    of_kl = kd(parts, "pixel").beta
    assert of_kl.max() > 3 * of_kl.min()
    for beta in (0.1, 1.0, 8.0):
        ratio = constant(1, beta)(parts, "pixel").beta / of_kl
        assert ratio.max() > 3 * ratio.min()
    # Any wanted ratio is reached by one weight a pixel: half of the non-target term of KL in one half of the pixels.
    wanted = torch.where(torch.arange(4) < 2, 0.5, 1.0).expand_as(of_kl)
    got = weighted(parts, Weights(torch.zeros_like(of_kl), wanted * of_kl))
    torch.testing.assert_close(got, wanted * (plain_pixels(z_s, z_t) - parts.tcld()))
    # Where the teacher is equally sure of all pixels, one constant serves.
    flat = decouple(z_s, torch.zeros_like(z_t), label)
    torch.testing.assert_close(kd(flat, "pixel").beta, torch.full_like(of_kl, 0.8))


def plain_pixels(z_s: torch.Tensor, z_t: torch.Tensor) -> torch.Tensor:
    return F.kl_div(z_s.log_softmax(1), z_t.log_softmax(1), log_target=True, reduction="none").sum(1)


def test_terms_are_divergences():
    z_s, z_t, label = random_logits(3, 5, 6, 6)
    parts = decouple(z_s, z_t, label)
    assert (parts.tcld() >= 0).all()
    assert (parts.ncld() >= 0).all()
    torch.testing.assert_close(parts.probabilities(parts.student), z_s.softmax(1))
    torch.testing.assert_close(parts.probabilities(parts.teacher), z_t.softmax(1))
    torch.testing.assert_close(parts.rest(parts.teacher).sum(1), torch.ones(3, 6, 6).double())
    assert (parts.rest(parts.teacher).gather(1, label[:, None]) == 0).all()
    unsure = parts.sure(parts.teacher)[:, 1]
    torch.testing.assert_close(parts.tcld() + unsure * parts.ncld(), plain_pixels(z_s, z_t), rtol=1e-12, atol=1e-14)
    # TCLD is 0 iff the probabilities of the label are equal.
    same = z_s.clone()
    other = z_s.scatter(1, label[:, None], -math.inf).logsumexp(1, keepdim=True)
    same.scatter_(1, label[:, None], parts.teacher.margin[:, None] + other)
    equal = decouple(same, z_t, label)
    assert equal.tcld().abs().max() < 1e-14
    assert parts.tcld().min() > 0
    torch.testing.assert_close(equal.ncld(), parts.ncld())


def test_ncld_does_not_see_the_label_and_neither_sees_a_constant():
    z_s, z_t, label = random_logits(2, 5, 3, 3)
    before = decouple(z_s, z_t, label)
    moved = decouple(z_s.scatter_add(1, label[:, None], torch.full((2, 1, 3, 3), 3.0).double()), z_t, label)
    assert (moved.ncld() - before.ncld()).abs().max() < 1e-15
    assert (moved.tcld() - before.tcld()).abs().max() > 0.01
    shifted = decouple(z_s + torch.randn(2, 1, 3, 3).double(), z_t - 7, label)
    torch.testing.assert_close(shifted.ncld(), before.ncld(), rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(shifted.tcld(), before.tcld(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", ALL)
def test_the_teacher_itself_has_loss_0_and_gradient_0(name, level):
    z, _, label = random_logits(2, 5, 3, 3)
    student = z.clone().requires_grad_()
    value = dwld(student, z, label, ALL[name], 2.0, level=level).loss
    value.backward()
    assert abs(value.item()) < 1e-15
    assert student.grad.abs().max() < 1e-15


def test_gradients_in_closed_form():
    z_s, z_t, label = random_logits(2, 5, 3, 4)
    z_s.requires_grad_()
    at_label = F.one_hot(label, 5).movedim(3, 1).bool()
    parts = decouple(z_s, z_t, label)
    (grad,) = torch.autograd.grad(parts.ncld().sum(), z_s)
    torch.testing.assert_close(grad, (parts.rest(parts.student) - parts.rest(parts.teacher)).detach())
    assert (grad[at_label] == 0).all()
    (grad,) = torch.autograd.grad(decouple(z_s, z_t, label).tcld().sum(), z_s)
    b_s, b_t = (parts.sure(side)[:, :1].detach() for side in (parts.student, parts.teacher))
    expected = torch.where(at_label, b_s - b_t, (b_t - b_s) * parts.rest(parts.student).detach())
    torch.testing.assert_close(grad, expected)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", ALL)
def test_weights_are_constants_for_the_gradient(name, level):
    z_s, z_t, label = random_logits(1, 4, 2, 3)
    label[0, 0, 0] = 255
    fixed = ALL[name](decouple(z_s, z_t, label, 2.0), level)
    for side in (z_s, z_t):
        side.requires_grad_()
    dwld(z_s, z_t, label, ALL[name], 2.0, level=level).loss.backward()
    grad = z_s.grad.clone()
    z_s.grad = None
    dwld(z_s, z_t, label, lambda parts, level: fixed, 2.0, level=level).loss.backward()
    torch.testing.assert_close(grad, z_s.grad, rtol=1e-12, atol=1e-15)
    assert z_t.grad is None
    # With the weights held, those are the gradients of finite differences.
    assert torch.autograd.gradcheck(lambda x: dwld(x, z_t, label, lambda p, _: fixed, 2.0, level=level).loss, (z_s,))


def test_elements_are_safe_to_weigh_and_sum_to_the_terms():
    z_s, z_t, label = random_logits(4, 6, 5, 5)
    parts = decouple(z_s, z_t, label)
    for elements, term in ((parts.tcld_elements(), parts.tcld()), (parts.ncld_elements(), parts.ncld())):
        assert (elements >= 0).all()
        torch.testing.assert_close(elements.sum(1), term, rtol=1e-12, atol=1e-14)
    # The plain ones are not: some are well below 0.
    plain = parts.rest(parts.teacher) * (parts.teacher.log_rest - parts.student.log_rest)
    assert plain.min() < -0.1


def test_weights_of_the_controllers_are_in_their_ranges():
    z_s, z_t, label = random_logits(3, 5, 4, 4, scale=6.0)
    parts = decouple(z_s, z_t, label)
    for level in LEVELS:
        alpha, beta = discrepancy(parts, level)
        for weight in (alpha, beta):
            assert weight.min() >= 1
            assert weight.max() <= 2
        assert beta.max() > 1.9
    # By element the mean over the other classes is the pixel's weight.
    pixel, element = (uncertainty(parts, level).beta for level in LEVELS)
    assert pixel.min() >= 0
    assert pixel.max() <= 1
    torch.testing.assert_close(element.sum(1) / 4, pixel)
    flat = decouple(z_s, torch.zeros_like(z_t), label)
    torch.testing.assert_close(uncertainty(flat, "pixel").beta, torch.ones(3, 4, 4).double())


def test_ignored_pixels_count_for_nothing():
    z_s, z_t, label = random_logits(2, 4, 3, 3)
    label[0] = 255
    z_s.requires_grad_()
    value = dwld(z_s, z_t, label)
    alone = dwld(z_s[1:], z_t[1:], label[1:])
    assert value.loss.item() == pytest.approx(alone.loss.item(), rel=1e-14)
    assert value.ncld.item() == pytest.approx(alone.ncld.item(), rel=1e-14)
    value.loss.backward()
    assert (z_s.grad[0] == 0).all()
    assert (z_s.grad[1] != 0).all()
    nothing = dwld(z_s, z_t, torch.full_like(label, 255))
    assert nothing.loss.item() == 0
    nothing.loss.backward()
    assert torch.isfinite(z_s.grad).all()


def test_labels_are_taken_at_the_logits_grid_from_any_integers():
    z_s, z_t, label = random_logits(2, 4, 3, 2)
    fine = label.repeat_interleave(4, 1).repeat_interleave(2, 2)
    value = dwld(z_s, z_t, label).loss
    assert dwld(z_s, z_t, fine).loss.item() == value.item()
    assert dwld(z_s, z_t, fine.to(torch.uint8)).loss.item() == value.item()


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", ALL)
def test_two_classes_leave_the_first_term_alone(name, level):
    z_s, z_t, label = random_logits(2, 2, 3, 3)
    parts = decouple(z_s, z_t, label)
    assert (parts.ncld() == 0).all()
    value = dwld(z_s.requires_grad_(), z_t, label, ALL[name], level=level)
    value.loss.backward()
    alpha = ALL[name](parts, level).alpha
    alpha = alpha if alpha.ndim == 3 else alpha[:, 0]
    assert value.loss.item() == pytest.approx((alpha * parts.tcld()).mean().item(), rel=1e-12)
    assert torch.isfinite(z_s.grad).all()


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_half_precision_reaches_the_inputs_alone_and_saturated_ones_stay_finite(name, level, half):
    z_s, z_t, label = random_logits(2, 5, 3, 3, scale=500.0)
    z_s[0], z_t[0] = 6e4 * z_s[0].sign(), 6e4 * z_t[0].sign()  # what float16 can just hold
    z_s, z_t = z_s.to(half).requires_grad_(), z_t.to(half)
    with torch.autocast("cpu", dtype=half):
        value = dwld(z_s, z_t, label, ALL[name], level=level).loss
    assert value.dtype == torch.float32
    assert torch.equal(value, dwld(z_s.float(), z_t.float(), label, ALL[name], level=level).loss)
    assert torch.isfinite(value)
    assert value > 0
    value.backward()
    assert torch.isfinite(z_s.grad).all()


def test_the_released_form_of_dkd_breaks_where_this_one_does_not():
    # DKD's code hides the label by adding -1000 to its logit, and takes logarithms of softmax outputs.
    z_s = torch.tensor([[[[200.0]], [[-200.0]], [[0.0]]]])
    z_t = -z_s
    label = torch.zeros(1, 1, 1, dtype=torch.long)
    at_label = F.one_hot(label, 3).movedim(3, 1)
    b_s, b_t = ((z.softmax(1) * at_label).sum(1) for z in (z_s, z_t))
    released = b_t * (b_t / b_s).log() + (1 - b_t) * ((1 - b_t).log() - (1 - b_s).log())
    assert not torch.isfinite(released).all()
    value = dwld(z_s, z_t, label, constant(1, 8))
    exact = dwld(z_s.double(), z_t.double(), label, constant(1, 8))
    assert value.loss.item() == pytest.approx(exact.loss.item(), rel=1e-6)
    # By hand: TCLD = log(1/(1-b_S)) = 200, NCLD = 200.
    assert exact.loss.item() == pytest.approx(200 + 8 * 200, rel=1e-12)


# The joint loss.


def test_the_objective_is_its_weighted_terms():
    task, logit, feature = torch.tensor(2.0), torch.tensor(3.0), torch.tensor(0.5)
    out = lix(task, logit, feature, weight_logit=0.1, weight_feature=4.0, ramp=0.25)
    assert out.loss.item() == pytest.approx(2 + 0.25 * (0.3 + 2))
    assert (out.task, out.logit, out.feature) == (task, logit, feature)
    assert lix(task, logit, feature, weight_logit=1, weight_feature=1).loss.item() == 5.5
    assert [ramp_up(step, 4) for step in range(6)] == [0, 0.25, 0.5, 0.75, 1, 1]
    assert ramp_up(0, 0) == 1
    for bad in ({"weight_logit": -1.0}, {"weight_feature": -1.0}, {"ramp": 1.5}):
        with pytest.raises(ValueError, match="negative"):
            lix(task, logit, feature, **{"weight_logit": 1.0, "weight_feature": 1.0, **bad})


def test_what_cannot_be_meant_is_refused():
    z_s, z_t, label = random_logits(2, 4, 3, 3)
    for given, message in (
        ((z_s, z_t[:, :3], label), "width"),
        ((z_s, z_t[..., :2], label), "maps"),
        ((z_s, z_t, label[:1]), "label maps"),
        ((z_s, z_t, label.double()), "integers"),
        ((z_s[:, :1], z_t[:, :1], label * 0), "2 classes"),
    ):
        with pytest.raises(ValueError, match=message):
            dwld(*given)
    with pytest.raises(ValueError, match="temperatures"):
        dwld(z_s, z_t, label, tau=0.0)
    for function in (dwld, controller_objective):
        with pytest.raises(ValueError, match="level must be"):
            function(z_s, z_t, label, kd, level="logit")
    with pytest.raises((IndexError, RuntimeError), match="out of bounds"):
        dwld(z_s, z_t, label + 4)
    with pytest.raises(ValueError, match="beta=-1"):
        constant(1, -1)
    with pytest.raises(ValueError, match="weight=-1"):
        relative(-1)
