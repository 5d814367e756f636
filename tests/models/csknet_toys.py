"""A small segmentation network of the contract of `Segmenter`, and what tests of CSK-Net-style networks do with it."""

from types import SimpleNamespace

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from xkd_bench.models.csknet import NO_EXCHANGE, CSKNet, Exchange
from xkd_bench.models.csknet_exchange import ChannelRule
from xkd_bench.models.segmenters import Segmenter

WIDTH, CLASSES = 6, 3
WIDTHS = [4, 5, 6, 8]
SWAP = Exchange(ChannelRule("index", 2), 2)


class Block(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(before, after, 3, 2, 1, bias=False), nn.BatchNorm2d(after)
        self.conv2, self.bn2 = nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after)
        self.downsample = nn.Sequential(nn.Conv2d(before, after, 1, 2, bias=False), nn.BatchNorm2d(after))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        return (y + self.downsample(x)).relu()


class Small(nn.Module):
    """Four stages of one block; gives its input and their outputs, as encoders of the library do."""

    out_channels = (3, *WIDTHS)

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        for i, (before, after) in enumerate(zip([4, *WIDTHS], WIDTHS, strict=False)):
            self.add_module(f"layer{i + 1}", Block(before, after))

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        maps = [x]
        x = self.bn1(self.conv1(x)).relu()
        for i in range(4):
            x = self.get_submodule(f"layer{i + 1}")(x)
            maps.append(x)
        return maps


class Decoder(nn.Module):
    """The first and the last map, joined on the first one's grid."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(WIDTHS[0] + WIDTHS[-1], WIDTH, 3, padding=1), nn.BatchNorm2d(WIDTH)

    def forward(self, maps: list[torch.Tensor]) -> torch.Tensor:
        late = nn.functional.interpolate(maps[-1], maps[1].shape[2:])
        return self.bn(self.conv(torch.cat((maps[1], late), 1))).relu()


def plain_net(seed: int = 0) -> Segmenter:
    torch.manual_seed(seed)
    parts = SimpleNamespace(encoder=Small(), decoder=Decoder(), segmentation_head=[nn.Conv2d(WIDTH, CLASSES, 1)])
    return Segmenter(parts, "small", 3, CLASSES, auxiliary=False)


def make(exchange: Exchange | None = NO_EXCHANGE, seed: int = 0, **options: object) -> CSKNet:
    return CSKNet(plain_net(seed), exchange=exchange, **options).double()


def images(n: int = 2, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Of two modalities that differ."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(n, 3, 32, 32, generator=generator).double() * (1 + i) + i for i in range(2))


def unalike(network: CSKNet) -> CSKNet:
    """Branches whose norms and decoders differ, as after training."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for p in network.parameters():
            p += 0.2 * torch.randn(p.shape, generator=generator)
    with torch.no_grad():
        for _ in range(3):
            network.train().branches(*images(4))
    return network


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def flops(call: object, *inputs: torch.Tensor) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        call(*inputs)
    return counter.get_total_flops()
