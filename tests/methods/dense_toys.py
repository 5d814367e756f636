"""Small networks and batches for tests of dense methods: a student, a teacher of other widths and stride, pairs.

The networks are of a design of their own, which `build_segmenter` knows while `toy_networks` lasts: a step of one takes
a tenth of the time of the smallest real one's.
"""

import copy
from functools import cache
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch import nn

from tests.toy_dense import CLASSES, ToyDenseData
from xkd_bench import methods
from xkd_bench.losses.features import enlarged
from xkd_bench.methods.dense import DenseBatch, DenseMethod, DenseTeacher, outputs_of
from xkd_bench.models import segmenters
from xkd_bench.models.duplex import DuplexSegmenter
from xkd_bench.models.segmenters import Segmentation, build_segmenter

SIZE = (32, 48)
CHANNELS = (3, 1)
STUDENT = "toy-tu-stride8-w8"
TEACHER = "toy-tu-stride16-w12"
WIDTHS = {"tu-stride8": (4, 6, 8, 16), "tu-stride16": (6, 8, 12, 32)}


class Block(nn.Module):
    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after)
        self.conv2, self.bn2 = nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.bn2(self.conv2(self.bn1(self.conv1(x)).relu())).relu()


class Encoder(nn.Module):
    """Gives its input and four maps, as encoders of the library do."""

    def __init__(self, name: str, channels: int) -> None:
        super().__init__()
        self.out_channels = (channels, *WIDTHS[name])
        strides = (2, 2, 2, 1 if name == "tu-stride8" else 2)
        pairs = zip(self.out_channels[:-1], self.out_channels[1:], strides, strict=True)
        self.blocks = nn.ModuleList(Block(a, b, stride) for a, b, stride in pairs)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        maps = [x]
        for block in self.blocks:
            maps.append(block(maps[-1]))
        return maps


class Decoder(nn.Module):
    """The second and the last map, joined on the second one's grid."""

    def __init__(self, widths: tuple[int, ...], out: int) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(widths[2] + widths[-1], out, 3, padding=1, bias=False), nn.BatchNorm2d(out)

    def forward(self, maps: list[torch.Tensor]) -> torch.Tensor:
        late = nn.functional.interpolate(maps[-1], maps[2].shape[2:])
        return self.bn(self.conv(torch.cat((maps[2], late), 1))).relu()


def _make(name: str, encoder_weights: None, in_channels: int, classes: int, width: int) -> SimpleNamespace:
    encoder = Encoder(name, in_channels)
    head = [nn.Conv2d(width, classes, 1)]
    return SimpleNamespace(encoder=encoder, decoder=Decoder(encoder.out_channels, width), segmentation_head=head)


def toy_networks() -> Any:
    """A context in which networks `toy-tu-stride8-wD` and `toy-tu-stride16-wD` can be built."""
    return mock.patch.dict(segmenters.ARCHITECTURES, {"toy": (_make, "width")})


@cache
def data() -> ToyDenseData:
    return ToyDenseData(*SIZE)


@cache
def teacher(inputs: str = "source", fusion: str = "intermediate") -> Any:
    """Untrained, but with statistics of the data and balanced classes, so that images differ to it; frozen."""
    torch.manual_seed(3)
    with toy_networks():
        if inputs == "both":
            network: Any = DuplexSegmenter(TEACHER, CHANNELS, len(CLASSES), SIZE, fusion)
        else:
            network = build_segmenter(TEACHER, CHANNELS[0], len(CLASSES), SIZE)
    source, image, _ = tensors(range(16))
    with torch.no_grad():
        for _ in range(30):
            outputs_of(network, source, image, inputs)
        network.eval()
        network.classifier.bias -= outputs_of(network, source, image, inputs).logits.mean((0, 2, 3))
    return network.requires_grad_(False)


def tensors(rows: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(source, image, label) of these items."""
    at = torch.as_tensor(list(rows))
    source, image = (torch.from_numpy(m.data)[at].float() / 255 for m in (data().source, data().target))
    return source, image, torch.from_numpy(data().maps.data)[at].long()


def says(name: str, source: torch.Tensor, image: torch.Tensor, **options: Any) -> Segmentation:
    method = methods.get(name)
    network = teacher(method.teacher_inputs, options.get("fusion", "intermediate"))
    with torch.no_grad():
        return outputs_of(network, source, image, method.teacher_inputs)


def batch(name: str, rows: Any = range(4), labelled: bool = True, turn: int = 0, **options: Any) -> DenseBatch:
    """Of these items; turn: each is shown the source of the item so many places on."""
    source, image, label = tensors(rows)
    source = source.roll(-turn, 0)
    said = says(name, source, image, **options)
    if not labelled:
        label = enlarged(said.logits, image.shape[-2:]).argmax(1)
    return DenseBatch(image, source, label, labelled, said)


def build(name: str, seed: int = 1, **options: Any) -> DenseMethod:
    method = methods.get(name)
    parsed = method.parse_options(name, options)
    torch.manual_seed(seed)
    with toy_networks():
        student = method.build_student(STUDENT, CHANNELS, len(CLASSES), SIZE, parsed)
    network = teacher(method.teacher_inputs, options.get("fusion", "intermediate"))
    return method(student, DenseTeacher(network.widths, network.decoded_width, len(CLASSES)), parsed)


def loss_of(model: DenseMethod, shown: DenseBatch, seed: int = 5) -> torch.Tensor:
    """Some losses draw pixels or masks: the same for the same seed. Neither the model nor the batch changes."""
    torch.manual_seed(seed)
    return copy.deepcopy(model)(copy.deepcopy(shown))["loss"]
