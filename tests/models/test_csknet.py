"""CSK-Net-style networks: three modes, one modality at the plain network's cost, what is exchanged, what is learned."""

from copy import deepcopy

import pytest
import torch

from tests.models.csknet_toys import CLASSES, SWAP, WIDTHS, count, flops, images, make, plain_net, unalike
from xkd_bench.errors import UsageError
from xkd_bench.losses.dense_contrast import stage_contrast
from xkd_bench.losses.dense_csknet import csknet_loss
from xkd_bench.models.csknet import NO_EXCHANGE, CSKNet, Exchange
from xkd_bench.models.csknet_exchange import ChannelRule, exchange_last, shifted
from xkd_bench.models.csknet_norms import ModalBatchNorm
from xkd_bench.models.dense_adapters import PixelProjections
from xkd_bench.models.segmenters import build_segmenter


def test_branches_of_one_start_are_alike_and_exchange_is_then_nothing():
    source, _ = images()
    network, without = make(SWAP).eval(), make().eval()
    out, plain = network.branches(source, source), without.branches(source, source)
    for name in ("source", "target", "fused"):
        assert torch.equal(out.logits[name], plain.logits[name])
    assert torch.equal(out.logits["source"], out.logits["target"])


@pytest.mark.parametrize("training", [True, False])
def test_without_exchange_both_at_once_are_each_alone(training):
    network = unalike(make())
    again = deepcopy(network)
    for net in (network, again):
        net.train(training)
    source, target = images()
    both = network.branches(source, target)
    alone = {"source": again.branches(source), "target": again.branches(target=target)}
    for name, out in alone.items():
        assert set(out.logits) == {name}
        torch.testing.assert_close(both.logits[name], out.logits[name], rtol=1e-12, atol=1e-12)
        assert len(out.maps[name]) == 4
        for f, g in zip(both.maps[name], out.maps[name], strict=True):
            torch.testing.assert_close(f, g, rtol=1e-12, atol=1e-12)
    for p, q in zip(network.state_dict().values(), again.state_dict().values(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("exchange", [NO_EXCHANGE, SWAP, Exchange()], ids=["none", "swap", "default"])
def test_a_modality_alone_is_the_plain_network_at_its_cost(exchange):
    network = unalike(make(exchange)).eval()
    source, target = images()
    for name, x in (("source", source), ("target", target)):
        plain = network.plain(name)
        assert torch.equal(plain(x), network(**{name: x}))
        out, alone = network.outputs(**{name: x}), plain.outputs(x)
        assert torch.equal(alone.decoded, out.decoded)
        assert all(torch.equal(f, g) for f, g in zip(alone.maps, out.maps, strict=True))
        assert not any(isinstance(m, ModalBatchNorm) or m._forward_hooks for m in plain.modules())
        assert count(plain) == count(plain_net())
        assert plain.state_dict().keys() == plain_net().state_dict().keys()
        expected = flops(plain_net().double().eval(), x)
        assert flops(plain, x) == expected
        assert flops(lambda x, name=name: network(**{name: x}), x) == expected
    assert flops(network, source, target) > 2 * expected


def test_parameters_are_the_plain_networks_and_what_is_said_to_come_with_them():
    plain, network = plain_net(), make(Exchange())
    norms = sum(m.num_features for m in plain.encoder.modules() if isinstance(m, torch.nn.BatchNorm2d))
    assert count(network.encoder) == count(plain.encoder) + 2 * norms
    extra = 2 * norms + count(plain.decoder) + 2 * count(plain.classifier) + count(network.unit)
    assert count(network) == count(plain) + extra
    shared = make(separate=False)
    assert count(shared.encoder) == count(plain.encoder)


def test_the_missing_modality_has_no_say():
    network = unalike(make(SWAP))
    source, target = (x.requires_grad_() for x in images())
    network.eval()(target=target).sum().backward()
    assert source.grad is None
    used = {name for name, p in network.named_parameters() if p.grad is not None}
    assert not any(".source." in name or name.startswith(("decoders.source", "classifiers.source")) for name in used)
    assert not any(name.startswith(("unit", "classifiers.fused")) for name in used)
    network.zero_grad()
    network.branches(source, target).logits["target"].sum().backward()
    assert source.grad.abs().max() > 0, "exchanged, it has"


def test_columns_are_exchanged_after_late_stages():
    network, without = unalike(make(Exchange(None, 2))).eval(), unalike(make()).eval()
    without.load_state_dict(network.state_dict())
    source, target = images()
    out, plain = network.branches(source, target), without.branches(source, target)
    for stage in (0, 1):
        assert torch.equal(out.maps["source"][stage], plain.maps["source"][stage])
    f, g = plain.maps["source"][2], plain.maps["target"][2]
    assert torch.equal(out.maps["source"][2][..., ::2], g[..., ::2])
    assert torch.equal(out.maps["source"][2][..., 1::2], f[..., 1::2])
    assert not torch.equal(out.maps["source"][3], plain.maps["source"][3])
    assert torch.equal(network(source), without(source))


@pytest.mark.parametrize(("probability", "least", "most"), [(0.0, 0, 0), (0.5, 8, 32), (1.0, 40, 40)])
def test_exchange_happens_as_often_as_asked(probability, least, most):
    network = unalike(make(Exchange(ChannelRule("index", 2), None, probability=probability)))
    source, target = images()
    torch.manual_seed(0)
    with torch.no_grad():
        alone = network.train().branches(source).maps["source"][0]
        exchanged = [not torch.allclose(network.branches(source, target).maps["source"][0], alone) for _ in range(40)]
        assert least <= sum(exchanged) <= most
        alone = network.eval().branches(source).maps["source"][0]
        always = {not torch.allclose(network.branches(source, target).maps["source"][0], alone) for _ in range(5)}
        assert always == {probability > 0}


def test_the_asymmetric_exchange_is_around_the_last_block_of_each_stage():
    torch.manual_seed(0)
    plain = build_segmenter("deeplabv3plus-tu-mobilenetv3_small_050-w16", 3, CLASSES, (32, 32))
    network = unalike(CSKNet(plain, exchange=Exchange(None, None, asymmetric=True)).double()).eval()
    last = [m for m in network.encoder.modules() if m._forward_pre_hooks]
    assert last
    given, made = {}, {}
    for i, block in enumerate(last):
        # The first forward hook, so that it sees what the block itself makes.
        block.register_forward_hook(lambda _, x, y, i=i: given.update({i: (x[0], y)}), prepend=True)
        block.register_forward_hook(lambda _, x, y, i=i: made.update({i: y}))
    source, target = images()
    with torch.no_grad():
        both = network(source, target)
    for i, (x, y) in given.items():
        (x_a, x_b), (y_a, y_b) = x.chunk(2), y.chunk(2)
        expected = exchange_last(y_a + shifted(x_b), y_b + shifted(x_a))
        assert torch.allclose(made[i], torch.cat(expected), atol=1e-6)
    with torch.no_grad():
        assert not torch.allclose(both, network(source, source))
        assert torch.allclose(network(None, target), network.plain("target")(target), atol=1e-6)
    assert not any(m._forward_pre_hooks for m in network.plain("target").modules())
    with pytest.raises(UsageError, match="has no asymmetric exchange"):
        make(Exchange(None, None, asymmetric=True))


def test_the_streams_come_back_after_an_error():
    network = make()
    with pytest.raises(RuntimeError):
        network(torch.zeros(2, 5, 32, 32).double(), torch.zeros(2, 5, 32, 32).double())
    assert network.streams.active == ("source",)
    assert not network.streams.exchanging


def test_training_lowers_the_joint_objective():
    torch.manual_seed(0)
    network, teacher = CSKNet(plain_net()), plain_net(seed=1).eval()
    projections = PixelProjections(WIDTHS, 5)
    y = torch.zeros(4, 32, 32, dtype=torch.long)
    y[:, 16:], y[:, :, 20:], y[0, :4] = 1, 2, 255
    source = torch.randn(4, 3, 32, 32) * 0.1 + y.clamp(max=3)[:, None]
    target = (torch.randn(4, 1, 32, 32) * 0.1 - y.clamp(max=3)[:, None]).expand(-1, 1, -1, -1)
    with torch.no_grad():
        taught = teacher.outputs(source).logits
    optimiser = torch.optim.Adam([*network.parameters(), *projections.parameters()], 0.02)
    losses = []
    for _ in range(8):
        out = network.branches(source, target)
        embedded = zip(*(projections(out.maps[name]) for name in ("source", "target")), strict=True)
        guesses = [out.logits[name].argmax(1) for name in ("source", "target")]
        contrast = stage_contrast(list(embedded), y, guesses, max_views=8)
        loss = csknet_loss(out.logits, y, taught, contrast)
        optimiser.zero_grad()
        loss.loss.backward()
        optimiser.step()
        losses.append(loss.supervised.item())
    assert losses[-1] < 0.7 * losses[0]
    assert all(p.grad is not None for p in projections.parameters())


def test_what_cannot_be_meant_is_refused():
    source, target = images()
    network = make()
    with pytest.raises(UsageError, match="no modality"):
        network()
    with pytest.raises(UsageError, match="equally many"):
        network(source, target[:1])
    with pytest.raises(UsageError, match="unknown modality 'ir'"):
        network.plain("ir")
    with pytest.raises(UsageError, match="gated unit"):
        make(unit="gsu")
    with pytest.raises(UsageError, match="one set"):
        make(SWAP, separate=False)
    with pytest.raises(UsageError, match="columns"):
        Exchange(columns=0)
    with pytest.raises(UsageError, match="probability"):
        Exchange(probability=2)
    with pytest.raises(UsageError, match="stages"):
        Exchange(late=0)


def test_used_by_name_it_speaks_for_what_is_there():
    network = unalike(make()).eval()
    source, target = images()
    found = network.branches(source, target)
    both, alone = network.outputs(source, target), network.outputs(source)
    assert torch.equal(both.logits, found.logits["fused"])
    assert torch.equal(both.decoded, found.decoded["fused"])
    assert torch.equal(both.maps[-1], found.maps["target"][-1])
    assert torch.equal(alone.logits, network.branches(source).logits["source"])
    assert torch.equal(alone.maps[-1], network.branches(source).maps["source"][-1])
    assert network(source, target).shape == network(target=target).shape == (2, CLASSES, 32, 32)


@pytest.mark.parametrize("name", ["deeplabv3plus-resnet18-w8", "pspnet-mobilenet_v2-w8"])
def test_networks_of_the_library_do(name):
    torch.manual_seed(0)
    plain = build_segmenter(name, 3, CLASSES, (64, 64))
    network = CSKNet(plain).eval()
    source, thermal = torch.rand(1, 3, 64, 64), torch.rand(1, 1, 64, 64)
    out = network.branches(source, thermal)
    assert set(out.logits) == {"source", "target", "fused"}
    assert torch.equal(network(source), plain.eval()(source))
    assert torch.equal(network.plain("target")(thermal.expand(-1, 3, -1, -1)), network(target=thermal))
    assert [f.shape[1] for f in out.maps["source"]] == list(plain.widths)
    assert len(network.exchanged()) == {"resnet18": 8, "mobilenet_v2": 17}[name.split("-")[1]]
    assert not torch.equal(out.maps["source"][-1], network.branches(source).maps["source"][-1])


def test_a_network_without_batch_norms_is_refused():
    with pytest.raises(UsageError, match="no batch norm"):
        CSKNet(build_segmenter("segformer-mit_b0", 3, CLASSES, (64, 64)))
