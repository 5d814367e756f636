"""Af-DCD: from a masked map of its own the student makes the teacher's last one, and keeps its local contrasts."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator
from torch import Tensor

from xkd_bench.errors import UsageError
from xkd_bench.losses.af_dcd import (
    Distance,
    Negatives,
    af_dcd,
    channel_contrast,
    feature_reconstruction,
    omni_contrast,
    spatial_contrast,
)
from xkd_bench.losses.af_dcd_presets import PRESETS
from xkd_bench.losses.dense_logits import kd
from xkd_bench.methods._dense_maps import PUBLISHED_ENTRIES, Tau, Weight
from xkd_bench.methods.base import Options
from xkd_bench.methods.dense import DenseBatch, DenseMethod, DenseTeacher, on_grid
from xkd_bench.models.generators import GeneratorName, MaskedReconstruction, MaskName
from xkd_bench.models.segmenters import Segmentation, Segmenter

Count = Annotated[int, Field(gt=0)]
Preset = Literal["default", "cityscapes", "ade20k", "coco-stuff-164k", "voc", "camvid"]
_OF_PRESET = {
    "weight_kd": "weight_kd", "weight_fd": "weight_fd", "weight_ctr": "weight_ctr", "temperature": "temperature",
    "tau": "tau", "distance": "distance", "negatives": "negatives", "groups": "groups", "patch": "patch",
    "pool": "pool", "mask": "mask", "ratio": "mask_ratio", "generator": "generator",
}  # fmt: skip


class AfDCDOptions(Options):
    """preset: the released settings of a data set, which every option that is not given takes: weight_kd, weight_fd,
    weight_ctr, temperature, tau, distance, negatives, groups, patch, pool, mask, ratio, generator. The defaults are
    those of the released command line. A preset does not touch the training. Budget `paper` has the released one, with
    40,000 steps and crops of 512 × 512; what differs is to be asked for by `--recipe`: source_size and target_size
    ([512,1024] of Cityscapes, [360,360] of CamVid), all.max_steps=80000 (COCO-Stuff; and pretrain.max_steps), and, of
    all data sets, all.clip_norm=15 with all.clip_part=criterion.

    weight_kd, weight_fd, weight_ctr: of logits' KD (at `temperature`), reconstruction and contrast. variant: `omni`,
    `spatial` or `channel` contrast, or the sum of the latter two, `spatial+channel`. tau, distance, negatives (of
    `omni`), groups, patch, pool: see `losses.af_dcd.omni_contrast`; secondary sources have tau=0.7, and distance=l2 for
    the paper's best. mask, ratio, generator: see `models.generators.MaskedReconstruction`.

    fit: what becomes of maps that are no multiple of pool · patch: `raise` an error, `crop` the rest, or `shrink`,
    which halves pool, then patch, until one patch fits, and crops. (It changes nothing where all fits, as published.)
    scaled: the reconstruction is a sum over channels and places. True brings it to as many of them as a ResNet-101's
    last map of a Cityscapes crop has, 2048 × 64 × 128, which the weights were chosen for [RECON med].
    """

    preset: Preset = "default"
    variant: Literal["omni", "spatial", "channel", "spatial+channel"] = "omni"
    weight_kd: Weight = PRESETS["default"].weight_kd
    weight_fd: Weight = PRESETS["default"].weight_fd
    weight_ctr: Weight = PRESETS["default"].weight_ctr
    temperature: Tau = PRESETS["default"].temperature
    tau: Tau = PRESETS["default"].tau
    distance: Distance = PRESETS["default"].distance
    negatives: Negatives = PRESETS["default"].negatives
    groups: Count = PRESETS["default"].groups
    patch: Count = PRESETS["default"].patch
    pool: Count = PRESETS["default"].pool
    mask: MaskName = PRESETS["default"].mask
    ratio: Annotated[float, Field(ge=0, lt=1)] = PRESETS["default"].mask_ratio
    generator: GeneratorName = PRESETS["default"].generator
    fit: Literal["raise", "crop", "shrink"] = "shrink"
    scaled: bool = True

    @model_validator(mode="before")
    @classmethod
    def _take_preset(cls, given: Any) -> Any:
        preset = PRESETS.get(given.get("preset", "default")) if isinstance(given, dict) else None
        if preset is None:  # refused by the field itself
            return given
        return {name: getattr(preset, of) for name, of in _OF_PRESET.items()} | given


class AfDCD(DenseMethod):
    """Fan et al. 2023. The maps are the encoders' last, before the decoder. Its recipe also clips the gradient of the
    generator's parameters alone, which a run has to ask for (see the options)."""

    provenance = "[CODE OSVAI/Af-DCD losses/ocmgd.py] masked reconstruction and dense contrast"
    options_type: ClassVar[type[Options]] = AfDCDOptions
    options: AfDCDOptions

    def __init__(self, student: Segmenter, teacher: DenseTeacher | None, options: AfDCDOptions) -> None:
        super().__init__(student, teacher, options)
        assert teacher is not None
        width = teacher.widths[-1]
        if options.variant != "spatial" and width % options.groups:
            fits = [m for m in range(2, width + 1) if width % m == 0 and m <= 64]
            raise UsageError(
                f"option groups={options.groups} of method 'af-dcd': the teacher's last map has {width} channels, "
                f"which divide into {', '.join(map(str, fits)) or 'no'} groups"
            )
        self.reconstruct = MaskedReconstruction(
            student.widths[-1], width, options.generator, options.mask, options.ratio
        )

    def distil(self, out: Segmentation, batch: DenseBatch) -> dict[str, Tensor]:
        o = self.options
        taught = on_grid(batch.teacher.maps[-1], out.maps[-1])
        made = self.reconstruct(out.maps[-1])
        larger = PUBLISHED_ENTRIES / taught[0].numel() if o.scaled else 1.0
        none = out.logits.sum() * 0
        logits = kd(out.logits, on_grid(batch.teacher.logits, out.logits), o.temperature) if o.weight_kd else none
        found = af_dcd(
            none, logits, feature_reconstruction(made, taught), self.contrast(made, taught) if o.weight_ctr else none,
            weight_kd=o.weight_kd, weight_fd=o.weight_fd * larger, weight_ctr=o.weight_ctr,
        )  # fmt: skip
        parts = {"kd": found.kd, "reconstruction": found.reconstruction, "contrast": found.contrast}
        return {"loss": found.loss} | {name: part.detach() for name, part in parts.items()}

    def contrast(self, made: Tensor, taught: Tensor) -> Tensor:
        """The variant's contrast of the student's reconstruction with the teacher's map, both [n, c, h, w]."""
        o = self.options
        pool, patch = self._fitted(made.shape[-2:])
        shared: Any = {
            "pool": pool,
            "tau": o.tau,
            "distance": o.distance,
            "fit": "raise" if o.fit == "raise" else "crop",
        }
        try:
            if o.variant == "omni":
                return omni_contrast(made, taught, groups=o.groups, patch=patch, negatives=o.negatives, **shared)
            parts = []
            if "spatial" in o.variant:
                parts.append(spatial_contrast(made, taught, patch=patch, **shared))
            if "channel" in o.variant:
                parts.append(channel_contrast(made, taught, groups=o.groups, **shared))
        except ValueError as error:
            raise UsageError(f"method 'af-dcd': {error}; or use option fit=shrink") from error
        return parts[0] if len(parts) == 1 else parts[0] + parts[1]

    def _fitted(self, size: Any) -> tuple[int, int]:
        """(pool, patch): as asked, or so small that a map of this size holds one patch."""
        pool, patch, room = self.options.pool, self.options.patch, min(size)
        while self.options.fit == "shrink" and pool * patch > room and pool * patch > 1:
            pool, patch = (pool // 2, patch) if pool > 1 else (pool, patch // 2)
        return pool, patch


METHOD = AfDCD
