"""The dense losses as loops over pixels, in Python floats, from their formulas: independent of the real ones."""

import math

import numpy as np
from torch import Tensor

from tests.losses.naive import dot, softmax


def unit(row: list[float]) -> list[float]:
    length = math.sqrt(dot(row, row))
    return [x / length for x in row]


def pixels(x: Tensor) -> list[list[list[float]]]:
    """[n][h·w][c]."""
    return [image.flatten(1).T.tolist() for image in x]


def kl(p: list[float], q: list[float]) -> float:
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def law(scores: list[float], tau: float) -> list[float]:
    return softmax([s / tau for s in scores])


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def kd(student: Tensor, teacher: Tensor, tau: float, counts: Tensor) -> float:
    values = []
    for s, t, c in zip(pixels(student), pixels(teacher), counts.flatten(1).tolist(), strict=True):
        values += [kl(law(a, tau), law(b, tau)) for a, b, keep in zip(t, s, c, strict=True) if keep]
    return tau**2 * mean(values)


def dkd(student: Tensor, teacher: Tensor, labels: Tensor, tau: float, ignore: int) -> tuple[float, float]:
    target, others = [], []
    for s, t, ys in zip(pixels(student), pixels(teacher), labels.flatten(1).tolist(), strict=True):
        for a, b, y in zip(t, s, ys, strict=True):
            if y == ignore:
                continue
            p, q = law(a, tau), law(b, tau)
            target.append(kl([p[y], 1 - p[y]], [q[y], 1 - q[y]]))
            p_rest = [x / (1 - p[y]) for i, x in enumerate(p) if i != y]
            q_rest = [x / (1 - q[y]) for i, x in enumerate(q) if i != y]
            others.append(kl(p_rest, q_rest))
    return tau**2 * mean(target), tau**2 * mean(others)


def cwd(student: Tensor, teacher: Tensor, tau: float) -> float:
    values = []
    for s, t in zip(student.flatten(0, 1).flatten(1).tolist(), teacher.flatten(0, 1).flatten(1).tolist(), strict=True):
        values.append(kl(law(t, tau), law(s, tau)))
    return tau**2 * mean(values)


def pearson(x: list[float], y: list[float]) -> float:
    x, y = [a - mean(x) for a in x], [b - mean(y) for b in y]
    return dot(x, y) / (math.sqrt(dot(x, x)) * math.sqrt(dot(y, y)) + 1e-8)


def dist(student: Tensor, teacher: Tensor, tau: float, counts: Tensor) -> tuple[float, float]:
    q, p = [], []
    for s, t, c in zip(pixels(student), pixels(teacher), counts.flatten(1).tolist(), strict=True):
        q += [law(a, tau) for a, keep in zip(s, c, strict=True) if keep]
        p += [law(a, tau) for a, keep in zip(t, c, strict=True) if keep]
    rows = 1 - mean([pearson(a, b) for a, b in zip(q, p, strict=True)])
    columns = zip(zip(*q, strict=True), zip(*p, strict=True), strict=True)
    return tau**2 * rows, tau**2 * (1 - mean([pearson(list(a), list(b)) for a, b in columns]))


def ifvd(student: Tensor, teacher: Tensor, labels: Tensor, classes: int) -> float:
    """labels on the features' grid; those outside of [0, classes) are no class."""
    total, count = 0.0, 0
    for s, t, ys in zip(pixels(student), pixels(teacher), labels.flatten(1).tolist(), strict=True):
        for k in range(classes):
            members = [i for i, y in enumerate(ys) if y == k]
            for i in members:
                cosines = []
                for f in (s, t):
                    prototype = [mean(list(column)) for column in zip(*(f[j] for j in members), strict=True)]
                    cosines.append(dot(unit(f[i]), unit(prototype)))
                total += (cosines[0] - cosines[1]) ** 2
        count += len(ys)
    return total / count


def skd_pair(student: Tensor, teacher: Tensor) -> float:
    """Of maps that are pooled already."""
    values = []
    for s, t in zip(pixels(student), pixels(teacher), strict=True):
        for i in range(len(s)):
            for j in range(len(s)):
                values.append((dot(unit(s[i]), unit(s[j])) - dot(unit(t[i]), unit(t[j]))) ** 2)
    return mean(values)


def cirkd_mini_batch(student: Tensor, teacher: Tensor, tau: float) -> float:
    s, t = pixels(student), pixels(teacher)
    total = 0.0
    for i in range(len(s)):
        for j in range(len(s)):
            rows = []
            for a, b in zip(s[i], t[i], strict=True):
                q = law([dot(unit(a), unit(other)) for other in s[j]], tau)
                p = law([dot(unit(b), unit(other)) for other in t[j]], tau)
                rows.append(kl(p, q))
            total += mean(rows)
    return total / len(s) ** 2


def memory(student: list[list[float]], teacher: list[list[float]], bank: list[list[float]], tau: float) -> float:
    values = []
    for s, t in zip(student, teacher, strict=True):
        q, p = (law([dot(unit(row), unit(v)) for v in bank], tau) for row in (s, t))
        values.append(kl(p, q))
    return mean(values)


def pixel_contrast(
    rows: list[list[float]], labels: list[int], modality: list[int], pairs: str, tau: float, tau_base: float
) -> float:
    z = [unit(row) for row in rows]
    per_anchor = []
    for i in range(len(z)):
        seen = [j for j in range(len(z)) if pairs == "all" or (modality[i] == modality[j]) == (pairs == "intra")]
        positives = [j for j in seen if j != i and labels[j] == labels[i]]
        negatives = sum(math.exp(dot(z[i], z[k]) / tau) for k in seen if labels[k] != labels[i])
        if positives:
            scores = [dot(z[i], z[j]) / tau for j in positives]
            per_anchor.append(-mean([s - math.log(math.exp(s) + negatives) for s in scores]))
    return tau / tau_base * mean(per_anchor)


def lix_loop(z_s, z_t, label, weigh, tau: float, element: bool, ignore: int = 255) -> float:
    """The loss pixel by pixel, in probabilities; weigh(p_t, p_s, y) gives two lists of weights."""
    total, count = 0.0, 0
    rows = (z.movedim(1, -1).reshape(-1, z.shape[1]).tolist() for z in (z_s, z_t))
    for s, t, y in zip(*rows, label.flatten().tolist(), strict=True):
        if y == ignore:
            continue
        count += 1
        p_s, p_t = (np.exp(np.array(z) / tau) / np.exp(np.array(z) / tau).sum() for z in (s, t))
        sure = [np.array([p[y], 1 - p[y]]) for p in (p_s, p_t)]
        rest = [np.delete(p, y) / (1 - p[y]) for p in (p_s, p_t)]
        alpha, beta = weigh(p_t, p_s, y)
        for weight, (q_s, q_t) in ((alpha, sure), (beta, rest)):
            parts = q_t * np.log(q_t / q_s) + (q_s - q_t if element else 0)
            total += float((np.array(weight) * parts).sum())
    return tau**2 * total / count


def lix_weights(name: str, element: bool):
    """(alpha, beta) of a built-in controller from probabilities; beta is over the classes that are not the label."""

    def weigh(p_t, p_s, y):
        others = len(p_t) - 1
        hat_t, hat_s = (np.delete(p, y) / (1 - p[y]) for p in (p_t, p_s))
        ones = np.ones(others)
        if name == "kd":
            return [1, 1], (1 - p_t[y]) * ones
        if name == "relative":
            return [1, 1], 2 * (1 - p_t[y]) * ones
        if name == "dkd":
            return [1, 1], 8 * ones
        if name == "discrepancy":
            apart = abs(hat_t - hat_s)
            return [1 + abs(p_t[y] - p_s[y])] * 2, 1 + (apart if element else apart.sum() / 2 * ones)
        surprise = -hat_t * np.log(hat_t)
        return [1, 1], (surprise * others if element else surprise.sum() * ones) / np.log(others)

    return weigh
