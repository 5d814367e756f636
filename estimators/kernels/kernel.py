"""Kernels and their bandwidths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import torch

KernelName = Literal["linear", "rbf", "laplace_l1", "laplace_l2"]
_MEDIAN_ROWS = 2048


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel on rows.

    linear: ``x . y``; rbf: ``exp(-|x - y|_2^2 / (2 h^2))``; laplace_l1: ``exp(-|x - y|_1 / h)``; laplace_l2:
    ``exp(-|x - y|_2 / h)``.

    Attributes:
        name: one of these four.
        scale: h as a multiple of the median distance (for rbf: of the square root of the median squared distance), when
            no bandwidth is given. The median is over all ordered pairs of rows, a row with itself included, of at most
            2048 evenly spaced rows; it is a constant for gradients.
        bandwidth: h itself, in the units of the features.

    Laplace with L1 is not rotation invariant; all others are.

    >>> from estimators import Kernel
    >>> Kernel("rbf", scale=0.5).name
    'rbf'
    """

    name: KernelName = "linear"
    scale: float = 1.0
    bandwidth: float | None = None

    def __post_init__(self) -> None:
        if self.name not in get_args(KernelName):
            raise ValueError(f"kernel must be one of {', '.join(get_args(KernelName))}, got {self.name!r}")
        if not self.scale > 0 or (self.bandwidth is not None and not self.bandwidth > 0):
            raise ValueError(f"scale and bandwidth must be positive, got {self.scale} and {self.bandwidth}")


KernelLike: TypeAlias = "Kernel | KernelName"


def as_kernel(kernel: KernelLike) -> Kernel:
    """A kernel from its name or from itself."""
    return kernel if isinstance(kernel, Kernel) else Kernel(kernel)


def distances(x: torch.Tensor, y: torch.Tensor, name: KernelName) -> torch.Tensor:
    """What the kernel decays with: squared L2 (rbf), L1 or L2, [..., n, m]; gradients are finite at distance 0."""
    if name == "laplace_l1":
        return torch.cdist(x, y, p=1.0)
    if name == "laplace_l2":
        # From differences: the square root would turn the rounding of an expanded square, 1e-16, into 1e-8.
        return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
    # In place: nothing here is kept for gradients, and each pass over [n, m] costs as much as many columns.
    squares = (x @ y.mT).mul_(-2.0).add_((x * x).sum(-1).unsqueeze(-1)).add_((y * y).sum(-1).unsqueeze(-2))
    return squares.clamp_min_(0.0)


def median(values: torch.Tensor) -> torch.Tensor:
    """Median over the last axis, the mean of the middle two for even counts."""
    count = values.shape[-1]
    upper = values.kthvalue(count // 2 + 1, dim=-1).values
    return upper if count % 2 else 0.5 * (upper + values.kthvalue(count // 2, dim=-1).values)


def bandwidth(kernel: Kernel, x: torch.Tensor) -> torch.Tensor:
    """h for these rows, [...] (one for each leading index); 0 where all rows coincide.

    Rows are centred before distances are taken, so that a large common offset costs no accuracy.
    """
    if kernel.bandwidth is not None:
        return torch.full(x.shape[:-2], kernel.bandwidth, dtype=x.dtype, device=x.device)
    n = x.shape[-2]
    rows = x.detach()
    if n > _MEDIAN_ROWS:
        rows = rows[..., torch.linspace(0, n - 1, _MEDIAN_ROWS, dtype=torch.float64).round().long().to(x.device), :]
    rows = rows - rows.mean(-2, keepdim=True)
    apart = distances(rows, rows, kernel.name)
    apart = apart - torch.diag_embed(torch.diagonal(apart, dim1=-2, dim2=-1))
    middle = median(apart.flatten(-2))
    if kernel.name == "rbf":
        middle = middle.clamp_min(0.0).sqrt()
    return kernel.scale * middle


def gram(kernel: Kernel, x: torch.Tensor, y: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    """Kernel values, [..., n, m]. Where h is 0 all rows coincide and the kernel is 1."""
    if kernel.name == "linear":
        return x @ y.mT
    apart = distances(x, y, kernel.name)
    safe = torch.where(h > 0, h, torch.ones_like(h))[..., None, None]
    # The gradient of an L1 or L2 distance needs the distance, so those are not overwritten.
    return (apart.div_(-2.0 * safe**2) if kernel.name == "rbf" else apart / -safe).exp_()
