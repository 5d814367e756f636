"""The queue against a list, and what CMC and CMD make of it while it fills."""

import pytest
import torch
import torch.nn.functional as F

from tests.losses import naive
from tests.losses.test_contrastive import pair
from xkd_bench.losses.contrastive import cmc
from xkd_bench.losses.queue import FeatureQueue
from xkd_bench.losses.similarity import cmd


@pytest.mark.parametrize("size", [1, 4, 7, 100])
def test_it_holds_the_last_features_first_in_first_out(size):
    keys, seen = FeatureQueue(size, 3), []
    for step, n in enumerate([3, 1, 5, 0, 4, 9, 2, 13]):  # none divides all sizes, some exceed them
        z = pair(n, 3, seed=step)[0]
        concept = torch.arange(n) + 100 * step
        keys.push(z, concept)
        seen += zip(F.normalize(z, dim=1).float().tolist(), concept.tolist(), strict=True)
        assert keys.features.shape == (size, 3)
        assert keys.filled == min(len(seen), size) == keys.valid.sum()
        held = zip(keys.features[keys.valid].tolist(), keys.concept[keys.valid].tolist(), strict=True)
        assert sorted(held) == sorted(seen[-size:])
        assert torch.allclose(keys.features[keys.valid].norm(dim=1), torch.ones(()))


def test_the_oldest_goes_first():
    keys = FeatureQueue(3, 1)
    for concept in range(5):
        keys.push(torch.ones(1, 1), torch.tensor([concept]))
    assert keys.concept.tolist() == [3, 4, 2]


def test_it_detaches_and_travels_with_the_state():
    keys = FeatureQueue(5, 4)
    keys.push(pair(3, 4)[0].requires_grad_())
    assert not keys.features.requires_grad
    assert keys.concept.tolist() == [-1] * 5
    other = FeatureQueue(5, 4)
    other.load_state_dict(keys.state_dict())
    for one in (keys, other):
        one.push(torch.ones(4, 4))
    assert torch.equal(keys.features, other.features)
    assert other.count == 7
    assert not list(keys.parameters())


def test_what_does_not_fit_is_refused():
    keys = FeatureQueue(5, 4)
    with pytest.raises(ValueError, match="width 4"):
        keys.push(torch.ones(2, 3))
    with pytest.raises(ValueError, match="as many concepts"):
        keys.push(torch.ones(2, 4), torch.zeros(3))
    with pytest.raises(ValueError, match="positive"):
        FeatureQueue(0, 4)


@pytest.mark.parametrize("concept", [None, [0, 1, 0, 2, 4, 4]])
def test_cmc_takes_the_queue_as_negatives_of_one_direction(concept):
    a, b = pair(6, 5)
    queue, queue_concept = pair(8, 5, seed=3)[0], [0, 9, 2, 4, 4, 7, 1, 0]
    known = concept and torch.tensor(concept)
    expected = naive.cmc(a, b, 0.2, concept, queue)
    assert cmc(a, b, 0.2, known, queue=queue).item() == pytest.approx(expected, rel=1e-12)
    if concept:
        expected = naive.cmc(a, b, 0.2, concept, queue, queue_concept)
        given = torch.tensor(queue_concept)
        loss = cmc(a, b, 0.2, known, queue=queue, queue_concept=given)
        assert loss.item() == pytest.approx(expected, rel=1e-12)
        assert loss.item() < cmc(a, b, 0.2, known, queue=queue).item()  # fewer negatives


@pytest.mark.parametrize("filled", [0, 1, 5, 8])
def test_a_queue_that_is_not_full_is_a_shorter_queue(filled):
    a, b = pair(6, 5)
    queue, valid = pair(8, 5, seed=3)[0], torch.arange(8) < filled
    short = queue[:filled]
    loss = cmc(a, b, 0.2, queue=queue, queue_valid=valid)
    assert loss.item() == pytest.approx(cmc(a, b, 0.2, queue=short).item(), rel=1e-12)
    for include_self in (True, False):
        if filled < 2:
            continue
        out = cmd(a, b, bank=queue, bank_valid=valid, include_self=include_self)
        for mine, right in zip(out, cmd(a, b, bank=short, include_self=include_self), strict=True):
            assert mine.item() == pytest.approx(right.item(), rel=1e-12)
    if not filled:
        assert loss.item() == pytest.approx(cmc(a, b, 0.2).item(), rel=1e-12)
        alone = cmd(a, b.requires_grad_(), bank=queue, bank_valid=valid)
        alone.loss.backward()
        assert alone.loss.item() == 0  # its own teacher is the only candidate
        assert b.grad.abs().max() == 0


def test_slots_that_hold_nothing_yet_never_count():
    a, b = (z.float() for z in pair(6, 5))
    keys = FeatureQueue(10, 5)
    keys.push(pair(4, 5, seed=3)[0], torch.tensor([3, 1, 0, 2]))
    concept = torch.arange(6)
    state = {"queue_concept": keys.concept, "queue_valid": keys.valid}
    loss = cmc(a, b, 0.2, concept, queue=keys.features, **state).item()
    assert loss == cmc(a, b, 0.2, concept, queue=keys.features.masked_fill(~keys.valid[:, None], 7.0), **state).item()
    hot = cmd(a, b, tau_t=1e9, bank=keys.features, bank_valid=keys.valid)
    assert hot.entropy.item() == pytest.approx(torch.tensor(5.0).log().item(), rel=1e-5)


def test_the_queue_gets_no_gradient():
    a, b = (z.requires_grad_() for z in pair(6, 5))
    queue = pair(8, 5, seed=3)[0].requires_grad_()
    cmc(a, b, 0.2, queue=queue).backward()
    assert queue.grad is None
    assert a.grad.abs().max() > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"queue": torch.ones(5, 2)}, r"\[q, 3\]"),
        ({"queue": torch.ones(5)}, r"\[q, 3\]"),
        ({"queue_concept": torch.ones(5)}, "queue_concept needs a queue"),
        ({"queue_valid": torch.ones(5) > 0}, "queue_valid needs a queue"),
        ({"queue": torch.ones(5, 3), "queue_valid": torch.ones(4) > 0}, "its length"),
        ({"queue": torch.ones(5, 3), "queue_concept": torch.arange(5)}, "give `concept`"),
        ({"concept": torch.arange(3)}, r"\[n\]"),
    ],
)
def test_a_queue_that_cannot_be_meant_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        cmc(torch.ones(4, 3), torch.ones(4, 3), 0.1, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bank": torch.ones(5, 2)}, r"\[q, 3\]"),
        ({"bank_valid": torch.ones(5) > 0}, "needs a bank"),
        ({"bank": torch.ones(5, 3), "bank_valid": torch.ones(4) > 0}, "its length"),
        ({"bank": torch.ones(5, 3), "bank_valid": torch.zeros(5) > 0, "include_self": False}, "empty bank"),
    ],
)
def test_a_bank_that_cannot_be_meant_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        cmd(torch.ones(4, 3), torch.ones(4, 3), **options)
