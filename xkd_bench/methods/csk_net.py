"""CSK-Net-style: one network of shared convolutions for both modalities, fused or alone, with the source's teacher."""

from copy import deepcopy
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from xkd_bench.errors import UsageError
from xkd_bench.losses.dense_contrast import Pairs, stage_contrast
from xkd_bench.losses.dense_csknet import csknet_loss
from xkd_bench.methods._dense_maps import Start, Tau, Weight, views_on
from xkd_bench.methods.base import Options
from xkd_bench.methods.dense import Clock, DenseBatch, DenseMethod, DenseTeacher, Images, Inputs, on_grid
from xkd_bench.models.csknet import Branches, CSKNet, Exchange
from xkd_bench.models.csknet_exchange import ChannelRule, sparsity
from xkd_bench.models.dense_adapters import PixelProjections
from xkd_bench.models.segmenters import Segmentation, build_segmenter

Count = Annotated[int, Field(gt=0)]
STAGES = 4
"""Whose pixels are contrasted, from the last."""


class CSKNetOptions(Options):
    """channels: the rule by which the branches exchange channels (`models.csknet_exchange`), or `none`; channel_value:
    its number, 0 for the rule's own. columns: every such column is swapped after each of the last `late` stages, 0 for
    none. asymmetric: AsymFusion's exchange besides, or alone with channels=none and columns=0 [CODE AsymFusion; where
    it stands in a block RECON med]. exchange_probability: of a training step that exchanges at all. exchange_from: the
    share of the training's steps before any does (0: at once [RECON lo]). recalibrate: before it is scored with one
    modality, its statistics are collected again from images of that one alone, without exchange [RECON lo]. unit:
    `freq`, `gmu`, or `mean`, which is no gate. separate_norms: False shares one set of batch norms (then
    channels=none). sparsity: weight of CEN's penalty on scales (2e-4 there), which CSK-Net argues against.
    freeze_norms_from: the share of the training from which on the statistics of all norms stay as they are, 1 for
    never; CEN's stay those of ImageNet from the start [CODE CEN], which no network here starts with.

    kd, tau: weight and temperature of the teacher's logits for the source's branch. contrast: weight of the contrast of
    pixels of the last four stages; pairs: of pixels of one branch (`intra`), of two (`cross`) or `all`; contrast_tau,
    tau_base, dim, max_samples (of a stage, both branches together), max_views: as of pixel-contrast; contrast_from: the
    share of the training before it counts, ContrastiveSeg's 5,000 of 40,000 steps [CODE ContrastiveSeg]. None of the
    weights is known for CSK-Net: these are ContrastiveSeg's and CIRKD's.
    """

    channels: Literal["none", "absolute", "quantile", "compare", "index"] = "quantile"
    channel_value: Weight = 0.0
    columns: Annotated[int, Field(ge=0)] = 2
    late: Count = 2
    asymmetric: bool = False
    exchange_probability: Annotated[float, Field(ge=0, le=1)] = 1.0
    exchange_from: Start = 0.0
    recalibrate: bool = False
    unit: Literal["freq", "gmu", "mean"] = "freq"
    separate_norms: bool = True
    sparsity: Weight = 0.0
    freeze_norms_from: Annotated[float, Field(ge=0, le=1)] = 1.0
    kd: Weight = 1.0
    tau: Tau = 1.0
    contrast: Weight = 0.1
    pairs: Pairs = "all"
    contrast_tau: Tau = 0.1
    tau_base: Tau = 0.07
    dim: Count = 256
    max_samples: Annotated[int, Field(gt=1)] = 1024
    max_views: Count = 100
    contrast_from: Start = 0.125

    @model_validator(mode="after")
    def _check(self) -> "CSKNetOptions":
        if self.channels != "none" and not self.separate_norms:
            raise ValueError("separate_norms=false leaves no scales to exchange channels by: add channels=none")
        if self.channels == "none" and self.sparsity:
            raise ValueError("sparsity is of the scales by which channels are exchanged, and channels=none")
        return self

    def exchange(self) -> Exchange:
        rule = None if self.channels == "none" else ChannelRule(self.channels, self.channel_value or None)
        return Exchange(rule, self.columns or None, self.late, self.asymmetric, self.exchange_probability)


class CSKStudent(CSKNet):
    """A `CSKNet` whose frozen encoder can be evaluated by a linear head."""

    def encode(self, image: Tensor | None, source: Tensor | None = None) -> Tensor:
        """The last map of the branch of what is given: [n, c, h', w']; of both, exchanged as in use, both: 2 c."""
        return torch.cat([maps[self.stages[-1]] for maps in self.features(source, image).values()], 1)


class CSKNetMethod(DenseMethod):
    """After CSK-Net (Sikdar et al. 2023). Scored with the target alone, with both modalities and with the source alone.

    Without labels all branches learn from the teacher's classes in their place.
    """

    provenance = "[RECON lo] CSK-Net-style: its components are known, their equations and weights are reconstructed"
    inputs = ("target", "both", "source")
    options_type: ClassVar[type[Options]] = CSKNetOptions
    options: CSKNetOptions

    def __init__(self, student: Any, teacher: DenseTeacher | None, options: CSKNetOptions) -> None:
        super().__init__(student, teacher, options)
        self.project = PixelProjections(student.widths[-STAGES:], options.dim) if options.contrast else None
        self.clock = Clock()

    @classmethod
    def build_student(
        cls, name: str, channels: tuple[int, int], classes: int, size: tuple[int, int], options: CSKNetOptions
    ) -> nn.Module:
        if channels[0] != channels[1] and 1 not in channels:
            raise UsageError(
                f"method 'csk-net' shares its convolutions: images of {channels[0]} and {channels[1]} channels do not "
                "fit, one and many would"
            )
        plain = build_segmenter(name, max(channels), classes, size)
        return CSKStudent(
            plain, exchange=options.exchange(), unit=options.unit, separate=options.separate_norms
        )  # fmt: skip

    @classmethod
    def ready(cls, student: CSKStudent, inputs: Inputs, options: CSKNetOptions, images: Images) -> CSKStudent:
        if not options.recalibrate or inputs == "both":
            return student
        alone = deepcopy(student)
        alone.recalibrate(inputs, images(inputs))
        return alone

    @classmethod
    def facts(cls, student: CSKStudent, inputs: Inputs) -> dict[str, Any]:
        """The shares of channels that are replaced, of each layer in (source, target), where both are there."""
        shares = student.exchanged() if inputs == "both" else {}
        return {"exchanged": {layer: list(pair) for layer, pair in shares.items()}} if shares else {}

    def distil(self, out: Segmentation, batch: DenseBatch) -> dict[str, Tensor]:
        raise RuntimeError("the loss of csk-net is on both branches at once: see forward")

    def forward(self, batch: DenseBatch) -> dict[str, Tensor]:  # type: ignore[override]
        o = self.options
        self._follow_clock()
        found = self.student.branches(batch.source, batch.image)
        taught = on_grid(batch.teacher.logits, found.logits["source"]) if o.kd else None
        contrast = self._contrast(found, batch.label) if self.project is not None else None
        if contrast is not None and not self.clock.past(o.contrast_from):
            contrast = contrast * 0  # its projections stay in the graph, for processes that wait for their gradients
        self.clock.tick()
        parts = csknet_loss(
            found.logits, batch.label, taught, contrast, found.auxiliary, lam_kd=o.kd, lam_cl=o.contrast,
            lam_aux=self.auxiliary_weight, tau=o.tau,
        )  # fmt: skip
        loss = parts.loss + o.sparsity * sparsity(self.student.scales()) if o.sparsity else parts.loss
        shown = {"task": parts.supervised, "distil": parts.distillation, "contrast": parts.contrast}
        return {"loss": loss} | {name: part.detach() for name, part in shown.items()}

    def _follow_clock(self) -> None:
        """Begin the exchange and freeze the norms' statistics when it is time."""
        self.student.begun = self.clock.past(self.options.exchange_from)
        if self.training and self.clock.past(self.options.freeze_norms_from):
            for norm in self.student.modules():
                if isinstance(norm, _BatchNorm):
                    norm.eval()

    def _contrast(self, found: Branches, label: Tensor) -> Tensor:
        """Mean over the last stages, each with as many pixels of a class as its grid has room for."""
        o = self.options
        assert self.project is not None
        guesses = [found.logits[name].argmax(1) for name in found.maps]
        stages = zip(*(maps[-STAGES:] for maps in found.maps.values()), strict=True)
        losses = [
            stage_contrast(
                [maps], label, guesses, tau=o.contrast_tau, tau_base=o.tau_base, pairs=o.pairs,
                max_samples=o.max_samples // len(maps), max_views=views_on(maps[0], o.max_views),
                project=[partial(self.project.rows, stage)],
            )
            for stage, maps in enumerate(stages)
        ]  # fmt: skip
        return torch.stack(losses).mean()


METHOD = CSKNetMethod
