"""CRD's NCE against loops in probabilities, its limits, and the draw of its negatives."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import stats

from tests.losses import naive
from tests.losses.test_contrastive import rotation
from xkd_bench.losses.crd import crd_nce, nce, negatives, partition


def anchors_and_candidates(n: int, k: int, d: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    anchor = torch.randn(n, d, generator=generator, dtype=torch.float64)
    return 3 * anchor, 0.2 * torch.randn(n, 1 + k, d, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(("n", "k", "d"), [(1, 1, 2), (3, 5, 4), (8, 40, 16)])
@pytest.mark.parametrize(("tau", "z"), [(0.07, 3000.0), (0.5, 1.7), (1.0, 900.0)])
def test_values_are_those_of_the_loops(n, k, d, tau, z):
    anchor, candidates = anchors_and_candidates(n, k, d)
    loss, scores = crd_nce(anchor, candidates, tau, z, 77)
    expected, expected_scores = naive.crd(anchor, candidates, tau, z, 77)
    assert loss.item() == pytest.approx(expected, rel=1e-11)
    np.testing.assert_allclose(scores, expected_scores, rtol=1e-12, atol=1e-12)
    assert nce(scores, z, 77).item() == loss.item()
    assert crd_nce(anchor, candidates, tau, torch.tensor(z), 77)[0].item() == pytest.approx(expected, rel=1e-6)


def test_the_official_form_agrees_up_to_its_guard():
    # With 1e-7 added to denominators, as RepDistiller does; m·Pn = k/n_data.
    anchor, candidates = anchors_and_candidates(6, 30, 8)
    n_data, tau = 50, 0.2
    scores = torch.einsum("nd,nkd->nk", F.normalize(anchor), F.normalize(candidates, dim=2)) / tau
    x = scores.exp() / (scores.exp().mean() * n_data)
    noise, guard = 30 / n_data, 1e-7
    official = -((x[:, 0] / (x[:, 0] + noise + guard)).log().sum() + (noise / (x[:, 1:] + noise + guard)).log().sum())
    assert crd_nce(anchor, candidates, tau, None, n_data)[0].item() == pytest.approx(official.item() / 6, rel=1e-5)


def test_z_is_the_mean_weight_times_the_number_of_items():
    anchor, candidates = anchors_and_candidates(4, 9, 5)
    _, scores = crd_nce(anchor, candidates, 0.3, 1.0, 55)
    z = partition(scores, 55)
    weights = [math.exp(s) for s in scores.flatten().tolist()]
    assert z.item() == pytest.approx(55 * sum(weights) / len(weights), rel=1e-12)
    once, again = crd_nce(anchor, candidates, 0.3, None, 55)[0], crd_nce(anchor, candidates, 0.3, z, 55)[0]
    assert once.item() == pytest.approx(again.item(), rel=1e-14)
    # Shifting all scores shifts Z with them: the loss with Z from its own batch does not change.
    assert nce(scores + 5, partition(scores + 5, 55), 55).item() == pytest.approx(once.item(), rel=1e-12)


def test_a_memory_that_says_nothing_leaves_the_odds_of_the_draw():
    # Equal scores, Z from the batch: e^s/Z = 1/n_data, so h = 1/(1 + k) for all candidates.
    k, n_data = 7, 30
    anchor = torch.ones(3, 4).double()
    loss, _ = crd_nce(anchor, torch.ones(3, 1 + k, 4).double(), 0.1, None, n_data)
    assert loss.item() == pytest.approx(math.log(1 + k) - k * math.log(k / (1 + k)), rel=1e-12)


def test_rotations_lengths_and_the_order_of_negatives_do_not_count_and_the_positive_does():
    anchor, candidates = anchors_and_candidates(5, 8, 6)
    before = crd_nce(anchor, candidates, 0.2, 50.0, 90)[0].item()
    turn, order = rotation(6), torch.tensor([0, 3, 1, 2, 8, 7, 6, 5, 4])
    for same in ((anchor @ turn, candidates @ turn), (2 * anchor, 9 * candidates), (anchor, candidates[:, order])):
        assert crd_nce(*same, 0.2, 50.0, 90)[0].item() == pytest.approx(before, rel=1e-12)
    assert abs(crd_nce(anchor, candidates.roll(1, 1), 0.2, 50.0, 90)[0].item() - before) > 0.01


def test_gradients_are_those_of_finite_differences_and_the_memory_has_none():
    anchor, candidates = anchors_and_candidates(3, 4, 3)
    anchor.requires_grad_()
    candidates.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: crd_nce(x, candidates.detach(), 0.3, 20.0, 9)[0], (anchor,))
    crd_nce(anchor, candidates, 0.3, None, 9)[0].backward()
    assert candidates.grad is None
    assert anchor.grad.abs().max() > 0


def test_small_temperatures_stay_finite():
    anchor, candidates = (x.float() for x in anchors_and_candidates(6, 50, 8))
    anchor.requires_grad_()
    loss, _ = crd_nce(anchor, candidates, 0.005, None, 100)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(anchor.grad).all()


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_half_precision_reaches_the_inputs_alone(half):
    anchor, candidates = (x.to(half) for x in anchors_and_candidates(6, 10, 8))
    exact, _ = crd_nce(anchor.float(), candidates.float(), 0.07, 100.0, 60)
    with torch.autocast("cpu", dtype=half):
        loss, scores = crd_nce(anchor, candidates, 0.07, 100.0, 60)
    assert loss.dtype == scores.dtype == torch.float32
    assert torch.equal(loss, exact)


def test_negatives_are_uniform_over_the_items_of_other_concepts():
    torch.manual_seed(0)
    concept = torch.tensor([2, 2, 2, 5, 7, 7, 9, 9, 9, 9])
    item = torch.tensor([0, 3, 5, 9])  # first block, a block of one, the middle, the last
    drawn = negatives(concept, item, 20_000)
    assert drawn.shape == (4, 20_000)
    for own, row in zip(item, drawn, strict=True):
        counts = torch.bincount(row, minlength=len(concept))
        other = concept != concept[own]
        assert counts[~other].sum() == 0
        assert stats.chisquare(counts[other].numpy()).pvalue > 1e-3
    # Rows are drawn independently of each other.
    same = negatives(concept, torch.tensor([3, 3]), 20_000)
    assert np.corrcoef(same.numpy())[0, 1] == pytest.approx(0, abs=4 / math.sqrt(20_000))


def test_negatives_follow_the_global_generator():
    concept = torch.arange(20) // 2
    torch.manual_seed(3)
    first = negatives(concept, torch.arange(20), 5)
    second = negatives(concept, torch.arange(20), 5)
    torch.manual_seed(3)
    assert torch.equal(first, negatives(concept, torch.arange(20), 5))
    assert not torch.equal(first, second)


def test_what_cannot_be_meant_is_refused():
    anchor, candidates = torch.ones(2, 3), torch.ones(2, 5, 3)
    for a, c in ((anchor, candidates[0]), (anchor, candidates[:1]), (anchor, candidates[..., :2])):
        with pytest.raises(ValueError, match="candidates"):
            crd_nce(a, c, 0.1, 1.0, 10)
    for tau, z, n_data, message in ((0.0, 1.0, 10, "temperature"), (0.1, 0.0, 10, "z=0"), (0.1, 1.0, 0, "n_data=0")):
        with pytest.raises(ValueError, match=message):
            crd_nce(anchor, candidates, tau, z, n_data)
    with pytest.raises(ValueError, match="a negative"):
        crd_nce(anchor, candidates[:, :1], 0.1, 1.0, 10)
    with pytest.raises(ValueError, match="sorted"):
        negatives(torch.tensor([1, 0]), torch.tensor([0]), 1)
    with pytest.raises(ValueError, match="one concept"):
        negatives(torch.tensor([4, 4]), torch.tensor([0]), 1)
    with pytest.raises(ValueError, match="k ≥ 1"):
        negatives(torch.tensor([4, 5]), torch.tensor([0]), 0)
