"""A student that starts from another encoder's weights computes what that encoder does."""

import pytest
import torch

from xkd_bench.errors import UsageError
from xkd_bench.models.encoders import build_encoder
from xkd_bench.models.initialise import initialise

NAMES = ["conv4-w8", "resnet8-w8", "resnet18", "mobilenetv3_small_100", "vit_tiny_patch16_224"]


def encoder(name, channels, size, seed):
    torch.manual_seed(seed)
    return build_encoder(name, channels, size).eval()


@pytest.mark.parametrize("name", NAMES)
def test_the_same_channels_and_size_take_all_of_it(name):
    source, student = encoder(name, 3, 32, 0), encoder(name, 3, 32, 1)
    initialise(student, source.state_dict(), 3)
    x = torch.rand(2, 3, 32, 32)
    assert torch.equal(student(x), source(x))
    next(iter(student.parameters())).data.zero_()
    assert next(iter(source.parameters())).abs().sum() > 0  # a copy, not the same memory


@pytest.mark.parametrize("name", NAMES)
def test_a_student_of_grey_images_sees_them_as_the_source_sees_three_equal_channels(name):
    source, student = encoder(name, 3, 32, 0), encoder(name, 1, 32, 1)
    initialise(student, source.state_dict(), 3)
    x = torch.rand(2, 1, 32, 32)
    assert torch.allclose(student(x), source(x.expand(-1, 3, -1, -1)), atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_a_student_of_coloured_images_sees_their_mean_as_the_source_sees_grey(name):
    source, student = encoder(name, 1, 32, 0), encoder(name, 3, 32, 1)
    initialise(student, source.state_dict(), 1)
    x = torch.rand(2, 3, 32, 32)
    assert torch.allclose(student(x), source(x.mean(1, keepdim=True)), atol=1e-4)


def test_positions_are_resampled_to_another_grid_and_the_class_token_kept():
    source, student = encoder("vit_tiny_patch16_224", 3, 64, 0), encoder("vit_tiny_patch16_224", 3, (32, 64), 1)
    flat = source.state_dict()
    flat["backbone.pos_embed"] = torch.cat([torch.ones(1, 1, 192), torch.full((1, 16, 192), 3.0)], 1)
    initialise(student, flat, 3)
    found = student.state_dict()["backbone.pos_embed"]
    assert found.shape == (1, 1 + 2 * 4, 192)
    assert torch.allclose(found[:, 0], torch.tensor(1.0))
    assert torch.allclose(found[:, 1:], torch.tensor(3.0), atol=1e-5)


@pytest.mark.parametrize(
    ("student", "source", "channels", "why"),
    [
        (("resnet8-w8", 3), ("conv4-w8", 3), 3, "another network"),
        (("resnet8-w8", 3), ("resnet8-w16", 3), 3, "is 16 × 3 × 3 × 3 and 8 × 3 × 3 × 3"),
        (("resnet8-w8", 1), ("resnet8-w8", 4), 4, "is 8 × 4 × 3 × 3 and 8 × 1 × 3 × 3"),
        (("resnet8-w8", 1), ("resnet8-w8", 3), 1, "is 8 × 3 × 3 × 3 and 8 × 1 × 3 × 3"),
    ],
)
def test_anything_else_is_refused_in_one_line_and_changes_nothing(student, source, channels, why):
    target = encoder(*student, 32, 1)
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    with pytest.raises(UsageError) as caught:
        initialise(target, encoder(*source, 32, 0).state_dict(), channels)
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in target.state_dict().items())
