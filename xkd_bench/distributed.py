"""One training on several processes: each runs the networks on its share of a batch, and what they say is joined.

Every process has the same batch in the same order and the same random numbers. A network's methods that are `divided`
give each process its share of the rows (contiguous, in the order of ranks), take batch statistics over all of them, and
answer for the whole batch. All else, the losses with their projectors, queues, memories and draws, is computed on the
whole batch by every process alike: memories are replicated and stay equal, and a method needs to know nothing of it.
Loss and gradients are those of one process, up to rounding.
"""

import functools
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import is_dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from xkd_bench.errors import TrainingError
from xkd_bench.losses.gather import gathered, total
from xkd_bench.whole_batch import WholeBatch

_processes = 1
"""Among how many processes work is divided now."""


_share: tuple[int, slice] | None = None
"""Of how many items a share is, and which of them, while `in_shares` works on one."""


def share() -> tuple[int, slice] | None:
    """(n, which) of n items this process has, where it works on its share of a batch; None where it works on all."""
    return _share


@contextmanager
def dividing(among: int) -> Iterator[None]:
    """While this lasts, the work of `divided` methods is; among one process nothing changes."""
    global _processes
    before, _processes = _processes, among
    try:
        yield
    finally:
        _processes = before


def check_together(what: str, device: torch.device) -> None:
    """TrainingError where the processes have drawn different random numbers: their batches would no longer be one."""
    states = [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]
    digest = hashlib.sha256(b"".join(state.numpy().tobytes() for state in states)).digest()
    mine = torch.tensor(list(digest), device=device)
    if not (gathered(mine[None]) == mine).all():
        raise TrainingError(
            f"{what}: the processes drew different random numbers, and no longer share one batch: something in the "
            f"network draws for the items of one process alone; use --devices 1, or another student"
        )


def shares(n: int, among: int) -> list[int]:
    """How many of n items each process has: all alike, or one more for the first ones."""
    return [n // among + (rank < n % among) for rank in range(among)]


def divided(method: Callable[..., Any]) -> Callable[..., Any]:
    """A network's method of tensors [n, ...] (or None) whose rows the processes share; see the module's docstring."""

    @functools.wraps(method)
    def call(self: Any, *inputs: Any, **named: Any) -> Any:
        if _processes == 1:
            return method(self, *inputs, **named)
        return in_shares(functools.partial(method, self), *inputs, **named)

    return call


def in_shares(work: Callable[..., Any], *inputs: Tensor | None, **named: Tensor | None) -> Any:
    """work(*inputs), each process doing its share of the rows. Fewer rows than processes: each does them all.

    The answer is a tensor, or a tuple, dict or dataclass of some, each with a row for each of the inputs'; a tensor in
    it is gathered when it is read, so that what nobody reads costs nothing.
    """
    global _share
    n = next(len(x) for x in (*inputs, *named.values()) if x is not None)
    if n < _processes or _processes == 1:
        return work(*inputs, **named)
    lengths, rank = shares(n, _processes), dist.get_rank()
    mine = slice(sum(lengths[:rank]), sum(lengths[: rank + 1]))

    def part(x: Tensor | None) -> Tensor | None:
        return None if x is None else x[mine]

    try:
        _share = n, mine
        with dividing(1), WholeBatch(lengths, rank):  # what it calls has its share already
            out = work(*map(part, inputs), **{name: part(x) for name, x in named.items()})
    finally:
        _share = None
    return _joined(out, lengths)


def mean_in_shares(mean: Callable[..., Tensor], count: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """mean(*inputs) of rows [n, ...], each process computing that of its share; count: how many values it is over."""
    if _processes == 1 or len(inputs[0]) < _processes:
        return mean(*inputs)
    lengths, rank = shares(len(inputs[0]), _processes), dist.get_rank()
    mine = [x.split(lengths)[rank] for x in inputs]
    counted = count(*mine).to(inputs[0].device)
    return total(mean(*mine) * counted) / total(counted).clamp_min(1)


def _joined(out: Any, lengths: Sequence[int]) -> Any:
    if isinstance(out, Tensor):
        return gathered(out, lengths)
    if isinstance(out, dict):
        return {name: _joined(value, lengths) for name, value in out.items()}
    return _Joined(out, lengths) if isinstance(out, tuple) or is_dataclass(out) else out


class _Joined:
    """A tuple's items or a dataclass's fields, gathered where they are read."""

    def __init__(self, part: Any, lengths: Sequence[int]) -> None:
        self._part, self._lengths = part, lengths
        self._read: dict[str | int, Any] = {}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._get(name, getattr(self._part, name))

    def __getitem__(self, place: int | slice) -> Any:
        if isinstance(place, slice):
            return tuple(self[i] for i in range(len(self))[place])
        place = range(len(self))[place]
        return self._get(place, self._part[place])

    def __len__(self) -> int:
        return len(self._part)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def _get(self, key: str | int, value: Any) -> Any:
        if key not in self._read:
            self._read[key] = _joined(value, self._lengths)
        return self._read[key]
