"""Student networks: sizes by formula, widths as promised, and the names that are refused."""

from itertools import pairwise

import pytest
import torch

from xkd_bench.catalogue import STUDENTS
from xkd_bench.errors import UsageError
from xkd_bench.models.encoders import build_encoder, check_student


def parameters(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def small_resnet_parameters(depth: int, width: int, channels: int) -> int:
    """Convolutions without bias, two numbers a channel for each normalisation, one shortcut a stage."""
    blocks = (depth - 2) // 6
    total = 9 * channels * width + 2 * width  # stem
    for stage in range(3):
        a, b = width * 2**stage, width * 2 ** (stage + 1)
        total += (9 * a * b + 2 * b) + (9 * b * b + 2 * b) + (a * b + 2 * b)  # the block that widens
        total += (blocks - 1) * 2 * (9 * b * b + 2 * b)
    return total


@pytest.mark.parametrize(("depth", "width", "channels"), [(8, 16, 1), (8, 24, 3), (8, 32, 1), (14, 32, 3), (20, 8, 4)])
def test_small_resnets_have_as_many_parameters_as_their_formula(depth, width, channels):
    encoder = build_encoder(f"resnet{depth}-w{width}", channels, 32)
    assert parameters(encoder) == small_resnet_parameters(depth, width, channels)
    layers = [m for m in encoder.modules() if isinstance(m, torch.nn.Conv2d) and m.kernel_size == (3, 3)]
    assert len(layers) + 1 == depth  # the last layer is the head, which every user of an encoder brings


@pytest.mark.parametrize(("width", "channels"), [(8, 1), (16, 3)])
def test_plain_networks_have_four_convolutions(width, channels):
    encoder = build_encoder(f"conv4-w{width}", channels, 32)
    widths = [channels, width, 2 * width, 4 * width, 8 * width]
    assert parameters(encoder) == sum(9 * a * b + 2 * b for a, b in pairwise(widths))
    assert encoder.dim == 8 * width


@pytest.mark.parametrize("name", [n for n in STUDENTS if "M parameters" in STUDENTS[n]])
def test_the_catalogue_tells_the_true_size(name):
    millions = parameters(build_encoder(name, 1, 32)) / 1e6
    assert f" {millions:.1f} M parameters" in STUDENTS[name]


@pytest.mark.parametrize("name", [n for n in STUDENTS if not n.startswith("mlp")])
@pytest.mark.parametrize(("channels", "size"), [(1, 32), (3, 64), (1, (64, 96))])
def test_every_catalogued_student_maps_images_to_features_of_its_width(name, channels, size):
    encoder = build_encoder(name, channels, size)
    assert encoder.training
    encoder.eval()
    with torch.no_grad():
        features = encoder(torch.rand(2, channels, *encoder.size))
    assert features.shape == (2, encoder.dim)
    assert torch.isfinite(features).all()
    assert not torch.allclose(features[0], features[1])


def test_inputs_are_centred_inside():
    encoder = build_encoder("resnet8-w16", 1, 32).eval()
    x = torch.rand(2, 1, 32, 32)
    assert torch.equal(encoder(x), encoder.backbone(2 * x - 1))


@pytest.mark.parametrize("name", ["resnet8-w16", "mobilenetv3_small_100"])
def test_the_global_seed_decides_the_initial_weights(name):
    def weights(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return torch.cat([p.flatten() for p in build_encoder(name, 1, 32).parameters()])

    assert torch.equal(weights(3), weights(3))
    assert not torch.equal(weights(3), weights(4))


def test_building_leaves_the_normalisation_statistics_fresh():
    encoder = build_encoder("mobilenetv3_small_100", 1, 32)  # its width was found by a forward pass
    for norm in encoder.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            assert norm.num_batches_tracked == 0
            assert norm.running_mean.abs().max() == 0


@pytest.mark.parametrize("name", ["resnet9-w16", "resnet2-w16", "resnet8-w0", "conv5-w8", "conv4-w0"])
def test_small_resnets_that_cannot_be_are_refused_before_anything_is_built(name):
    with pytest.raises(UsageError) as caught:
        check_student(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "near"), [("resnet-50", "resnet50"), ("resnet8_w16", "resnet8-w16")])
def test_an_unknown_student_names_the_near_match_on_one_short_line(name, near):
    with pytest.raises(UsageError) as caught:
        check_student(name)
    message = str(caught.value)
    assert f"did you mean '{near}'?" in message
    assert "\n" not in message
    assert len(message) < 1000  # not a list of every network of timm


@pytest.mark.parametrize("width", [16, 64])
def test_a_network_of_vectors_is_two_hidden_layers_and_takes_its_inputs_as_they_are(width):
    encoder = build_encoder(f"mlp-w{width}", 7, ()).eval()
    assert parameters(encoder) == 7 * width + width * width + 4 * width
    x = 5 * torch.randn(3, 7)
    layers = [m for m in encoder.modules() if isinstance(m, torch.nn.Linear)]
    hidden = x
    for layer in layers:  # fresh normalisation in evaluation mode divides by sqrt(1 + eps)
        hidden = torch.relu(hidden @ layer.weight.T / (1 + 1e-5) ** 0.5)
    assert torch.allclose(encoder(x), hidden, atol=1e-5)
    assert encoder(x).shape == (3, encoder.dim) == (3, width)
    assert encoder.features(x).maps == encoder.stages == ()


@pytest.mark.parametrize(
    ("name", "channels", "size", "why"),
    [
        ("mlp-w8", 3, 32, "takes vectors, and these are images"),
        ("resnet8-w16", 7, (), "takes images, and these are vectors"),
        ("resnet18", 7, (), "takes images, and these are vectors"),
        ("vit_tiny_patch16_224", 3, 8, "cannot take 3 × 8 × 8 inputs"),
        ("mlp-w0", 3, (), "1 channel wide or more"),
    ],
)
def test_inputs_that_a_network_cannot_take_are_refused_in_one_line(name, channels, size, why):
    with pytest.raises(UsageError) as caught:
        build_encoder(name, channels, size)
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_the_size_may_be_one_number_or_two():
    torch.manual_seed(0)
    one = build_encoder("resnet18", 1, 32)
    torch.manual_seed(0)
    two = build_encoder("resnet18", 1, (32, 32))
    assert one.size == two.size == (32, 32)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
