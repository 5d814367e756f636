"""Exchange of channels and columns, gated units, adapters: against indexing by hand, and by what they must keep."""

import pytest
import torch

from xkd_bench.errors import UsageError
from xkd_bench.models.csknet_exchange import (
    ChannelRule,
    exchange_channels,
    exchange_columns,
    exchange_last,
    shifted,
    sparsity,
)
from xkd_bench.models.csknet_gsu import FrequencyUnit, GatedUnit, MeanUnit, split_frequencies
from xkd_bench.models.dense_adapters import MaskedGenerator, PixelProjections, ProjectionHead, aligner


def maps(*shape: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator).double(), torch.randn(shape, generator=generator).double()


OWN = torch.tensor([1.0, -0.01, 0.5, 0.019, -0.9, 0.02, 2.0, 0.3, 0.8, 0.7])
OTHER = torch.tensor([1.0, 1.0, -1.2, 0.001, 0.1, 0.02, 1.0, 1.0, 1.0, 1.0])


@pytest.mark.parametrize(
    ("rule", "replaced"),
    [
        (ChannelRule("absolute"), [1, 3]),
        (ChannelRule("absolute", 0.4), [1, 3, 5, 7]),
        (ChannelRule("quantile"), [1]),
        (ChannelRule("quantile", 0.3), [1, 3, 5]),
        (ChannelRule("quantile", 0.0), []),
        (ChannelRule("quantile", 1.0), list(range(10))),
        (ChannelRule("compare"), [1, 2, 7]),
        (ChannelRule("compare", 1.0), [1, 2, 7, 8, 9]),
        (ChannelRule("index"), [0, 2, 4, 6, 8]),
        (ChannelRule("index", 4), [0, 4, 8]),
    ],
    ids=str,
)
def test_rules_choose_channels(rule, replaced):
    assert rule.replaced(OWN, OTHER).nonzero()[:, 0].tolist() == replaced


def test_equal_scales_are_not_ranked():
    equal = torch.ones(10)
    for rule in (ChannelRule("quantile", 0.5), ChannelRule("absolute"), ChannelRule("compare", 1.0)):
        assert not rule.replaced(equal, equal).any()
    tied = torch.tensor([0.1, 0.5, 0.5, 0.5, 1.0])
    assert ChannelRule("quantile", 0.4).replaced(tied, tied).tolist() == [True, False, False, False, False]


def test_replacing_is_not_swapping():
    x_a, x_b = maps(2, 4, 3, 5)
    a_low, b_low = torch.tensor([True, True, False, False]), torch.tensor([True, False, True, False])
    y_a, y_b = exchange_channels(x_a, x_b, a_low, b_low)
    assert torch.equal(y_a, torch.stack((x_b[:, 0], x_b[:, 1], x_a[:, 2], x_a[:, 3]), 1))
    assert torch.equal(y_b, torch.stack((x_a[:, 0], x_b[:, 1], x_a[:, 2], x_b[:, 3]), 1))
    # Channel 0 is swapped; of 1 branch a's is lost and b's is there twice.
    assert torch.equal((y_a + y_b)[:, 0], (x_a + x_b)[:, 0])
    assert torch.equal((y_a + y_b)[:, 1], 2 * x_b[:, 1])
    again = exchange_channels(y_a, y_b, a_low, b_low)
    assert not torch.equal(again[0], x_a)


@pytest.mark.parametrize("width", [1, 2, 5, 8])
@pytest.mark.parametrize("step", [1, 2, 3])
def test_columns_and_numbered_channels_are_swapped(width, step):
    x_a, x_b = maps(2, 6, 3, width)
    mask = ChannelRule("index", step).replaced(torch.ones(6), torch.ones(6))
    for exchange in (lambda a, b: exchange_columns(a, b, step), lambda a, b: exchange_channels(a, b, mask, mask)):
        y_a, y_b = exchange(x_a, x_b)
        assert not torch.equal(y_a, x_a)
        assert torch.equal(y_a + y_b, x_a + x_b)
        assert all(torch.equal(again, x) for again, x in zip(exchange(y_a, y_b), (x_a, x_b), strict=True))
        same = exchange(x_a, x_a)
        assert torch.equal(same[0], x_a)
        assert torch.equal(same[1], x_a)
    y_a, _ = exchange_columns(x_a, x_b, step)
    for w in range(width):
        assert torch.equal(y_a[..., w], (x_b if w % step == 0 else x_a)[..., w])


def test_gradients_follow_what_was_exchanged():
    x_a, x_b = (x.requires_grad_() for x in maps(2, 4, 3, 6))
    exchange_columns(x_a, x_b)[0].sum().backward()
    assert x_a.grad[..., ::2].abs().max() == 0
    assert x_b.grad[..., 1::2].abs().max() == 0
    assert (x_b.grad[..., ::2] == 1).all()


@pytest.mark.parametrize("channels", [3, 5, 12])
def test_the_last_channels_are_swapped_and_the_kept_ones_can_be_moved(channels):
    a, b = torch.randn(2, 2, channels, 4, 5)
    kept = channels // 5 * 4
    x, y = exchange_last(a, b)
    assert torch.equal(x, torch.cat((a[:, :kept], b[:, kept:]), 1))
    assert all(torch.equal(one, two) for one, two in zip(exchange_last(x, y), (a, b), strict=True))
    moved, nothing = shifted(a), torch.zeros_like(a)
    for i, (axis, by) in enumerate(((2, 1), (3, 1), (3, -1), (2, -1))):
        mine = slice(i * (channels // 5), (i + 1) * (channels // 5))
        n = a.shape[axis] - 1
        nothing[:, mine].narrow(axis, max(by, 0), n).copy_(a[:, mine].narrow(axis, max(-by, 0), n))
    assert torch.equal(moved, nothing)


def test_the_penalty_presses_different_halves():
    a, b = torch.tensor([1.0, -2, 3, 4]).requires_grad_(), torch.tensor([5.0, 6, -7, 8]).requires_grad_()
    value = sparsity([(a, b), (2 * a, b)])
    assert value.item() == 3 + 15 + 6 + 15
    value.backward()
    assert a.grad.tolist() == [3, -3, 0, 0]
    assert b.grad.tolist() == [0, 0, -2, 2]
    with pytest.raises(UsageError, match="no layer"):
        sparsity([])


@pytest.mark.parametrize(
    ("name", "value"), [("nearest", 1), ("quantile", 1.5), ("absolute", -1), ("index", 0), ("index", 1.5)]
)
def test_rules_that_mean_nothing_are_refused(name, value):
    with pytest.raises(UsageError, match=name if name != "quantile" else "share"):
        ChannelRule(name, value)


def test_maps_that_do_not_fit_are_refused():
    x_a, x_b = maps(2, 4, 3, 6)
    with pytest.raises(ValueError, match="one shape"):
        exchange_columns(x_a, x_b[:1])
    with pytest.raises(ValueError, match="one shape"):
        exchange_channels(x_a, x_b[..., :2], torch.ones(4) > 0, torch.ones(4) > 0)
    with pytest.raises(UsageError, match="columns"):
        exchange_columns(x_a, x_b, 0)


def test_the_gated_unit_is_bounded_and_knows_no_side():
    torch.manual_seed(0)
    unit, mirrored = GatedUnit(3).double(), GatedUnit(3).double()
    d_a, d_b = maps(2, 3, 4, 4)
    out = unit(100 * d_a, 100 * d_b)
    assert out.shape == d_a.shape
    assert out.abs().max() <= 1
    # The gate's weights with sides swapped and signs turned: 1 - z in the place of z.
    with torch.no_grad():
        mirrored.of_a.load_state_dict(unit.of_b.state_dict())
        mirrored.of_b.load_state_dict(unit.of_a.state_dict())
        mirrored.gate.weight.copy_(-unit.gate.weight.roll(3, 1))
        mirrored.gate.bias.copy_(-unit.gate.bias)
    torch.testing.assert_close(mirrored(d_b, d_a), unit(d_a, d_b), rtol=1e-12, atol=1e-14)
    unit.of_b.load_state_dict(unit.of_a.state_dict())
    torch.testing.assert_close(unit(d_a, d_a), unit.of_a(d_a).tanh(), rtol=1e-12, atol=1e-14)
    assert (unit(d_a, d_b) - unit(d_b, d_a)).abs().max() > 1e-3


@pytest.mark.parametrize("size", [(4, 8), (5, 7), (3, 3), (1, 1)])
@pytest.mark.parametrize("window", [2, 4])
def test_frequencies_are_split(size, window):
    d, _ = maps(2, 3, *size)
    low, high = split_frequencies(d, window)
    torch.testing.assert_close(low + high, d, rtol=1e-14, atol=1e-15)
    for top in range(0, size[0], window):
        for left in range(0, size[1], window):
            block = (..., slice(top, top + window), slice(left, left + window))
            torch.testing.assert_close(low[block], d[block].mean((2, 3), keepdim=True).expand_as(low[block]))
            assert high[block].mean((2, 3)).abs().max() < 1e-14
    assert (low * high).sum((2, 3)).abs().max() < 1e-12


def test_the_frequency_unit_blends_low_and_gates_high():
    torch.manual_seed(0)
    unit = FrequencyUnit(3).double()
    d_a, d_b = maps(2, 3, 8, 8)
    flat = d_a.mean((2, 3), keepdim=True).expand_as(d_a)
    torch.testing.assert_close(unit(flat, flat), flat, rtol=1e-12, atol=1e-14)
    zero = torch.zeros_like(d_a)
    _, high = split_frequencies(d_a, 4)
    between = unit(high, zero) / high
    assert between.min() > 0
    assert between.max() < 1
    # High frequencies of one side do not depend on the other's.
    torch.testing.assert_close(unit(high, zero) + unit(zero, high), unit(high, high), rtol=1e-10, atol=1e-13)
    (low_a, _), (low_b, _) = split_frequencies(d_a, 4), split_frequencies(d_b, 4)
    blended = unit(low_a, low_b)
    lower, upper = torch.minimum(low_a, low_b), torch.maximum(low_a, low_b)
    assert ((lower - 1e-12 <= blended) & (blended <= upper + 1e-12)).all()
    assert torch.equal(MeanUnit(3)(d_a, d_b), (d_a + d_b) / 2)


def test_masked_places_have_no_gradient_and_are_as_many_as_asked():
    torch.manual_seed(0)
    generator = MaskedGenerator(3, 5, 0.75)
    f = torch.randn(8, 3, 20, 20, requires_grad=True)
    out = generator(f)
    assert out.shape == (8, 5, 20, 20)
    out.square().sum().backward()
    dead = (f.grad == 0).all(1)
    assert torch.equal(dead, (f.grad == 0).any(1)), "all channels of a place, or none"
    assert dead.double().mean().item() == pytest.approx(0.75, abs=5 * (0.75 * 0.25 / 3200) ** 0.5)
    assert generator.align.weight.grad.abs().max() > 0
    clear = MaskedGenerator(4, 4, 0.0)
    g = torch.randn(2, 4, 5, 5)
    assert torch.equal(clear(g), clear.generate(g))
    assert isinstance(clear.align, torch.nn.Identity)
    with pytest.raises(ValueError, match="share"):
        MaskedGenerator(4, 4, 1.0)


def test_adapters_bring_one_width_to_another():
    f = torch.randn(2, 3, 4, 4)
    assert aligner(3, 5)(f).shape == (2, 5, 4, 4)
    assert aligner(3, 3)(f) is f
    assert aligner(3, 3, always=True, bias=False).bias is None
    assert ProjectionHead(3, 6)(f).shape == (2, 6, 4, 4)
    out = PixelProjections([3, 7], 5)([f, torch.randn(2, 7, 2, 2)])
    assert [tuple(x.shape) for x in out] == [(2, 5, 4, 4), (2, 5, 2, 2)]
    with pytest.raises(ValueError, match="2 maps"):
        PixelProjections([3, 7])([f])
