"""One set of batch norms a modality in any convolutional network: convolutions are shared, statistics are not.

`separate_norms` changes a network of torchvision, timm or anyone in place; nothing else of it is rewritten. Batches of
several modalities may go through at once, stacked along the batch axis: every norm then sees each by itself, so that
branches run side by side and may exchange channels where CEN does, right after a batch norm.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy

import torch
from timm.layers import ConvNormAct
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision.models.mobilenetv2 import InvertedResidual

from xkd_bench.errors import UsageError
from xkd_bench.models.csknet_exchange import (
    ChannelRule,
    exchange_channels,
    exchange_columns,
    exchange_last,
    shifted,
)


class Streams:
    """Of which modalities the batch is that goes through a network: those in `active`, stacked in this order.

    All norms of a network share one, and copies of the network have one of their own.
    """

    def __init__(self, modalities: Sequence[str]) -> None:
        if len(set(modalities)) != len(modalities) or not modalities:
            raise UsageError(f"modalities need names of their own, got {', '.join(modalities) or 'none'}")
        self.modalities = tuple(modalities)
        self.active = self.modalities[:1]
        self.exchanging = False

    @contextmanager
    def of(self, *modalities: str, exchange: bool = False) -> Iterator[None]:
        """While this lasts, batches are of these modalities, in this order. Backward of a checkpointed part must lie
        within it too."""
        unknown = [name for name in modalities if name not in self.modalities]
        if unknown or not modalities:
            raise UsageError(f"unknown modality '{', '.join(unknown)}': known: {', '.join(self.modalities)}")
        before = self.active, self.exchanging
        self.active, self.exchanging = modalities, exchange
        try:
            yield
        finally:
            self.active, self.exchanging = before

    def split(self, x: Tensor) -> tuple[Tensor, ...]:
        """A stacked batch [s·n, ...] as its s batches."""
        if len(x) % len(self.active):
            raise ValueError(f"a batch of {len(x)} is not {len(self.active)} modalities' of one size")
        return x.chunk(len(self.active)) if len(self.active) > 1 else (x,)


class ModalBatchNorm(nn.ModuleDict):
    """A batch norm for each modality, under its name; the network's `Streams` say which of them a batch goes through.

    forward: [s·n, c, ...], s the active modalities. Each has its own weights and statistics, all start as copies of the
    one that was here. With a `rule`, two active modalities and `exchanging`, channels are exchanged after it.

    Source: separate batch norms of shared convolutions as in CEN [CODE CEN BatchNorm2dParallel], CSK-Net [SEED].
    """

    rule: ChannelRule | None = None

    def __init__(self, norm: _BatchNorm, streams: Streams) -> None:
        super().__init__({name: deepcopy(norm) for name in streams.modalities})
        self.streams = streams

    def forward(self, x: Tensor) -> Tensor:
        names = self.streams.active
        parts = [self[name](part) for name, part in zip(names, self.streams.split(x), strict=True)]
        if self.rule is not None and self.streams.exchanging and len(names) == 2:
            parts = list(exchange_channels(parts[0], parts[1], *self.replaced(names)))
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def scales(self, names: Sequence[str]) -> tuple[Tensor, Tensor]:
        """γ of two modalities: [c] each."""
        a, b = (self[name].get_parameter("weight") for name in names)
        return a, b

    def replaced(self, names: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Which channels of each of two modalities the rule replaces: [c] bool each."""
        assert self.rule is not None
        a, b = self.scales(names)
        return self.rule.replaced(a, b), self.rule.replaced(b, a)


class ColumnExchange:
    """A forward hook: a stage's output with its columns exchanged, where two modalities go through."""

    def __init__(self, streams: Streams, step: int) -> None:
        self.streams, self.step = streams, step

    def __call__(self, _module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        if not self.streams.exchanging or len(self.streams.active) != 2:
            return output
        a, b = self.streams.split(output)
        return torch.cat(exchange_columns(a, b, self.step))


class AsymmetricExchange:
    """Hooks around a block that keeps the shape of its input: what it is given has its last channels swapped; to what
    it gives, the other modality's kept channels, moved by a place, are added, and its last channels are swapped back.

    Source: Wang et al. 2020 [CODE AsymFusion models/model.py], where it is around the middle convolution of the last
    bottleneck of each stage; around that whole block here [RECONSTRUCTED], for blocks of any kind.
    """

    def __init__(self, streams: Streams) -> None:
        self.streams = streams

    def place(self, block: nn.Module) -> None:
        block.register_forward_pre_hook(self.before)
        block.register_forward_hook(self.after)

    def _idle(self) -> bool:
        return not self.streams.exchanging or len(self.streams.active) != 2

    def before(self, _module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        if self._idle():
            return None
        a, b = self.streams.split(inputs[0])
        return (torch.cat(exchange_last(a, b)), *inputs[1:])

    def after(self, _module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        if self._idle():
            return output
        if output.shape != inputs[0].shape:
            raise UsageError("the last block of a stage changes the shape of its map: no asymmetric exchange around it")
        (in_a, in_b), (out_a, out_b) = self.streams.split(inputs[0]), self.streams.split(output)
        return torch.cat(exchange_last(out_a + shifted(in_b), out_b + shifted(in_a)))


def separate_norms(network: nn.Module, modalities: Sequence[str] = ("source", "target")) -> Streams:
    """Give each modality its own batch norms, in place. Returns what selects the modality (at first the first).

    Names of the state change from `bn1.weight` to `bn1.source.weight`, `bn1.target.weight`; `modal_state` and
    `plain_state` lead from one to the other. UsageError if the network has no batch norm.
    """
    streams = Streams(modalities)
    separated: dict[int, ModalBatchNorm] = {}
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, _BatchNorm):
                if id(child) not in separated:
                    separated[id(child)] = ModalBatchNorm(child, streams)
                setattr(module, name, separated[id(child)])
    if not separated:
        raise UsageError(
            "this network has no batch norm to separate: choose a convolutional one that has (ResNet, ...)"
        )
    return streams


def plain_network(network: nn.Module, modality: str) -> nn.Module:
    """A copy for one modality alone, as if nothing had been separated: its batch norms, no exchange."""
    plain = deepcopy(network)
    for module in list(plain.modules()):
        for hooks in (module._forward_hooks, module._forward_pre_hooks):
            for key, hook in list(hooks.items()):
                if isinstance(getattr(hook, "__self__", hook), (ColumnExchange, AsymmetricExchange)):
                    del hooks[key]
        for name, child in list(module.named_children()):
            if isinstance(child, ModalBatchNorm):
                setattr(module, name, child[modality])
    return plain


def plain_state(network: nn.Module, modality: str) -> dict[str, Tensor]:
    """The state of `plain_network`, without the copy."""
    names = _plain_names(network)
    return {names[key][0]: x for key, x in network.state_dict().items() if names[key][1] in (None, modality)}


def modal_state(network: nn.Module, plain: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state of a separated network from a plain one's: every modality's norms are copies [CODE CEN]."""
    return {key: plain[name] for key, (name, _) in _plain_names(network).items()}


def _plain_names(network: nn.Module) -> dict[str, tuple[str, str | None]]:
    """Of each name in the state: its name in a plain network, and the modality it belongs to, if to one."""
    names: dict[str, tuple[str, str | None]] = {key: (key, None) for key in network.state_dict()}
    for where, module in network.named_modules(remove_duplicate=False):
        if isinstance(module, ModalBatchNorm):
            start = f"{where}." if where else ""
            for modality in module:
                for key in names:
                    if key.startswith(f"{start}{modality}."):
                        names[key] = start + key.removeprefix(f"{start}{modality}."), modality
    return names


def _norms_of_block(module: nn.Module) -> list[tuple[str, ModalBatchNorm]]:
    """The norms of a residual block, if this is one, by their names in it, without those of its shortcut."""
    inside = (
        module.conv.named_modules(prefix="conv") if isinstance(module, InvertedResidual) else module.named_children()
    )
    parts = [(f"{name}.bn", part.bn) if isinstance(part, ConvNormAct) else (name, part) for name, part in inside]
    return [(name, part) for name, part in parts if isinstance(part, ModalBatchNorm)]


def exchange_sites(network: nn.Module) -> dict[str, ModalBatchNorm]:
    """The last but one batch norm of each residual block, by name: where CEN exchanges channels (bn2 of a bottleneck)
    [CODE CEN]. A block is what holds two or more norms itself, or within timm's units of convolution and norm, or
    torchvision's InvertedResidual."""
    found = {}
    for where, module in network.named_modules():
        norms = _norms_of_block(module)
        if len(norms) >= 2:
            name, norm = norms[-2]
            found[where] = f"{where}.{name}", norm
    # A whole network may hold a first and a last norm besides its blocks: it is no block.
    inner = [
        where for where in found if not any(o != where and (not where or o.startswith(f"{where}.")) for o in found)
    ]
    return {found[where][0].lstrip("."): found[where][1] for where in inner}


def map_modules(encoder: nn.Module, channels: int) -> list[nn.Module | None]:
    """Of each map that an encoder gives, the outermost module whose output it is; None where it is no module's.

    encoder: images [n, channels, h, w] to a sequence of maps. Found by a pass of zeros; no statistics or modes change.
    """
    outputs: list[tuple[nn.Module, object]] = []

    def keep(module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        if not any(x is output for x in inputs):  # an identity gives nothing of its own
            outputs.append((module, output))

    hooks = [module.register_forward_hook(keep) for module in encoder.modules() if module is not encoder]
    modes = [(module, module.training) for module in encoder.modules()]
    like = next(encoder.parameters())
    try:
        with torch.no_grad():
            maps = encoder.eval()(torch.zeros(1, channels, 64, 64, dtype=like.dtype, device=like.device))
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in modes:
            module.training = mode
    # A module ends after its parts, so that the last one is the outermost.
    return [next((module for module, output in reversed(outputs) if output is f), None) for f in maps]


def recalibrate(
    network: nn.Module, norms: Sequence[_BatchNorm], run: Callable[[Tensor], object], batches: Iterable[Tensor]
) -> None:
    """Collect the statistics of these batch norms of a network again, as means over batches, each given to `run`.

    Weights, modes and all other statistics stay as they are.
    """
    before = [(norm, norm.momentum) for norm in norms]
    modes = [(module, module.training) for module in network.modules()]
    try:
        network.eval()
        for norm in norms:
            norm.train()
            norm.reset_running_stats()
            norm.momentum = None  # torch's word for a mean over all batches
        with torch.no_grad():
            for batch in batches:
                run(batch)
    finally:
        for norm, momentum in before:
            norm.momentum = momentum
        for module, mode in modes:
            module.training = mode
