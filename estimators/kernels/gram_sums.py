"""HSIC of any kernel from sums over blocks of Gram rows, with what a leave-one-block-out jackknife needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from ..inputs import IntArray
from .kernel import Kernel, bandwidth, gram

_BLOCK_BYTES = 2**26
_MOST_ROWS = 256  # of a block: of n rows in blocks of r, r / n of the Gram matrices is computed twice


@dataclass
class GramSums:
    """Sums of two zero-diagonal Gram matrices K~, L~ over columns of each jackknife block b = 0..B-1, float64."""

    k: torch.Tensor  # [n, B]  sum_{j in b} K~_ij
    l: torch.Tensor  # [n, B]  # noqa: E741
    kl: torch.Tensor  # [n, B]  sum_{j in b} K~_ij L~_ij
    kk: torch.Tensor  # [n, B]; NaN where HSIC of a side with itself was not asked for
    ll: torch.Tensor  # [n, B]
    k_diagonal: torch.Tensor  # [n]
    l_diagonal: torch.Tensor  # [n]
    blocks: torch.Tensor  # [n] block of each row

    def triple(self, debiased: bool, without: int | None = None) -> tuple[float, float, float]:
        """HSIC(K, L), HSIC(K, K), HSIC(L, L), of all rows or with one block left out."""
        keep = slice(None) if without is None else self.blocks != without
        columns = [b for b in range(self.k.shape[1]) if b != without]

        def rows(sums: torch.Tensor) -> torch.Tensor:
            return sums[keep][:, columns].sum(1)

        k, l = rows(self.k), rows(self.l)  # noqa: E741
        dk, dl = self.k_diagonal[keep], self.l_diagonal[keep]
        value = _unbiased if debiased else _biased
        return (
            value(rows(self.kl), k, l, dk, dl),
            value(rows(self.kk), k, k, dk, dk),
            value(rows(self.ll), l, l, dl, dl),
        )


def _unbiased(product: torch.Tensor, k: torch.Tensor, l: torch.Tensor, dk: torch.Tensor, dl: torch.Tensor) -> float:  # noqa: E741
    n = k.numel()
    if n < 4:
        return float("nan")
    total = product.sum() + k.sum() * l.sum() / ((n - 1) * (n - 2)) - 2.0 * (k @ l) / (n - 2)
    return float(total / (n * (n - 3)))


def _biased(product: torch.Tensor, k: torch.Tensor, l: torch.Tensor, dk: torch.Tensor, dl: torch.Tensor) -> float:  # noqa: E741
    n = k.numel()
    if n < 2:
        return float("nan")
    k, l = k + dk, l + dl  # noqa: E741
    total = product.sum() + dk @ dl - 2.0 / n * (k @ l) + k.sum() * l.sum() / n**2
    return float(total / (n - 1) ** 2)


def gram_sums(
    x: torch.Tensor, y: torch.Tensor, x_kernel: Kernel, y_kernel: Kernel, blocks: IntArray, own: bool = True
) -> GramSums:
    """One pass over Gram rows; about 64 MB at a time beside the n x B sums. own: HSIC(K, K) and HSIC(L, L) too.

    Gram matrices are symmetric: a block of rows meets itself and the rows after it, which count for both orders.
    """
    n = x.shape[0]
    x, y = x.double() - x.double().mean(0), y.double() - y.double().mean(0)
    hx, hy = bandwidth(x_kernel, x), bandwidth(y_kernel, y)
    labels = torch.from_numpy(np.asarray(blocks)).to(x.device)
    members = torch.nn.functional.one_hot(labels).double()  # [n, B]
    sums = [torch.zeros_like(members) for _ in range(5 if own else 3)]
    diagonals = [torch.empty(n, dtype=torch.float64, device=x.device) for _ in range(2)]
    step = max(1, min(_MOST_ROWS, _BLOCK_BYTES // (8 * 4 * n)))
    for start in range(0, n, step):
        part, after = slice(start, start + step), slice(start + step, None)
        k, l = gram(x_kernel, x[part], x[start:], hx), gram(y_kernel, y[part], y[start:], hy)  # noqa: E741
        for matrix, diagonal in zip((k, l), diagonals, strict=True):
            diagonal[part] = matrix.diagonal()
            matrix.fill_diagonal_(0.0)
        for total, matrix in zip(sums, _products(k, l), strict=False):
            total[part] += matrix @ members[start:]
            total[after] += matrix[:, step:].T @ members[part]
    kk, ll = sums[3:] or [torch.full_like(members, torch.nan)] * 2
    return GramSums(sums[0], sums[1], sums[2], kk, ll, diagonals[0], diagonals[1], labels)


def _products(k: torch.Tensor, l: torch.Tensor) -> Iterator[torch.Tensor]:  # noqa: E741
    """What is summed, one after another; in the end k and l are overwritten."""
    yield k
    yield l
    yield k * l
    yield k.square_()
    yield l.square_()
