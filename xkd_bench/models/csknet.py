"""CSK-Net-style segmentation of two modalities: shared convolutions, norms of one's own, exchange, a gated unit.

One network, three ways to use it: fused (both modalities), the source alone, the target alone. Alone it is the plain
network with that modality's batch norms, in parameters, operations and values (`CSKNet.plain`).
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from xkd_bench.errors import UsageError
from xkd_bench.models.csknet_deeplab import STAGES, Segmenter
from xkd_bench.models.csknet_exchange import ChannelRule
from xkd_bench.models.csknet_gsu import UNITS
from xkd_bench.models.csknet_norms import (
    ColumnExchange,
    ModalBatchNorm,
    Streams,
    exchange_sites,
    plain_network,
    separate_norms,
)


@dataclass(frozen=True)
class Exchange:
    """What the branches exchange when both are there.

    channels: a rule, after the last but one norm of each block; None: no channels. columns: swap every such column
    after the stages `column_stages` (counted from 0 among the last four); None: no columns. probability: of a training
    step that exchanges at all; in evaluation fused features are exchanged whenever it is above 0.

    Which step, stages and share CSK-Net has is not known: all [RECONSTRUCTED].
    """

    channels: ChannelRule | None = field(default_factory=ChannelRule)
    columns: int | None = 2
    column_stages: tuple[int, ...] = (2, 3)
    probability: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise UsageError(f"the probability of an exchange must be in [0, 1], got {self.probability:g}")
        if any(not 0 <= stage < STAGES for stage in self.column_stages):
            raise UsageError(f"stages that exchange columns are 0 to {STAGES - 1}, got {self.column_stages}")


NO_EXCHANGE = Exchange(None, None)


@dataclass(frozen=True)
class CSKOutput:
    """logits: of each modality that was there, and "fused" where both were: [n, k, h', w'], on the decoder's grid.
    stages: the encoder's last four maps of each modality."""

    logits: dict[str, Tensor]
    stages: dict[str, tuple[Tensor, ...]]

    @property
    def best(self) -> Tensor:
        """The fused logits, or those of the one modality there is."""
        return self.logits.get("fused", next(iter(self.logits.values())))


class CSKNet(nn.Module):
    """Two branches through one encoder.

    plain: a network for one modality, whose parts are taken over: the encoder becomes the shared one (each modality
    starts from copies of its batch norms [CODE CEN]), decoder and head are copied for each modality, and a further
    copy of the head reads the fused features. width: channels of the decoder's features. exchange: None for the default
    one, `NO_EXCHANGE` for none. unit: "freq", "gmu" or "mean" (none) joins the branches. separate: False leaves one set
    of batch norms for both, for comparison. stages: names of the encoder's stages, where columns are exchanged; known
    for encoders of timm. channels: of the encoder's input; an input of one channel is repeated.

    forward(source, target): either may be None, then the other runs alone, without exchange and unit. Both have one
    batch size. Give γ no weight decay (`scales`), or the rule follows the decay.

    Source: CSK-Net (Sikdar et al. 2023): shared convolutions and separate norms, exchange without sparsity, individual
    decoders, gated spectral unit are its components [SEED]; how they are built is [RECONSTRUCTED]: "CSK-Net-style".
    """

    def __init__(
        self,
        plain: Segmenter,
        width: int,
        *,
        exchange: Exchange | None = None,
        unit: str = "freq",
        modalities: tuple[str, str] = ("source", "target"),
        separate: bool = True,
        stages: Sequence[str] | None = None,
        channels: int = 3,
    ) -> None:
        super().__init__()
        if unit not in UNITS:
            raise UsageError(f"unknown gated unit '{unit}': known: {', '.join(UNITS)}")
        if len(modalities) != 2 or "fused" in modalities:
            raise UsageError(f"two modalities are needed, neither called 'fused': got {', '.join(modalities)}")
        exchange = Exchange() if exchange is None else exchange
        if exchange.channels is not None and not separate:
            raise UsageError("channels are exchanged by the scales of separate batch norms: there is but one set")
        self.exchange, self.channels, self.modalities = exchange, channels, modalities
        self.encoder = deepcopy(plain.encoder)
        self.streams = separate_norms(self.encoder, modalities) if separate else Streams(modalities)
        self.decoders = nn.ModuleDict({name: deepcopy(plain.decoder) for name in modalities})
        self.heads = nn.ModuleDict({name: deepcopy(plain.head) for name in (*modalities, "fused")})
        self.unit = UNITS[unit](width)
        self._place_exchange(stages)

    def _place_exchange(self, stages: Sequence[str] | None) -> None:
        if self.exchange.channels is not None:
            sites = exchange_sites(self.encoder)
            if not sites:
                raise UsageError("no block of this encoder holds two batch norms: it has nowhere to exchange channels")
            for norm in sites.values():
                norm.rule = self.exchange.channels
        if self.exchange.columns is not None:
            names = list(stages) if stages is not None else _stage_names(self.encoder)
            if len(names) != STAGES:
                raise UsageError(f"columns are exchanged after stages: name {STAGES}, got {', '.join(names) or 'none'}")
            for stage in self.exchange.column_stages:
                hook = ColumnExchange(self.streams, self.exchange.columns)
                self.encoder.get_submodule(names[stage]).register_forward_hook(hook)

    def forward(self, source: Tensor | None = None, target: Tensor | None = None) -> CSKOutput:
        inputs = {name: x for name, x in zip(self.modalities, (source, target), strict=True) if x is not None}
        if not inputs:
            raise UsageError("no modality is given: at least one is needed")
        if len({x.shape[::2] + x.shape[3:] for x in inputs.values()}) > 1:
            raise UsageError("images of both modalities must be equally many, of one height and width")
        exchanging = len(inputs) == 2 and self._exchanges_now()
        with self.streams.of(*inputs, exchange=exchanging):
            stacked = torch.cat([self._widened(x) for x in inputs.values()])
            maps = [self.streams.split(f) for f in self.encoder(stacked)]
        branches = dict(zip(inputs, zip(*maps, strict=True), strict=True))
        decoded = {name: self.decoders[name](list(maps_of)) for name, maps_of in branches.items()}
        logits = {name: self.heads[name](d) for name, d in decoded.items()}
        if len(decoded) == 2:
            logits["fused"] = self.heads["fused"](self.unit(*decoded.values()))
        return CSKOutput(logits, {name: tuple(maps_of[-STAGES:]) for name, maps_of in branches.items()})

    def _exchanges_now(self) -> bool:
        p = self.exchange.probability
        return p > 0 and (not self.training or p == 1 or bool(torch.rand(()) < p))

    def _widened(self, x: Tensor) -> Tensor:
        return x.expand(-1, self.channels, -1, -1) if x.shape[1] == 1 else x

    def plain(self, modality: str) -> Segmenter:
        """A copy for one modality alone: the network to deploy where the other is missing. Same values as `forward`."""
        if modality not in self.modalities:
            raise UsageError(f"unknown modality '{modality}': known: {', '.join(self.modalities)}")
        encoder = plain_network(self.encoder, modality)
        return Segmenter(encoder, deepcopy(self.decoders[modality]), deepcopy(self.heads[modality]))

    def scales(self) -> list[tuple[Tensor, Tensor]]:
        """(γ of the source, γ of the target) of each layer that exchanges channels: for `sparsity`, and to spare them
        from weight decay."""
        return [norm.scales(self.modalities) for norm in self._sites().values()]

    def exchanged(self) -> Mapping[str, tuple[float, float]]:
        """The share of channels that each layer now replaces in the source and in the target, to be logged."""
        shares = {name: norm.replaced(self.modalities) for name, norm in self._sites().items()}
        return {name: (a.double().mean().item(), b.double().mean().item()) for name, (a, b) in shares.items()}

    def _sites(self) -> dict[str, ModalBatchNorm]:
        return exchange_sites(self.encoder) if self.exchange.channels is not None else {}


def _stage_names(encoder: nn.Module) -> list[str]:
    """The stages of an encoder of timm by name; none where it does not tell."""
    info = getattr(encoder, "feature_info", None)
    if info is None:
        return []
    known = dict(encoder.named_modules())
    names = [name if name in known else name.replace(".", "_") for name in info.module_name()]
    return [name for name in names[-STAGES:] if name in known]
