"""SOCKET's statistics and pair term: against numpy, and what they do and do not see."""

import math

import numpy as np
import pytest
import torch

from tests.losses.test_features import maps
from xkd_bench.losses.statistics import channel_statistics, socket_stats, task_irrelevant


@pytest.mark.parametrize("shape", [(4, 3, 5, 2), (7, 3), (1, 2, 1, 1)])
def test_statistics_are_numpys(shape):
    (f,) = maps(shape)
    axes = (0, 2, 3) if len(shape) == 4 else 0
    out = channel_statistics(f)
    np.testing.assert_allclose(out.mean, f.numpy().mean(axes), rtol=1e-12)
    np.testing.assert_allclose(out.var, f.numpy().var(axes), rtol=1e-12, atol=1e-15)


def test_the_loss_is_that_of_numpy():
    b, a = maps((4, 3, 5, 5), (4, 6, 2, 2), (4, 2)), maps((9, 3, 7, 7), (9, 6, 2, 1), (5, 2), seed=1)
    expected = 0.0
    for level, (x, y) in enumerate(zip(b, a, strict=True)):
        for statistic in (np.mean, np.var):
            difference = [statistic(x.numpy()[:, c]) - statistic(y.numpy()[:, c]) for c in range(x.shape[1])]
            expected += (4.0 if level == 0 else 1.0) * math.sqrt(sum(d * d for d in difference))
    stats_b, stats_a = ([channel_statistics(x) for x in side] for side in (b, a))
    assert socket_stats(stats_b, stats_a, first_weight=4.0).item() == pytest.approx(expected, rel=1e-12)


def test_the_first_level_weighs_ten_times_and_norms_are_not_squared():
    one, zero, wide = torch.ones(4), torch.zeros(4), torch.full((4,), 3.0)
    same, apart = (zero, zero), (one, zero)
    assert socket_stats([apart, same], [same, same]).item() == 10 * 2
    assert socket_stats([same, apart], [same, same]).item() == 2
    assert socket_stats([same, (zero, wide)], [same, same]).item() == 6


def test_pairs_and_positions_do_not_count():
    (f,) = maps((6, 3, 4, 4))
    mixed = f[torch.tensor([3, 0, 5, 1, 2, 4])].flatten(2)[..., torch.arange(16).flip(0)].reshape(f.shape)
    here, there = channel_statistics(f), channel_statistics(mixed)
    assert socket_stats([here], [there]).item() == pytest.approx(0, abs=1e-13)
    assert socket_stats([here], [channel_statistics(f[:, [1, 0, 2]])]).item() > 0.1


def test_the_pair_term_is_one_norm_over_the_batch():
    a, b = maps((5, 4), (5, 4))
    assert task_irrelevant(a, b).item() == pytest.approx(np.linalg.norm(a.numpy() - b.numpy()), rel=1e-12)
    twice = task_irrelevant(torch.cat((a, a)), torch.cat((b, b))).item()
    assert twice == pytest.approx(math.sqrt(2) * task_irrelevant(a, b).item(), rel=1e-12)
    assert task_irrelevant(a, a.roll(1, 0)).item() > 0.1  # pairs count


def test_gradients_are_those_of_finite_differences_and_the_teacher_has_none():
    b, f_b, f_a = (x.requires_grad_() for x in maps((3, 2, 2, 3), (3, 4), (3, 4)))
    teacher = [x.requires_grad_() for x in maps((2,), (2,), seed=1)]

    def loss(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return socket_stats([channel_statistics(x)], [(teacher[0], teacher[1])]) + task_irrelevant(f_a, y)

    assert torch.autograd.gradcheck(loss, (b, f_b))
    loss(b, f_b).backward()
    assert all(x.grad is None for x in (*teacher, f_a))


def test_equal_sides_have_a_zero_gradient():
    b, f = (x.requires_grad_() for x in maps((3, 2, 4, 4), (3, 5)))
    stats = channel_statistics(b)
    value = socket_stats([stats], [(stats.mean.detach(), stats.var.detach())]) + task_irrelevant(f.detach(), f)
    value.backward()
    assert value.item() == 0
    assert b.grad.abs().max() == 0
    assert f.grad.abs().max() == 0


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_half_precision_reaches_the_inputs_alone(half):
    b, a = (x.to(half) for x in maps((8, 3, 6, 6), (8, 3, 6, 6), dtype=torch.float32))
    exact = socket_stats([channel_statistics(b.float())], [channel_statistics(a.float())])
    with torch.autocast("cpu", dtype=half):
        value = socket_stats([channel_statistics(b)], [channel_statistics(a)])
        pairs = task_irrelevant(a.flatten(1), b.flatten(1))
    assert value.dtype == pairs.dtype == torch.float32
    assert torch.equal(value, exact)
    assert torch.equal(pairs, (b.float() - a.float()).norm())


def test_what_cannot_be_meant_is_refused():
    two, three = (torch.zeros(2), torch.ones(2)), (torch.zeros(3), torch.ones(3))
    with pytest.raises(ValueError, match=r"shape: \(2,\) and \(3,\)"):
        socket_stats([two], [three])
    with pytest.raises(ValueError, match="levels"):
        socket_stats([two], [two, two])
    with pytest.raises(ValueError, match=r"\[n, c\]"):
        channel_statistics(torch.ones(2, 3, 4))
    with pytest.raises(ValueError, match="shape"):
        task_irrelevant(torch.ones(2, 3), torch.ones(3, 3))
    with pytest.raises(ValueError, match=r"\[n, d\]"):
        task_irrelevant(torch.ones(2), torch.ones(2))
