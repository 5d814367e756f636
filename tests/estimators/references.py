"""Independent, slow, literal versions of what the package computes in clever ways."""

import numpy as np


def gram(x, kind, h=None):
    """Kernel matrix by loops over rows."""
    n = len(x)
    k = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            difference = x[i] - x[j]
            if kind == "linear":
                k[i, j] = x[i] @ x[j]
            elif kind == "rbf":
                k[i, j] = np.exp(-(difference @ difference) / (2 * h**2))
            elif kind == "laplace_l1":
                k[i, j] = np.exp(-np.abs(difference).sum() / h)
            else:
                k[i, j] = np.exp(-np.sqrt(difference @ difference) / h)
    return k


def median_bandwidth(x, kind):
    """Median over all ordered pairs of rows, a row with itself included."""
    apart = [np.abs(a - b).sum() if kind == "laplace_l1" else np.sqrt(((a - b) ** 2).sum()) for a in x for b in x]
    if kind == "rbf":
        return np.sqrt(np.median(np.square(apart)))
    return np.median(apart)


def hsic_biased(k, l):  # noqa: E741
    n = len(k)
    h = np.eye(n) - np.ones((n, n)) / n
    return np.trace(k @ h @ l @ h) / (n - 1) ** 2


def hsic_unbiased(k, l):  # noqa: E741
    """Mean over ordered quadruples of distinct rows: the U-statistic itself, not a formula for it."""
    from itertools import permutations

    n = len(k)
    total = 0.0
    for i, j, q, r in permutations(range(n), 4):
        total += k[i, j] * (l[i, j] + l[q, r] - 2 * l[i, q])
    return total / (n * (n - 1) * (n - 2) * (n - 3))


def mmd2_unbiased(x, y, kind, h):
    k = gram(np.concatenate([x, y]), kind, h)
    n, m = len(x), len(y)
    within_x = (k[:n, :n].sum() - np.trace(k[:n, :n])) / (n * (n - 1))
    within_y = (k[n:, n:].sum() - np.trace(k[n:, n:])) / (m * (m - 1))
    return within_x + within_y - 2 * k[:n, n:].mean()


def gibbs_rows(a, b, bank_a, bank_b, tau, own):
    """TV between softmax rows, one row at a time."""
    values = []
    for i in range(len(a)):
        laws = []
        for row, bank in ((a[i], bank_a), (b[i], bank_b)):
            weights = np.array([np.exp(row @ key / tau) for key in bank])
            if own:
                weights[i] = 0.0
            laws.append(weights / weights.sum())
        values.append(0.5 * np.abs(laws[0] - laws[1]).sum())
    return np.array(values)
