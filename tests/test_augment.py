"""Augmentation: each sample its own parameters, pairs one geometry, colours where they mean something."""

import pytest
import torch

from xkd_bench.augment import Augment, Corrupt, augmentation

STRENGTHS = ["none", "light", "simclr"]


def images(n: int = 8, channels: int = 3, size: int = 32) -> torch.Tensor:
    return torch.rand(n, channels, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("strength", STRENGTHS)
@pytest.mark.parametrize(("channels", "size"), [(1, 32), (3, 32), (3, 64), (4, 16)])
def test_views_have_the_shape_and_range_of_images(strength, channels, size):
    torch.manual_seed(0)
    x = images(4, channels, size)
    y = Augment(strength, channels, size)(x)
    assert y.shape == x.shape
    assert y.dtype == torch.float32
    assert 0 <= y.min() <= y.max() <= 1
    assert torch.equal(y, x) == (strength == "none")


@pytest.mark.parametrize("strength", ["light", "simclr"])
def test_each_sample_has_parameters_of_its_own(strength):
    torch.manual_seed(0)
    same = images(1).expand(16, -1, -1, -1)
    views = Augment(strength, 3, 32)(same)
    distances = torch.cdist(views.flatten(1), views.flatten(1))
    assert (distances[~torch.eye(16, dtype=torch.bool)] > 0.1).all()


def test_the_global_seed_decides_the_views():
    augment, x = Augment("simclr", 3, 32), images()

    def views(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return augment(x)

    assert torch.equal(views(1), views(1))
    assert not torch.allclose(views(1), views(2), atol=0.1)


def test_light_views_keep_the_colours_and_simclr_views_do_not():
    grey_levels = torch.linspace(0.2, 0.8, 16).view(16, 1, 1, 1).expand(-1, 3, 32, 32)
    torch.manual_seed(0)
    assert torch.allclose(Augment("light", 3, 32)(grey_levels), grey_levels, atol=1e-5)
    assert not torch.allclose(Augment("simclr", 3, 32)(grey_levels), grey_levels, atol=0.05)
    plain = torch.linspace(0.2, 0.8, 16).view(16, 1, 1, 1).expand(-1, 1, 32, 32)
    assert not torch.allclose(Augment("simclr", 1, 32)(plain), plain, atol=0.05)


def test_without_flips_left_stays_left():
    ramp = torch.linspace(0, 1, 32).expand(64, 1, 32, 32).contiguous()
    torch.manual_seed(0)

    def rising(flip: bool) -> torch.Tensor:
        views = Augment("light", 1, 32, flip)(ramp)
        return views[..., -1].mean((1, 2)) > views[..., 0].mean((1, 2))

    assert rising(flip=False).all()
    assert 0.2 < rising(flip=True).float().mean() < 0.8


@pytest.mark.parametrize("strength", STRENGTHS)
def test_a_pair_has_one_geometry(strength):
    torch.manual_seed(0)
    x = images(8)
    mask = x.mean(1, keepdim=True)
    moved_x, moved_mask = Augment(strength, 3, 32).pair(x, mask)
    assert moved_mask.shape == mask.shape
    if strength == "none":
        assert torch.equal(moved_x, x)
        assert torch.equal(moved_mask, mask)
        return
    assert not torch.allclose(moved_mask, mask, atol=0.05)
    # Cropping is linear: the mean of the moved channels is the moved mean, if colours were left alone.
    same = torch.allclose(moved_x.mean(1, keepdim=True), moved_mask, atol=1e-5)
    assert same == (strength == "light")


def test_a_pair_under_simclr_moves_both_and_colours_the_first_alone():
    torch.manual_seed(0)
    augment = Augment("simclr", 3, 32)
    x = images(8)
    moved_x, moved_y = augment.pair(x, x)
    assert torch.equal(moved_y, augment.geometry(x, params=augment.geometry._params))
    assert not torch.allclose(moved_x, moved_y, atol=0.05)


@pytest.mark.parametrize("strength", STRENGTHS)
def test_corrupted_entries_are_other_rows_and_as_many_as_said(strength):
    torch.manual_seed(0)
    x = torch.arange(500.0)[:, None] + torch.tensor([0.0, 1000.0, 2000.0, 3000.0])  # every entry says row and column
    y = augmentation(strength, (4,))(x)
    assert torch.equal(y.div(1000).floor(), x.div(1000).floor()), "an entry stays in its column"
    changed = (y != x).float()
    rate = {"none": 0.0, "light": 0.1, "simclr": 0.3675}[strength] * (1 - 1 / 500)
    assert abs(changed.mean().item() - rate) < 4 * (rate * (1 - rate) / changed.numel()) ** 0.5 + 1e-9
    # Each entry for itself: no row and no column is spared or spoiled as a whole.
    assert changed.mean(0).std() < 0.05
    if strength == "simclr":
        assert len({tuple(row) for row in changed.tolist()}) == 16
        both = 1 - (1 - changed) * (augmentation(strength, (4,))(x) == x).float()
        assert abs(1 - both.mean().item() - 0.4) < 0.05, "left alone in both views: as in SCARF"


def test_the_shape_decides_the_augmentation():
    assert isinstance(augmentation("simclr", (7,)), Corrupt)
    assert isinstance(augmentation("simclr", (3, 16, 24)), Augment)
    torch.manual_seed(3)
    x = torch.randn(6, 5)
    view, move = augmentation("light", (5,)).view(x)
    assert view.shape == x.shape
    assert torch.equal(move, torch.eye(2, 3).expand(6, 2, 3))
