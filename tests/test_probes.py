"""Batched logistic regressions: the same as scikit-learn's, one by one or together, and at the true minimum."""

import warnings
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from xkd_bench.probes import LinearHeads, fit_logistic

GRID = [1e-4, 1e-2, 1.0, 30.0]


def clusters(n: int, d: int, k: int, seed: int = 0, spread: float = 1.5, probabilities=None):
    """n points in d dimensions around k centres, features of unequal scale: x [n, d], y [n], every class present."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(k, d))
    y = np.r_[np.arange(k), rng.choice(k, n - k, p=probabilities)]
    x = (centres[y] + spread * rng.normal(size=(n, d))) * rng.uniform(0.3, 2, d) + rng.normal(size=d)
    return torch.from_numpy(x), torch.from_numpy(y)


def scikit(x: torch.Tensor, y: torch.Tensor, c: float) -> LogisticRegression:
    """Solved by Newton's method: their default stops three digits earlier."""
    return LogisticRegression(C=c, solver="newton-cholesky", tol=1e-10, max_iter=1000).fit(x.numpy(), y.numpy())


@dataclass(frozen=True)
class OneProblem:
    """The heads of a single problem, one a strength: weight [g, d, k], bias [g, k], converged [g]."""

    heads: LinearHeads

    def __getattr__(self, name: str) -> torch.Tensor:
        return getattr(self.heads, name)[0]

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        return self.heads.logits(x)[0]


def heads_of(x: torch.Tensor, y: torch.Tensor, k: int, strengths=GRID, **options) -> OneProblem:
    return OneProblem(fit_logistic(x[None], y[None], torch.tensor(strengths), k, **options))


@pytest.mark.parametrize(("n", "d", "k"), [(120, 8, 4), (30, 60, 3), (9, 40, 3), (200, 20, 6)])
@pytest.mark.parametrize("balance", ["even", "uneven"])
def test_agrees_with_scikit_learn(n, d, k, balance):
    weights = np.geomspace(1, 0.05, k)
    x, y = clusters(n, d, k, seed=n, probabilities=None if balance == "even" else weights / weights.sum())
    x_new, y_new = clusters(2000, d, k, seed=n)
    default, tight = heads_of(x, y, k), heads_of(x, y, k, tolerance=1e-8)
    assert default.converged.all()
    for g, c in enumerate(GRID):
        theirs = scikit(x, y, c)
        assert torch.allclose(tight.weight[g].T, torch.from_numpy(theirs.coef_), atol=2e-4)
        probability = tight.logits(x_new)[g].softmax(-1).numpy()
        assert np.abs(probability - theirs.predict_proba(x_new.numpy())).max() < 5e-4
        accuracy = (default.logits(x_new)[g].argmax(1) == y_new).double().mean().item()
        assert accuracy == pytest.approx(theirs.score(x_new.numpy(), y_new.numpy()), abs=0.003)


def test_two_classes_are_a_softmax_of_two_with_the_penalty_on_both():
    # W = (-w, w)/2 costs ‖w‖²/2: the same as scikit-learn's single-vector form at twice its C.
    x, y = clusters(80, 5, 2)
    heads = heads_of(x, y, 2)
    for g, c in enumerate(GRID):
        theirs = scikit(x, y, 2 * c)
        mine = heads.weight[g][:, 1] - heads.weight[g][:, 0]
        assert torch.allclose(mine, torch.from_numpy(theirs.coef_[0]), atol=2e-4)


@pytest.mark.parametrize(("n", "d"), [(60, 7), (12, 50)])
def test_solved_together_or_one_by_one_the_heads_are_the_same(n, d):
    problems = [clusters(n, d, 4, seed) for seed in range(3)]
    x, y = (torch.stack(part) for part in zip(*problems, strict=True))
    together = fit_logistic(x, y, torch.tensor(GRID), 4)
    alone = [heads_of(x[p], y[p], 4, [c]) for p in range(3) for c in GRID]
    assert together.weight.shape == (3, 4, d, 4)
    assert together.converged.shape == (3, 4)
    assert together.converged.all()
    weights, laws = together.weight.flatten(0, 1), together.logits(x[0]).softmax(-1).flatten(0, 1)
    for number, head in enumerate(alone):
        assert torch.allclose(weights[number], head.weight[0], atol=1e-4)
        assert torch.allclose(laws[number], head.logits(x[0])[0].softmax(-1), atol=1e-4)


def test_strengths_may_come_in_any_order():
    x, y = clusters(40, 6, 3)
    backwards = heads_of(x, y, 3, GRID[::-1])
    assert torch.allclose(backwards.weight.flip(0), heads_of(x, y, 3).weight, atol=1e-6)


@pytest.mark.parametrize(("n", "d"), [(60, 7), (12, 50), (20, 20)])
def test_the_gradient_vanishes_at_the_solution(n, d):
    x, y = clusters(n, d, 4)
    heads = heads_of(x, y, 4, tolerance=1e-8)
    for g, c in enumerate(GRID):
        w = heads.weight[g].clone().requires_grad_()
        b = heads.bias[g].clone().requires_grad_()
        value = torch.nn.functional.cross_entropy(x @ w + b, y) + w.square().sum() / (2 * c * n)
        value.backward()
        assert w.grad.abs().max() < 2e-7  # in the original features, not only in the span where n < d is solved
        assert b.grad.abs().max() < 2e-7
        for seed in range(5):  # convex: nothing near is lower
            nudge = 0.01 * torch.randn(w.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
            near = torch.nn.functional.cross_entropy(x @ (w + nudge) + b, y) + (w + nudge).square().sum() / (2 * c * n)
            assert near > value


def test_stronger_regularisation_makes_smaller_weights():
    x, y = clusters(60, 10, 4)
    norms = heads_of(x, y, 4, sorted(GRID)).weight.flatten(1).norm(dim=1)
    assert (norms.diff() > 0).all()


def test_a_class_that_is_absent_from_a_draw_is_never_predicted_and_leaves_the_others_as_they_are():
    x, y = clusters(60, 6, 3)
    with_gap = torch.tensor([0, 2, 3])[y]  # class 1 has no item
    heads = heads_of(x, with_gap, 4)
    plain = heads_of(x, y, 3)
    assert heads.converged.all()
    for g in range(len(GRID)):
        probability = heads.logits(x)[g].softmax(-1)
        assert probability[:, 1].max() < 1e-4
        assert torch.allclose(probability[:, [0, 2, 3]], plain.logits(x)[g].softmax(-1), atol=1e-4)


def test_constant_features_change_nothing_that_is_predicted():
    x, y = clusters(50, 4, 3)
    padded = torch.cat((x, torch.zeros(50, 1), torch.full((50, 1), 1.0)), 1)
    heads, plain = heads_of(padded, y, 3), heads_of(x, y, 3)
    assert heads.converged.all()
    assert heads.weight[:, 4].abs().max() == 0  # of the feature that is always 0
    for g, c in enumerate(GRID):
        # The feature that is always 1 is a second, penalised bias: the free one makes it useless.
        assert heads.weight[g, 5].abs().max() < 1e-4
        assert torch.allclose(heads.logits(padded)[g].softmax(-1), plain.logits(x)[g].softmax(-1), atol=1e-4)
        assert (heads.logits(padded)[g].argmax(-1).numpy() == scikit(padded, y, c).predict(padded.numpy())).all()


def test_features_that_say_nothing_leave_the_frequencies_of_the_classes():
    y = torch.tensor([0] * 6 + [1] * 3 + [2] * 1)
    heads = heads_of(torch.zeros(10, 5), y, 3)
    for probability in heads.logits(torch.zeros(1, 5, dtype=torch.float64)).softmax(-1):
        assert probability[0].tolist() == pytest.approx([0.6, 0.3, 0.1], abs=1e-5)


def test_repeated_items_count_as_often_as_they_are_there():
    x, y = clusters(20, 3, 3)
    twice = heads_of(torch.cat((x, x)), torch.cat((y, y)), 3, [0.5])
    assert torch.allclose(twice.weight, heads_of(x, y, 3, [1.0]).weight, atol=1e-5)  # C counts the sum of the losses


def test_a_problem_that_was_cut_short_says_so():
    x, y = clusters(100, 20, 5)
    heads = heads_of(x, y, 5, [1e-4, 100.0], max_steps=8)
    assert not heads.converged[1]
    assert heads_of(x, y, 5, [1e-4, 100.0]).converged.all()


def test_float32_features_are_solved_in_float64():
    x, y = clusters(40, 6, 3)
    heads = heads_of(x.float(), y, 3)
    assert heads.weight.dtype == torch.float64
    assert torch.allclose(heads.weight, heads_of(x, y, 3).weight, atol=1e-4)


def test_a_perfect_fit_without_warnings_or_overflow():
    x = torch.eye(4).double() * 100
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        heads = heads_of(x, torch.arange(4), 4, [1e4])
    assert torch.isfinite(heads.weight).all()
    assert (heads.logits(x)[0].argmax(-1) == torch.arange(4)).all()


def test_one_after_another_along_the_path_the_heads_are_those_of_all_at_once(monkeypatch):
    x, y = clusters(50, 30, 4)
    strengths = [1.0, 1e-3, 30.0, 1e-2, 0.1]
    at_once = heads_of(x, y, 4, strengths, tolerance=1e-9)
    monkeypatch.setattr("xkd_bench.probes.TOGETHER", 2 * 50 * 4)  # two strengths a part
    along = heads_of(x, y, 4, strengths, tolerance=1e-9)
    assert along.converged.all()
    assert torch.allclose(along.weight, at_once.weight, atol=1e-5)
    assert torch.allclose(along.bias, at_once.bias, atol=1e-5)


@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_separable_classes_with_hardly_a_penalty_converge_too(scale):
    # With large features the Hessian is lost in float32: without the later steps in float64 this does not end in time.
    x, y = clusters(40, 60, 4)
    heads = heads_of(scale * x, y, 4, [1.0, 1e3, 1e5])
    assert heads.converged.all()
    losses = [torch.nn.functional.cross_entropy(z, y).item() for z in heads.logits(scale * x)]
    assert losses[2] < losses[1] < losses[0] < 0.01
