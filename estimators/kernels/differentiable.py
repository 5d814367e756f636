"""HSIC, CKA and MMD^2 as differentiable functions of tensors, for use as a loss.

Tensors in, tensors out, any number of leading batch dimensions, any float dtype. Centring, norms and denominators carry
gradient (only data-driven bandwidths are constants). Features are divided by their Frobenius norm first, as CKA is
scale-free, so that half-precision inputs upcast to float32 neither overflow nor vanish. A side without spread has CKA 0
and gradient 0 where the estimators say "undefined": a training run must go on.
"""

from __future__ import annotations

import torch

from .kernel import Kernel, KernelLike, as_kernel, bandwidth, gram


def hsic_value(
    x: torch.Tensor,
    y: torch.Tensor,
    kernel: KernelLike = "linear",
    target_kernel: KernelLike | None = None,
    unbiased: bool = True,
) -> torch.Tensor:
    """HSIC of paired rows, `[..., n, d_x]` and `[..., n, d_y]` to `[...]`; formulas as `estimators.hsic`.

    Raises:
        ValueError: leading shapes or row counts differ, or fewer than 4 rows (2 when biased).

    >>> import torch
    >>> from estimators import hsic_value
    >>> x = torch.tensor([[0.0], [1.0], [2.0], [4.0]], requires_grad=True)
    >>> hsic_value(x, x, unbiased=False).item()  # the squared variance, 35 / 12
    8.506944...
    """
    kernels = _kernels(kernel, target_kernel)
    x, y = _checked(x, y, 4 if unbiased else 2)
    return _triple(x, y, *kernels, unbiased, only_cross=True)[0]


def cka_value(
    x: torch.Tensor,
    y: torch.Tensor,
    kernel: KernelLike = "linear",
    target_kernel: KernelLike | None = None,
    debiased: bool = False,
    eps: float = 1e-8,
) -> torch.Tensor:
    """CKA of paired rows, `[..., n, d_x]` and `[..., n, d_y]` to `[...]`; formulas as `estimators.cka`.

    Linear kernels with d < n use d x d products, others n x n Gram matrices.

    Args:
        debiased: the unbiased HSIC throughout; the biased one by default, since a loss wants a value in [0, 1].
        eps: self-HSIC relative to its scale at or below which a side counts as constant: value 0, gradient 0.

    Raises:
        ValueError: as `hsic_value`.

    >>> import torch
    >>> from estimators import cka_value
    >>> x = torch.arange(12.0).reshape(6, 2) ** 2
    >>> round(cka_value(x, -3 * x + 1).item(), 5)
    1.0
    """
    kernels = _kernels(kernel, target_kernel)
    x, y = _checked(x, y, 4 if debiased else 2)
    x, y = (_scaled(t, k) for t, k in zip((x, y), kernels, strict=True))
    xy, xx, yy = _triple(x, y, *kernels, debiased, only_cross=False)
    n = x.shape[-2]
    floors = [_scale(t, k) * eps / (n - 1) ** 2 for t, k in zip((x, y), kernels, strict=True)]
    defined = (xx > floors[0]) & (yy > floors[1])
    # Both branches of `where` must be finite for the gradient to be, hence the ones under the square root.
    ones = torch.ones_like(xx)
    ratio = xy / torch.sqrt(torch.where(defined, xx, ones) * torch.where(defined, yy, ones))
    return torch.where(defined, ratio, torch.zeros_like(ratio))


def cka_loss(
    x: torch.Tensor,
    y: torch.Tensor,
    kernel: KernelLike = "linear",
    target_kernel: KernelLike | None = None,
    debiased: bool = False,
) -> torch.Tensor:
    """``1 - mean CKA`` over leading dimensions, a scalar.

    >>> import torch
    >>> from estimators import cka_loss
    >>> x = torch.arange(12.0).reshape(6, 2) ** 2
    >>> abs(cka_loss(x, 5 * x).item()) < 1e-5
    True
    """
    return 1.0 - cka_value(x, y, kernel, target_kernel, debiased).mean()


def mmd2_value(x: torch.Tensor, y: torch.Tensor, kernel: KernelLike = "rbf", unbiased: bool = True) -> torch.Tensor:
    """Squared MMD of two samples, `[..., n, d]` and `[..., m, d]` to `[...]`.

    Unbiased: sums without a row paired with itself, as `estimators.mmd2` for unpaired rows. A median bandwidth is that
    of both samples together.

    Raises:
        ValueError: shapes do not fit or fewer than 2 rows on a side.

    >>> import torch
    >>> from estimators import Kernel, mmd2_value
    >>> x = torch.zeros(3, 1); mmd2_value(x, x + 1.0, Kernel("laplace_l1", bandwidth=1.0)).item()  # 2 - 2 / e
    1.264241...
    """
    chosen = as_kernel(kernel)
    if x.shape[:-2] != y.shape[:-2] or x.shape[-1] != y.shape[-1] or min(x.shape[-2], y.shape[-2]) < 2:
        raise ValueError(f"expected [..., n, d] and [..., m, d] with n, m >= 2, got {list(x.shape)}, {list(y.shape)}")
    x, y = _at_least_single(x), _at_least_single(y)
    h = bandwidth(chosen, torch.cat([x, y], dim=-2))
    kxx, kyy, kxy = gram(chosen, x, x, h), gram(chosen, y, y, h), gram(chosen, x, y, h)
    return _mean(kxx, unbiased) + _mean(kyy, unbiased) - 2.0 * kxy.mean((-2, -1))


def _mean(k: torch.Tensor, unbiased: bool) -> torch.Tensor:
    n = k.shape[-1]
    if not unbiased:
        return k.mean((-2, -1))
    return (k.sum((-2, -1)) - torch.diagonal(k, dim1=-2, dim2=-1).sum(-1)) / (n * (n - 1))


def _kernels(kernel: KernelLike, target_kernel: KernelLike | None) -> tuple[Kernel, Kernel]:
    return as_kernel(kernel), as_kernel(kernel if target_kernel is None else target_kernel)


def _at_least_single(x: torch.Tensor) -> torch.Tensor:
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


def _checked(x: torch.Tensor, y: torch.Tensor, minimum: int) -> tuple[torch.Tensor, torch.Tensor]:
    if x.ndim < 2 or x.shape[:-1] != y.shape[:-1]:
        raise ValueError(f"pairs do not match: {list(x.shape)} and {list(y.shape)}")
    if x.shape[-2] < minimum:
        raise ValueError(f"needs at least {minimum} rows, got {x.shape[-2]}")
    x, y = _at_least_single(x), _at_least_single(y)
    return _centred(x), _centred(y)


def _centred(x: torch.Tensor) -> torch.Tensor:
    """Columns less their means; exactly 0, and without gradient, where only rounding is left of constant features."""
    centred = x - x.mean(-2, keepdim=True)
    with torch.no_grad():
        left, whole = (torch.linalg.matrix_norm(t, keepdim=True) for t in (centred, x))
        spread = left > 16.0 * torch.finfo(x.dtype).eps * whole
    return torch.where(spread, centred, torch.zeros_like(centred))


def _scaled(x: torch.Tensor, kernel: Kernel) -> torch.Tensor:
    """Unit Frobenius norm for kernels whose CKA does not depend on scale; a constant for gradients, as it cancels."""
    if kernel.bandwidth is not None:
        return x
    norm = torch.linalg.matrix_norm(x.detach(), keepdim=True)
    return x / torch.where(norm > 0, norm, torch.ones_like(norm))


def _scale(x: torch.Tensor, kernel: Kernel) -> torch.Tensor:
    """What a self-HSIC of spread features is of the order of, before the division by (n - 1)^2."""
    if kernel.name == "linear":
        power = (x.detach() ** 2).sum((-2, -1))
        return power**2 / x.shape[-1]
    return torch.full(x.shape[:-2], float(x.shape[-2]), dtype=x.dtype, device=x.device)


def _triple(
    x: torch.Tensor, y: torch.Tensor, x_kernel: Kernel, y_kernel: Kernel, unbiased: bool, only_cross: bool
) -> tuple[torch.Tensor, ...]:
    """HSIC of (x, y), and unless only_cross of (x, x) and (y, y); columns are centred already."""
    linear = x_kernel.name == y_kernel.name == "linear" and max(x.shape[-1], y.shape[-1]) < x.shape[-2]
    pairs = ((x, y),) if only_cross else ((x, y), (x, x), (y, y))
    if linear:
        return tuple(_linear_hsic(a, b, unbiased) for a, b in pairs)
    k = gram(x_kernel, x, x, bandwidth(x_kernel, x))
    l = gram(y_kernel, y, y, bandwidth(y_kernel, y))  # noqa: E741
    return tuple(_gram_hsic(a, b, unbiased) for a, b in (((k, l),) if only_cross else ((k, l), (k, k), (l, l))))


def _linear_hsic(x: torch.Tensor, y: torch.Tensor, unbiased: bool) -> torch.Tensor:
    n = x.shape[-2]
    cross = ((x.mT @ y) ** 2).sum((-2, -1))
    if not unbiased:
        return cross / (n - 1) ** 2
    x_norms, y_norms = (x * x).sum(-1), (y * y).sum(-1)
    shared = (x_norms * y_norms).sum(-1)
    # Centred rows sum to 0, so that 1'K~1 = -sum |x|^2 and 1'K~L~1 = sum |x|^2 |y|^2.
    total = cross - shared + x_norms.sum(-1) * y_norms.sum(-1) / ((n - 1) * (n - 2)) - 2.0 * shared / (n - 2)
    return total / (n * (n - 3))


def _gram_hsic(k: torch.Tensor, l: torch.Tensor, unbiased: bool) -> torch.Tensor:  # noqa: E741
    n = k.shape[-1]
    if not unbiased:
        k = k - k.mean(-1, keepdim=True) - k.mean(-2, keepdim=True) + k.mean((-2, -1), keepdim=True)
        return (k * l).sum((-2, -1)) / (n - 1) ** 2
    off = 1.0 - torch.eye(n, dtype=k.dtype, device=k.device)
    k, l = k * off, l * off  # noqa: E741
    rows_k, rows_l = k.sum(-1), l.sum(-1)
    total = (k * l).sum((-2, -1)) + rows_k.sum(-1) * rows_l.sum(-1) / ((n - 1) * (n - 2))
    return (total - 2.0 * (rows_k * rows_l).sum(-1) / (n - 2)) / (n * (n - 3))
