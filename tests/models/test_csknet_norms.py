"""Batch norms of one's own in any network: conversion, states, statistics, where channels and columns are exchanged."""

from copy import deepcopy

import pytest
import timm
import torch
import torchvision
from torch import nn

from tests.models.csknet_toys import SWAP, Small, count, images, make, plain_net, unalike
from xkd_bench.errors import UsageError
from xkd_bench.models.csknet import Exchange
from xkd_bench.models.csknet_exchange import ChannelRule, sparsity
from xkd_bench.models.csknet_norms import (
    exchange_sites,
    map_modules,
    modal_state,
    plain_network,
    plain_state,
    separate_norms,
)


@pytest.mark.parametrize(("name", "channels"), [("resnet18", 4800), ("resnet50", 26560)])
def test_the_second_set_of_norms_of_a_resnet(name, channels):
    with torch.device("meta"):
        network = getattr(torchvision.models, name)()
    before = count(network)
    separate_norms(network)
    assert count(network) - before == 2 * channels


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2"])
def test_networks_of_torchvision_are_converted(name):
    torch.manual_seed(0)
    network = getattr(torchvision.models, name)(num_classes=3).eval()
    x = torch.randn(2, 3, 32, 32)
    expected = network(x)
    streams = separate_norms(network, ("rgb", "ir"))
    for modality in ("rgb", "ir"):
        with streams.of(modality):
            assert torch.equal(network(x), expected)
    sites = list(exchange_sites(network))
    assert len(sites) == {"resnet18": 8, "mobilenet_v2": 17}[name]
    assert sites[0] == {"resnet18": "layer1.0.bn1", "mobilenet_v2": "features.1.conv.0.1"}[name]
    if name == "mobilenet_v2":
        assert sites[1] == "features.2.conv.1.1", "the depth-wise one"


def test_bottlenecks_exchange_after_their_second_norm():
    with torch.device("meta"):
        network = torchvision.models.resnet50()
    separate_norms(network)
    assert list(exchange_sites(network))[:2] == ["layer1.0.bn2", "layer1.1.bn2"]


def test_norms_within_timms_units_count_as_their_blocks():
    with torch.device("meta"):
        network = timm.create_model("test_byobnet")  # an edge, a dark, a basic and a bottleneck block
    separate_norms(network)
    norms = ("conv1_kxk.bn", "conv1_1x1.bn", "conv1_kxk.bn", "conv2_kxk.bn")
    assert list(exchange_sites(network)) == [f"stages.{i}.0.{norm}" for i, norm in enumerate(norms)]


def test_states_go_from_plain_to_separate_and_back():
    plain = plain_net(seed=3)
    network = make(seed=4)
    network.encoder.load_state_dict(modal_state(network.encoder, plain.encoder.state_dict()))
    for name in ("source", "target"):
        back = plain_state(network.encoder, name)
        assert back.keys() == plain.encoder.state_dict().keys()
        assert all(torch.equal(back[key], x.to(back[key].dtype)) for key, x in plain.encoder.state_dict().items())
    keys = network.encoder.state_dict().keys()
    assert "bn1.source.weight" in keys
    assert "layer1.downsample.1.target.running_var" in keys
    unalike(network)
    assert all(
        torch.equal(x, plain_state(network.encoder, "target")[key])
        for key, x in plain_network(network.encoder, "target").state_dict().items()
    )
    fresh = make(seed=9)
    fresh.load_state_dict(network.state_dict())
    assert torch.equal(fresh.eval()(*images()), network.eval()(*images()))


def test_statistics_are_of_their_modality():
    network = make().train()
    source, target = images()

    def statistics(name: str) -> list[torch.Tensor]:
        return [b.clone() for key, b in network.encoder.named_buffers() if f".{name}.running" in key]

    before = statistics("source")
    network.branches(target=target)
    assert all(torch.equal(a, b) for a, b in zip(before, statistics("source"), strict=True))
    moved = statistics("target")
    assert not any(torch.equal(a, b) for a, b in zip(before, moved, strict=True))
    network(source, target)
    first = network.encoder.bn1["source"]
    activation = network.encoder.conv1(source * 2 - 1)
    torch.testing.assert_close(first.running_mean, 0.1 * activation.mean((0, 2, 3)), rtol=1e-12, atol=1e-14)
    network.eval()
    before = statistics("source")
    network(source, target)
    assert all(torch.equal(a, b) for a, b in zip(before, statistics("source"), strict=True))


def test_channels_are_exchanged_after_the_last_but_one_norm_of_a_block():
    network = unalike(make(Exchange(ChannelRule("quantile", 0.5), None))).eval()
    assert list(exchange_sites(network.encoder)) == [f"layer{i}.bn1" for i in range(1, 5)]
    source, target = images()
    seen = {}
    hooks = [
        network.encoder.get_submodule(f"layer1.{part}").register_forward_hook(
            lambda _m, inputs, out, part=part: seen.update({part: (inputs[0], out)})
        )
        for part in ("bn1", "bn2")
    ]
    network(source, target)
    (x, y), norm = seen["bn1"], network.encoder.layer1.bn1
    a, b = norm["source"](x[:2]), norm["target"](x[2:])
    lowest = {name: set(norm[name].weight.abs().argsort()[:2].tolist()) for name in ("source", "target")}
    for c in range(4):
        assert torch.equal(y[:2, c], (b if c in lowest["source"] else a)[:, c])
        assert torch.equal(y[2:, c], (a if c in lowest["target"] else b)[:, c])
    x, y = seen["bn2"]
    assert torch.equal(y[:2], network.encoder.layer1.bn2["source"](x[:2])), "no other norm exchanges"
    for hook in hooks:
        hook.remove()
    shares = network.exchanged()
    assert shares.keys() == exchange_sites(network.encoder).keys()
    assert shares["layer1.bn1"] == (0.5, 0.5)


def test_a_replaced_scale_has_no_gradient():
    network = unalike(make(Exchange(ChannelRule("quantile", 0.5), None)))
    out = network.branches(*images())
    sum(z.square().sum() for z in out.logits.values()).backward()
    lost = swapped = 0
    for norm in exchange_sites(network.encoder).values():
        of_source, of_target = norm.replaced(("source", "target"))
        for name, own, other in (("source", of_source, of_target), ("target", of_target, of_source)):
            gradient = norm[name].weight.grad
            assert (gradient[own & ~other] == 0).all()
            assert (gradient[~own] != 0).any()
            assert (gradient[own & other] != 0).all(), "swapped, it works in the other branch"
            lost, swapped = lost + int((own & ~other).sum()), swapped + int((own & other).sum())
    assert lost > 0
    assert swapped > 0
    assert sparsity(network.scales()).item() > 0


def test_a_copy_has_its_own_streams():
    network = unalike(make(SWAP)).eval()
    copy = deepcopy(network)
    source, target = images()
    before = network(source, target)
    with network.streams.of("target"):
        after = copy(source, target)
        assert copy.streams.active == ("source",)
    assert torch.equal(before, after)
    with torch.no_grad():
        copy.encoder.layer1.bn1["source"].weight += 1
    assert torch.equal(network(source, target), before)


def test_statistics_can_be_collected_again_without_exchange():
    network = unalike(make(SWAP)).train()
    batches = [images(3, seed)[1] for seed in range(3)]
    moves = {k for k in network.state_dict() if ".target." in k and ("running" in k or "tracked" in k)}
    untouched = {k: v.clone() for k, v in network.state_dict().items() if k not in moves}
    network.recalibrate("target", batches)
    assert all(m.training for m in network.modules())
    state = network.state_dict()
    assert all(torch.equal(state[k], v) for k, v in untouched.items())
    first = network.encoder.bn1["target"]
    means = [network.encoder.conv1(x * 2 - 1).mean((0, 2, 3)) for x in batches]
    torch.testing.assert_close(first.running_mean, torch.stack(means).mean(0), rtol=1e-12, atol=1e-12)
    assert first.momentum == 0.1
    # The decoder's too.
    norm, seen = network.decoders["target"].bn, []
    hook = norm.register_forward_hook(lambda _m, inputs, _out: seen.append(inputs[0]))
    network.train().branches(target=batches[0])
    hook.remove()
    network.recalibrate("target", batches[:1])
    torch.testing.assert_close(norm.running_mean, seen[0].mean((0, 2, 3)), rtol=1e-10, atol=1e-12)


def test_the_modules_that_give_the_maps_are_found():
    encoder = Small().train()
    before = {k: v.clone() for k, v in encoder.state_dict().items()}
    assert map_modules(encoder, 3) == [None, *(encoder.get_submodule(f"layer{i}") for i in range(1, 5))]
    assert encoder.training
    assert not any(m._forward_hooks for m in encoder.modules())
    assert all(torch.equal(v, before[k]) for k, v in encoder.state_dict().items())

    class Through(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = (
                nn.Sequential(nn.Conv2d(3, 3, 1)),
                nn.Sequential(nn.Identity(), nn.Conv2d(3, 3, 1)),
            )

        def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
            x = self.first(x)
            return [x, self.second(x), x + 1]

    through = Through()
    assert map_modules(through, 3) == [through.first, through.second, None]


def test_a_network_without_norms_is_refused():
    with pytest.raises(UsageError, match="no batch norm"):
        separate_norms(nn.Sequential(nn.Conv2d(3, 3, 1)))
    with pytest.raises(UsageError, match="names of their own"):
        separate_norms(Small(), ("a", "a"))
    with pytest.raises(UsageError, match="unknown modality 'ir'"), make().streams.of("ir"):
        pass
