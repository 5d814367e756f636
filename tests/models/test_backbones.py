"""Encoders of segmentation networks start from backbones as torchvision, timm and this project name their tensors."""

import copy

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file

from xkd_bench.errors import UsageError
from xkd_bench.models.backbones import start_from
from xkd_bench.models.csknet import CSKNet
from xkd_bench.models.duplex import DuplexSegmenter
from xkd_bench.models.segmenters import Segmenter, build_segmenter

SIZE = (32, 32)
RESNET, MOBILE = "deeplabv3plus-resnet18-w16", "deeplabv3plus-mobilenet_v2-w16"


def other(module):
    """The module with other weights and statistics than any new one has."""
    torch.manual_seed(7)
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            if tensor.is_floating_point():
                tensor.copy_(torch.rand_like(tensor) + 0.5)
    return module


@pytest.fixture(scope="module")
def resnet(tmp_path_factory):
    network = other(torchvision.models.resnet18(weights=None))
    file = tmp_path_factory.mktemp("weights") / "resnet18.safetensors"
    save_file(network.state_dict(), file)
    return network, file


def assert_same(found, expected):
    """Tensors by name; counters of batches do not matter."""
    kept = [name for name in found if not name.endswith("num_batches_tracked")]
    assert kept
    for name in kept:
        assert torch.equal(found[name], expected[name]), name


def deeplab():
    """torchvision's DeepLabV3 of ResNet-18's size: its names are what this is about."""
    from torchvision.models._utils import IntermediateLayerGetter
    from torchvision.models.segmentation.deeplabv3 import DeepLabHead, DeepLabV3
    from torchvision.models.segmentation.fcn import FCNHead

    layers = {"layer4": "out", "layer3": "aux"}
    backbone = IntermediateLayerGetter(torchvision.models.resnet18(weights=None), layers)
    return DeepLabV3(backbone, DeepLabHead(512, 21), FCNHead(256, 21))


def separate(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def test_a_resnet_of_torchvision_is_the_encoder_and_the_rest_stays(resnet):
    network = build_segmenter(RESNET, 3, 4, SIZE)
    before = copy.deepcopy(network.state_dict())
    start_from(network, resnet[1])
    assert_same(network.encoder.state_dict(), resnet[0].state_dict())
    rest = [name for name in before if not name.startswith("encoder.")]
    assert all(torch.equal(network.state_dict()[name], before[name]) for name in rest)
    x = torch.rand(2, 3, 32, 32)
    features = torch.nn.Sequential(*list(resnet[0].children())[:5]).eval()  # up to layer1: nothing is dilated yet
    network.eval()
    torch.testing.assert_close(network.outputs(x).maps[1], features(x * 2 - 1))


@pytest.mark.parametrize(
    ("name", "make", "find"),
    [
        (RESNET, lambda: timm.create_model("resnet18"), None),
        (RESNET, deeplab, "backbone."),
        (RESNET, lambda: build_segmenter(RESNET, 3, 9, SIZE), "encoder."),
        (MOBILE, lambda: torchvision.models.mobilenet_v2(weights=None), None),
        ("deeplabv3plus-tu-resnet18-w16", lambda: torchvision.models.resnet18(weights=None), None),
        ("deeplabv3plus-tu-mobilenetv3_small_050-w16", lambda: timm.create_model("mobilenetv3_small_050"), None),
    ],
)
def test_names_in_circulation_are_read(name, make, find, tmp_path):
    source = other(make())
    save_file(separate(source), tmp_path / "w.safetensors")
    network = build_segmenter(name, 3, 4, SIZE)
    start_from(network, tmp_path / "w.safetensors")
    state = {n.removeprefix(find or ""): t for n, t in source.state_dict().items() if n.startswith(find or "")}
    assert_same({n.removeprefix("model."): t for n, t in network.encoder.state_dict().items()}, state)


def test_timms_mobilenet_v2_is_torchvisions(tmp_path):
    """By its values: the names share nothing."""
    source = timm.create_model("mobilenetv2_100").eval()
    torch.save({"state_dict": source.state_dict()}, tmp_path / "w.pth")
    network = build_segmenter("deeplabv3-mobilenet_v2-os16-w16", 3, 4, SIZE)
    start_from(network, tmp_path / "w.pth")
    plain = torchvision.models.mobilenet_v2(weights=None).eval()
    plain.features.load_state_dict(
        {n.removeprefix("features."): t for n, t in network.encoder.state_dict().items()}
    )  # fmt: skip
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(plain.features(x), source.forward_features(x), rtol=1e-4, atol=1e-5)


def test_stages_that_timm_gives_one_by_one_are_found(tmp_path):
    source = timm.create_model("convnext_atto")
    torch.save(source.state_dict(), tmp_path / "w.pth")
    network = build_segmenter("segformer-tu-convnext_atto-w16", 3, 4, (64, 64))
    start_from(network, tmp_path / "w.pth")
    found = network.encoder.state_dict()["model.stages_1.blocks.0.conv_dw.weight"]
    assert torch.equal(found, source.state_dict()["stages.1.blocks.0.conv_dw.weight"])


def test_grey_images_see_what_they_gave_as_colour_and_colours_share_what_grey_gave(resnet, tmp_path):
    network = build_segmenter(RESNET, 1, 4, SIZE)
    start_from(network, resnet[1])
    grey = torch.rand(1, 1, 32, 32) * 2 - 1
    expected = resnet[0].conv1(grey.expand(-1, 3, -1, -1))
    torch.testing.assert_close(network.encoder.conv1(grey), expected, rtol=1e-4, atol=1e-4)
    save_file(separate(network.encoder), tmp_path / "grey.safetensors")
    colour = build_segmenter(RESNET, 3, 4, SIZE)
    start_from(colour, tmp_path / "grey.safetensors")
    torch.testing.assert_close(colour.encoder.conv1(grey.expand(-1, 3, -1, -1)), expected, rtol=1e-4, atol=1e-4)


def test_two_colours_have_the_first_two_of_three_half_as_large_again(resnet):
    network = build_segmenter(RESNET, 2, 4, SIZE)
    start_from(network, resnet[1])
    x = torch.rand(1, 1, 32, 32).expand(-1, 2, -1, -1)
    kernels = resnet[0].conv1.weight
    expected = torch.nn.functional.conv2d(x, 1.5 * kernels[:, :2], stride=2, padding=3)
    torch.testing.assert_close(network.encoder.conv1(x), expected)


def test_networks_of_two_modalities_start_with_both(resnet):
    student = CSKNet(build_segmenter(RESNET, 3, 4, SIZE))
    start_from(student, resnet[1])
    for modality in ("source", "target"):
        assert_same(student.plain(modality).encoder.state_dict(), resnet[0].state_dict())
    teacher = DuplexSegmenter(RESNET, (3, 1), 4, SIZE, "intermediate")
    start_from(teacher, resnet[1])
    assert_same(teacher.source.encoder.state_dict(), resnet[0].state_dict())
    assert torch.equal(teacher.target.encoder.layer4[1].conv2.weight, resnet[0].layer4[1].conv2.weight)
    assert teacher.target.encoder.conv1.weight.shape[1] == 1


@pytest.mark.parametrize(
    ("name", "channels", "said"),
    [
        (MOBILE, 3, "and the encoder of deeplabv3plus-mobilenet_v2-w16 do not fit: .* tensors are missing"),
        ("deeplabv3plus-resnet34-w16", 3, r"tensors are missing \(first: layer1\.2\.conv1\.weight\)"),
        (RESNET, 4, r"1 have another shape \(first: conv1\.weight: expected 64 × 4 × 7 × 7, found 64 × 3 × 7 × 7\)"),
    ],
)
def test_what_does_not_fit_is_one_line_and_changes_nothing(resnet, name, channels, said):
    network: Segmenter = build_segmenter(name, channels, 4, SIZE)
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(UsageError, match=said) as caught:
        start_from(network, resnet[1])
    assert "\n" not in str(caught.value)
    assert all(torch.equal(tensor, before[n]) for n, tensor in network.state_dict().items())
