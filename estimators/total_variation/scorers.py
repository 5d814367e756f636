"""Classifiers that tell source from target: candidates are fit on one part and chosen on another.

A scorer maps rows [n, d] to log-odds [n]: above 0 means "target". Both sides weigh the same, whatever their sizes.
"""

from __future__ import annotations

import hashlib
import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
import torch
from scipy.linalg import eigh

from ..inputs import FloatArray, IntArray
from .splits import Part

Scorer = Callable[[FloatArray], FloatArray]
FAMILIES = ("ridge", "logistic", "mlp", "trees")
DEFAULT_FAMILIES = ("logistic", "mlp", "trees")
_COMPONENTS = 64
_FITS_KEPT = 3
_LOCK = Lock()
_REMEMBERED: OrderedDict[bytes, tuple[list[Candidate], Any]] = OrderedDict()


@dataclass(frozen=True)
class Candidate:
    """A fitted scorer and what to call it."""

    name: str
    score: Scorer


@dataclass(frozen=True)
class _Projection:
    """Standardise, then keep leading principal components, all learned on the fit part."""

    mean: FloatArray
    scale: FloatArray
    basis: FloatArray | None  # [d, k]

    def __call__(self, x: FloatArray) -> FloatArray:
        z = (x - self.mean) / self.scale
        return z if self.basis is None else z @ self.basis


def _project(x: FloatArray, components: int | None) -> _Projection:
    mean, scale = x.mean(0), x.std(0)
    # A constant column carries nothing; a relative floor keeps rounding noise from being blown up.
    scale = np.where(scale > 1e-12 * (1.0 + np.abs(mean)), scale, 1.0)
    if components is None:
        return _Projection(mean, scale, None)
    z = (x - mean) / scale
    if z.shape[0] <= z.shape[1]:  # the smaller Gram matrix has the same spectrum
        values, vectors = _leading(z @ z.T, components)
        basis = z.T @ vectors / np.sqrt(np.maximum(values, 1e-12 * values[-1] + 1e-300))
    else:
        basis = _leading(z.T @ z, components)[1]
    spread = (z @ basis).std(0)
    return _Projection(mean, scale, basis / np.where(spread > 1e-9 * (spread.max() + 1e-300), spread, 1.0))


def _leading(symmetric: FloatArray, count: int) -> tuple[FloatArray, FloatArray]:
    size = len(symmetric)
    values, vectors = eigh(symmetric, subset_by_index=(size - count, size - 1))
    return values, vectors


def fit_candidates(part: Part, families: Sequence[str], rng: np.random.Generator) -> list[Candidate]:
    """Every family on the raw features and, above 64 columns, on 64 principal components.

    The costly families (mlp, trees) take the components alone where there are any. The last few fits are remembered by
    their data, families and random state, so that several bounds on the same features with one seed share them.

    Raises:
        ValueError: a family that does not exist, or none.
    """
    key = _fingerprint(part, families, rng)
    with _LOCK:
        known = _REMEMBERED.get(key)
    if known is not None:
        rng.bit_generator.state = known[1]
        return known[0]
    candidates = _fit_all(part, families, rng)
    with _LOCK:
        _REMEMBERED[key] = candidates, rng.bit_generator.state
        while len(_REMEMBERED) > _FITS_KEPT:
            _REMEMBERED.popitem(last=False)
    return candidates


def _fingerprint(part: Part, families: Sequence[str], rng: np.random.Generator) -> bytes:
    digest = hashlib.blake2b(repr((tuple(families), part.data.source.shape, rng.bit_generator.state)).encode())
    for side in (part.data.source, part.data.target):
        digest.update(np.ascontiguousarray(side).data)
    return digest.digest()


def _fit_all(part: Part, families: Sequence[str], rng: np.random.Generator) -> list[Candidate]:
    unknown = [name for name in families if name not in FAMILIES]
    if unknown or not families:
        raise ValueError(f"families must be some of {', '.join(FAMILIES)}, got {', '.join(families) or 'none'}")
    x, y = part.features, part.labels
    many = min(x.shape[0] - 1, x.shape[1]) > _COMPONENTS
    views: dict[str, _Projection] = {"": _project(x, None)}
    if many:
        views["pca64"] = _project(x, _COMPONENTS)
    weights = _balance(y)
    candidates = []
    for family in families:
        for view, projection in views.items():
            if many and not view and family in ("mlp", "trees"):
                continue
            for option, score in _FITS[family](projection(x), y, weights, rng):
                name = ", ".join(filter(None, [family, option, view]))
                candidates.append(Candidate(name, _compose(score, projection)))
    return candidates


def choose(
    candidates: Sequence[Candidate], part: Part, criterion: Callable[[FloatArray, FloatArray], float]
) -> Candidate:
    """The candidate with the largest criterion(source scores, target scores) on `part`; the first of equals."""
    values = [criterion(c.score(part.data.source), c.score(part.data.target)) for c in candidates]
    return candidates[int(np.argmax(values))]


def advantage(source_scores: FloatArray, target_scores: FloatArray) -> float:
    """Accuracy on source plus accuracy on target minus 1, in [-1, 1]: at most TV in expectation, for any scorer."""
    return float((source_scores <= 0).mean() + (target_scores > 0).mean() - 1.0)


def _compose(score: Scorer, projection: _Projection) -> Scorer:
    return lambda x: score(projection(x))


def _balance(y: IntArray) -> FloatArray:
    """Weights that sum to n and give both sides one half."""
    counts = np.bincount(y, minlength=2)
    return (y.size / (2.0 * counts))[y]


def _ridge(x: FloatArray, y: IntArray, weights: FloatArray, rng: np.random.Generator) -> list[tuple[str, Scorer]]:
    """Least squares on signs: Fisher's direction with a shrunk covariance, in closed form. Threshold midway."""
    centre = weights @ x / y.size
    z, signs = x - centre, 2.0 * y - 1.0
    rows = z * np.sqrt(weights / y.size)[:, None]
    scale = max(float((rows**2).sum()) / z.shape[1], 1e-300)
    amounts = np.array([0.01, 1.0, 100.0])
    targets = np.sqrt(weights / y.size) * signs
    if rows.shape[0] < rows.shape[1]:  # the dual problem is smaller
        w = _solve(rows @ rows.T, amounts * scale, targets) @ rows
    else:
        w = _solve(rows.T @ rows, amounts * scale, rows.T @ targets)
    return [(f"shrinkage {a:g}", _linear(v, centre, z, weights)) for a, v in zip(amounts, w, strict=True)]


def _solve(gram: FloatArray, ridges: FloatArray, right: FloatArray) -> FloatArray:
    """(gram + ridge I)^-1 right for each ridge, [r, k]."""
    systems = gram + ridges[:, None, None] * np.eye(len(gram))
    solved = np.linalg.solve(systems, np.broadcast_to(right[:, None], (len(ridges), len(right), 1)))
    return np.asarray(solved[:, :, 0], np.float64)


def _linear(w: FloatArray, centre: FloatArray, z: FloatArray, weights: FloatArray) -> Scorer:
    # Scale the projection to unit variance so that witnesses of other families meet comparable log-odds.
    spread = float(np.sqrt(weights @ (z @ w) ** 2 / weights.sum())) or 1.0
    direction = w / spread
    return lambda x: (x - centre) @ direction


def _logistic(x: FloatArray, y: IntArray, weights: FloatArray, rng: np.random.Generator) -> list[tuple[str, Scorer]]:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    fitted: list[tuple[str, Scorer]] = []
    for strength in (0.001, 0.03, 1.0):
        model = LogisticRegression(C=strength, max_iter=200, tol=1e-4)
        with warnings.catch_warnings():  # an unconverged fit is still a classifier, and is judged on other rows
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(x, y, sample_weight=weights)
        fitted.append((f"C {strength:g}", model.decision_function))
    return fitted


def _trees(x: FloatArray, y: IntArray, weights: FloatArray, rng: np.random.Generator) -> list[tuple[str, Scorer]]:
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(
        max_iter=60,
        learning_rate=0.1,
        max_leaf_nodes=8,
        l2_regularization=1.0,
        early_stopping=False,
        random_state=int(rng.integers(2**31)),
    )
    model.fit(x, y, sample_weight=weights)
    return [("", model.decision_function)]


def _mlp(x: FloatArray, y: IntArray, weights: FloatArray, rng: np.random.Generator) -> list[tuple[str, Scorer]]:
    """One hidden layer of 64, Adam on whole batches, early weights decay: small, fast, the same on every run."""
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    inputs, signs = torch.from_numpy(x).float(), torch.from_numpy(y).float()
    weight = torch.from_numpy(weights).float()
    width = 64
    with torch.enable_grad():
        hidden = (torch.randn(x.shape[1], width, generator=generator) / x.shape[1] ** 0.5).requires_grad_()
        shift = torch.zeros(width, requires_grad=True)
        out = (torch.randn(width, generator=generator) / width**0.5).requires_grad_()
        bias = torch.zeros((), requires_grad=True)
        optimiser = torch.optim.AdamW([hidden, shift, out, bias], lr=1e-2, weight_decay=0.1)
        batch = min(4096, len(inputs))
        for _ in range(100):
            rows = torch.randperm(len(inputs), generator=generator)[:batch] if batch < len(inputs) else slice(None)
            logits = torch.relu(inputs[rows] @ hidden + shift) @ out + bias
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, signs[rows], weight[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    layers = [t.detach().double().numpy() for t in (hidden, shift, out, bias)]
    return [("", lambda z: np.maximum(z @ layers[0] + layers[1], 0.0) @ layers[2] + layers[3])]


_Fit = Callable[[FloatArray, IntArray, FloatArray, np.random.Generator], list[tuple[str, Scorer]]]
_FITS: dict[str, _Fit] = {"ridge": _ridge, "logistic": _logistic, "mlp": _mlp, "trees": _trees}
