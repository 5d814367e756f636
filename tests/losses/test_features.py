"""CMST and the common grid: against numpy loops, and by what must and must not change the loss."""

import numpy as np
import pytest
import torch

from tests.losses import naive
from xkd_bench.losses.features import cmst, enlarged, to_common_grid


def maps(*shapes: tuple[int, ...], seed: int = 0, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes]


GRIDS = [((4, 4), (4, 4)), ((8, 8), (4, 4)), ((3, 5), (7, 2)), ((7, 7), (5, 4)), ((1, 1), (6, 3))]


@pytest.mark.parametrize(("grid_b", "grid_a"), GRIDS)
def test_maps_meet_on_the_smaller_grid_of_each_axis(grid_b, grid_a):
    x, y = maps((2, 3, *grid_b), (2, 5, *grid_a))
    smaller = tuple(min(p, q) for p, q in zip(grid_b, grid_a, strict=True))
    for before, after in zip((x, y), to_common_grid(x, y), strict=True):
        assert after.shape == (*before.shape[:2], *smaller)
        np.testing.assert_allclose(after, naive.pooled(before.numpy(), *smaller), rtol=1e-12)
        if before.shape[2:] == smaller:
            assert after is before


@pytest.mark.parametrize(("grid_b", "grid_a"), GRIDS)
def test_values_are_those_of_the_loops(grid_b, grid_a):
    levels_b = [*maps((2, 3, *grid_b)), *maps((2, 6), seed=1)]
    levels_a = [*maps((2, 3, *grid_a), seed=2), *maps((2, 6), seed=3)]
    expected = naive.cmst(levels_b, levels_a)
    assert cmst(levels_b, levels_a).item() == pytest.approx(expected, rel=1e-12)
    parts = [cmst([b], [a]).item() for b, a in zip(levels_b, levels_a, strict=True)]
    assert cmst(levels_b, levels_a).item() == pytest.approx(sum(parts), rel=1e-12)


def test_it_is_zero_for_equal_features_alone():
    b = maps((3, 4, 5, 5), (3, 7))
    assert cmst(b, [x.clone() for x in b]).item() == 0
    moved = [b[0].clone(), b[1]]
    moved[0][1, 2, 3, 4] += 1e-3
    assert cmst(b, moved).item() == pytest.approx(1e-6 / b[0].numel(), rel=1e-9)


def test_pairs_count():
    b, a = maps((6, 3, 4, 4), (6, 3, 4, 4))
    assert abs(cmst([b], [a]).item() - cmst([b], [a.roll(1, 0)]).item()) > 0.01
    assert cmst([b.roll(1, 0)], [a.roll(1, 0)]).item() == pytest.approx(cmst([b], [a]).item(), rel=1e-12)


def test_gradients_are_those_of_finite_differences_and_the_teacher_has_none():
    b, v, a, w = maps((2, 2, 4, 3), (2, 3), (2, 2, 3, 5), (2, 3))
    assert torch.autograd.gradcheck(lambda x, y: cmst([x, y], [a, w]), (b.requires_grad_(), v.requires_grad_()))
    a.requires_grad_()
    cmst([b], [a]).backward()
    assert a.grad is None
    assert b.grad.abs().max() > 0


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_half_precision_reaches_the_inputs_alone(half):
    b, a = (x.to(half) for x in maps((4, 3, 6, 6), (4, 3, 3, 3), dtype=torch.float32))
    exact = cmst([b.float()], [a.float()])
    with torch.autocast("cpu", dtype=half):
        value = cmst([b], [a])
    assert value.dtype == torch.float32
    assert torch.equal(value, exact)


@pytest.mark.parametrize(
    ("b", "a", "message"),
    [
        ([(2, 3, 4, 4)], [(2, 5, 4, 4)], "adapter"),
        ([(2, 3)], [(2, 4)], "adapter"),
        ([(2, 3, 4, 4)], [(3, 3, 4, 4)], "one n"),
        ([(2, 3, 4, 4)], [(2, 3)], "feature maps"),
        ([(2, 3, 4)], [(2, 3, 4)], "feature maps"),
        ([(0, 3)], [(0, 3)], "one n"),
        ([(2, 3)], [], "levels"),
        ([], [], "levels"),
        ([(2, 3)], [(2, 3), (2, 3)], "levels"),
    ],
)
def test_what_cannot_be_meant_is_refused(b, a, message):
    with pytest.raises(ValueError, match=message):
        cmst([torch.ones(s) for s in b], [torch.ones(s) for s in a])


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [(24, 32), (9, 7), (6, 8), (1, 3), (13, 8)])
def test_maps_are_enlarged_as_torch_interpolates(size, layout):
    torch.manual_seed(0)
    x = torch.randn(2, 3, 6, 8, dtype=torch.float64).contiguous(memory_format=layout).requires_grad_()
    weights = torch.randn(2, 3, *size, dtype=torch.float64)
    expected = torch.nn.functional.interpolate(x, size, mode="bilinear", align_corners=False)
    found = enlarged(x, size)
    torch.testing.assert_close(found, expected)
    a, b = (torch.autograd.grad((weights * out).sum(), x)[0] for out in (found, expected))
    torch.testing.assert_close(a, b)


def test_maps_are_enlarged_in_the_precision_they_have():
    x = torch.randn(1, 2, 4, 4) * 100
    exact = enlarged(x.double(), (8, 8))
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(enlarged(x, (8, 8)).double(), exact, rtol=1e-5, atol=1e-4)
    assert enlarged(x.bfloat16(), (8, 8)).dtype == torch.bfloat16
    with torch.inference_mode():
        enlarged(x, (11, 11))
    x.requires_grad_()
    enlarged(x, (11, 11)).sum().backward()  # weights that were first needed without gradients serve with them too
    torch.testing.assert_close(x.grad.sum(), torch.tensor(2.0 * 11 * 11))
