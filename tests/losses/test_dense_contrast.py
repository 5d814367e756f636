"""Contrast of pixels: golden value, loops, anchors, stages; and CMCD's losses on aligned pixels."""

import math
from functools import partial

import pytest
import torch

from tests.losses import naive, naive_dense
from tests.losses.dense_golden import GOLDEN, features
from tests.losses.test_contrastive import rotation
from xkd_bench.losses.dense_cmcd import aligned_pixels, dense_cmc, dense_cmd
from xkd_bench.losses.dense_contrast import anchor_pixels, pixel_contrast, stage_contrast
from xkd_bench.models.dense_adapters import PixelProjections

MODALITY = torch.arange(18) % 2


def anchors() -> tuple[torch.Tensor, torch.Tensor]:
    z = (1.3 * torch.arange(72, dtype=torch.float64) + 0.7).sin().reshape(18, 4)
    return z, torch.tensor([0, 1, 2, 0, 1, 0]).repeat_interleave(3)


def maps(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_golden_value():
    assert pixel_contrast(*anchors()).item() == pytest.approx(GOLDEN["PixelContrast_A6V3D4"], rel=1e-12)


@pytest.mark.parametrize("pairs", ["all", "intra", "cross"])
@pytest.mark.parametrize("tau", [0.1, 0.5])
def test_values_are_those_of_the_loops(pairs, tau):
    z, labels = anchors()
    expected = naive_dense.pixel_contrast(z.tolist(), labels.tolist(), MODALITY.tolist(), pairs, tau, 0.07)
    value = pixel_contrast(z, labels, tau, modality=MODALITY, pairs=pairs)
    assert value.item() == pytest.approx(expected, rel=1e-10)


def test_neither_order_nor_length_matters():
    z, labels = anchors()
    order = torch.randperm(18, generator=torch.Generator().manual_seed(0))
    scale = torch.linspace(0.1, 40, 18).double()[:, None]
    value = pixel_contrast((scale * z)[order], labels[order])
    assert value.item() == pytest.approx(GOLDEN["PixelContrast_A6V3D4"], rel=1e-10)


def test_pulling_a_class_together_lowers_it():
    z, labels = anchors()
    centre = torch.eye(4).double()[labels]
    values = [pixel_contrast((1 - pull) * z + pull * centre, labels).item() for pull in (0, 0.3, 0.6, 0.9, 1)]
    assert values == sorted(values, reverse=True)
    assert values[-1] < 0.01


def test_anchors_without_a_positive_are_left_out():
    z, labels = anchors()
    alone = torch.cat((labels, torch.tensor([9])))
    value = pixel_contrast(torch.cat((z, maps(1, 4))), alone)
    assert value.item() > GOLDEN["PixelContrast_A6V3D4"], "a negative of all"
    each = z.clone().requires_grad_()
    nothing = pixel_contrast(each, torch.arange(18))
    nothing.backward()
    assert nothing.item() == 0
    assert each.grad.abs().max() == 0
    of_one_class = z.clone().requires_grad_()
    none_repel = pixel_contrast(of_one_class, labels * 0)
    none_repel.backward()
    assert none_repel.item() == pytest.approx(0, abs=1e-14)
    assert torch.isfinite(of_one_class.grad).all()
    assert pixel_contrast(z[:0], labels[:0]).item() == 0


def test_gradients_are_those_of_finite_differences():
    z, labels = anchors()
    for pairs in ("all", "intra", "cross"):
        assert torch.autograd.gradcheck(
            lambda x, pairs=pairs: pixel_contrast(x, labels, 0.5, modality=MODALITY, pairs=pairs),
            (z.clone().requires_grad_(),),
        )


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_saturated_inputs_stay_finite_in_half_precision(half):
    z, labels = anchors()
    z = (6e4 * z.sign()).to(half).requires_grad_()
    f_t = (6e4 * maps(2, 4, 3, 3).sign()).to(half)
    f_s = (6e4 * maps(2, 4, 3, 3, seed=1).sign()).to(half).requires_grad_()
    with torch.autocast("cpu", dtype=half):
        pixels = aligned_pixels(f_s, f_t)
        values = [pixel_contrast(z, labels, 0.01), dense_cmc(pixels, 0.01), dense_cmd(pixels, tau_s=0.01).loss]
    torch.stack(values).sum().backward()
    for x in (*values, z.grad, f_s.grad):
        assert torch.isfinite(x).all()
    assert {value.dtype for value in values} == {torch.float32}


def test_anchors_are_drawn_evenly_from_classes_large_enough():
    labels = torch.zeros(2, 6, 10, dtype=torch.long)
    labels[0, :2] = 1  # 20 of class 1, 40 of class 0
    labels[1, :, :1] = 2  # 6 of class 2, 44 of class 0 and 10 ignored
    labels[1, :, 9:] = 255
    labels[1, 0, 1:5] = 255
    chosen = anchor_pixels(labels, max_samples=30, max_views=8)
    drawn = labels.flatten()[chosen]
    assert len(set(chosen.tolist())) == len(chosen) == 24
    assert [(drawn[chosen < 60] == k).sum().item() for k in (0, 1)] == [8, 8]
    assert (drawn[chosen >= 60] == 0).sum().item() == 8
    assert len(anchor_pixels(labels, max_samples=30, max_views=5)) == 4 * 5
    assert len(anchor_pixels(labels, max_samples=14, max_views=5)) == 4 * 3
    assert len(anchor_pixels(labels, max_samples=3, max_views=5)) == 0
    assert len(anchor_pixels(labels, max_views=45)) == 0
    assert len(anchor_pixels(torch.full_like(labels, 255), max_views=1)) == 0


@pytest.mark.parametrize(("wrong", "hard"), [(0, 0), (3, 3), (4, 4), (10, 4), (16, 4), (17, 5), (20, 8)])
@pytest.mark.parametrize("views", [8, 7])
def test_half_of_the_anchors_are_hard_where_there_are_enough(wrong, hard, views):
    labels = torch.ones(1, 4, 5, dtype=torch.long)
    prediction = labels.clone()
    prediction.view(-1)[torch.randperm(20, generator=torch.Generator().manual_seed(wrong))[:wrong]] = 0
    chosen = anchor_pixels(labels, prediction, max_samples=views, max_views=9)
    assert len(chosen) == views
    expected = min(wrong, max(views // 2, views - (20 - wrong)))
    assert (prediction.flatten()[chosen] == 0).sum().item() == expected
    if views == 8:
        assert expected == hard


def test_a_stage_contrasts_the_classes_of_both_branches():
    labels = torch.arange(4).repeat_interleave(64).reshape(1, 16, 16)
    stages = [[maps(1, 5, size, size, seed=10 * size + i) for i in range(2)] for size in (16, 8, 4)]
    # Every class has as many pixels as are drawn (less one): nothing is left to chance but one pixel.
    expected = []
    for pair, size in zip(stages, (16, 8, 4), strict=True):
        rows = torch.cat([f.permute(0, 2, 3, 1).reshape(-1, 5) for f in pair])
        y = torch.arange(4).repeat_interleave(size * size // 4).repeat(2)
        expected.append(pixel_contrast(rows, y).item())
    values = []
    for pair, size in zip(stages, (16, 8, 4), strict=True):
        few = size * size // 4 - 1
        generator = torch.Generator().manual_seed(0)
        draws = [
            stage_contrast([pair], labels, max_samples=4 * few, max_views=few, generator=generator) for _ in range(30)
        ]
        values.append(sum(draws).item() / 30)
    assert values == pytest.approx(expected, rel=0.1)
    assert stage_contrast(stages[2:], labels).item() == 0, "no class of 16 pixels has more than 100"


def test_projecting_the_drawn_pixels_is_drawing_from_projected_maps():
    labels = torch.arange(4).repeat_interleave(64).reshape(1, 16, 16)
    project = PixelProjections([5, 3], 7).double()
    branches = [[maps(1, 5, 16, 16, seed=i), maps(1, 3, 8, 8, seed=9 + i)] for i in range(2)]
    values, gradients = [], []
    for early in (False, True):
        stages = list(zip(*(project(b) if early else b for b in branches), strict=True))
        late = None if early else [partial(project.rows, stage) for stage in range(2)]
        generator = torch.Generator().manual_seed(0)
        value = stage_contrast(stages, labels, max_samples=20, max_views=5, generator=generator, project=late)
        values.append(value.item())
        gradients.append(torch.cat([g.flatten() for g in torch.autograd.grad(value, list(project.parameters()))]))
    assert values[0] == pytest.approx(values[1], rel=1e-12)
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-12)


def test_stages_contrast_across_or_within_branches():
    labels = torch.arange(2).repeat_interleave(8).reshape(1, 4, 4)
    centre = torch.eye(4).double()
    # Both branches separate classes, in different directions: within each nothing is left to do, across there is.
    source = centre[labels].permute(0, 3, 1, 2)
    target = centre[2 + labels].permute(0, 3, 1, 2)
    values = {p: stage_contrast([(source, target)], labels, pairs=p, max_views=4).item() for p in ("intra", "cross")}
    assert values["intra"] < 0.01
    # All cosines across are equal: log(1 + negatives), 4 or 3 by the draw of each branch.
    assert values["cross"] == pytest.approx(0.1 / 0.07 * math.log(1 + 4), rel=1e-9)
    # Stages are averaged: one as above, one whose branches agree.
    agree = 0.1 / 0.07 * math.log1p(4 * math.exp(-10))
    both = stage_contrast([(source, target), (source, source)], labels, pairs="cross", max_views=4)
    assert both.item() == pytest.approx((values["cross"] + agree) / 2, rel=1e-9)


def test_aligned_pixels_are_of_one_place():
    k = torch.arange(24.0).reshape(2, 1, 3, 4)
    pixels = aligned_pixels(k, torch.cat((k, -k), 1), 7, generator=torch.Generator().manual_seed(0))
    assert len(pixels.student) == len(set(pixels.student.flatten().tolist())) == 7
    assert torch.equal(pixels.teacher, torch.cat((pixels.student, -pixels.student), 1))
    assert torch.equal(pixels.image, (pixels.student[:, 0] >= 12).long())
    assert pixels.label is None
    labels = torch.full((2, 3, 4), 255)
    labels[1, :2] = torch.arange(8).reshape(2, 4)
    pixels = aligned_pixels(k, k, labels=labels)
    assert sorted(pixels.student.flatten().tolist()) == list(range(12, 20))
    assert torch.equal(pixels.label, (pixels.student[:, 0] - 12).long())


def test_dense_cmcd_is_cmcd_on_pixels():
    f_s, f_t = features()
    pixels = aligned_pixels(f_s, f_t, labels=torch.arange(64).reshape(2, 4, 8) % 3)
    rows = pixels.teacher, pixels.student
    assert dense_cmc(pixels, 0.2).item() == pytest.approx(naive.cmc(*rows, 0.2), rel=1e-10)
    by_label = naive.cmc(*rows, 0.2, pixels.label.tolist())
    assert dense_cmc(pixels, 0.2, by_label=True).item() == pytest.approx(by_label, rel=1e-10)
    for form in ("seed", "intra"):
        expected = naive.cmd(*rows, form, 0.1, 0.3, True)
        found = dense_cmd(pixels, form=form, tau_s=0.3)._asdict()
        assert {k: v.item() for k, v in found.items()} == pytest.approx(expected, rel=1e-9)
    turned = aligned_pixels(torch.einsum("nchw,cd->ndhw", f_t, rotation(8)), f_t)
    assert dense_cmd(turned, form="intra").kl.item() == pytest.approx(0, abs=1e-12)


def test_dense_cmcd_reaches_the_student_alone():
    f_s, f_t = (f.requires_grad_() for f in features())
    pixels = aligned_pixels(f_s, f_t, 16)
    (dense_cmc(pixels) + dense_cmd(pixels).loss).backward()
    assert f_t.grad is None
    assert (f_s.grad.abs().sum(1) > 0).sum() == 16


def test_too_few_pixels_are_zero_with_a_gradient():
    f_s, f_t = features()
    f_s.requires_grad_()
    none = torch.full((2, 4, 8), 255)
    one = none.clone()
    one[0, 0, 0] = 1
    for labels in (none, one):
        pixels = aligned_pixels(f_s, f_t, labels=labels)
        total = dense_cmc(pixels) + dense_cmd(pixels).loss + dense_cmd(pixels, form="intra", include_self=False).kl
        total.backward()
        assert total.item() == 0


def test_what_cannot_be_meant_is_refused():
    z, labels = anchors()
    with pytest.raises(ValueError, match="modality"):
        pixel_contrast(z, labels, pairs="cross")
    with pytest.raises(ValueError, match="rows"):
        pixel_contrast(z, labels[:3])
    with pytest.raises(ValueError, match="positive"):
        pixel_contrast(z, labels, 0.0)
    with pytest.raises(ValueError, match="stage"):
        stage_contrast([], labels)
    pixels = aligned_pixels(*features())
    with pytest.raises(ValueError, match="labels"):
        dense_cmc(pixels, by_label=True)
    with pytest.raises(ValueError, match="at least 2"):
        aligned_pixels(*features(), 1)
