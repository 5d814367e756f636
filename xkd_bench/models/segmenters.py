"""Segmentation networks by name: segmentation-models-pytorch's, with what distillation looks at on the way.

`ARCHITECTURE-ENCODER[-osN][-wD][-aux][-imagenet]`: `deeplabv3plus-resnet18`, `pspnet-mobilenet_v2`,
`deeplabv3-resnet101-os8-aux`, `segformer-mit_b0`; any encoder of that library works, timm's as `tu-NAME`. osN: output
stride of the encoder, 8 or 16; not given, it is 8 for DeepLabV3 and PSPNet, 16 for DeepLabV3+; SegFormer has none. wD:
width of the decoder (the library's own if not given). -aux: an auxiliary head on the last map but one, as PSPNet has
it, used in training only. -imagenet: its encoder starts from ImageNet weights (`xkd_bench.models.backbones`), where
networks are made fresh here.
"""

import re
from dataclasses import dataclass
from typing import Any

import segmentation_models_pytorch as smp
import torch
from segmentation_models_pytorch.base import SegmentationHead
from segmentation_models_pytorch.base.modules import Conv2dReLU
from torch import Tensor, nn
from torchvision.models.segmentation.fcn import FCNHead

from xkd_bench.distributed import divided
from xkd_bench.errors import UsageError, nearest
from xkd_bench.losses.features import enlarged


def _pspnet(encoder: str, *, psp_out_channels: int = 512, encoder_output_stride: int = 8, **given: Any) -> Any:
    """PSPNet as it was published: all stages, the last ones dilated, and the pyramid's maps joined by a convolution of
    3 × 3 under a classifier of 1 × 1 [PAPER Zhao et al. 2017, section 3.2; CODE hszhao/semseg, CIRKD].

    The library's ends after the third map, so that most of the encoder is never trained, and has 1 × 1 under 3 × 3.
    """
    network = smp.PSPNet(
        encoder, encoder_depth=5, output_stride=encoder_output_stride, psp_out_channels=psp_out_channels,
        psp_dropout=0.1, **given,
    )  # fmt: skip
    joined = 2 * network.encoder.out_channels[-1]
    network.decoder.conv = Conv2dReLU(joined, psp_out_channels, kernel_size=3, padding=1)
    network.segmentation_head = SegmentationHead(psp_out_channels, given["classes"], kernel_size=1)
    network.initialize()
    return network


ARCHITECTURES: dict[str, tuple[Any, str]] = {
    "deeplabv3": (smp.DeepLabV3, "decoder_channels"),
    "deeplabv3plus": (smp.DeepLabV3Plus, "decoder_channels"),
    "pspnet": (_pspnet, "psp_out_channels"),
    "segformer": (smp.Segformer, "decoder_segmentation_channels"),
}
DILATED = ("deeplabv3", "deeplabv3plus", "pspnet")
"""Those whose output stride can be chosen."""
_NAME = re.compile(
    r"(?P<kind>[a-z0-9]+)-(?P<encoder>.+?)(?:-os(?P<stride>8|16))?(?:-w(?P<width>\d+))?(?P<aux>-aux)?"
    r"(?P<imagenet>-imagenet)?"
)


@dataclass
class Segmentation:
    """What a network says of a batch. (Not frozen: Lightning Fabric converts its tensors for mixed precision.)

    logits: [n, classes, h', w'], as coarse as the decoder gives them. decoded: [n, c, h', w'] what the classifier saw.
    maps: outputs of the encoder's stages, [n, c_l, h_l, w_l], early to late. auxiliary: logits of the auxiliary head,
    or None.
    """

    logits: Tensor
    decoded: Tensor
    maps: tuple[Tensor, ...]
    auxiliary: Tensor | None = None


class Segmenter(nn.Module):
    """An encoder, a decoder and a 1×1 classifier. Inputs are floats in [0, 1], centred here to [-1, 1].

    `forward` gives logits at the size of the input, [n, classes, h, w]; `outputs` what the network says before that.
    """

    def __init__(self, network: Any, name: str, channels: int, classes: int, auxiliary: bool) -> None:
        super().__init__()
        self.name, self.channels, self.classes = name, channels, classes
        self.encoder, self.decoder = network.encoder, network.decoder
        self.classifier: nn.Module = network.segmentation_head[0]
        # The library counts its input as a map, and some encoders give maps without channels.
        self.stages = [i for i, width in enumerate(self.encoder.out_channels) if i and width]
        widths = [self.encoder.out_channels[i] for i in self.stages]
        self.auxiliary = FCNHead(widths[-2], classes) if auxiliary else None

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each map."""
        return tuple(self.encoder.out_channels[i] for i in self.stages)

    @property
    def decoded_width(self) -> int:
        """Channels of what the classifier sees."""
        return self.classifier.in_channels  # type: ignore[return-value]

    @divided
    def outputs(self, x: Tensor) -> Segmentation:
        """Logits and maps of images [n, channels, h, w]. The auxiliary head speaks in training mode only."""
        features = self.encoder(x * 2 - 1)
        decoded = self.decoder(features)
        maps = tuple(features[i] for i in self.stages)
        coarse = self.auxiliary(maps[-2]) if self.auxiliary is not None and self.training else None
        return Segmentation(self.classifier(decoded), decoded, maps, coarse)

    def encode(self, x: Tensor) -> Tensor:
        """The last map of the encoder alone: [n, c, h', w']."""
        return self.encoder(x * 2 - 1)[self.stages[-1]]

    def forward(self, x: Tensor) -> Tensor:
        return enlarged(self.outputs(x).logits, x.shape[-2:])


class _WideConv(nn.Conv2d):
    """A dilated depthwise convolution of 3 × 3 that keeps the map's size. Where the map is no larger than the dilation,
    all places but the centre are padding, so that it is a factor for each channel: same values, 1/20 of the time."""

    def forward(self, x: Tensor) -> Tensor:
        if min(self.dilation) >= max(x.shape[-2:]):
            return x * self.weight[:, 0, 1, 1, None, None].to(x.dtype)
        return super().forward(x)


def _spare_padding(decoder: nn.Module) -> None:
    """Make every convolution of a `_WideConv`'s kind one, in place: DeepLabV3+ has three, at dilations 12, 24, 36."""
    for conv in decoder.modules():
        if type(conv) is nn.Conv2d and conv.kernel_size == (3, 3) and conv.bias is None:
            depthwise = conv.groups == conv.in_channels == conv.out_channels
            if depthwise and conv.stride == (1, 1) and conv.padding == conv.dilation and min(conv.dilation) > 1:
                conv.__class__ = _WideConv


def check_segmenter(name: str) -> None:
    """Raise UsageError if no segmentation network has this name; builds nothing."""
    found = _NAME.fullmatch(name)
    kind = found["kind"] if found else name.partition("-")[0]
    if kind not in ARCHITECTURES:
        raise nearest("segmentation network", name, [f"{known}-resnet18" for known in ARCHITECTURES])
    assert found is not None
    encoder = found["encoder"]
    if not encoder.startswith("tu-") and encoder not in smp.encoders.get_encoder_names():
        raise nearest("encoder of a segmentation network", encoder, smp.encoders.get_encoder_names())
    if found["stride"] and kind not in DILATED:
        raise UsageError(f"network '{name}': an output stride is for {', '.join(DILATED)}")


def imagenet_encoder(name: str) -> str | None:
    """The encoder that a network of this name starts from ImageNet weights; None if it starts fresh."""
    found = _NAME.fullmatch(name)
    return found["encoder"] if found and found["imagenet"] else None


def build_segmenter(name: str, channels: int, classes: int, size: tuple[int, int]) -> Segmenter:
    """A freshly initialised network from torch's global generator, for images [channels, *size] and so many classes.

    UsageError where there is no such network or it cannot take such images.
    """
    check_segmenter(name)
    found = _NAME.fullmatch(name)
    assert found is not None
    make, width = ARCHITECTURES[found["kind"]]
    options: dict[str, Any] = {width: int(found["width"])} if found["width"] else {}
    if found["stride"]:
        options["encoder_output_stride"] = int(found["stride"])
    try:
        network = make(found["encoder"], encoder_weights=None, in_channels=channels, classes=classes, **options)
        _spare_padding(network.decoder)
        segmenter = Segmenter(network, name, channels, classes, auxiliary=bool(found["aux"]))
        segmenter.eval()
        with torch.no_grad():
            segmenter(torch.zeros(1, channels, *size))
    except (RuntimeError, ValueError, KeyError, AssertionError, TypeError) as error:
        what = f"{channels} × {size[0]} × {size[1]} images"
        raise UsageError(f"network '{name}' cannot take {what}: {str(error).splitlines()[0]}") from error
    return segmenter.train()
