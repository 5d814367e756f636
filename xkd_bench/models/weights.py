"""Weights as safetensors hold them."""

from torch import Tensor, nn


def tensors(module: nn.Module) -> dict[str, Tensor]:
    """The module's state on the CPU, each tensor contiguous, as `safetensors.torch.save_file` takes it."""
    return {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
