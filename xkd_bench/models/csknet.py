"""CSK-Net-style segmentation of two modalities: shared convolutions, norms of one's own, exchange, a gated unit.

One network, three ways to use it: fused (both modalities), the source alone, the target alone. Alone it is the plain
network with that modality's batch norms, in parameters, operations and values (`CSKNet.plain`).
"""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from types import SimpleNamespace

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from xkd_bench.distributed import divided
from xkd_bench.errors import UsageError
from xkd_bench.losses.features import enlarged
from xkd_bench.models.csknet_exchange import ChannelRule
from xkd_bench.models.csknet_gsu import UNITS
from xkd_bench.models.csknet_norms import (
    AsymmetricExchange,
    ColumnExchange,
    ModalBatchNorm,
    Streams,
    exchange_sites,
    map_modules,
    plain_network,
    recalibrate,
    separate_norms,
)
from xkd_bench.models.segmenters import Segmentation, Segmenter


@dataclass(frozen=True)
class Exchange:
    """What the branches exchange when both are there.

    channels: a rule, after the last but one norm of each block; None: no channels. columns: swap every such column
    after each of the last `late` stages; None: no columns. asymmetric: AsymFusion's exchange around the last block of
    each stage that has two or more. probability: of a training step that exchanges at all; in
    evaluation fused features are exchanged whenever it is above 0.

    Which share, step and stages CSK-Net has is not known ("later" ones): all [RECONSTRUCTED].
    """

    channels: ChannelRule | None = field(default_factory=ChannelRule)
    columns: int | None = 2
    late: int = 2
    asymmetric: bool = False
    probability: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise UsageError(f"the probability of an exchange must be in [0, 1], got {self.probability:g}")
        if self.columns is not None and self.columns < 1:
            raise UsageError(f"columns are exchanged every 1, 2, ... of them, got {self.columns}")
        if self.late < 1:
            raise UsageError(f"columns are exchanged after at least the last stage, got {self.late} stages")


NO_EXCHANGE = Exchange(None, None)


@dataclass
class Branches:
    """What a step needs of each modality that was there, and of "fused" where both were.

    logits: [n, k, h', w'] and decoded: [n, c, h', w'], on the decoder's grid. maps: of the encoder's stages, early to
    late, of each modality. The last four are those whose pixels are contrasted. auxiliary: logits of each modality's
    auxiliary head, in training, where the network has them.
    """

    logits: dict[str, Tensor]
    decoded: dict[str, Tensor]
    maps: dict[str, tuple[Tensor, ...]]
    auxiliary: dict[str, Tensor] = field(default_factory=dict)


class CSKNet(nn.Module):
    """Two branches through one encoder.

    plain: a network for one modality, whose parts are taken over: the encoder becomes the shared one (each modality
    starts from copies of its batch norms [CODE CEN]), decoder and classifier are copied for each modality, and a
    further copy of the classifier reads the fused features; an auxiliary head, which sees a branch before fusion, is
    copied for each modality. exchange: None for the default one, `NO_EXCHANGE` for none. unit: "freq", "gmu" or "mean"
    (none) joins the branches. separate: False leaves one set of batch norms for both, for comparison. Images of one
    channel are repeated to the network's.

    `forward(source, target)` gives logits at the size of the images: fused, or of the one modality where the other is
    None, which then runs alone, without exchange and unit. `branches` gives what training needs. Where channels are
    exchanged by their scales γ, these have no weight decay (`undecayed`), or the exchange would follow the decay.
    `begun` is False while a training has no exchange yet.

    Source: CSK-Net (Sikdar et al. 2023): shared convolutions and separate norms, exchange without sparsity, individual
    decoders, gated spectral unit are its components [SEED]; how they are built is [RECONSTRUCTED]: "CSK-Net-style".
    """

    modalities = ("source", "target")
    begun = True

    def __init__(
        self, plain: Segmenter, *, exchange: Exchange | None = None, unit: str = "freq", separate: bool = True
    ) -> None:
        super().__init__()
        if unit not in UNITS:
            raise UsageError(f"unknown gated unit '{unit}': known: {', '.join(UNITS)}")
        self.exchange = Exchange() if exchange is None else exchange
        if self.exchange.channels is not None and not separate:
            raise UsageError("channels are exchanged by the scales of separate batch norms: there is but one set")
        self.name, self.channels, self.classes, self.stages = plain.name, plain.channels, plain.classes, plain.stages
        self.widths, self.decoded_width = plain.widths, plain.decoded_width
        self.encoder = deepcopy(plain.encoder)
        self.streams = separate_norms(self.encoder, self.modalities) if separate else Streams(self.modalities)
        self.decoders = nn.ModuleDict({name: deepcopy(plain.decoder) for name in self.modalities})
        self.classifiers = nn.ModuleDict({name: deepcopy(plain.classifier) for name in (*self.modalities, "fused")})
        heads = {name: deepcopy(plain.auxiliary) for name in self.modalities if plain.auxiliary is not None}
        self.auxiliaries = nn.ModuleDict(heads)
        self.unit = UNITS[unit](plain.decoded_width)
        self._place_exchange()

    def _place_exchange(self) -> None:
        if self.exchange.channels is not None:
            sites = exchange_sites(self.encoder)
            if not sites:
                raise UsageError(
                    f"no block of '{self.name}' holds two batch norms: it has nowhere to exchange channels"
                )
            for norm in sites.values():
                norm.rule = self.exchange.channels
        makers = map_modules(self.encoder, self.channels) if self.exchange.columns or self.exchange.asymmetric else []
        if self.exchange.columns is not None:
            for stage in self.stages[-self.exchange.late :]:
                if (maker := makers[stage]) is None:
                    raise UsageError(f"no module of '{self.name}' gives its map {stage}: it cannot exchange columns")
                maker.register_forward_hook(ColumnExchange(self.streams, self.exchange.columns))
        if self.exchange.asymmetric:
            stages = [makers[stage] for stage in self.stages]
            blocks = [stage[-1] for stage in stages if isinstance(stage, nn.Sequential) and len(stage) > 1]
            if not blocks:
                raise UsageError(f"no stage of '{self.name}' is a row of blocks: it has no asymmetric exchange")
            for block in blocks:
                AsymmetricExchange(self.streams).place(block)

    @divided
    def branches(self, source: Tensor | None = None, target: Tensor | None = None) -> Branches:
        """What the network says of images [n, c, h, w] in [0, 1] of either modality, or of pairs."""
        features = self.features(source, target)
        decoded = {name: self.decoders[name](list(maps)) for name, maps in features.items()}
        if len(decoded) == 2:
            decoded["fused"] = self.unit(*decoded.values())
        logits = {name: self.classifiers[name](d) for name, d in decoded.items()}
        maps = {name: tuple(f[i] for i in self.stages) for name, f in features.items()}
        heads = [name for name in maps if name in self.auxiliaries and self.training]
        return Branches(logits, decoded, maps, {name: self.auxiliaries[name](maps[name][-2]) for name in heads})

    def features(self, source: Tensor | None, target: Tensor | None) -> dict[str, tuple[Tensor, ...]]:
        """Every map that the encoder gives of each modality that is there, after the exchange where both are."""
        inputs = {name: x for name, x in zip(self.modalities, (source, target), strict=True) if x is not None}
        if not inputs:
            raise UsageError("no modality is given: at least one is needed")
        if len({(len(x), *x.shape[2:]) for x in inputs.values()}) > 1:
            raise UsageError("images of both modalities must be equally many, of one height and width")
        with self.streams.of(*inputs, exchange=len(inputs) == 2 and self._exchanges_now()):
            stacked = torch.cat([self._centred(x) for x in inputs.values()])
            found = [self.streams.split(f) for f in self.encoder(stacked)]
        return dict(zip(inputs, zip(*found, strict=True), strict=True))

    def outputs(self, source: Tensor | None = None, target: Tensor | None = None) -> Segmentation:
        """Fused logits, or those of the one modality there is; the maps are the target's where it is there."""
        found = self.branches(source, target)
        best = "fused" if "fused" in found.logits else next(iter(found.logits))
        maps = found.maps.get("target") or found.maps["source"]
        return Segmentation(found.logits[best], found.decoded[best], maps)

    def forward(self, source: Tensor | None = None, target: Tensor | None = None) -> Tensor:
        logits = self.outputs(source, target).logits
        given = target if source is None else source
        assert given is not None
        return enlarged(logits, given.shape[-2:])

    def _exchanges_now(self) -> bool:
        p = self.exchange.probability
        if not self.training or p == 0:
            return p > 0
        return self.begun and (p == 1 or bool(torch.rand(()) < p))

    def _centred(self, x: Tensor) -> Tensor:
        return (x.expand(-1, self.channels, -1, -1) if x.shape[1] == 1 else x) * 2 - 1

    def plain(self, modality: str) -> Segmenter:
        """A copy for one modality alone: the network to deploy where the other is missing, without an auxiliary head,
        which training alone needs. Same values as `forward`."""
        if modality not in self.modalities:
            raise UsageError(f"unknown modality '{modality}': known: {', '.join(self.modalities)}")
        parts = SimpleNamespace(
            encoder=plain_network(self.encoder, modality),
            decoder=deepcopy(self.decoders[modality]),
            segmentation_head=[deepcopy(self.classifiers[modality])],
        )
        return Segmenter(parts, self.name, self.channels, self.classes, auxiliary=False).train(self.training)

    def recalibrate(self, modality: str, batches: Iterable[Tensor]) -> None:
        """Collect a modality's statistics, of its norms in the encoder and of its decoder, again from images alone.

        In training the features of a branch have the other's in them; alone they do not: a mitigation [RECONSTRUCTED].
        """
        modal = [module[modality] for module in self.encoder.modules() if isinstance(module, ModalBatchNorm)]
        every = [*modal, *self.decoders[modality].modules()]
        norms = [module for module in every if isinstance(module, _BatchNorm)]
        recalibrate(self, norms, lambda x: self.branches(**{modality: x}), batches)

    def scales(self) -> list[tuple[Tensor, Tensor]]:
        """(γ of the source, γ of the target) of each layer that exchanges channels: for `sparsity`."""
        return [norm.scales(self.modalities) for norm in self._sites().values()]

    def undecayed(self) -> list[Tensor]:
        """Parameters that no weight decay may pull at, whatever the recipe."""
        return [scale for pair in self.scales() for scale in pair]

    def exchanged(self) -> Mapping[str, tuple[float, float]]:
        """The share of channels that each layer now replaces in the source and in the target, to be logged."""
        shares = {name: norm.replaced(self.modalities) for name, norm in self._sites().items()}
        return {name: (a.double().mean().item(), b.double().mean().item()) for name, (a, b) in shares.items()}

    def _sites(self) -> dict[str, ModalBatchNorm]:
        return exchange_sites(self.encoder) if self.exchange.channels is not None else {}
