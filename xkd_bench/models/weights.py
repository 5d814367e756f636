"""Weights as safetensors hold them."""

from pathlib import Path

import safetensors.torch
from torch import Tensor, nn


def tensors(module: nn.Module) -> dict[str, Tensor]:
    """The module's state on the CPU, each tensor contiguous, as safetensors takes it."""
    return {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}


def save(module: nn.Module, path: Path) -> None:
    """Write the module's state. A full disk is an OSError here: safetensors' own writer hides which error it was."""
    path.write_bytes(safetensors.torch.save(tensors(module)))
