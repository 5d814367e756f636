"""Af-DCD's contrast and reconstruction: against loops, golden values of the released module, and the bounds that hold
for every student."""

import math

import pytest
import torch
import torch.nn.functional as F

from tests.losses import dense_golden
from xkd_bench.losses.af_dcd import (
    af_dcd,
    channel_contrast,
    feature_reconstruction,
    omni_contrast,
    spatial_contrast,
)
from xkd_bench.losses.af_dcd_presets import PRESETS, RECIPE
from xkd_bench.losses.dense_logits import kd

NEGATIVES = ("other_group", "all", "same_group", "same_pos")


def golden_maps() -> tuple[torch.Tensor, torch.Tensor]:
    k = dense_golden.index(2, 8, 8, 8)
    return 0.3 * (0.37 * k + 0.2).sin(), 0.3 * (0.23 * k + 0.5).cos()


def maps(*shapes: tuple[int, ...], seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


def loop(g, f, groups, patch, pool, tau, p, negatives) -> float:
    """The loss anchor by anchor, in Python floats, straight from its definition."""
    n, c, h, w = g.shape
    width, total = c // groups, 0.0
    h, w = h // pool, w // pool

    def vector(x, b, i, j, k):
        window = x[b, k * width : (k + 1) * width, i * pool : (i + 1) * pool, j * pool : (j + 1) * pool]
        return [max(v for row in channel for v in row) for channel in window.tolist()]

    def apart(x, y):
        return sum(abs(s - t) ** p for s, t in zip(x, y, strict=True)) ** (1 / p)

    chosen = {
        "other_group": lambda same_place, same_group: not same_group,
        "all": lambda same_place, same_group: not (same_place and same_group),
        "same_group": lambda same_place, same_group: same_group and not same_place,
        "same_pos": lambda same_place, same_group: same_place and not same_group,
    }[negatives]
    places = [(b, i, j) for b in range(n) for i in range(h) for j in range(w)]
    for b, i, j in places:
        top, left = i // patch * patch, j // patch * patch
        mates = [(y, x) for y in range(top, top + patch) for x in range(left, left + patch)]
        for k in range(groups):
            u = vector(g, b, i, j, k)
            own = apart(u, vector(f, b, i, j, k))
            others = [
                math.exp((own - apart(u, vector(f, b, y, x, m))) / tau)
                for y, x in mates
                for m in range(groups)
                if chosen((y, x) == (i, j), m == k)
            ]
            total += math.log(1 + sum(others))
    return total / len(places)


@pytest.mark.parametrize("negatives", NEGATIVES)
@pytest.mark.parametrize(("distance", "p"), [("l1", 1), ("l2", 2)])
@pytest.mark.parametrize(("shape", "groups", "patch", "pool"), [((2, 6, 4, 8), 3, 2, 2), ((1, 4, 6, 3), 2, 3, 1)])
def test_values_are_those_of_the_loops(negatives, distance, p, shape, groups, patch, pool):
    g, f = maps(shape, shape)
    value = omni_contrast(g, f, groups=groups, patch=patch, pool=pool, tau=0.6, distance=distance, negatives=negatives)
    assert value.item() == pytest.approx(loop(g, f, groups, patch, pool, 0.6, p, negatives), rel=1e-11)


@pytest.mark.parametrize(
    ("options", "golden"),
    [
        ({"tau": 0.07}, 58.121411969250005),
        ({"tau": 0.7}, 31.56705835432839),
        ({"tau": 0.7, "negatives": "all"}, 33.70317033150661),
        ({"tau": 0.7, "negatives": "same_group"}, 22.596699053595593),
        ({"tau": 0.7, "negatives": "same_pos"}, 11.482798614213024),
        ({"tau": 0.7, "distance": "l2"}, 31.37829326009424),
    ],
)
def test_golden_values(options, golden):
    # The released module's, before its last division by the batch of 2.
    s, t = golden_maps()
    assert 2 * omni_contrast(s, t, groups=4, pool=1, **options).item() == pytest.approx(golden, rel=1e-12)


def test_golden_floor_and_constant_teacher():
    s, t = golden_maps()
    assert 2 * omni_contrast(t, t, groups=4, pool=1, tau=0.7).item() == pytest.approx(26.369081599319493, rel=1e-12)
    flat = omni_contrast(s, torch.full_like(t, 0.4), groups=4, pool=1, tau=0.7)
    assert 2 * flat.item() == pytest.approx(31.13456238488501, rel=1e-12)
    assert flat.item() == pytest.approx(4 * math.log(49), rel=1e-12)


def test_golden_reconstruction():
    s, t = dense_golden.features()
    value = feature_reconstruction(s, t)
    assert value.item() == pytest.approx(252.64656199821815, rel=1e-12)
    assert value.item() == pytest.approx(sum(d * d for d in (s - t).flatten().tolist()) / 2, rel=1e-12)


@pytest.mark.parametrize("distance", ["l1", "l2"])
@pytest.mark.parametrize("negatives", NEGATIVES)
def test_no_student_is_below_the_teacher_itself_and_none_above_the_bound(distance, negatives):
    (t,) = maps((2, 6, 4, 4))
    options = {"groups": 3, "patch": 2, "pool": 1, "tau": 0.8, "distance": distance, "negatives": negatives}
    floor = omni_contrast(t, t, **options).item()
    # In the bound the distances are the teacher's own: exp(d(t_i, t_j)/τ) is the floor's sum with the sign turned.
    bound = omni_contrast(t, t, **{**options, "tau": -torch.tensor(0.8, dtype=torch.float64)}).item()
    for seed in range(6):
        (s,) = maps(t.shape, seed=seed + 1)
        for student in (s, t + 0.01 * s, 100 * s, -t):
            assert floor <= omni_contrast(student, t, **options).item() <= bound


@pytest.mark.parametrize("distance", ["l1", "l2"])
def test_the_floor_is_a_kink_at_which_every_step_raises_the_loss(distance):
    (t,) = maps((1, 4, 4, 4))
    options = {"groups": 2, "pool": 1, "tau": 0.7, "distance": distance}
    s = t.clone().requires_grad_()
    floor = omni_contrast(s, t, **options)
    floor.backward()
    assert torch.isfinite(s.grad).all()
    assert s.grad.norm() > 0.01
    for step in (1e-1, 1e-3, 1e-5):
        assert omni_contrast(t - step * s.grad, t, **options) > floor


def test_a_squared_distance_is_refused_for_there_the_teacher_is_no_minimum():
    (t,) = maps((1, 4, 2, 2))
    with pytest.raises(ValueError, match="metric"):
        omni_contrast(t, t, groups=2, patch=2, pool=1, distance="l2_squared")
    # By hand: vectors in the order (position, group), the released negatives.
    v = t.reshape(2, 2, 4).permute(2, 0, 1).reshape(8, 2)
    group = torch.arange(8) % 2
    kept = (group[:, None] != group) | torch.eye(8, dtype=torch.bool)

    def squared(u):
        scores = -(u[:, None] - v).square().sum(2) / 0.7
        return (scores.masked_fill(~kept, -math.inf).logsumexp(1) - scores.diagonal()).mean()

    u = v.clone().requires_grad_()
    squared(u).backward()
    assert squared(v - 0.01 * u.grad) < squared(v) - 1e-4


def test_a_student_far_away_gets_no_gradient_from_l1_and_little_from_l2():
    (t,) = maps((1, 4, 4, 4))
    norms = {}
    for distance in ("l1", "l2"):
        for far in (10.0, 1000.0):
            s = (t.abs() + far).requires_grad_()
            omni_contrast(s, t, groups=2, pool=1, tau=0.7, distance=distance).backward()
            norms[distance, far] = s.grad.norm().item()
    assert norms["l1", 10.0] < 1e-12
    assert norms["l1", 1000.0] < 1e-12
    assert 0 < norms["l2", 1000.0] < 0.05 * norms["l2", 10.0]
    # Which is why reconstruction goes with it: its gradient grows with the distance.
    s = (t.abs() + 1000).requires_grad_()
    feature_reconstruction(s, t).backward()
    assert s.grad.abs().min() > 1000


@pytest.mark.parametrize("negatives", NEGATIVES)
def test_a_constant_teacher_tells_every_student_the_same_and_nothing(negatives):
    k = {"other_group": 8, "all": 11, "same_group": 3, "same_pos": 2}[negatives]
    for seed in range(3):
        (s,) = maps((2, 6, 4, 4), seed=seed)
        s.requires_grad_()
        value = omni_contrast(s, torch.full_like(s, 0.3), groups=3, patch=2, pool=1, tau=0.2, negatives=negatives)
        value.backward()
        assert value.item() == pytest.approx(3 * math.log(1 + k), rel=1e-12)
        assert s.grad.abs().max() < 1e-12


def test_what_leaves_it_unchanged():
    s, t = maps((3, 8, 8, 8), (3, 8, 8, 8))
    options = {"groups": 4, "patch": 2, "pool": 2, "tau": 0.6}
    before = omni_contrast(s, t, **options).item()
    (shift,) = maps((1, 2, 1, 1), seed=3)
    same = shift.repeat(1, 4, 1, 1)  # the same vector to each group
    order = torch.tensor([2, 0, 1])
    # 2 x 2 patches after pooling by 2 are blocks of 4 x 4.
    moved = [x.roll((4, 4), (2, 3)) for x in (s, t)]
    for pair in ((s + same, t + same), (s[order], t[order]), moved):
        assert omni_contrast(*pair, **options).item() == pytest.approx(before, rel=1e-12)
    (any_shift,) = maps((1, 8, 1, 1), seed=4)
    for pair in ((s + any_shift, t + any_shift), (s[order], t), [x.roll(1, 2) for x in (s, t)]):
        assert abs(omni_contrast(*pair, **options).item() - before) > 1e-3


def test_spatial_and_channel_contrast_are_its_corners():
    s, t = maps((2, 6, 4, 8), (2, 6, 4, 8))
    spatial = spatial_contrast(s, t, patch=2, pool=2, tau=0.9)
    assert spatial.item() == pytest.approx(loop(s, t, 1, 2, 2, 0.9, 1, "same_group"), rel=1e-11)
    channel = channel_contrast(s, t, groups=3, pool=2, tau=0.9)
    assert channel.item() == pytest.approx(loop(s, t, 3, 2, 2, 0.9, 1, "same_pos"), rel=1e-11)
    # The other groups of a position are the same however the map is cut.
    cut = omni_contrast(s, t, groups=3, patch=2, pool=2, tau=0.9, negatives="same_pos")
    assert channel.item() == pytest.approx(cut.item(), rel=1e-12)
    # With one group, all others are the other positions; on the whole map they are all others of the map.
    whole = spatial_contrast(s[..., :4], t[..., :4], patch=None, pool=1)
    assert whole.item() == pytest.approx(loop(s[..., :4], t[..., :4], 1, 4, 1, 0.07, 1, "all"), rel=1e-11)


@pytest.mark.parametrize("distance", ["l1", "l2"])
@pytest.mark.parametrize("negatives", NEGATIVES)
@pytest.mark.parametrize("pool", [1, 2])
def test_gradients_are_those_of_finite_differences_and_the_teacher_has_none(distance, negatives, pool):
    s, t = maps((1, 4, 4, 4), (1, 4, 4, 4))
    s.requires_grad_()
    t.requires_grad_()

    def value(x):
        return omni_contrast(x, t, groups=2, patch=2, pool=pool, tau=0.7, distance=distance, negatives=negatives)

    assert torch.autograd.gradcheck(value, (s,))
    value(s).backward()
    feature_reconstruction(s, t).backward()
    assert t.grad is None


def test_pooling_passes_the_gradient_to_one_position_of_each_window():
    s, t = maps((1, 8, 8, 8), (1, 8, 8, 8))
    s.requires_grad_()
    omni_contrast(s, t, groups=2, patch=2, pool=4, tau=5.0).backward()
    windows = s.grad.unfold(2, 4, 4).unfold(3, 4, 4).flatten(4) != 0
    assert windows.sum(-1).max() == 1
    assert windows.sum() > 16


@pytest.mark.parametrize("distance", ["l1", "l2"])
@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_half_precision_reaches_the_inputs_alone_and_saturated_ones_stay_finite(distance, half):
    s, t = (1e3 * x.float() for x in maps((2, 32, 8, 8), (2, 32, 8, 8)))
    s[0], t[0] = 6e4 * s[0].sign(), 6e4 * t[0].sign()  # what float16 can just hold
    s, t = s.to(half).requires_grad_(), t.to(half)
    exact = omni_contrast(s.float(), t.float(), groups=4, pool=2, distance=distance)
    with torch.autocast("cpu", dtype=half):
        value = omni_contrast(s, t, groups=4, pool=2, distance=distance)
        squares = feature_reconstruction(s, t)
    assert value.dtype == squares.dtype == torch.float32
    assert torch.equal(value, exact)
    assert torch.isfinite(value)
    assert torch.isfinite(squares)
    value.backward()
    assert torch.isfinite(s.grad).all()


def test_maps_that_patches_do_not_fill_are_refused_or_cropped_never_reshaped():
    s, t = maps((1, 4, 45, 46), (1, 4, 45, 46))
    with pytest.raises(ValueError, match=r"multiples of 4, or fit='crop'"):
        omni_contrast(s, t, groups=2, pool=1)
    # CamVid's map of 45 x 45 is used up to 44.
    cropped = omni_contrast(s, t, groups=2, pool=1, fit="crop")
    assert torch.equal(cropped, omni_contrast(s[..., :44, :44], t[..., :44, :44], groups=2, pool=1))
    with pytest.raises(ValueError, match=r"multiples of 64$"):
        omni_contrast(s, t, groups=2, pool=16, fit="crop")
    with pytest.raises(ValueError, match="groups of one width"):
        omni_contrast(s, t, groups=3, pool=1, fit="crop")


def test_what_cannot_be_meant_is_refused():
    (f,) = maps((1, 4, 4, 4))
    for options, message in (
        ({"groups": 0}, "1 or more"),
        ({"patch": 0}, "1 or more"),
        ({"pool": 0}, "1 or more"),
        ({"tau": 0.0}, "temperature"),
        ({"negatives": "none"}, "negatives must be"),
        ({"groups": 1, "negatives": "other_group"}, "leave no negatives"),
        ({"groups": 1, "negatives": "same_pos"}, "leave no negatives"),
        ({"groups": 2, "patch": 1, "negatives": "same_group"}, "leave no negatives"),
    ):
        with pytest.raises(ValueError, match=message):
            omni_contrast(f, f, **{"groups": 2, "patch": 2, "pool": 1, **options})
    for other in (f[:, :2], f[0], f[:0]):
        with pytest.raises(ValueError, match="maps"):
            omni_contrast(f, other, groups=2, patch=2, pool=1)
        with pytest.raises(ValueError, match="maps"):
            feature_reconstruction(f, other)


# The joint objective, and the published settings.


def test_the_objective_is_its_weighted_terms():
    z_s, z_t = maps((2, 3, 4, 4), (2, 3, 4, 4))
    s, t = maps((2, 4, 4, 4), (2, 4, 4, 4), seed=1)
    z_s.requires_grad_()
    s.requires_grad_()
    label = torch.arange(32).reshape(2, 4, 4) % 3
    task, aux = F.cross_entropy(z_s, label), F.cross_entropy(2 * z_s, label)
    terms = (kd(z_s, z_t), feature_reconstruction(s, t), omni_contrast(s, t, groups=2, patch=2, pool=1))
    for name, preset in PRESETS.items():
        out = af_dcd(task, *terms, aux=aux, **preset.weights())
        weights = (preset.weight_kd, preset.weight_fd, preset.weight_ctr)
        expected = task + 0.4 * aux + sum(w * term for w, term in zip(weights, terms, strict=True))
        assert out.loss.item() == pytest.approx(expected.item(), rel=1e-14), name
        assert (out.task, out.aux, out.kd, out.reconstruction, out.contrast) == (task, aux, *terms)
    without = af_dcd(task, *terms)
    assert without.aux.item() == 0
    assert without.loss.item() == pytest.approx((task + terms[0] + 4e-5 * terms[1] + 1e-3 * terms[2]).item(), rel=1e-14)
    without.loss.backward()
    assert s.grad.abs().max() > 0
    with pytest.raises(ValueError, match="weight_ctr"):
        af_dcd(task, *terms, weight_ctr=-1.0)


@pytest.mark.parametrize(
    ("name", "kd_fd_ctr", "crop", "steps"),
    [
        ("default", (1, 4e-5, 1e-3), (512, 1024), 40_000),
        ("cityscapes", (1, 2e-6, 5e-3), (512, 1024), 40_000),
        ("ade20k", (0.5, 1e-6, 0.04), (512, 512), 40_000),
        ("coco-stuff-164k", (0.5, 5e-6, 5e-3), (512, 512), 80_000),
        ("voc", (1, 1e-6, 5e-3), (512, 512), 40_000),
        ("camvid", (1, 8e-6, 0.01), (360, 360), 40_000),
    ],
)
def test_presets_are_the_published_ones_and_fit_the_maps_of_their_crops(name, kd_fd_ctr, crop, steps):
    preset = PRESETS[name]
    assert (preset.weight_kd, preset.weight_fd, preset.weight_ctr) == kd_fd_ctr
    assert (preset.crop, preset.steps, preset.weight_aux, preset.tau) == (crop, steps, 0.4, 0.07)
    assert (preset.mask, preset.mask_ratio, preset.generator) == ("random", 0.75, "plain")
    assert preset.source.startswith("[CODE")
    # A stride of 8, rounded up as padded convolutions do; the number of patches is the published one.
    grid = [-(-side // 8) for side in crop]
    patches = {(512, 1024): 32, (512, 512): 16, (360, 360): 121}[crop]
    sides = [side // (preset.pool * preset.patch) for side in grid]
    assert math.prod(sides) == patches
    (f,) = maps((1, 2, *grid))
    floor = omni_contrast(f, f, groups=2, patch=preset.patch, pool=preset.pool, tau=preset.tau, fit=preset.fit)
    assert 0 <= floor.item() <= 2 * math.log(1 + 16)
    assert (preset.groups, preset.distance, preset.negatives) == (16, "l1", "other_group")
    assert set(PRESETS) == {"default", "cityscapes", "ade20k", "coco-stuff-164k", "voc", "camvid"}
    assert (RECIPE.lr, RECIPE.momentum, RECIPE.weight_decay, RECIPE.batch, RECIPE.power) == (0.02, 0.9, 1e-4, 16, 0.9)
