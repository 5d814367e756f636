"""What a layer does by the whole batch, where a process has a share of it: batch norms, and draws for each item."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode


class WholeBatch(TorchFunctionMode):
    """While this lasts, a network that is given one process's share of a batch does what it would do with all of it.

    Batch norms take their statistics over all processes; dropout and stochastic depth draw for the whole batch, on
    every process alike, and each takes its part, so that the processes' generators stay together. lengths: items of
    each process. Every process must run the network.

    The calls are caught where all layers make them (`F.batch_norm`, …), for many layers are no `nn.BatchNorm2d`: timm's
    norms hold their activation, CSK-Net's are one for each modality. `nn.SyncBatchNorm`, to which those would have to
    be converted, does not run on a CPU.
    """

    def __init__(self, lengths: Sequence[int], rank: int) -> None:
        super().__init__()
        self.lengths, self.rank = lengths, rank
        self.start = sum(lengths[:rank])
        self.caught: dict[Any, Callable[..., Tensor]] = {
            F.batch_norm: self._batch_norm,
            F.dropout: self._dropout,
            F.dropout2d: self._dropout2d,
            Tensor.bernoulli_: self._bernoulli,
        }

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return self.caught.get(func, func)(*args, **(kwargs or {}))

    def _batch_norm(
        self,
        x: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        if not training:
            return F.batch_norm(x, running_mean, running_var, weight, bias, training, momentum, eps)
        n = x.numel() // x.shape[1] * sum(self.lengths) // self.lengths[self.rank]
        if n == 1:
            raise ValueError(f"batch statistics need more than one value a channel, got {tuple(x.shape)} in all")
        y, mean, var = _Norm.apply(x, weight, bias, eps, n, _weights(tuple(self.lengths), x.device))
        with torch.no_grad():
            if running_mean is not None and running_var is not None:
                running_mean.lerp_(mean.to(running_mean.dtype), momentum)
                running_var.lerp_((var * (n / (n - 1))).to(running_var.dtype), momentum)
        return y

    def _dropout(self, x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        if not training or p in (0, 1):
            return F.dropout(x, p, training)
        return x * self._drawn(x, x.shape, lambda t: t.bernoulli_(1 - p)).div_(1 - p)

    def _dropout2d(self, x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        if not training or p in (0, 1) or x.ndim != 4:
            return F.dropout2d(x, p, training)
        return x * self._drawn(x, (*x.shape[:2], 1, 1), lambda t: t.bernoulli_(1 - p)).div_(1 - p)

    def _bernoulli(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Stochastic depth: a tensor [n, 1, …] filled with zeros and ones."""
        if x.ndim < 2 or len(x) % self.lengths[self.rank]:
            return x.bernoulli_(*args, **kwargs)
        return x.copy_(self._drawn(x, x.shape, lambda t: t.bernoulli_(*args, **kwargs)))

    def _drawn(self, x: Tensor, shape: Sequence[int], draw: Callable[[Tensor], Tensor]) -> Tensor:
        """This process's part of a draw for the whole batch. Several batches may be stacked in x, as CSK-Net does."""
        stacked, n = len(x) // self.lengths[self.rank], sum(self.lengths)
        whole = (stacked * n, *shape[1:])
        # In the order in memory in which one process would draw.
        last = x.ndim == 4 and tuple(shape) == tuple(x.shape) and not x.is_contiguous()
        layout = torch.channels_last if last else torch.contiguous_format
        drawn = draw(torch.empty(whole, dtype=x.dtype, device=x.device, memory_format=layout))
        mine = slice(self.start, self.start + self.lengths[self.rank])
        return drawn.unflatten(0, (stacked, n))[:, mine].flatten(0, 1).clone()


@cache
def _weights(lengths: tuple[int, ...], device: torch.device) -> Tensor:
    """The share of the batch that each process has: [processes, 1]. Kept: to send it makes a GPU wait."""
    return torch.tensor(lengths, dtype=torch.float64, device=device)[:, None] / sum(lengths)


class _Norm(torch.autograd.Function):
    """Batch normalisation over all processes: (y, mean, biased variance). In float32, or float64 if x is.

    n: values of a channel in all. shares: as `_weights` gives them. As in Ioffe & Szegedy 2015; the variance
    is joined from those of the processes (Chan et al. 1979), so that no small number is a difference of large ones.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, n: int, shares: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        exact = _exact(x)
        axes = [0, *range(2, x.ndim)]
        var, mean = torch.var_mean(exact, axes, correction=0)
        here = torch.stack((mean, var))
        parts = [torch.empty_like(here) for _ in range(len(shares))]
        dist.all_gather(parts, here)
        means, variances = torch.stack(parts, 1)  # [processes, c] each
        shares = shares.to(mean.dtype)
        mean = (shares * means).sum(0)
        var = (shares * (variances + (means - mean).square())).sum(0)
        scale = (var + eps).rsqrt()
        ctx.save_for_backward(x, weight, mean, scale)
        ctx.n, ctx.axes, ctx.biased = n, axes, bias is not None
        ctx.mark_non_differentiable(mean, var)
        y = _centred(exact, mean, scale if weight is None else scale * weight)
        if bias is not None:
            y = y + _spread(bias, x)
        return y.to(x.dtype), mean, var

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, scale = ctx.saved_tensors
        g, normal = _exact(gradients[0]), _centred(_exact(x), mean, scale)
        here = torch.stack((g.sum(ctx.axes), (g * normal).sum(ctx.axes)))
        everywhere = here.clone()
        dist.all_reduce(everywhere)
        of_g, of_both = (_spread(s / ctx.n, x) for s in everywhere)
        to_x = (g - of_g - normal * of_both) * _spread(scale if weight is None else scale * weight, x)
        to_weight = None if weight is None else here[1].to(weight.dtype)
        to_bias = here[0].to(weight.dtype if weight is not None else g.dtype) if ctx.biased else None
        return to_x.to(x.dtype), to_weight, to_bias, None, None, None


def _exact(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def _spread(c: Tensor, like: Tensor) -> Tensor:
    """[c] as [1, c, 1, …]."""
    return c.reshape(1, -1, *[1] * (like.ndim - 2))


def _centred(x: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    return (x - _spread(mean, x)) * _spread(scale, x)
