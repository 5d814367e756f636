"""Linear HSIC from d x d moments: exact, in one pass, mergeable; what `cka`, `hsic` and `StreamingCKA` stand on.

With zero-diagonal Gram matrices K~, L~ of rows x_i, y_i and s_x = sum x_i:

    tr(K~ L~)   = |X'Y|_F^2 - sum |x_i|^2 |y_i|^2
    1' K~ 1     = |s_x|^2 - sum |x_i|^2
    1' K~ L~ 1  = s_x' X'Y s_y - s_x . sum x_i |y_i|^2 - s_y . sum y_i |x_i|^2 + sum |x_i|^2 |y_i|^2
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

_BLOCK_BYTES = 2**22


@dataclass
class PairMoments:
    """Sums over rows for one pair of representations, float64, all relative to fixed offsets."""

    cross: torch.Tensor  # [d_x, d_y]  sum x_i y_i'
    x_weighted: torch.Tensor  # [d_x]  sum x_i |y_i|^2
    y_weighted: torch.Tensor  # [d_y]  sum y_i |x_i|^2
    squares: torch.Tensor  # []  sum |x_i|^2 |y_i|^2

    def __add__(self, other: PairMoments) -> PairMoments:
        return PairMoments(*(getattr(self, f) + getattr(other, f) for f in self.__dataclass_fields__))

    def __sub__(self, other: PairMoments) -> PairMoments:
        return PairMoments(*(getattr(self, f) - getattr(other, f) for f in self.__dataclass_fields__))


@dataclass
class LinearMoments:
    """All that linear HSIC(x, y), HSIC(x, x) and HSIC(y, y) need of some rows."""

    n: int
    x_sum: torch.Tensor  # [d_x]
    y_sum: torch.Tensor  # [d_y]
    x_squares: torch.Tensor  # []
    y_squares: torch.Tensor  # []
    xy: PairMoments
    xx: PairMoments
    yy: PairMoments

    def __add__(self, other: LinearMoments) -> LinearMoments:
        return LinearMoments(*(getattr(self, f) + getattr(other, f) for f in self.__dataclass_fields__))

    def __sub__(self, other: LinearMoments) -> LinearMoments:
        return LinearMoments(*(getattr(self, f) - getattr(other, f) for f in self.__dataclass_fields__))

    def triple(self, debiased: bool) -> tuple[float, float, float]:
        """HSIC(x, y), HSIC(x, x), HSIC(y, y)."""
        x, y = (self.x_sum, self.x_squares), (self.y_sum, self.y_squares)
        value = _unbiased if debiased else _biased
        return value(self.n, self.xy, x, y), value(self.n, self.xx, x, x), value(self.n, self.yy, y, y)


_Side = tuple[torch.Tensor, torch.Tensor]


def _unbiased(n: int, pair: PairMoments, x: _Side, y: _Side) -> float:
    if n < 4:
        return float("nan")
    trace = (pair.cross**2).sum() - pair.squares
    totals = ((x[0] @ x[0]) - x[1]) * ((y[0] @ y[0]) - y[1])
    rows = x[0] @ pair.cross @ y[0] - x[0] @ pair.x_weighted - y[0] @ pair.y_weighted + pair.squares
    return float((trace + totals / ((n - 1) * (n - 2)) - 2.0 * rows / (n - 2)) / (n * (n - 3)))


def _biased(n: int, pair: PairMoments, x: _Side, y: _Side) -> float:
    if n < 2:
        return float("nan")
    return float(((pair.cross - torch.outer(x[0], y[0]) / n) ** 2).sum() / (n - 1) ** 2)


def block_rows(*widths: int) -> int:
    """Rows in a block of float64 that stays near the processor."""
    return max(64, _BLOCK_BYTES // (8 * sum(widths)))


def linear_moments(x: torch.Tensor, y: torch.Tensor, x_offset: torch.Tensor, y_offset: torch.Tensor) -> LinearMoments:
    """Moments of the rows of x and y less the offsets, block by block, in float64 whatever the dtype of the rows."""
    shapes = [(x.shape[1], y.shape[1]), (x.shape[1], x.shape[1]), (y.shape[1], y.shape[1])]
    crosses = [torch.zeros(shape, dtype=torch.float64, device=x.device) for shape in shapes]
    sides = [torch.zeros(3, z.shape[1], dtype=torch.float64, device=z.device) for z in (x, y)]
    norms = torch.zeros(2, 2, dtype=torch.float64, device=x.device)
    step = block_rows(x.shape[1], y.shape[1])
    for start in range(0, x.shape[0], step):
        part = slice(start, start + step)
        a, b = (z.to(torch.float64, copy=True).sub_(o) for z, o in ((x[part], x_offset), (y[part], y_offset)))
        weights = torch.stack([torch.ones_like(a[:, 0]), _norms(a), _norms(b)])
        # One skinny product reads a block once for its sum and for both weighted sums.
        sides[0].addmm_(weights, a)
        sides[1].addmm_(weights, b)
        norms.addmm_(weights[1:], weights[1:].T)
        for cross, left, right in zip(crosses, (a, a, b), (b, a, b), strict=True):
            cross.addmm_(left.T, right)
    return _collect(x.shape[0], crosses, sides, norms)


def _norms(block: torch.Tensor) -> torch.Tensor:
    return torch.linalg.vector_norm(block, dim=1).square()


def _collect(n: int, crosses: list[torch.Tensor], sides: list[torch.Tensor], norms: torch.Tensor) -> LinearMoments:
    """Moments from running sums; rows of a side: plain, weighted by |x|^2, weighted by |y|^2."""
    x, y = sides
    xy = PairMoments(crosses[0], x[2], y[1], norms[0, 1])
    xx, yy = PairMoments(crosses[1], x[1], x[1], norms[0, 0]), PairMoments(crosses[2], y[2], y[2], norms[1, 1])
    # Sums of squared norms are the trace of the cross products.
    return LinearMoments(n, x[0], y[0], crosses[1].trace(), crosses[2].trace(), xy, xx, yy)
