"""Augmentation: each sample its own parameters, pairs one geometry, colours where they mean something."""

import pytest
import torch

from xkd_bench.augment import Augment, Corrupt, Mask, augmentation, moved

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


def spectrograms(n: int = 8, bands: int = 40, frames: int = 60) -> torch.Tensor:
    return 0.1 + 0.8 * torch.rand(n, 1, bands, frames, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("strength", STRENGTHS)
def test_spectrograms_lose_one_run_of_bands_and_one_of_frames(strength):
    torch.manual_seed(0)
    x = spectrograms(200)
    y = Mask(strength).recolour(x)
    hidden = (y != x)[:, 0]
    _, bands, frames = Mask.BOUNDS[strength]
    assert torch.allclose(y[:, 0][hidden], x.mean((1, 2, 3))[:, None, None].expand(-1, 40, 60)[hidden])
    lost_bands, lost_frames = hidden.all(2), hidden.all(1)
    assert torch.equal(hidden, lost_bands[:, :, None] | lost_frames[:, None, :]), "and nothing else"
    for lost, bound in ((lost_bands, bands * 40), (lost_frames, frames * 60)):
        runs = (lost[:, 1:] & ~lost[:, :-1]).sum(1) + lost[:, 0]
        assert (runs <= 1).all()
        width = lost.sum(1).float()
        assert width.max() <= bound + 1
        if strength != "none":
            assert abs(width.mean() / bound - 0.5) < 0.08, "evenly from 0 to the bound"
            assert lost[:, 3:-3].any(0).all(), "anywhere"


def test_spectrograms_are_cropped_in_time_alone():
    torch.manual_seed(0)
    rising = torch.linspace(0, 1, 60).expand(64, 1, 40, 60).contiguous()
    mask = Mask("simclr")
    _, move = mask.view(rising)
    cropped = moved(rising, move)
    assert torch.allclose(cropped, cropped[:, :, :1].expand_as(cropped), atol=1e-6), "bands stay where they are"
    assert (cropped[..., -1] > cropped[..., 0]).all(), "time runs forwards"
    share = (cropped[:, 0, 0, -1] - cropped[:, 0, 0, 0]) / (59 / 60)
    assert share.min() > 0.58
    assert share.max() < 1.01
    assert 0.75 < share.mean() < 0.85
    assert cropped[:, 0, 0, 0].min() < 0.02 < 0.2 < cropped[:, 0, 0, 0].max()
    pitch = torch.linspace(0, 1, 40)[:, None].expand(64, 1, 40, 60).contiguous()
    assert torch.allclose(moved(pitch, move), pitch, atol=1e-6)


@pytest.mark.parametrize("strength", STRENGTHS)
def test_views_of_spectrograms(strength):
    mask, x = augmentation(strength, (1, 40, 60), flip=False), spectrograms(1).expand(16, -1, -1, -1)
    assert isinstance(mask, Mask)
    torch.manual_seed(1)
    view, move = mask.view(x)
    torch.manual_seed(1)
    assert torch.equal(mask(x), view)
    assert view.shape == x.shape
    assert move.shape == (16, 2, 3)
    assert 0 <= view.min() <= view.max() <= 1
    if strength == "none":
        assert torch.equal(view, x)
        return
    distances = torch.cdist(view.flatten(1), view.flatten(1))
    assert (distances[~torch.eye(16, dtype=torch.bool)] > 0.1).all(), "each its own"


def test_what_is_not_for_spectrograms_is_said():
    with pytest.raises(ValueError, match="not for spectrograms: none, light, simclr"):
        augmentation("dense", (1, 40, 60), flip=False)


# --- shares ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strength", ["light", "simclr"])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_views_of_a_share_are_those_of_the_whole_batch(monkeypatch, strength, channels):
    x = torch.rand(7, channels, 64, 64)
    augment = Augment(strength, channels, 64)
    torch.manual_seed(3)
    whole, moves = augment.view(x)
    state = torch.get_rng_state()
    for mine in (slice(0, 4), slice(4, 7)):
        monkeypatch.setattr("xkd_bench.distributed._share", (7, mine))
        torch.manual_seed(3)
        view, move = augment.view(x[mine])
        torch.testing.assert_close(view, whole[mine])
        torch.testing.assert_close(move, moves[mine])
        assert torch.equal(torch.get_rng_state(), state)  # processes with other shares have drawn alike
