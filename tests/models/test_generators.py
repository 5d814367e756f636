"""Masked reconstruction: what is masked, what sees what, and where gradients go."""

import pytest
import torch
from torch import nn

from xkd_bench.errors import UsageError
from xkd_bench.losses.af_dcd import feature_reconstruction, omni_contrast
from xkd_bench.models.generators import (
    EnhancedGenerator,
    MaskedReconstruction,
    PlainGenerator,
    central_mask,
    random_mask,
)


def test_the_random_mask_zeroes_its_share_of_positions_and_follows_the_global_generator():
    torch.manual_seed(0)
    mask = random_mask(50, 20, 20, 0.75)
    assert mask.shape == (50, 1, 20, 20)
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    # 20,000 positions: five standard deviations of a share of 3/4.
    assert (mask == 0).float().mean().item() == pytest.approx(0.75, abs=5 * (0.75 * 0.25 / 20_000) ** 0.5)
    torch.manual_seed(0)
    assert torch.equal(random_mask(50, 20, 20, 0.75), mask)
    assert random_mask(3, 5, 5, 0.0).min() == 1


def test_the_central_mask_zeroes_the_middle_ninth():
    mask = central_mask(10, 6)[0, 0]
    zeroed = [(i, j) for i in range(10) for j in range(6) if mask[i, j] == 0]
    assert zeroed == [(i, j) for i in (3, 4, 5) for j in (2, 3)]


@pytest.mark.parametrize(("generator", "reach"), [("plain", 2), ("enhanced", 3)])
def test_a_position_is_predicted_from_its_neighbours(generator, reach):
    torch.manual_seed(0)
    model = MaskedReconstruction(3, 3, generator, ratio=0.0)
    f = torch.randn(1, 3, 11, 11, requires_grad=True)
    model(f)[0, :, 5, 5].sum().backward()
    seen = f.grad.abs().sum((0, 1)).nonzero()
    assert seen.min() >= 5 - reach
    assert seen.max() <= 5 + reach
    assert len(seen) > 9


def test_generators_compute_what_they_say():
    torch.manual_seed(0)
    x = torch.randn(2, 4, 5, 6)
    plain, enhanced = PlainGenerator(4), EnhancedGenerator(4)
    one, _, two = plain
    torch.testing.assert_close(plain(x), two(torch.relu(one(x))))
    first = torch.relu(enhanced.first[0](x))
    second = torch.relu(enhanced.second[0](first))
    torch.testing.assert_close(enhanced(x), (enhanced.out[0](first) + enhanced.out[1](second)) / 2)
    conv = 4 * 4 * 9 + 4
    assert [sum(p.numel() for p in g.parameters()) for g in (plain, enhanced)] == [2 * conv, 4 * conv]


@pytest.mark.parametrize("generator", ["plain", "enhanced"])
@pytest.mark.parametrize("mask", ["random", "central"])
def test_masked_positions_get_no_gradient_and_adapter_and_generator_do(generator, mask):
    torch.manual_seed(0)
    model = MaskedReconstruction(3, 8, generator, mask)
    f, teacher = torch.randn(2, 3, 8, 8, requires_grad=True), torch.randn(2, 8, 8, 8, requires_grad=True)
    torch.manual_seed(1)
    drawn = random_mask(2, 8, 8, 0.75) if mask == "random" else central_mask(8, 8).expand(2, 1, 8, 8)
    torch.manual_seed(1)
    g = model(f)
    assert g.shape == teacher.shape
    (feature_reconstruction(g, teacher) + omni_contrast(g, teacher, groups=4, pool=2)).backward()
    assert f.grad[(drawn == 0).expand_as(f)].abs().max() == 0
    assert (f.grad[(drawn == 1).expand_as(f)] != 0).float().mean() > 0.9
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())
    assert teacher.grad is None


def test_without_mask_adapter_and_generator_the_loss_is_the_squared_error():
    model = MaskedReconstruction(4, 4, ratio=0.0)
    # Equal widths, where the released code fails for a layer that it has not made.
    assert isinstance(model.align, nn.Identity)
    assert isinstance(MaskedReconstruction(3, 4).align, nn.Conv2d)
    model.generator = nn.Identity()
    torch.manual_seed(0)
    f, teacher = torch.randn(2, 4, 5, 5), torch.randn(2, 4, 5, 5)
    value = feature_reconstruction(model(f), teacher)
    assert value.item() == pytest.approx((f - teacher).square().sum().item() / 2, rel=1e-6)


def test_masks_differ_from_call_to_call():
    torch.manual_seed(0)
    model, f = MaskedReconstruction(3, 3), torch.randn(1, 3, 8, 8)
    assert not torch.equal(model(f), model(f))
    fixed = MaskedReconstruction(3, 3, mask="central")
    assert torch.equal(fixed(f), fixed(f))


def test_half_precision_passes_through():
    model, f = MaskedReconstruction(3, 4), torch.randn(1, 3, 8, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model(f).dtype == torch.bfloat16


def test_what_cannot_be_meant_is_refused():
    for options, message in (
        ({"generator": "big"}, "unknown generator 'big': known: plain, enhanced"),
        ({"mask": "none"}, "unknown mask 'none'"),
        ({"ratio": 1.0}, r"\[0, 1\)"),
        ({"ratio": -0.1}, r"\[0, 1\)"),
    ):
        with pytest.raises(UsageError, match=message):
            MaskedReconstruction(3, 3, **options)
