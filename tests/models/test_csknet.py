"""CSK-Net-style networks: norms of one's own, three modes at the plain network's cost, what training moves."""

from copy import deepcopy

import pytest
import torch
import torchvision
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from xkd_bench.errors import UsageError
from xkd_bench.losses.dense_contrast import stage_contrast
from xkd_bench.losses.dense_csknet import csknet_loss, segmentation_loss
from xkd_bench.models.csknet import NO_EXCHANGE, CSKNet, Exchange
from xkd_bench.models.csknet_deeplab import DeepLabPlusDecoder, Segmenter, deeplab_plus, stage_encoder
from xkd_bench.models.csknet_exchange import ChannelRule, sparsity
from xkd_bench.models.csknet_norms import (
    ModalBatchNorm,
    exchange_sites,
    modal_state,
    plain_network,
    plain_state,
    recalibrate,
    separate_norms,
)
from xkd_bench.models.dense_adapters import PixelProjections

WIDTH, CLASSES = 6, 3
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
    """Four stages of one block, as an encoder gives them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        for i, (before, after) in enumerate([(4, 4), (4, 5), (5, 6), (6, 8)]):
            self.add_module(f"layer{i + 1}", Block(before, after))

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        x, maps = self.bn1(self.conv1(x)).relu(), []
        for i in range(4):
            x = self.get_submodule(f"layer{i + 1}")(x)
            maps.append(x)
        return maps


STAGES = [f"layer{i}" for i in range(1, 5)]


def plain_net(seed: int = 0) -> Segmenter:
    torch.manual_seed(seed)
    return Segmenter(Small(), DeepLabPlusDecoder(4, 8, WIDTH, (1, 2, 3)), nn.Conv2d(WIDTH, CLASSES, 1))


def make(exchange: Exchange | None = NO_EXCHANGE, seed: int = 0, **options: object) -> CSKNet:
    return CSKNet(plain_net(seed), WIDTH, exchange=exchange, stages=STAGES, **options).double()


def images(n: int = 2, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
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
            network.train()(*images(4))
    return network


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def flops(call: object, *inputs: torch.Tensor) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        call(*inputs)
    return counter.get_total_flops()


def test_branches_of_one_start_are_alike_and_exchange_is_then_nothing():
    source, _ = images()
    network, without = make(SWAP).eval(), make().eval()
    out, plain = network(source, source), without(source, source)
    for name in ("source", "target", "fused"):
        assert torch.equal(out.logits[name], plain.logits[name])
    assert torch.equal(out.logits["source"], out.logits["target"])


@pytest.mark.parametrize("training", [True, False])
def test_without_exchange_both_at_once_are_each_alone(training):
    network = unalike(make())
    again = deepcopy(network)
    for net in (network, again):
        net.train(training)
        for module in net.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
    source, target = images()
    both = network(source, target)
    alone = {"source": again(source), "target": again(target=target)}
    for name, out in alone.items():
        assert set(out.logits) == {name}
        torch.testing.assert_close(both.logits[name], out.best, rtol=1e-12, atol=1e-12)
        for f, g in zip(both.stages[name], out.stages[name], strict=True):
            torch.testing.assert_close(f, g, rtol=1e-12, atol=1e-12)
    assert both.best is both.logits["fused"]
    for p, q in zip(network.state_dict().values(), again.state_dict().values(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("exchange", [NO_EXCHANGE, SWAP, Exchange()], ids=["none", "swap", "default"])
def test_a_modality_alone_is_the_plain_network_at_its_cost(exchange):
    network = unalike(make(exchange)).eval()
    source, target = images()
    for name, x in (("source", source), ("target", target)):
        plain = network.plain(name)
        out = network(**{name: x})
        assert torch.equal(plain(x), out.best)
        assert not any(isinstance(m, ModalBatchNorm) or m._forward_hooks for m in plain.modules())
        assert count(plain) == count(plain_net())
        assert plain.state_dict().keys() == plain_net().state_dict().keys()
        expected = flops(plain_net().double().eval(), x)
        assert flops(plain, x) == expected
        assert flops(lambda x, name=name: network(**{name: x}), x) == expected
    assert flops(network, source, target) > 2 * expected


def test_parameters_are_the_plain_networks_and_what_is_said_to_come_with_them():
    plain, network = plain_net(), make(Exchange())
    norms = sum(m.num_features for m in plain.encoder.modules() if isinstance(m, nn.BatchNorm2d))
    assert count(network.encoder) == count(plain.encoder) + 2 * norms
    extra = 2 * norms + count(plain.decoder) + 2 * count(plain.head) + count(network.unit)
    assert count(network) == count(plain) + extra
    shared = make(separate=False)
    assert count(shared.encoder) == count(plain.encoder)


@pytest.mark.parametrize(("name", "channels"), [("resnet18", 4800), ("resnet50", 26560)])
def test_the_second_set_of_norms_of_a_resnet(name, channels):
    with torch.device("meta"):
        network = getattr(torchvision.models, name)()
    before = count(network)
    separate_norms(network)
    assert count(network) - before == 2 * channels


def test_the_missing_modality_has_no_say():
    network = unalike(make(SWAP))
    source, target = (x.requires_grad_() for x in images())
    network.eval()(target=target).best.sum().backward()
    assert source.grad is None
    used = {name for name, p in network.named_parameters() if p.grad is not None}
    assert not any(".source." in name or name.startswith(("decoders.source", "heads.source")) for name in used)
    assert not any(name.startswith(("unit", "heads.fused")) for name in used)
    network.zero_grad()
    network(source, target).logits["target"].sum().backward()
    assert source.grad.abs().max() > 0, "exchanged, it has"


def test_statistics_are_of_their_modality():
    network = make().train()
    source, target = images()

    def statistics(name: str) -> list[torch.Tensor]:
        return [b.clone() for key, b in network.encoder.named_buffers() if f".{name}.running" in key]

    before = statistics("source")
    network(target=target)
    assert all(torch.equal(a, b) for a, b in zip(before, statistics("source"), strict=True))
    moved = statistics("target")
    assert not any(torch.equal(a, b) for a, b in zip(before, moved, strict=True))
    network(source, target)
    first = network.encoder.bn1["source"]
    activation = network.encoder.conv1(source)
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
    out = network(*images())
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


def test_columns_are_exchanged_after_late_stages():
    network, without = unalike(make(Exchange(None, 2))).eval(), unalike(make()).eval()
    without.load_state_dict(network.state_dict())
    source, target = images()
    out, plain = network(source, target), without(source, target)
    for stage in (0, 1):
        assert torch.equal(out.stages["source"][stage], plain.stages["source"][stage])
    f, g = plain.stages["source"][2], plain.stages["target"][2]
    assert torch.equal(out.stages["source"][2][..., ::2], g[..., ::2])
    assert torch.equal(out.stages["source"][2][..., 1::2], f[..., 1::2])
    assert not torch.equal(out.stages["source"][3], plain.stages["source"][3])
    assert torch.equal(network(source).best, without(source).best)


@pytest.mark.parametrize(("probability", "least", "most"), [(0.0, 0, 0), (0.5, 8, 32), (1.0, 40, 40)])
def test_exchange_happens_as_often_as_asked(probability, least, most):
    network = unalike(make(Exchange(ChannelRule("index", 2), None, probability=probability)))
    source, target = images()
    torch.manual_seed(0)
    with torch.no_grad():
        alone = network.train()(source).stages["source"][0]
        exchanged = [not torch.allclose(network(source, target).stages["source"][0], alone) for _ in range(40)]
        assert least <= sum(exchanged) <= most
        alone = network.eval()(source).stages["source"][0]
        always = {not torch.allclose(network(source, target).stages["source"][0], alone) for _ in range(5)}
        assert always == {probability > 0}


def test_a_copy_has_its_own_streams():
    network = unalike(make(SWAP)).eval()
    copy = deepcopy(network)
    source, target = images()
    before = network(source, target)
    with network.streams.of("target"):
        after = copy(source, target)
        assert copy.streams.active == ("source",)
    assert torch.equal(before.best, after.best)
    with torch.no_grad():
        copy.encoder.layer1.bn1["source"].weight += 1
    assert torch.equal(network(source, target).best, before.best)


def test_the_streams_come_back_after_an_error():
    network = make()
    with pytest.raises(RuntimeError):
        network(torch.zeros(2, 5, 32, 32).double(), torch.zeros(2, 5, 32, 32).double())
    assert network.streams.active == ("source",)
    assert not network.streams.exchanging


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
    assert torch.equal(fresh.eval()(*images()).best, network.eval()(*images()).best)


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


@pytest.mark.parametrize("backbone", ["resnet10t", "mobilenetv2_035"])
def test_backbones_of_timm_do(backbone):
    torch.manual_seed(0)
    plain = deeplab_plus(backbone, CLASSES, width=8, rates=(1, 2, 3))
    network = CSKNet(plain, 8).eval()
    source, thermal = torch.randn(1, 3, 64, 64), torch.randn(1, 1, 64, 64)
    out = network(source, thermal)
    assert {name: tuple(z.shape) for name, z in out.logits.items()} == dict.fromkeys(
        ("source", "target", "fused"), (1, CLASSES, 16, 16)
    )
    assert [f.shape[2] for f in out.stages["source"]] == [16, 8, 4, 4]
    torch.testing.assert_close(network(source).best, plain.eval()(source))
    torch.testing.assert_close(network.plain("target")(thermal.expand(-1, 3, -1, -1)), network(target=thermal).best)
    widths = [f.shape[1] for f in out.stages["source"]]
    assert network.encoder.feature_info.channels() == widths
    assert len(network.exchanged()) > 3


def test_statistics_can_be_collected_again_without_exchange():
    network = unalike(make(SWAP)).train()
    batches = [images(3, seed)[1] for seed in range(3)]
    untouched = {k: v.clone() for k, v in network.state_dict().items() if ".target." not in k}
    recalibrate(network.encoder, network.streams, "target", batches)
    assert all(m.training for m in network.modules())
    state = network.state_dict()
    assert all(torch.equal(state[k], v) for k, v in untouched.items())
    first = network.encoder.bn1["target"]
    means = [network.encoder.conv1(x).mean((0, 2, 3)) for x in batches]
    torch.testing.assert_close(first.running_mean, torch.stack(means).mean(0), rtol=1e-12, atol=1e-12)
    assert first.momentum == 0.1


def test_training_lowers_the_joint_objective():
    torch.manual_seed(0)
    network, teacher = CSKNet(plain_net(), WIDTH, stages=STAGES), plain_net(seed=1).eval()
    projections = PixelProjections([4, 5, 6, 8], 5)
    y = torch.zeros(4, 32, 32, dtype=torch.long)
    y[:, 16:], y[:, :, 20:], y[0, :4] = 1, 2, 255
    source = torch.randn(4, 3, 32, 32) * 0.1 + y.clamp(max=3)[:, None]
    target = (torch.randn(4, 1, 32, 32) * 0.1 - y.clamp(max=3)[:, None]).expand(-1, 1, -1, -1)
    with torch.no_grad():
        taught = teacher(source)
    optimiser = torch.optim.Adam([*network.parameters(), *projections.parameters()], 0.02)
    losses = []
    for _ in range(8):
        out = network(source, target)
        embedded = zip(*(projections(out.stages[name]) for name in ("source", "target")), strict=True)
        guesses = [out.logits[name].argmax(1) for name in ("source", "target")]
        contrast = stage_contrast(list(embedded), y, guesses, max_views=8)
        loss = csknet_loss(out.logits, y, taught, contrast)
        optimiser.zero_grad()
        loss.loss.backward()
        optimiser.step()
        losses.append(loss.supervised.item())
    assert losses[-1] < 0.7 * losses[0]
    assert all(p.grad is not None for p in projections.parameters())


def test_the_joint_objective_is_its_weighted_terms():
    generator = torch.Generator().manual_seed(0)
    logits = {name: torch.randn(2, 3, 4, 4, generator=generator).double() for name in ("source", "target", "fused")}
    teacher = torch.randn(2, 3, 4, 4, generator=generator).double()
    y = torch.randint(0, 3, (2, 4, 4), generator=generator)
    y[0, 0] = 255
    out = csknet_loss(logits, y, teacher, torch.tensor(2.0), lam_kd=0.5, lam_cl=3.0, tau=2.0)
    ce = [nn.functional.cross_entropy(z, y, ignore_index=255) for z in logits.values()]
    p, q = (teacher / 2).softmax(1), (logits["source"] / 2).log_softmax(1)
    kl = 4 * (p * (p.log() - q)).sum(1).mean()
    assert out.supervised.item() == pytest.approx(sum(ce).item(), rel=1e-12)
    assert out.loss.item() == pytest.approx((sum(ce) + 0.5 * kl).item() + 6, rel=1e-12)
    missing = csknet_loss({"target": logits["target"]}, y, teacher)
    assert missing.loss.item() == pytest.approx(ce[1].item(), rel=1e-12)
    assert segmentation_loss(logits["fused"], torch.full_like(y, 255)).item() == 0
    fine = y.repeat_interleave(2, 1).repeat_interleave(2, 2)
    up = nn.functional.interpolate(logits["fused"], (8, 8), mode="bilinear", align_corners=False)
    expected = nn.functional.cross_entropy(up, fine, ignore_index=255)
    assert segmentation_loss(logits["fused"], fine).item() == pytest.approx(expected.item(), rel=1e-12)


def test_what_cannot_be_meant_is_refused():
    source, target = images()
    network = make()
    with pytest.raises(UsageError, match="no modality"):
        network()
    with pytest.raises(UsageError, match="equally many"):
        network(source, target[:1])
    with pytest.raises(UsageError, match="unknown modality 'ir'"):
        network.plain("ir")
    with pytest.raises(UsageError, match="unknown modality"), network.streams.of("ir"):
        pass
    with pytest.raises(UsageError, match="gated unit"):
        make(unit="gsu")
    with pytest.raises(UsageError, match="one set"):
        make(SWAP, separate=False)
    with pytest.raises(UsageError, match="name 4"):
        CSKNet(plain_net(), WIDTH)
    with pytest.raises(UsageError, match="two modalities"):
        make(modalities=("source", "fused"))
    with pytest.raises(UsageError, match="no batch norm"):
        separate_norms(nn.Sequential(nn.Conv2d(3, 3, 1)))
    with pytest.raises(UsageError, match="probability"):
        Exchange(probability=2)
    with pytest.raises(UsageError, match="stages"):
        Exchange(column_stages=(4,))
    with pytest.raises(UsageError, match="unknown backbone 'resnet'"):
        stage_encoder("resnet")
    with pytest.raises(UsageError, match="stages at stride"):
        stage_encoder("vit_tiny_patch16_224")
