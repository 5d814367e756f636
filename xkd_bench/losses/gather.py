"""Features of all processes as one batch, so that every process has all negatives and gradients come out right."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def gathered(z: Tensor) -> Tensor:
    """The rows of all processes, joined in the order of ranks: [n_r, ...] on rank r becomes [Σ_r n_r, ...].

    z: of any type; numbers of rows may differ between ranks, the rest of the shape may not. Without an initialised
    process group, or with one process, z itself. Every process must call it.

    Differentiable, and the adjoint is the true one: the gradient of a rank's rows is the sum over all ranks of the
    gradients at those rows. With L_r the loss of rank r, DDP's average of parameter gradients is therefore the gradient
    of mean_r L_r. Where every rank computes the same loss of the gathered features, as `ntxent`, `cmc` and `cmd` of
    gathered tensors are, that is the loss and the gradient of one process with the joined batch, with no factor to
    multiply by. (A gather whose backward takes the own slice alone is too small by the number of processes under DDP;
    one that joins detached rows of other ranks misses the gradient through negatives.)
    """
    if not dist.is_available() or not dist.is_initialized() or dist.get_world_size() == 1:
        return z
    result: Tensor = _Gather.apply(z)
    return result


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor) -> Tensor:
        """All ranks' rows, each padded to the longest on the way."""
        lengths = _all(torch.tensor([len(z)], device=z.device))
        ctx.lengths = [int(n) for n in torch.cat(lengths).tolist()]
        padded = z.new_zeros(max(ctx.lengths), *z.shape[1:])
        padded[: len(z)] = z
        return torch.cat([rows[:n] for rows, n in zip(_all(padded), ctx.lengths, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """Sum over ranks, of which each keeps its rows."""
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total)
        return total.split(ctx.lengths)[dist.get_rank()]


def _all(x: Tensor) -> list[Tensor]:
    parts = [torch.empty_like(x) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, x.contiguous())
    return parts
