"""Features of all processes as one batch, so that every process has all negatives and gradients come out right."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def gathered(z: Tensor, lengths: Sequence[int] | None = None) -> Tensor:
    """The rows of all processes, joined in the order of ranks: [n_r, ...] on rank r becomes [Σ_r n_r, ...].

    z: of any type; numbers of rows may differ between ranks, the rest of the shape may not. lengths: these numbers,
    where they are known: to ask for them makes a GPU wait. Without an initialised process group, or with one process,
    z itself. Every process must call it.

    Differentiable, and the adjoint is the true one: the gradient of a rank's rows is the sum over all ranks of the
    gradients at those rows. With L_r the loss of rank r, DDP's average of parameter gradients is therefore the gradient
    of mean_r L_r. Where every rank computes the same loss of the gathered features, as `ntxent`, `cmc` and `cmd` of
    gathered tensors are, that is the loss and the gradient of one process with the joined batch, with no factor to
    multiply by. (A gather whose backward takes the own slice alone is too small by the number of processes under DDP;
    one that joins detached rows of other ranks misses the gradient through negatives.)
    """
    if processes() == 1:
        return z
    if lengths is None:
        lengths = [int(n) for n in torch.cat(_all(torch.tensor([len(z)], device=z.device))).tolist()]
    result: Tensor = _Gather.apply(z, lengths)
    return result


def total(x: Tensor) -> Tensor:
    """The sum of a tensor over all processes. Differentiable, with the true adjoint, as `gathered`."""
    if processes() == 1:
        return x
    result: Tensor = _Sum.apply(x)
    return result


def processes() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, lengths: Sequence[int]) -> Tensor:
        """All ranks' rows, each padded to the longest on the way."""
        ctx.lengths = list(lengths)
        padded = z if len(z) == max(lengths) else torch.cat((z, z.new_zeros(max(lengths) - len(z), *z.shape[1:])))
        return torch.cat([rows[:n] for rows, n in zip(_all(padded), lengths, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Sum over ranks, of which each keeps its rows."""
        return _summed(gradients[0]).split(ctx.lengths)[dist.get_rank()], None


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _summed(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _summed(gradients[0])


def _summed(x: Tensor) -> Tensor:
    result = x.contiguous().clone()
    dist.all_reduce(result)
    return result


def _all(x: Tensor) -> list[Tensor]:
    x = x.contiguous()
    parts = [torch.empty_like(x) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, x)
    return parts
