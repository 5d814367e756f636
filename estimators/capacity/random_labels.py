"""Fitting random signs: a lower estimate of the Rademacher complexity of anything that can be trained."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from ..concentration import student_interval
from ..estimate import Estimate, clipped
from ..inputs import Array, FloatArray, Seed, as_generator, as_matrix, check_confidence, numpy_rows

Fit = Callable[[FloatArray, FloatArray, np.random.Generator], FloatArray]


def random_label_fit(
    features: Array, *, fit: Fit | None = None, draws: int = 10, confidence: float = 0.95, seed: Seed = 0
) -> Estimate:
    """Empirical Rademacher complexity of a class of sign predictors, from below, by training on random signs.

    For predictors with values in {-1, 1}, ``R = E_sigma max_f (1/n) sum_i sigma_i f(z_i) = E[1 - 2 min error]``. A
    training run finds some f, not the best, so each draw is at most the maximum: an under-estimate [1]. Near 1 means
    that the class fits noise and that uniform bounds over it say nothing.

    Args:
        features: [n, d].
        fit: ``fit(features [n, d], signs [n] of -1 and 1, generator) -> predictions [n]`` on the same rows; real-valued
            predictions count by their sign. By default a network with one hidden layer of 256, Adam, 300 steps.
        draws: sign vectors, at least 2.
        seed: integer or numpy Generator.

    Returns:
        A ``lower bound`` in [0, 1]: the lower Student limit over draws (one-sided, asymptotic); `value` is the mean.

    Degenerate input: constant features leave only the majority sign, of order ``sqrt(2 / (pi n))``. Duplicates limit
    the fit, rightly. NaN, n < 2, predictions of another shape: ValueError.

    [1] Zhang, Bengio, Hardt, Recht, Vinyals (2017). Understanding deep learning requires rethinking generalization.

    >>> import numpy as np
    >>> from estimators import random_label_fit
    >>> z = np.random.default_rng(0).normal(size=(40, 60))
    >>> random_label_fit(z, draws=3).value > 0.9
    True
    """
    alpha = check_confidence(confidence)
    z, rng = numpy_rows(as_matrix(features, "features", 2)), as_generator(seed)
    if draws < 2:
        raise ValueError(f"draws must be at least 2, got {draws}")
    chosen = fit if fit is not None else fit_network
    values = []
    for _ in range(draws):
        signs: FloatArray = np.where(rng.integers(0, 2, len(z)) > 0, 1.0, -1.0)
        predictions: FloatArray = np.asarray(chosen(z, signs, rng), np.float64)
        if predictions.shape != signs.shape or not np.isfinite(predictions).all():
            raise ValueError(f"fit must give {len(z)} finite predictions, got shape {list(predictions.shape)}")
        values.append(float((signs * np.where(predictions > 0, 1.0, -1.0)).mean()))
    mean, low, _ = student_interval(np.array(values), 1.0 - 2.0 * alpha)
    low = clipped(low, 0.0, 1.0)
    return Estimate(clipped(mean, low, 1.0), low, 1.0, confidence, len(z), "lower bound", "random_label_fit")


def fit_network(features: FloatArray, signs: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Train a small network on standardised features and signs; its outputs on the same rows."""
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    spread = features.std(0)
    z = torch.from_numpy((features - features.mean(0)) / np.where(spread > 0, spread, 1.0)).float()
    y = torch.from_numpy(signs).float()
    width = 256
    with torch.enable_grad():
        first = (torch.randn(z.shape[1], width, generator=generator) / z.shape[1] ** 0.5).requires_grad_()
        shift = torch.zeros(width, requires_grad=True)
        second = (torch.randn(width, generator=generator) / width**0.5).requires_grad_()
        bias = torch.zeros((), requires_grad=True)
        optimiser = torch.optim.Adam([first, shift, second, bias], lr=1e-2)
        for _ in range(300):
            outputs = torch.relu(z @ first + shift) @ second + bias
            loss = torch.nn.functional.softplus(-y * outputs).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        outputs = torch.relu(z @ first + shift) @ second + bias
    return outputs.detach().double().numpy()
