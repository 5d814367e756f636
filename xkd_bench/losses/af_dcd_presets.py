"""Af-DCD's published settings, one row a data set.

All are read from the training scripts and the command line's defaults of OSVAI/Af-DCD @ 5b086a7 [CODE train_scripts/,
train_ocmgd.py, losses/ocmgd.py]. Two things are uncertain. The Cityscapes scripts ask for the central mask and the
enhanced generator by flags that the command line does not know (underscores for hyphens), and "False" would be read as
true: which of the four combinations made the released weights is not known, so the presets have the defaults of the
code, which every other data set uses. And the paper's own temperature and distance may differ (see `omni_contrast`).
"""

from dataclasses import dataclass

from xkd_bench.losses.af_dcd import Distance, Fit, Negatives
from xkd_bench.models.generators import GeneratorName, MaskName


@dataclass(frozen=True)
class Preset:
    """weight_kd, weight_fd, weight_ctr: of the three terms (`af_dcd`). crop: training crop (height, width), pixels.
    steps: of training, at batch 16 in all. source: where it was read. temperature: of the logits' KL. The others: see
    `omni_contrast` and `models.generators.MaskedReconstruction`."""

    weight_kd: float
    weight_fd: float
    weight_ctr: float
    crop: tuple[int, int]
    steps: int
    source: str
    weight_aux: float = 0.4
    temperature: float = 1.0
    pool: int = 4
    patch: int = 4
    groups: int = 16
    tau: float = 0.07
    distance: Distance = "l1"
    negatives: Negatives = "other_group"
    fit: Fit = "raise"
    mask: MaskName = "random"
    mask_ratio: float = 0.75
    generator: GeneratorName = "plain"

    def weights(self) -> dict[str, float]:
        """What `af_dcd` takes."""
        return {name: getattr(self, name) for name in ("weight_kd", "weight_fd", "weight_ctr", "weight_aux")}


PRESETS: dict[str, Preset] = {
    "default": Preset(1.0, 4e-5, 1e-3, (512, 1024), 40_000, "[CODE train_ocmgd.py, command line]"),
    "cityscapes": Preset(
        1.0, 2e-6, 5e-3, (512, 1024), 40_000, "[CODE train_scripts/cityscape; mask, generator unsure]"
    ),
    "ade20k": Preset(0.5, 1e-6, 0.04, (512, 512), 40_000, "[CODE train_scripts/ade20k]"),
    "coco-stuff-164k": Preset(0.5, 5e-6, 5e-3, (512, 512), 80_000, "[CODE train_scripts/coco_stuff]"),
    "voc": Preset(1.0, 1e-6, 5e-3, (512, 512), 40_000, "[CODE train_scripts/voc]"),
    # No pooling, and the map of 45 x 45 is cropped to 44 x 44.
    "camvid": Preset(1.0, 8e-6, 0.01, (360, 360), 40_000, "[CODE train_scripts/camvid]", pool=1, fit="crop"),
}


@dataclass(frozen=True)
class Recipe:
    """The training around the loss, the same on all data sets [CODE train_ocmgd.py]: SGD over student and criterion in
    one group, lr · (1 - t/steps)^power, and a clip of the gradient's norm on the criterion's parameters alone."""

    lr: float = 0.02
    momentum: float = 0.9
    weight_decay: float = 1e-4
    batch: int = 16
    power: float = 0.9
    clip_criterion: float = 15.0


RECIPE = Recipe()
