"""CMD in both readings against loops written from the formula, closed forms, limits and gradients."""

import math

import pytest
import torch
import torch.nn.functional as F

from tests.losses import naive
from tests.losses.test_contrastive import pair, rotation
from xkd_bench.losses.contrastive import cmc
from xkd_bench.losses.similarity import cmd

FORMS = pytest.mark.parametrize("form", ["seed", "intra"])
SELF = pytest.mark.parametrize("include_self", [True, False])


@FORMS
@SELF
@pytest.mark.parametrize(("tau_t", "tau_s"), [(0.05, 0.2), (0.1, 0.1), (1.0, 0.5)])
@pytest.mark.parametrize(("n", "d"), [(3, 2), (8, 4), (17, 32)])
def test_values_are_those_of_the_loops(form, include_self, n, d, tau_t, tau_s):
    a, b = pair(n, d, seed=n)
    expected = naive.cmd(a, b, form, tau_t, tau_s, include_self)
    out = cmd(a, b, form=form, tau_t=tau_t, tau_s=tau_s, include_self=include_self)._asdict()
    assert {k: v.item() for k, v in out.items()} == pytest.approx(expected, rel=1e-10, abs=1e-12)


@SELF
@pytest.mark.parametrize("n", [1, 2, 9])
@pytest.mark.parametrize("q", [2, 30])
def test_a_bank_takes_the_place_of_the_batch(include_self, n, q):
    a, b = pair(n, 6)
    bank = pair(q, 6, seed=4)[0]
    expected = naive.cmd(a, b, "seed", 0.2, 0.3, include_self, bank)
    out = cmd(a, b, tau_t=0.2, tau_s=0.3, include_self=include_self, bank=bank)._asdict()
    assert {k: v.item() for k, v in out.items()} == pytest.approx(expected, rel=1e-10, abs=1e-12)


def test_a_bank_judges_each_pair_by_itself():
    a, b = pair(6, 5)
    bank = pair(20, 5, seed=4)[0]
    alone = [cmd(a[i : i + 1], b[i : i + 1], bank=bank).loss.item() for i in range(6)]
    assert cmd(a, b, bank=bank).loss.item() == pytest.approx(sum(alone) / 6, rel=1e-12)


def test_the_worked_example():
    # Candidates are three axes; the fourth makes up the length, so that the laws are p and q to the last digit.
    p, q, tau = torch.tensor([0.7, 0.2, 0.1]).double(), torch.tensor([0.5, 0.3, 0.2]).double(), 0.1

    def feature(law: torch.Tensor) -> torch.Tensor:
        cosines = tau * law.log()
        return torch.cat((cosines, (1 - cosines.square().sum()).sqrt()[None]))[None]

    out = cmd(feature(p), feature(q), bank=torch.eye(4).double()[:3], tau_t=tau, tau_s=tau, include_self=False)
    golden = (0.886941, 0.801819, 0.085123, 0.2)
    assert [v.item() for v in out] == pytest.approx(golden, abs=6e-7)


@FORMS
@SELF
def test_a_student_that_equals_the_teacher_has_no_divergence(form, include_self):
    a, _ = pair(16, 8)
    out = cmd(a, 5 * a, form=form, tau_t=0.2, tau_s=0.2, include_self=include_self)
    assert out.kl.item() == pytest.approx(0, abs=1e-12)
    assert out.tv.item() == pytest.approx(0, abs=1e-12)
    assert cmd(a, a, form=form, tau_t=0.2, tau_s=0.1, include_self=include_self).kl.item() > 1e-3


def test_intra_knows_no_rotation_and_seed_does():
    a, b = pair(64, 8)
    turned = a @ rotation(8)
    assert cmd(a, turned, form="intra").kl.item() == pytest.approx(0, abs=1e-12)
    assert cmd(a, turned, form="seed").kl.item() > 0.1
    before = cmd(a, b, form="intra").loss.item()
    assert cmd(a, b @ rotation(8), form="intra").loss.item() == pytest.approx(before, rel=1e-12)
    assert abs(cmd(a, b @ rotation(8), form="seed").loss.item() - cmd(a, b, form="seed").loss.item()) > 0.01


def test_intra_needs_no_common_width():
    a, b = pair(6, 4)
    padded = F.pad(b, (0, 3))
    assert cmd(a, padded, form="intra").loss.item() == pytest.approx(cmd(a, b, form="intra").loss.item(), rel=1e-12)


@FORMS
@SELF
def test_the_divergence_is_never_negative_and_laws_stay_laws(form, include_self):
    for seed in range(20):
        a, b = pair(7, 3, seed)
        out = cmd(a, b, form=form, tau_t=0.1, tau_s=0.3, include_self=include_self)
        candidates = 7 if include_self else 6
        assert out.kl.item() > 0
        assert out.loss.item() == pytest.approx(out.kl.item() + out.entropy.item(), rel=1e-12)
        assert 0 <= out.entropy.item() <= math.log(candidates)
        assert 0 <= out.tv.item() <= 1
        assert out.tv.item() <= math.sqrt(out.kl.item() / 2)  # Pinsker, for the means by Jensen
        assert out.loss.item() <= math.log(candidates) + 2 / 0.3


@pytest.mark.parametrize(("tau_t", "rel"), [(0.02, 1e-5), (1e-4, 1e-12)])
def test_a_cold_teacher_makes_seed_the_target_to_source_half_of_cmc(tau_t, rel):
    a, b = pair(24, 128, seed=1)
    logits = F.normalize(b) @ F.normalize(a).T / 0.1
    half = F.cross_entropy(logits, torch.arange(24))
    out = cmd(a, b, form="seed", tau_t=tau_t, tau_s=0.1)
    assert out.loss.item() == pytest.approx(half.item(), rel=rel)
    other = F.cross_entropy(logits.T, torch.arange(24))
    assert cmc(a, b, 0.1).item() == pytest.approx((half + other).item() / 2, rel=1e-12)
    assert abs((half - other).item()) > 1e-4  # the two halves differ: the test tells them apart


@FORMS
def test_a_hot_teacher_is_uniform_over_its_candidates(form):
    a, b = pair(9, 5)
    assert cmd(a, b, form=form, tau_t=1e9).entropy.item() == pytest.approx(math.log(9), rel=1e-8)
    assert cmd(a, b, form=form, tau_t=1e9, include_self=False).entropy.item() == pytest.approx(math.log(8), rel=1e-8)
    bank = pair(20, 5, seed=2)[0]
    assert cmd(a, b, tau_t=1e9, bank=bank).entropy.item() == pytest.approx(math.log(21), rel=1e-8)
    assert cmd(a, b, tau_t=1e9, bank=bank, include_self=False).entropy.item() == pytest.approx(math.log(20), rel=1e-8)


@FORMS
@SELF
def test_a_common_permutation_changes_nothing_and_a_broken_pairing_does(form, include_self):
    a, b = pair(10, 4)
    order = torch.randperm(10, generator=torch.Generator().manual_seed(0))
    before = cmd(a, b, form=form, include_self=include_self).loss.item()
    assert cmd(a[order], b[order], form=form, include_self=include_self).loss.item() == pytest.approx(before, rel=1e-12)
    assert abs(cmd(a, b[order], form=form, include_self=include_self).loss.item() - before) > 1e-3


@FORMS
@SELF
def test_the_teacher_gets_no_gradient_and_the_student_a_finite_one(form, include_self):
    a, b = (z.requires_grad_() for z in pair(5, 4))
    out = cmd(a, b, form=form, include_self=include_self)
    out.loss.backward()
    assert a.grad is None
    assert torch.isfinite(b.grad).all()
    assert b.grad.abs().max() > 1e-4
    assert not out.entropy.requires_grad
    assert not out.tv.requires_grad


def test_the_bank_gets_no_gradient():
    a, b = pair(5, 4)
    bank = pair(7, 4, seed=1)[0].requires_grad_()
    cmd(a, b.requires_grad_(), bank=bank).loss.backward()
    assert bank.grad is None


def test_the_gradient_at_the_logits_is_the_difference_of_the_laws():
    # Against a bank of d axes and unit students the logits are b/τ; the chain rule through b/|b| is a projection.
    n, d, tau = 6, 5, 0.3
    a, b = pair(n, d)
    b = F.normalize(b).requires_grad_()
    cmd(a, b, bank=torch.eye(d).double(), tau_t=tau, tau_s=tau, include_self=False).loss.backward()
    p, q = (F.normalize(a) / tau).softmax(1), (b.detach() / tau).softmax(1)
    at_logits = (q - p) / n
    along = (at_logits * b.detach()).sum(1, keepdim=True) * b.detach()
    assert torch.allclose(b.grad, (at_logits - along) / tau, atol=1e-14)


@FORMS
@SELF
def test_gradients_are_those_of_finite_differences(form, include_self):
    a, b = pair(4, 3)
    b.requires_grad_()
    assert torch.autograd.gradcheck(lambda y: cmd(a, y, form=form, include_self=include_self).loss, (b,))


@FORMS
@SELF
@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_half_precision_reaches_the_inputs_alone(form, include_self, half):
    a, b = (z.to(half) for z in pair(32, 16, dtype=torch.float32))
    exact = cmd(a.float(), b.float(), form=form, tau_t=0.02, include_self=include_self)
    with torch.autocast("cpu", dtype=half):
        out = cmd(a, b, form=form, tau_t=0.02, include_self=include_self)
    for mine, right in zip(out, exact, strict=True):
        assert mine.dtype == torch.float32
        assert torch.isfinite(mine)
        assert torch.equal(mine, right)


@pytest.mark.parametrize(
    ("a", "b", "options", "message"),
    [
        (torch.ones(4, 3), torch.ones(5, 3), {}, "one n"),
        (torch.ones(4), torch.ones(4), {}, "one n"),
        (torch.ones(4, 3), torch.ones(4, 2), {"form": "seed"}, "one width"),
        (torch.ones(4, 3), torch.ones(4, 3), {"tau_t": 0.0}, "positive"),
        (torch.ones(4, 3), torch.ones(4, 3), {"tau_s": -0.1}, "positive"),
        (torch.ones(4, 3), torch.ones(4, 3), {"form": "intra", "bank": torch.ones(9, 3)}, "bank"),
        (torch.ones(1, 3), torch.ones(1, 3), {}, "no candidates"),
        (torch.ones(2, 3), torch.ones(2, 3), {"include_self": False}, "no candidates"),
    ],
)
def test_what_cannot_be_meant_is_refused(a, b, options, message):
    with pytest.raises(ValueError, match=message):
        cmd(a, b, **options)
