"""ResNet-50, k times as wide from the stem on: the networks of SimCLR (Chen et al. 2020; 24 M, 94 M and 375 M
parameters for k = 1, 2, 4) and of CMCD's teachers.

Names and padding are torchvision's, as in the public conversions of SimCLR's weights from TensorFlow [CODE
tonylins/simclr-converter], whose linear evaluation lies within 0.2 points of the original.
"""

from itertools import pairwise

from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck

from xkd_bench.models.features import Features, Staged

BLOCKS = (3, 4, 6, 3)


class WideResNet50(Staged):
    """[n, 3, h, w] -> [n, 2048 k]. Stages: the stem before its pooling, and the four groups of blocks."""

    def __init__(self, k: int = 1) -> None:
        super().__init__()
        self.dim = 2048 * k
        self.conv1 = nn.Conv2d(3, 64 * k, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64 * k)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        widths = [64 * k, *(256 * k << stage for stage in range(4))]
        for stage, (n_in, n_out) in enumerate(pairwise(widths)):
            self.add_module(f"layer{stage + 1}", _layer(n_in, n_out, BLOCKS[stage], stride=1 if stage == 0 else 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.features(x).pooled

    def features(self, x: Tensor) -> Features:
        maps = [self.relu(self.bn1(self.conv1(x)))]
        x = self.maxpool(maps[0])
        for stage in range(4):
            x = self.get_submodule(f"layer{stage + 1}")(x)
            maps.append(x)
        return Features(x.mean((2, 3)), tuple(maps))


def _layer(n_in: int, n_out: int, blocks: int, stride: int) -> nn.Sequential:
    shortcut = nn.Sequential(nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out))
    first = Bottleneck(n_in, n_out // 4, stride, shortcut)
    return nn.Sequential(first, *(Bottleneck(n_out, n_out // 4) for _ in range(blocks - 1)))
