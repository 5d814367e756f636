"""LIX-style distillation of a teacher that sees both modalities: weighted logits, recalibrated features."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator
from torch import Tensor, nn

from xkd_bench.losses.lix import controller_objective, dwld, lix
from xkd_bench.losses.lix_features import Recalibration, arfd
from xkd_bench.losses.lix_weights import CONTROLLERS, Controller, Level, constant, relative
from xkd_bench.methods._dense_maps import Tau, Weight
from xkd_bench.methods.base import Options
from xkd_bench.methods.dense import DenseBatch, DenseMethod, DenseTeacher, Ramp, on_grid
from xkd_bench.models.dense_adapters import aligner
from xkd_bench.models.duplex import Fusion
from xkd_bench.models.segmenters import Segmentation, Segmenter
from xkd_bench.models.weighting import LearnedBandwidth, LearnedWeights

Count = Annotated[int, Field(gt=0)]


class LIXOptions(Options):
    """fusion: of the teacher (`models.duplex`). weight_logit, weight_feature: λ_L and λ_F, which are not known: at
    these both terms start at 0.1 to 1 times the labels' loss. warm_up: steps over which both grow from 0.

    controller: of the logits' weights (`losses.lix_weights`): `kd`, `dkd` (alpha, beta), `relative` (beta),
    `discrepancy`, `uncertainty`, or `learned`, which is trained to find what the student does worst: trained to lower
    the student's own loss it would weigh the easiest pixels alone. level: a weight for each `pixel` or each `element`
    (class). tau: temperature.

    recalibration: of the teacher's features by kernel regression (`losses.lix_features.arfd`). bandwidth: its h, or 0
    for `scale` times the median distance; learn_bandwidth: either is where a learned one starts. kernel, debiased: of
    CKA. levels: how many of the encoder's maps, from the last. most: places of a map that are compared.
    """

    fusion: Fusion = "intermediate"
    weight_logit: Weight = 0.5
    weight_feature: Weight = 0.5
    warm_up: Annotated[int, Field(ge=0)] = 0
    controller: Literal["kd", "dkd", "relative", "discrepancy", "uncertainty", "learned"] = "discrepancy"
    alpha: Weight = 1.0
    beta: Weight = 1.0
    level: Level = "pixel"
    tau: Tau = 1.0
    recalibration: Recalibration = "self_teacher"
    bandwidth: Weight = 0.0
    scale: Tau = 1.0
    learn_bandwidth: bool = False
    kernel: Literal["linear", "rbf", "laplace_l1", "laplace_l2"] = "linear"
    debiased: bool = False
    levels: Count = 4
    most: Annotated[int, Field(ge=4)] = 256

    @model_validator(mode="after")
    def _check(self) -> "LIXOptions":
        if self.learn_bandwidth and self.recalibration == "none":
            raise ValueError("recalibration=none has no bandwidth to learn")
        if self.learn_bandwidth and not self.weight_feature:
            raise ValueError("weight_feature=0 leaves no loss to learn a bandwidth by")
        return self


class LIX(DenseMethod):
    """LIX-style (2024): the published parts with reconstructed insides. The student sees the target alone."""

    provenance = "[RECON lo] LIX-style: weighted logits, recalibrated features, RGB-X teacher; equations reconstructed"
    teacher_inputs = "both"
    options_type: ClassVar[type[Options]] = LIXOptions
    options: LIXOptions

    def __init__(self, student: Segmenter, teacher: DenseTeacher | None, options: LIXOptions) -> None:
        super().__init__(student, teacher, options)
        assert teacher is not None
        o = options
        self.compared = min(o.levels, len(student.widths), len(teacher.widths))
        self.ramp = Ramp(o.warm_up)
        learned = o.controller == "learned" and o.weight_logit > 0
        self.weigh = LearnedWeights(teacher.classes, o.level) if learned else None
        self.spread = LearnedBandwidth(o.bandwidth or o.scale) if o.learn_bandwidth else None
        cross = o.recalibration == "cross" and o.weight_feature > 0
        widths = zip(student.widths[-self.compared :], teacher.widths[-self.compared :], strict=True)
        self.queries = nn.ModuleList(aligner(b, a) for b, a in widths) if cross else None

    def controller(self) -> Controller:
        o = self.options
        if self.weigh is not None:
            return self.weigh
        if o.controller == "dkd":
            return constant(o.alpha, o.beta)
        return relative(o.beta) if o.controller == "relative" else CONTROLLERS[o.controller]

    def distil(self, out: Segmentation, batch: DenseBatch) -> dict[str, Tensor]:
        o, ramp, none = self.options, self.ramp(), out.logits.sum() * 0
        logit = feature = none
        parts: dict[str, Tensor] = {}
        if o.weight_logit:
            taught = on_grid(batch.teacher.logits, out.logits)
            said = dwld(out.logits, taught, batch.label, self.controller(), o.tau, level=o.level)
            logit = said.loss
            parts |= {"logit": logit.detach(), "tcld": said.tcld, "ncld": said.ncld}
        if o.weight_feature:
            feature = self._features(out, batch)
            parts["feature"] = feature.detach()
        loss = lix(
            none, logit, feature, weight_logit=o.weight_logit, weight_feature=o.weight_feature, ramp=ramp
        ).loss  # fmt: skip
        if self.weigh is not None:
            taught = on_grid(batch.teacher.logits, out.logits)
            sought = controller_objective(out.logits, taught, batch.label, self.weigh, o.tau, level=o.level)
            loss = loss + (sought - sought.detach())  # its gradient alone: the loss shown is the student's
        return {"loss": loss} | parts

    def _features(self, out: Segmentation, batch: DenseBatch) -> Tensor:
        o = self.options
        f_s, f_t = out.maps[-self.compared :], batch.teacher.maps[-self.compared :]
        width: Any = self.spread() if self.spread is not None else o.bandwidth or o.scale
        of: dict[str, Any] = {"bandwidth" if o.bandwidth else "scale": width}
        projected = None
        if self.queries is not None:
            projected = [q(b) for q, b in zip(self.queries, f_s, strict=True)]
        return arfd(
            f_s, f_t, recalibration=o.recalibration, projected=projected, kernel=o.kernel, debiased=o.debiased,
            most=o.most, **of,
        )  # fmt: skip


METHOD = LIX
