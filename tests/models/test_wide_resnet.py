"""SimCLR's wide ResNets: their sizes are the published ones, and 1x is torchvision's ResNet-50."""

import pytest
import torch
import torchvision

from tests.models import published
from xkd_bench.models.conversion import convert
from xkd_bench.models.teachers import load_teacher
from xkd_bench.models.wide_resnet import WideResNet50


def parameters_by_formula(k: int) -> int:
    """Convolutions without bias and two numbers a channel for each normalisation, from He et al.'s table of layers."""
    total = 3 * 64 * k * 49 + 2 * 64 * k
    n_in = 64 * k
    for blocks, width in zip((3, 4, 6, 3), (64 * k, 128 * k, 256 * k, 512 * k), strict=True):
        for block in range(blocks):
            total += n_in * width + 9 * width * width + 4 * width * width + 2 * (width + width + 4 * width)
            if block == 0:
                total += n_in * 4 * width + 2 * 4 * width
            n_in = 4 * width
    return total


@pytest.mark.parametrize(("k", "millions"), [(1, 24), (2, 94), (4, 375)])
def test_sizes_are_those_of_the_paper(k, millions):
    with torch.device("meta"):
        network = WideResNet50(k)
    count = sum(p.numel() for p in network.parameters())
    assert count == parameters_by_formula(k)
    assert round(count / 1e6) == millions  # Chen et al. 2020, Table 6
    assert network.dim == 2048 * k


@pytest.mark.parametrize("k", [1, 2, 4])
def test_released_weights_fit_by_name_and_shape(k):
    with torch.device("meta"):
        network = WideResNet50(k)
    found = convert(published.resnet50_state(k, "meta"), network.state_dict(), "weights")
    assert network.load_state_dict(found, assign=True) == torch.nn.modules.module._IncompatibleKeys([], [])


def test_loaded_once_it_computes_what_torchvisions_resnet_50_does_on_images_in_0_1(tmp_path):
    state = published.resnet50_state()
    torch.save({"state_dict": state}, tmp_path / "resnet50-1x.pth")
    teacher = load_teacher("simclr-resnet50-1x", tmp_path / "resnet50-1x.pth")
    theirs = torchvision.models.resnet50(weights=None)
    theirs.load_state_dict(state)
    theirs.fc = torch.nn.Identity()
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        expected = theirs.eval()(x)
    assert teacher(x).shape == (2, teacher.dim) == (2, 2048)
    assert torch.allclose(teacher(x), expected, rtol=1e-4, atol=1e-4 * expected.abs().max())
    assert [tuple(m.shape[1:]) for m in teacher.features(x).maps] == [
        (64, 32, 32), (256, 16, 16), (512, 8, 8), (1024, 4, 4), (2048, 2, 2),
    ]  # fmt: skip
    assert not any(p.is_meta for p in teacher.parameters())
