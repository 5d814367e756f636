"""What a network costs to use: operations, counted as they are carried out, and the parameters that take part."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Cost:
    """operations: of convolutions and matrix products, a multiplication and an addition being two. parameters: numbers
    in modules that took part."""

    operations: int
    parameters: int


def operations(work: Callable[[], object]) -> int:
    """Operations of convolutions and matrix products that `work` carries out, backward ones included."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def cost_of(network: nn.Module, *inputs: Tensor | None) -> Cost:
    """Of one pass in evaluation mode. Parts that this input does not reach, such as an auxiliary head, cost nothing.

    On the device `meta` nothing is computed, whatever the size.
    """
    reached: dict[int, int] = {}

    def note(module: nn.Module, *_: object) -> None:
        reached.update((id(p), p.numel()) for p in module.parameters(recurse=False))

    hooks = [module.register_forward_pre_hook(note) for module in network.modules()]
    modes = [(module, module.training) for module in network.modules()]
    try:
        network.eval()
        with torch.no_grad():
            done = operations(lambda: network(*inputs))
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in modes:
            module.training = mode
    return Cost(done, sum(reached.values()))
