"""Segmentation networks by name: shapes, strides, widths, and one line for what cannot be."""

import pytest
import torch

from xkd_bench.catalogue import SEGMENTERS
from xkd_bench.errors import UsageError
from xkd_bench.models.cost import cost_of
from xkd_bench.models.segmenters import build_segmenter, check_segmenter

SMALL = "deeplabv3plus-tu-mobilenetv3_small_050-w32"


@pytest.mark.parametrize(
    ("name", "stride"),
    [(SMALL, 4), ("pspnet-mobilenet_v2", 8), ("segformer-mit_b0", 4), ("deeplabv3-resnet18-os8-w32-aux", 8)],
)
def test_a_network_says_all_that_distillation_looks_at(name, stride):
    network = build_segmenter(name, 1, 5, (64, 96))
    x = torch.rand(2, 1, 64, 96)
    out = network.outputs(x)
    assert out.logits.shape == (2, 5, 64 // stride, 96 // stride)
    assert out.decoded.shape == (2, network.decoded_width, 64 // stride, 96 // stride)
    assert tuple(m.shape[1] for m in out.maps) == network.widths
    assert network(x).shape == (2, 5, 64, 96)
    assert (out.auxiliary is not None) == name.endswith("-aux")
    network.eval()
    assert torch.equal(network.encode(x), network.outputs(x).maps[-1])
    assert network.outputs(x).auxiliary is None, "the auxiliary head costs nothing when it is not trained"


def test_the_output_stride_is_that_of_the_last_map():
    for stride in (8, 16):
        network = build_segmenter(f"deeplabv3plus-resnet18-os{stride}-w32", 3, 4, (64, 64))
        assert network.encode(torch.zeros(2, 3, 64, 64)).shape[-1] == 64 // stride


@pytest.mark.parametrize(
    ("encoder", "widths", "strides"),
    [
        ("resnet18", (64, 64, 128, 256, 512), {"": 8, "-os8": 8, "-os16": 16}),
        ("resnet101", (64, 256, 512, 1024, 2048), {"": 8}),
    ],
)
def test_pspnet_sees_the_whole_encoder_at_the_published_stride(encoder, widths, strides):
    for ending, stride in strides.items():
        with torch.device("meta"):
            network = build_segmenter(f"pspnet-{encoder}{ending}-aux", 3, 4, (48, 64))
            out = network.outputs(torch.rand(2, 3, 48, 64))
        assert network.widths == widths
        assert out.maps[-1].shape == (2, widths[-1], 48 // stride, 64 // stride)
        assert out.maps[-2].shape == (2, widths[-2], 48 // stride, 64 // stride)
        assert out.logits.shape == out.auxiliary.shape == (2, 4, 48 // stride, 64 // stride)
        joined = network.decoder.conv[0]
        assert (joined.in_channels, joined.out_channels, joined.kernel_size) == (2 * widths[-1], 512, (3, 3))
        assert network.classifier.kernel_size == (1, 1)


@pytest.mark.parametrize(
    "name",
    [
        "pspnet-resnet18-w16-aux", "pspnet-mobilenet_v2-os16-w16-aux", "pspnet-tu-mobilenetv3_small_050-w16-aux",
        "deeplabv3-mobilenet_v2-os16-w16-aux", "deeplabv3plus-mobilenet_v2-os16-w16-aux", f"{SMALL}-aux",
    ],
)  # fmt: skip
def test_every_parameter_has_a_share_in_the_loss(name):
    torch.manual_seed(0)
    network = build_segmenter(name, 3, 4, (32, 64))
    out = network.outputs(torch.rand(2, 3, 32, 64))
    (out.logits.square().mean() + out.auxiliary.square().mean()).backward()
    assert [n for n, p in network.named_parameters() if p.grad is None] == []
    weights = [p.grad.abs().max() for n, p in network.encoder.named_parameters() if p.ndim == 4]
    assert min(weights) > 0


def test_resnet101_is_the_published_teachers_encoder():
    network = build_segmenter("deeplabv3-resnet101-os8-w16-aux", 3, 4, (32, 48)).eval()
    assert network.widths == (64, 256, 512, 1024, 2048)
    assert sum(p.numel() for p in network.encoder.parameters()) == 42_500_160  # torchvision's, less its classifier
    with torch.no_grad():
        out = network.outputs(torch.rand(1, 3, 32, 48))
    assert out.maps[-1].shape == (1, 2048, 4, 6)
    assert out.logits.isfinite().all()


@pytest.mark.parametrize("name", [name for name in SEGMENTERS if "[" not in name])
def test_the_catalogue_tells_the_true_cost(name):
    network = build_segmenter(name, 3, 19, (64, 64)).to("meta")
    cost = cost_of(network, torch.zeros(1, 3, 512, 512, device="meta"))
    told = f"{cost.parameters / 1e6:.1f} M parameters, {cost.operations / 2e9:.1f} G multiply-adds on 512 × 512"
    assert SEGMENTERS[name].endswith(told)


@pytest.mark.parametrize("size", [(6, 8), (12, 12), (12, 13), (16, 6)])
def test_wide_convolutions_say_the_same_of_small_maps(size):
    decoder = build_segmenter(SMALL, 3, 4, (64, 64)).decoder
    convs = [m for m in decoder.modules() if isinstance(m, torch.nn.Conv2d) and m.dilation[0] == 12]
    assert [type(conv).__name__ for conv in convs] == ["_WideConv"]
    x, again = (torch.randn(2, convs[0].in_channels, *size, requires_grad=True) for _ in range(2))
    again.data.copy_(x.data)
    found = convs[0](x)
    weight = convs[0].weight.detach().clone().requires_grad_()
    expected = torch.nn.functional.conv2d(again, weight, padding=12, dilation=12, groups=len(weight))
    torch.testing.assert_close(found, expected)
    for y in (found, expected):
        y.square().sum().backward()
    torch.testing.assert_close(x.grad, again.grad)
    torch.testing.assert_close(convs[0].weight.grad, weight.grad)
    with torch.autocast("cpu", torch.bfloat16):
        assert convs[0](x.bfloat16()).dtype == torch.bfloat16


def test_the_same_seed_builds_the_same_network():
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(build_segmenter(SMALL, 3, 4, (64, 64)).state_dict())
    assert all(torch.equal(a, b) for a, b in zip(states[0].values(), states[1].values(), strict=True))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("deeplab-resnet18", "unknown segmentation network 'deeplab-resnet18': did you mean"),
        ("pspnet-resnet19", "unknown encoder of a segmentation network 'resnet19': did you mean 'resnet1"),
        ("segformer-mit_b0-os8", "an output stride is for deeplabv3, deeplabv3plus, pspnet"),
        ("resnet18", "unknown segmentation network 'resnet18'"),
    ],
)
def test_what_cannot_be_is_one_line(name, message):
    with pytest.raises(UsageError) as caught:
        check_segmenter(name)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_images_that_a_network_cannot_take_are_one_line():
    with pytest.raises(UsageError, match=r"cannot take 3 × 30 × 50 images"):
        build_segmenter("deeplabv3plus-resnet18", 3, 4, (30, 50))


@pytest.mark.parametrize("name", ["pspnet-densenet121", "pspnet-tu-swin_tiny_patch4_window7_224"])
def test_an_encoder_that_cannot_be_dilated_is_one_line(name):
    said = rf"^network '{name}' cannot take 3 × 64 × 64 images: .*(dilated|output_stride)"
    with torch.device("meta"), pytest.raises(UsageError, match=said):
        build_segmenter(name, 3, 4, (64, 64))
