"""Degradations: nothing at 0, more at more, the same for an item in every call, and each what its axis says."""

import numpy as np
import pytest
from scipy.stats import norm

from xkd_bench.tasks._degrade import AXES, degrade
from xkd_bench.tasks._embedded import archive
from xkd_bench.tasks._rasterise import rasterise

STRENGTHS = np.linspace(0, 1, 11)


@pytest.fixture(scope="module")
def drawings() -> np.ndarray:
    """50 colour drawings."""
    style = archive().colour[1]
    return rasterise([style.svg(code) for code in list(style.drawings)[::20][:50]], np.empty((50, 3, 16, 16), np.uint8))


@pytest.fixture(scope="module")
def static() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (20, 3, 24, 32)).astype(np.uint8)


def worse(images, **strengths):
    return degrade(images, strengths, np.empty_like(images))


def distance(a, b) -> float:
    return float(np.abs(a.astype(float) - b).mean())


@pytest.mark.parametrize("axis", AXES)
def test_nothing_at_zero_and_more_at_more(axis, drawings, static):
    for images in (drawings, static, drawings[:, :1]):
        if (axis == "grey" and images.shape[1] == 1) or (axis == "blur" and images is static):
            continue  # no colour to lose; white noise is as far from its mean at half the strength
        steps = [worse(images, **{axis: s}) for s in STRENGTHS]
        assert (steps[0] == images).all()
        far = [distance(step, images) for step in steps]
        assert (np.diff(far) > 0).all(), far
        assert far[-1] > 4


@pytest.mark.parametrize("axis", AXES)
def test_an_item_is_the_same_in_every_call(axis, drawings):
    many = np.tile(drawings, (6, 1, 1, 1))  # more than a block
    whole = worse(many, **{axis: 0.5})
    assert (whole == worse(many, **{axis: 0.5})).all()
    assert (whole[:7] == worse(many[:7], **{axis: 0.5})).all(), "whatever is degraded beside it"


@pytest.mark.parametrize("axis", ["noise", "occlude"])
def test_items_differ_in_what_is_random(axis):
    same = np.full((300, 1, 16, 16), 60, np.uint8)
    different = {item.tobytes() for item in worse(same, **{axis: 0.4})}
    assert len(different) == 300


def test_axes_are_joined_in_one_order(drawings):
    few = drawings[:5]
    joined = worse(few, noise=0.2, grey=1.0, blur=0.3)
    assert (joined == worse(few, blur=0.3, noise=0.2, grey=1.0)).all()
    blurred = worse(worse(few, grey=1.0), blur=0.3)
    assert abs(worse(blurred, noise=0.2).astype(int) - joined).max() <= 2, "but for rounding between the steps"


def test_grey_is_luma(static):
    luma = np.tensordot(static.astype(float), [0.299, 0.587, 0.114], (1, 0))
    assert abs(worse(static, grey=1.0) - luma[:, None]).max() <= 0.51
    half = (static + luma[:, None]) / 2
    assert abs(worse(static, grey=0.5) - half).max() <= 0.51


def test_contrast_keeps_the_mean_and_shrinks_deviations(static):
    out = worse(static, contrast=0.25).astype(float)
    assert np.allclose(out.mean((2, 3)), static.mean((2, 3)), atol=0.3)
    assert np.allclose(out.std((2, 3)), 0.75 * static.std((2, 3)), rtol=0.01)


@pytest.mark.parametrize("share", [0.1, 0.25, 0.7, 1.0])
def test_occlusion_covers_its_share(share):
    white = np.full((40, 3, 32, 48), 255, np.uint8)
    out = worse(white, occlude=share).astype(float)
    covered = (255 - out) / (255 - 128)
    assert np.allclose(covered.mean((1, 2, 3)), share, atol=0.003)


def test_what_is_covered_stays_covered(static):
    some, more = (worse(static, occlude=s) == 128 for s in (0.25, 0.5))
    assert (more | ~some).mean() > 0.999


@pytest.mark.parametrize("strength", [0.3, 0.5])
def test_a_blurred_step_is_the_normal_distribution(strength):
    step = np.zeros((1, 1, 64, 64), np.uint8)
    step[..., 32:] = 255
    profile = worse(step, blur=strength)[0, 0, 20].astype(float)
    assert abs(profile - 255 * norm.cdf((np.arange(64) - 31.5) / (strength * 8))).max() <= 2


def test_blurs_add_their_variances(drawings):
    twice = worse(worse(drawings, blur=0.3), blur=0.4).astype(float)
    inside = (..., slice(6, 10), slice(6, 10))  # beyond the border each goes on with other pixels
    assert abs(twice - worse(drawings, blur=0.5))[inside].max() <= 2, "but for rounding"


def test_a_little_blur_is_some(drawings):
    assert 0.05 < distance(worse(drawings, blur=0.05), drawings) < distance(worse(drawings, blur=0.1), drawings)


def test_blur_is_relative_to_the_side(drawings):
    large = drawings[:30].repeat(4, 2).repeat(4, 3)
    small = worse(drawings[:30], blur=0.5).astype(float)
    big = worse(large, blur=0.5).reshape(30, 3, 16, 4, 16, 4).mean((3, 5))
    unscaled = worse(large, blur=0.5 / 4).reshape(30, 3, 16, 4, 16, 4).mean((3, 5))
    assert 3 * abs(small - big).mean() < abs(small - unscaled).mean()


def test_noise_has_its_deviation_and_no_bias():
    mid = np.full((50, 3, 32, 32), 128, np.uint8)
    out = worse(mid, noise=0.25).astype(float) - 128
    assert out.std() == pytest.approx(32, rel=0.01)
    assert abs(out.mean()) < 0.5
    double = worse(mid, noise=0.5).astype(float) - 128
    inside = abs(double) < 120
    assert abs(double - 2 * out)[inside].max() <= 1.51, "the same noise, scaled"


@pytest.mark.parametrize(("strength", "levels"), [(1.0, 2), (6 / 7, 4), (5 / 7, 8), (4 / 7, 16)])
def test_quantised_images_have_their_levels(static, strength, levels):
    found = np.unique(worse(static, quantise=strength))
    assert found.tolist() == np.rint(np.arange(levels) * 255 / (levels - 1)).tolist()


def test_edges_are_drawn_where_the_image_steps():
    step = np.full((2, 3, 32, 32), 40, np.uint8)
    step[0, :, :, 16:] = 200
    drawn = worse(step, edge=1.0)
    assert (drawn[0, :, :, 15:17] == 0).all()
    assert (drawn[0, :, :, :12] > 250).all()
    assert (drawn[0, :, :, 20:] > 250).all()
    assert (drawn[1] == 255).all(), "nothing to draw"
