"""DeepLabV3+ in three parts, encoder, decoder and head: what CSK-Net-style networks are made of and compared with."""

from collections.abc import Sequence

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.segmentation.deeplabv3 import ASPP

from xkd_bench.errors import UsageError

STAGES = 4


class Segmenter(nn.Module):
    """An encoder, a decoder and a head, one after the other.

    encoder: images [n, c, h, w] to a sequence of maps, early to late; decoder: that sequence to features
    [n, d, h', w']; head: those to logits [n, k, h', w'], which stay on the decoder's grid.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder, self.head = encoder, decoder, head

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.decoder(self.encoder(x)))


class DeepLabPlusDecoder(nn.Module):
    """DeepLabV3+'s decoder: the last map through atrous pooling, joined with the first one, on the first one's grid.

    early, late: channels of the first and the last map; 48 of the early are kept, `width` come out. rates: dilations of
    the pooling for output stride 16; twice that for 8.

    Source: Chen et al. 2018, Encoder-decoder with atrous separable convolution [CODE VainF network/_deeplab.py],
    without separable convolutions; the pooling is torchvision's with the code's dropout of 0.1.
    """

    def __init__(self, early: int, late: int, width: int = 256, rates: Sequence[int] = (12, 24, 36)) -> None:
        super().__init__()
        self.project = nn.Sequential(nn.Conv2d(early, 48, 1, bias=False), nn.BatchNorm2d(48), nn.ReLU(inplace=True))
        self.pool = ASPP(late, list(rates), width)
        for module in self.pool.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.1
        self.join = nn.Sequential(
            nn.Conv2d(48 + width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        )

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        early, late = self.project(maps[-STAGES]), self.pool(maps[-1])
        late = F.interpolate(late, early.shape[2:], mode="bilinear", align_corners=False)
        return self.join(torch.cat((early, late), 1))


def stage_encoder(backbone: str, channels: int = 3, output_stride: int = 16) -> nn.Module:
    """The last four stages of a convolutional network of timm, freshly initialised. UsageError where it has no such."""
    if not timm.is_model(backbone):
        raise UsageError(f"unknown backbone '{backbone}': a convolutional network of timm is needed (resnet50, ...)")
    try:
        return timm.create_model(
            backbone,
            features_only=True,
            in_chans=channels,
            output_stride=output_stride,
            out_indices=tuple(range(-STAGES, 0)),
            pretrained=False,
        )
    except (RuntimeError, AssertionError, ValueError, TypeError, KeyError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UsageError(
            f"backbone '{backbone}' gives no maps of stages at stride {output_stride}: {reason}"
        ) from error


def deeplab_plus(
    backbone: str,
    classes: int,
    *,
    channels: int = 3,
    output_stride: int = 16,
    width: int = 256,
    rates: Sequence[int] = (12, 24, 36),
) -> Segmenter:
    """A DeepLabV3+ on a backbone of timm; the teacher of CSK-Net on optical images, and what it is compared with."""
    encoder = stage_encoder(backbone, channels, output_stride)
    widths = encoder.feature_info.channels()  # type: ignore[operator, union-attr]
    decoder = DeepLabPlusDecoder(widths[0], widths[-1], width, rates)
    return Segmenter(encoder, decoder, nn.Conv2d(width, classes, 1))
