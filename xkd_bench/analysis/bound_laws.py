"""Gibbs laws over a fixed bank, and the routes to their total variation. Arrays in, numbers with ranges out.

The paper's denominator is the mini-batch, under which its concentration step does not hold: replacing one pair moves
the whole average. Here rows are compared with a bank that no row is in, so that rows are independent given the bank.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from estimators.concentration import bernstein_radius, chernoff_lower, chernoff_upper, group_means

Floats = NDArray[np.float64]
PERMUTATIONS = 50


@dataclass(frozen=True)
class Encoded:
    """Features of one encoder, by the same rows and the same bank as all others. rows: [n, d]; bank: [q, d]."""

    rows: Floats
    bank: Floats

    def unit(self) -> Encoded:
        """From the bank's mean, each of length 1: pooled features are all positive, and every cosine near 1."""
        mean = self.bank.mean(0)
        return Encoded(unit_rows(self.rows - mean), unit_rows(self.bank - mean))


@dataclass(frozen=True)
class Range:
    """A mean over groups and the limits that hold at a level each."""

    value: float
    low: float
    high: float


def unit_rows(x: Floats) -> Floats:
    """Rows at length 1; a zero row stays zero."""
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return np.asarray(np.divide(x, length, out=np.zeros_like(x), where=length > 0))


def log_law(x: Encoded, tau: float) -> Floats:
    """[n, q] log softmax_j(x_i · k_j / tau) over the bank, of unit features [RECON med] eq. (9)."""
    return np.asarray(log_softmax(x.rows @ x.bank.T / tau, axis=1))


def tv_rows(log_p: Floats, log_q: Floats) -> Floats:
    """[n] total variation of each row's two laws."""
    return np.asarray(np.minimum(np.abs(np.exp(log_p) - np.exp(log_q)).sum(1) / 2, 1.0))


def kl_rows(log_p: Floats, log_q: Floats) -> Floats:
    """[n] KL(p ‖ q) of each row, in nats: CMD's loss less the teacher's entropy."""
    return np.asarray(np.maximum((np.exp(log_p) * (log_p - log_q)).sum(1), 0.0))


def bounded(values: Floats, group: NDArray[np.int64], delta: float) -> Range:
    """Mean over groups of values in [0, 1], each limit by Chernoff and Hoeffding's inequality at level delta."""
    means = group_means(values, group)
    value = float(np.clip(means.mean(), 0, 1))
    return Range(value, chernoff_lower(value, means.size, delta), chernoff_upper(value, means.size, delta))


def bernstein(values: Floats, group: NDArray[np.int64], delta: float, width: float) -> Range:
    """Mean over groups of values in [0, width], each limit by the empirical Bernstein inequality at level delta."""
    means = group_means(values, group)
    variance = float(means.var(ddof=1)) if means.size > 1 else 0.0
    radius = bernstein_radius(variance, means.size, delta, width)
    return Range(float(means.mean()), max(0.0, float(means.mean()) - radius), float(means.mean()) + radius)


def null_tv(log_p: Floats, log_q: Floats, rng: np.random.Generator) -> float:
    """Mean TV when rows and bank of the second law are permuted: what no alignment at all would give."""
    p, q = np.exp(log_p), np.exp(log_q)
    n, m = q.shape
    draws = [q[np.ix_(rng.permutation(n), rng.permutation(m))] for _ in range(PERMUTATIONS)]
    return float(np.mean([np.abs(p - one).sum() / (2 * n) for one in draws]))


def pinsker(kl: float) -> float:
    """What KL leaves of TV: the smaller of Pinsker's sqrt(KL/2) and Bretagnolle-Huber's sqrt(1 - exp(-KL)) [STD]. Both
    are concave in KL, so that a mean KL may stand for the rows'."""
    return float(min(np.sqrt(kl / 2), np.sqrt(-np.expm1(-kl))))


def own_first(x: Floats, own: Floats, bank: Floats, tau: float) -> Floats:
    """[n, 1 + q] log law with the pair's own teacher feature as the first candidate, as SEED and CMC have it."""
    similarity = np.concatenate([(x * own).sum(1, keepdims=True), x @ bank.T], 1)
    return np.asarray(log_softmax(similarity / tau, axis=1))


def contrast(log_p: Floats, log_q: Floats, group: NDArray[np.int64], tau: float, delta: float) -> Range:
    """Route (c) [DERIVED]: TV(p, q) ≤ TV(p, e) + TV(e, q) with e the law that picks the own item.

    TV(p, e) is 1 - p_own, and the mean of TV(e, q) = 1 - q_own is at most 1 - exp(-L) by Jensen, L = -mean log q_own
    being CMC's target → source half. Half of delta goes to each mean.
    """
    missed = bounded(-np.expm1(log_p[:, 0]), group, delta / 2)
    loss = bernstein(-log_q[:, 0], group, delta / 2, float(np.log(log_q.shape[1]) + 2 / tau))
    pairs = ((missed.value, loss.value), (missed.low, loss.low), (missed.high, loss.high))
    return Range(*(float(min(miss - np.expm1(-nats), 1.0)) for miss, nats in pairs))
