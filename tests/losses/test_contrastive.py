"""CMC and InfoNCE against loops written from the formulas, closed forms, and invariances."""

import math

import pytest
import torch

from tests.losses import naive
from xkd_bench.losses.contrastive import cmc, ntxent, unit_rows

SHAPES = [(2, 2), (3, 7), (8, 4), (17, 32)]
TAUS = [0.05, 0.1, 0.5, 2.0]
BOTH = pytest.mark.parametrize("loss", [cmc, ntxent])


def pair(n: int, d: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(2, n, d, generator=generator, dtype=dtype)
    return z[0] * 3, z[1] * 0.2  # lengths differ: the losses normalise


def rotation(d: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn(d, d, generator=generator, dtype=torch.float64)).Q


@pytest.mark.parametrize("tau", TAUS)
@pytest.mark.parametrize(("n", "d"), SHAPES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-5)])
def test_values_are_those_of_the_loops(n, d, tau, dtype, tolerance):
    a, b = pair(n, d, seed=n, dtype=dtype)
    assert cmc(a, b, tau).item() == pytest.approx(naive.cmc(a, b, tau), rel=tolerance, abs=tolerance)
    assert ntxent(a, b, tau).item() == pytest.approx(naive.ntxent(a, b, tau), rel=tolerance, abs=tolerance)


@pytest.mark.parametrize("concept", [[0, 0, 0, 0, 0], [0, 1, 0, 2, 1], [4, 3, 2, 1, 0], [7, 7, 7, 7, 9]])
@pytest.mark.parametrize("tau", TAUS)
def test_every_pair_of_a_concept_is_a_positive(concept, tau):
    a, b = pair(5, 6)
    expected = naive.cmc(a, b, tau, concept)
    assert cmc(a, b, tau, torch.tensor(concept)).item() == pytest.approx(expected, rel=1e-12)


def test_distinct_concepts_change_nothing():
    a, b = pair(9, 5)
    assert cmc(a, b, 0.1, torch.arange(9)).item() == pytest.approx(cmc(a, b, 0.1).item(), rel=1e-14)


@pytest.mark.parametrize("n", [2, 5, 64])
@pytest.mark.parametrize("tau", TAUS)
def test_collapsed_features_score_chance(n, tau):
    z = torch.ones(n, 3, dtype=torch.float64)
    assert cmc(z, 2 * z, tau).item() == pytest.approx(math.log(n), rel=1e-12)
    assert ntxent(z, 2 * z, tau).item() == pytest.approx(math.log(2 * n - 1), rel=1e-12)


@pytest.mark.parametrize(("n", "tau", "golden"), [(256, 0.1, 0.0115105), (8, 0.5, 0.6664679), (64, 0.07, 3.93663e-5)])
def test_aligned_orthonormal_features(n, tau, golden):
    z = torch.eye(n, dtype=torch.float64)
    assert cmc(z, z, tau).item() == pytest.approx(math.log1p((n - 1) * math.exp(-1 / tau)), rel=1e-9)
    assert cmc(z, z, tau).item() == pytest.approx(golden, rel=2e-6)
    assert cmc(z.float(), z.float(), tau).item() == pytest.approx(golden, rel=1e-3)
    # Two views of one batch: the positive at similarity 1, the 2n - 2 others at 0.
    assert ntxent(z, z, tau).item() == pytest.approx(math.log1p((2 * n - 2) * math.exp(-1 / tau)), rel=1e-9)


@pytest.mark.parametrize("tau", [0.2, 0.5, 1.0])
def test_random_unit_features_score_a_little_above_chance(tau):
    # log N + 1/(2dτ²) to first order; one batch has a deviation of 1/(τ√(dN)), from the mean positive similarity.
    n, d, batches = 256, 128, 25
    mean = sum(cmc(*pair(n, d, seed), tau).item() for seed in range(batches)) / batches
    assert mean == pytest.approx(math.log(n) + 1 / (2 * d * tau**2), abs=4 / (tau * math.sqrt(d * n * batches)))


def test_swapping_the_modalities_changes_nothing():
    a, b = pair(11, 6)
    concept = torch.tensor([0, 0, 1, 2, 3, 3, 3, 4, 5, 6, 0])
    assert cmc(a, b, 0.2).item() == pytest.approx(cmc(b, a, 0.2).item(), rel=1e-12)
    assert cmc(a, b, 0.2, concept).item() == pytest.approx(cmc(b, a, 0.2, concept).item(), rel=1e-12)
    assert ntxent(a, b, 0.2).item() == pytest.approx(ntxent(b, a, 0.2).item(), rel=1e-12)


@BOTH
def test_a_common_permutation_or_rotation_changes_nothing(loss):
    a, b = pair(12, 5)
    before = loss(a, b, 0.2).item()
    order, turn = torch.randperm(12, generator=torch.Generator().manual_seed(1)), rotation(5)
    assert loss(a[order], b[order], 0.2).item() == pytest.approx(before, rel=1e-12)
    assert loss(a @ turn, b @ turn, 0.2).item() == pytest.approx(before, rel=1e-12)


@BOTH
def test_turning_or_permuting_one_side_alone_changes_the_loss(loss):
    a, b = pair(12, 5)
    before = loss(a, b, 0.2).item()
    assert abs(loss(a, b @ rotation(5), 0.2).item() - before) > 0.01
    assert abs(loss(a, b.roll(1, 0), 0.2).item() - before) > 0.01


@BOTH
def test_only_directions_matter(loss):
    a, b = pair(6, 4)
    lengths = torch.rand(6, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64) + 0.1
    assert loss(a * lengths, b, 0.2).item() == pytest.approx(loss(a, b, 0.2).item(), rel=1e-12)


@pytest.mark.parametrize("tau", TAUS)
def test_the_losses_stay_within_their_bounds(tau):
    for n, d in SHAPES:
        a, b = pair(n, d, seed=5)
        for left, right in ((a, b), (a, a), (a, -a), (a, a.roll(1, 0))):
            assert 0 <= cmc(left, right, tau).item() <= math.log(n) + 2 / tau
            assert 0 <= ntxent(left, right, tau).item() <= math.log(2 * n - 1) + 2 / tau


def test_opposed_pairs_nearly_reach_the_upper_bound():
    a = torch.tensor([[1.0, 0], [-1, 0]], dtype=torch.float64)
    assert cmc(a, -a, 0.1).item() == pytest.approx(math.log1p(math.exp(20)), rel=1e-12)


@pytest.mark.parametrize("concept", [None, torch.tensor([0, 1, 1, 2])])
def test_gradients_are_those_of_finite_differences(concept):
    a, b = (z.requires_grad_() for z in pair(4, 3))
    assert torch.autograd.gradcheck(lambda x, y: cmc(x, y, 0.3, concept), (a, b))
    assert torch.autograd.gradcheck(lambda x, y: ntxent(x, y, 0.3), (a, b))


def test_the_temperature_can_be_learned():
    a, b = pair(6, 4)
    tau = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    for loss in (cmc, ntxent):
        assert loss(a, b, tau).item() == pytest.approx(loss(a, b, 0.3).item(), rel=1e-14)
        assert torch.autograd.gradcheck(lambda t, loss=loss: loss(a, b, t), (tau,))


@BOTH
@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_half_precision_reaches_the_inputs_alone(loss, half):
    a, b = (z.to(half) for z in pair(32, 16, dtype=torch.float32))
    exact = loss(a.float(), b.float(), 0.05)
    with torch.autocast("cpu", dtype=half):
        assert torch.equal(loss(a, b, 0.05), exact)  # a product in half precision would be off in the third digit
        assert torch.equal(loss(a.float(), b.float(), 0.05), exact)
    assert exact.dtype == torch.float32
    assert torch.isfinite(exact)


@BOTH
def test_tiny_temperatures_and_features_of_length_zero_stay_finite(loss):
    a, b = (z.float() for z in pair(8, 4))
    b[0] = 0
    b.requires_grad_()
    value = loss(a, b, 1e-3)
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(b.grad).all()


def test_unit_rows_keep_float64_and_raise_the_rest_to_float32():
    z = torch.tensor([[3.0, 4.0]])
    for dtype, expected in ((torch.float64, torch.float64), (torch.float16, torch.float32)):
        rows = unit_rows(z.to(dtype))
        assert rows.dtype == expected
        assert rows.tolist()[0] == pytest.approx([0.6, 0.8], rel=1e-6)


@BOTH
@pytest.mark.parametrize(
    ("a", "b", "tau", "message"),
    [
        (torch.ones(4, 3), torch.ones(4, 2), 0.1, "one shape"),
        (torch.ones(4, 3), torch.ones(3, 3), 0.1, "one shape"),
        (torch.ones(4), torch.ones(4), 0.1, "one shape"),
        (torch.ones(1, 3), torch.ones(1, 3), 0.1, "at least 2"),
        (torch.ones(4, 3), torch.ones(4, 3), 0.0, "positive"),
        (torch.ones(4, 3), torch.ones(4, 3), -1.0, "positive"),
    ],
)
def test_what_cannot_be_meant_is_refused(loss, a, b, tau, message):
    with pytest.raises(ValueError, match=message):
        loss(a, b, tau)
