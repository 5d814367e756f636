"""The head's terms of the bound: how far a linear head's test risk may be above that of the best one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from estimators import rademacher_multiclass
from estimators.concentration import hoeffding_radius
from xkd_bench.analysis.bound_laws import Floats
from xkd_bench.analysis.bound_terms import Tag, Term

RADII = tuple(2.0**k for k in range(-8, 11))
"""Norms of heads, of which the best is chosen: each with an equal share of δ."""
DRAWS = 200


@dataclass(frozen=True)
class Head:
    """A linear head and what it learned from. features: [n, d]; labels: [n]; weight: [d, k]; bias: [k]."""

    features: Floats
    labels: NDArray[np.int64]
    weight: Floats
    bias: Floats

    def inputs(self) -> Floats:
        """[n, d + 1]: the bias is the weight of a constant."""
        return np.column_stack([self.features, np.ones(len(self.features))])

    def matrix(self) -> Floats:
        """[d + 1, k] with the part that all classes share taken off: it changes no margin."""
        whole = np.vstack([self.weight, self.bias])
        return np.asarray(whole - whole.mean(1, keepdims=True))

    def margins(self) -> Floats:
        """[n] logit of the label less the largest other one."""
        logits = self.inputs() @ self.matrix()
        rows = np.arange(len(self.labels))
        own = logits[rows, self.labels]
        logits[rows, self.labels] = -np.inf
        return np.asarray(own - logits.max(1))

    def risk(self) -> float:
        """Training error."""
        return float((self.margins() <= 0).mean())


def head_terms(head: Head, delta: float, seed: int = 0) -> list[Term]:
    """margin, capacity (2R_n), sampling, and of it `uniform`.

    For all heads of norm ≤ ρ and the ramp loss of margin 1, which is 1-Lipschitz in the margin and that √2-Lipschitz in
    the logits: R ≤ R̂_ramp + 2R̂_n + 3 sqrt(log(2/δ)/2n), R̂_n ≤ 2 (ρ/n) E sqrt(Σ_k |Σ_i ε_ik z_i|²) by Maurer's
    contraction [STD], the constant of `rademacher_multiclass`. The trained head at margin 1 and norm ρ is the trained
    head scaled to norm ρ; margin is R̂_ramp less the training error. The ρ of `RADII` with the least sum is taken.
    Sampling is the deviation above and, of the best head's training error, sqrt(log(1/δ)/2n). Each has level delta.
    """
    n, norm = len(head.labels), float(np.linalg.norm(head.matrix()))
    one = rademacher_multiclass(
        head.inputs(), head.labels, classes=head.matrix().shape[1], radius=1.0, draws=DRAWS, ascent_draws=2, restarts=1,
        steps=1, seed=seed,
    ).high  # fmt: skip
    margins = head.margins() / max(norm, 1e-300)
    choices = [(float(np.clip(1 - rho * margins, 0, 1).mean()) - head.risk(), 2 * rho * one, rho) for rho in RADII]
    margin, capacity, rho = min(choices, key=lambda found: found[0] + found[1])
    uniform = 3 * hoeffding_radius(n, delta / (2 * len(RADII)))
    best = hoeffding_radius(n, delta)
    words = f"norm {rho:g} (trained: {norm:.3g}), {n} labels"
    tag: Tag = "vacuous" if capacity >= 1 else "measured"
    told: list[tuple[str, float, Tag, str]] = [
        ("margin", margin, "measured", f"training error at a margin less without; {words}"),
        ("capacity", capacity, tag, f"2R_n, upper side with its Monte-Carlo error; {words}"),
        ("uniform", uniform, "measured", "part of sampling: deviation of all heads at once"),
        ("sampling", uniform + best, "measured", "deviations of training errors from risks"),
    ]
    return [Term(name, value, math.nan, value, kind, note) for name, value, kind, note in told]
