"""Maps of the stages: what the layers put out, in the pass that gives the pooled features, with nothing changed."""

import pytest
import torch
import torchvision
from torch import nn

from xkd_bench.models.encoders import build_encoder
from xkd_bench.models.features import evenly_spaced, features_of, stage_shapes
from xkd_bench.models.frozen import TeacherEncoder
from xkd_bench.models.teachers import simclr_teacher

KINDS = ["conv4-w8", "resnet8-w8", "resnet14-w8", "resnet18", "mobilenetv3_small_100", "vit_tiny_patch16_224"]

# (channels, h, w) of the stages for 3 × 64 × 96 inputs, from the papers' tables of layers.
STAGES = {
    "conv4-w8": [(8, 32, 48), (16, 16, 24), (32, 8, 12), (64, 8, 12)],
    "resnet14-w8": [(8, 32, 48), (16, 16, 24), (32, 8, 12), (64, 4, 6)],
    "resnet18": [(64, 32, 48), (64, 16, 24), (128, 8, 12), (256, 4, 6), (512, 2, 3)],
    "vit_tiny_patch16_224": [(192, 4, 6)] * 4,
}


def state(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


@pytest.mark.parametrize("name", STAGES)
def test_stages_are_those_of_the_network(name):
    encoder = build_encoder(name, 3, (64, 96))
    assert list(encoder.stages) == STAGES[name]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", KINDS)
def test_one_pass_gives_the_features_of_forward_and_maps_of_the_stages_shapes(name, training):
    torch.manual_seed(0)
    encoder = build_encoder(name, 1, (32, 48)).train(training)
    start, x = state(encoder), torch.rand(4, 1, 32, 48)
    with torch.random.fork_rng():
        found = encoder.features(x)
    after = state(encoder)
    assert [tuple(m.shape) for m in found.maps] == [(4, *stage) for stage in encoder.stages]
    encoder.load_state_dict(start)
    assert torch.equal(encoder(x), found.pooled)
    assert same(state(encoder), after)  # the statistics moved once, as in forward
    if not training:
        assert same(after, start)


@pytest.mark.parametrize("name", KINDS)
def test_asking_for_the_stages_changes_nothing(name):
    torch.manual_seed(0)
    encoder = build_encoder(name, 1, 32)
    next(encoder.backbone.children()).eval()  # a part that someone froze stays frozen
    before, modes = state(encoder), [m.training for m in encoder.modules()]
    generator = torch.random.get_rng_state()
    assert encoder.stages is encoder.stages
    assert same(state(encoder), before)
    assert [m.training for m in encoder.modules()] == modes
    assert torch.equal(torch.random.get_rng_state(), generator)


def test_maps_of_the_small_networks_are_what_their_layers_put_out():
    encoder = build_encoder("conv4-w8", 3, 32).eval()
    x = torch.rand(2, 3, 32, 32)
    layers = list(encoder.backbone)
    for number, found in enumerate(encoder.features(x).maps):
        assert torch.equal(found, nn.Sequential(*layers[: 3 * (number + 1)])(2 * x - 1))


def test_a_small_resnet_pools_its_last_map():
    encoder = build_encoder("resnet8-w8", 3, 32).eval()
    found = encoder.features(torch.rand(2, 3, 32, 32))
    assert torch.allclose(found.maps[-1].mean((2, 3)), found.pooled, atol=1e-6)


def test_maps_of_a_transformer_are_the_tokens_of_its_blocks_in_their_places():
    encoder = build_encoder("vit_tiny_patch16_224", 3, (64, 96)).eval()
    seen = {}
    for number, block in enumerate(encoder.backbone.blocks):
        block.register_forward_hook(lambda _m, _i, out, number=number: seen.update({number: out}))
    found = encoder.features(torch.rand(2, 3, 64, 96))
    for number, image in zip([2, 5, 8, 11], found.maps, strict=True):
        for row, column in [(0, 0), (1, 2), (3, 5)]:  # 4 × 6 patches after the class token
            assert torch.equal(image[:, :, row, column], seen[number][:, 1 + 6 * row + column])


@pytest.mark.parametrize(("n", "expected"), [(3, [0, 1, 2]), (4, [0, 1, 2, 3]), (12, [2, 5, 8, 11]), (6, [1, 2, 3, 5])])
def test_evenly_spaced_blocks_end_with_the_last(n, expected):
    found = evenly_spaced(n)
    assert found[-1] == n - 1
    assert len(found) == min(n, 4)
    assert all(abs(a - b) <= 1 for a, b in zip(found, expected, strict=True))


# Networks that do not tell their stages: torchvision's.
PLAIN = {
    "resnet18": [(64, 32, 48), (64, 16, 24), (128, 8, 12), (256, 4, 6), (512, 2, 3)],
    "mobilenet_v3_small": [(16, 32, 48), (16, 16, 24), (24, 8, 12), (48, 4, 6), (576, 2, 3)],
    "swin_t": [(96, 16, 24), (192, 8, 12), (384, 4, 6), (768, 2, 3)],
}


@pytest.mark.parametrize("name", PLAIN)
def test_other_networks_give_the_last_map_of_each_resolution(name):
    network = torchvision.models.get_model(name, weights=None).eval()
    names, x = list(network.state_dict()), torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        found = features_of(network, x)
        assert torch.equal(found.pooled, network(x))
    assert [tuple(m.shape[1:]) for m in found.maps] == PLAIN[name] == list(stage_shapes(network, 3, (64, 96)))
    assert list(network.state_dict()) == names
    assert not any(module._forward_hooks for module in network.modules())


def test_hooks_are_gone_after_a_pass_that_fails():
    network = torchvision.models.get_model("resnet18", weights=None)
    with pytest.raises(RuntimeError):
        features_of(network, torch.rand(2, 5, 64, 64))
    assert not any(module._forward_hooks for module in network.modules())


def test_the_maps_of_other_networks_are_the_outputs_of_their_layers():
    network = torchvision.models.get_model("resnet18", weights=None).eval()
    seen = []
    for layer in (network.layer1, network.layer2, network.layer3, network.layer4):
        layer.register_forward_hook(lambda _m, _i, out: seen.append(out))
    maps = features_of(network, torch.rand(2, 3, 64, 64)).maps
    assert all(torch.equal(a, b) for a, b in zip(maps[1:], seen, strict=True))


def test_gradients_flow_from_the_maps_to_the_layers_before_them():
    encoder = build_encoder("resnet14-w8", 1, 32)
    encoder.features(torch.rand(4, 1, 32, 32)).maps[1].square().sum().backward()
    moved = [name for name, p in encoder.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0]
    assert any(name.startswith("backbone.0.") for name in moved)
    assert not any(name.startswith("backbone.7.") for name in moved)  # the last stage comes after


def test_a_teachers_maps_carry_no_gradient_and_training_a_student_on_them_leaves_it_bit_identical():
    torch.manual_seed(0)
    teacher = simclr_teacher(build_encoder("resnet8-w8", 3, 32))
    student = build_encoder("resnet8-w8", 1, 32)
    before, x = state(teacher), torch.rand(8, 3, 32, 32)
    optimiser = torch.optim.Adam(student.parameters(), 1e-2)
    for _ in range(3):
        taught, learnt = teacher.train().features(x), student.features(x.mean(1, keepdim=True))
        assert not any(m.requires_grad for m in (taught.pooled, *taught.maps))
        loss = sum((a - b).square().mean() for a, b in zip(taught.maps, learnt.maps, strict=True))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert same(before, state(teacher))
    assert torch.equal(teacher.features(x).pooled, teacher(x))


def test_a_teacher_of_one_size_sees_images_resized_to_it():
    seen = []

    class Look(nn.Module):
        def forward(self, x):
            seen.append(tuple(x.shape))
            return x.mean((2, 3))

    teacher = TeacherEncoder(Look(), 3, (0.0,) * 3, (1.0,) * 3, size=(24, 24))
    flat = torch.full((2, 3, 10, 16), 0.25)
    assert torch.allclose(teacher(flat), torch.full((2, 3), 0.25))
    assert torch.equal(teacher(torch.rand(2, 3, 24, 24)), teacher(torch.rand(2, 3, 24, 24))) is False
    assert seen == [(2, 3, 24, 24)] * 3
