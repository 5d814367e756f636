"""The losses, written as loops from their formulas: slow, in Python floats, and independent of the real ones."""

import math

import numpy as np
from torch import Tensor


def unit(z: Tensor) -> list[list[float]]:
    rows = z.tolist()
    return [[v / math.sqrt(sum(u * u for u in row)) for v in row] for row in rows]


def dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def softmax(scores: list[float]) -> list[float]:
    top = max(scores)
    weights = [math.exp(s - top) for s in scores]
    return [w / sum(weights) for w in weights]


def log_softmax(scores: list[float], i: int) -> float:
    top = max(scores)
    return scores[i] - top - math.log(sum(math.exp(s - top) for s in scores))


def one_way(
    a: list[list[float]],
    b: list[list[float]],
    tau: float,
    concept: list[int],
    queue: list[list[float]] | None = None,
    queue_concept: list[int] | None = None,
) -> float:
    """Mean over anchors of the mean over their positives of -log softmax; positives have the anchor's concept.

    A queue adds negatives, but for those of the anchor's concept where they are known.
    """
    total = 0.0
    for i, anchor in enumerate(a):
        scores = [dot(anchor, other) / tau for other in b]
        positives = [j for j in range(len(b)) if concept[j] == concept[i]]
        for j, other in enumerate(queue or []):
            if queue_concept is None or queue_concept[j] != concept[i]:
                scores.append(dot(anchor, other) / tau)
        total -= sum(log_softmax(scores, j) for j in positives) / len(positives)
    return total / len(a)


def cmc(
    z_a: Tensor,
    z_b: Tensor,
    tau: float,
    concept: list[int] | None = None,
    queue: Tensor | None = None,
    queue_concept: list[int] | None = None,
) -> float:
    a, b = unit(z_a), unit(z_b)
    concept = concept or list(range(len(a)))
    more = None if queue is None else unit(queue)
    return (one_way(a, b, tau, concept) + one_way(b, a, tau, concept, more, queue_concept)) / 2


def ntxent(z_1: Tensor, z_2: Tensor, tau: float) -> float:
    z = unit(z_1) + unit(z_2)
    n, total = len(z) // 2, 0.0
    for i in range(2 * n):
        others = [t for t in range(2 * n) if t != i]
        scores = [dot(z[i], z[t]) / tau for t in others]
        total -= log_softmax(scores, others.index((i + n) % (2 * n)))
    return total / (2 * n)


def cmd(
    z_a: Tensor, z_b: Tensor, form: str, tau_t: float, tau_s: float, include_self: bool, bank: Tensor | None = None
) -> dict[str, float]:
    a, b = unit(z_a), unit(z_b)
    sums = {"loss": 0.0, "entropy": 0.0, "kl": 0.0, "tv": 0.0}
    for i in range(len(a)):
        if bank is not None:
            keys = ([a[i]] if include_self else []) + unit(bank)
            seen = keys
        else:
            chosen = [j for j in range(len(a)) if include_self or j != i]
            keys = [a[j] for j in chosen]
            seen = keys if form == "seed" else [b[j] for j in chosen]
        p = softmax([dot(a[i], k) / tau_t for k in keys])
        q = softmax([dot(b[i], k) / tau_s for k in seen])
        sums["loss"] -= sum(x * math.log(y) for x, y in zip(p, q, strict=True))
        sums["entropy"] -= sum(x * math.log(x) for x in p if x > 0)
        sums["kl"] += sum(x * math.log(x / y) for x, y in zip(p, q, strict=True) if x > 0)
        sums["tv"] += sum(abs(x - y) for x, y in zip(p, q, strict=True)) / 2
    return {name: value / len(a) for name, value in sums.items()}


def pooled(x: np.ndarray, height: int, width: int) -> np.ndarray:
    """Adaptive average pooling of [n, c, h, w]: cell i covers rows floor(i·h/height) up to ceil((i+1)·h/height)."""
    h, w = x.shape[2:]
    out = np.empty((*x.shape[:2], height, width))
    for i in range(height):
        for j in range(width):
            rows = slice(i * h // height, -(-(i + 1) * h // height))
            columns = slice(j * w // width, -(-(j + 1) * w // width))
            out[..., i, j] = x[..., rows, columns].mean((2, 3))
    return out


def together(b: Tensor, a: Tensor) -> list[np.ndarray]:
    """Both as arrays, on the smaller grid."""
    if b.ndim == 2:
        return [b.numpy(), a.numpy()]
    height, width = (min(p, q) for p, q in zip(b.shape[2:], a.shape[2:], strict=True))
    return [pooled(x.numpy(), height, width) for x in (b, a)]


def mean_square(x: np.ndarray, y: np.ndarray) -> float:
    return sum((p - q) ** 2 for p, q in zip(x.ravel().tolist(), y.ravel().tolist(), strict=True)) / x.size


def cmst(levels_b: list[Tensor], levels_a: list[Tensor]) -> float:
    return sum(mean_square(*together(b, a)) for b, a in zip(levels_b, levels_a, strict=True))


def attention(f: np.ndarray) -> np.ndarray:
    rows = []
    for item in f:
        energy = [float(sum(v * v for v in item[:, i, j])) for i in range(f.shape[2]) for j in range(f.shape[3])]
        length = math.sqrt(sum(e * e for e in energy))
        rows.append([e / length for e in energy])
    return np.array(rows)


def attention_transfer(levels_b: list[Tensor], levels_a: list[Tensor]) -> float:
    return sum(mean_square(*(attention(x) for x in together(b, a))) for b, a in zip(levels_b, levels_a, strict=True))


def crd(anchor: Tensor, candidates: Tensor, tau: float, z: float, n_data: int) -> tuple[float, list[list[float]]]:
    """CRD's half in probabilities, and its scores."""
    k = candidates.shape[1] - 1
    scores = [[dot(a, c) / tau for c in unit(own)] for a, own in zip(unit(anchor), candidates, strict=True)]
    total = 0.0
    for row in scores:
        h = [math.exp(s) / z / (math.exp(s) / z + k / n_data) for s in row]
        total -= math.log(h[0]) + sum(math.log(1 - x) for x in h[1:])
    return total / len(scores), scores
