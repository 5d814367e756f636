"""LIX-style weights with parameters: what they learn, where they start, and whom their gradients reach."""

import pytest
import torch

from tests.losses.dense_golden import random_logits
from xkd_bench.errors import UsageError
from xkd_bench.losses.lix import controller_objective, dwld, weighted
from xkd_bench.losses.lix_decoupled import decouple
from xkd_bench.losses.lix_weights import constant
from xkd_bench.models.weighting import LearnedBandwidth, LearnedWeights


def trained_by(signal, steps: int = 100) -> tuple[float, torch.Tensor, torch.Tensor]:
    """A controller trained alone, networks held: the weighted mean, its weights, and the plain loss of each pixel."""
    torch.manual_seed(0)
    z_s, z_t, label = random_logits(2, 4, 5, 5, seed=3)
    controller = LearnedWeights(4).double()
    parts = decouple(z_s, z_t, label)
    before = parts.mean(weighted(parts, controller(parts, "pixel"))).item()
    optimiser = torch.optim.Adam(controller.parameters(), lr=0.1)
    for _ in range(steps):
        optimiser.zero_grad()
        signal(z_s, z_t, label, controller).backward()
        optimiser.step()
    weights = controller(parts, "pixel")
    return parts.mean(weighted(parts, weights)).item() / before, weights.beta.detach(), parts.ncld()


def test_a_controller_that_lowers_the_students_loss_learns_to_look_away_and_the_objective_to_look():
    ratio, weight, loss = trained_by(lambda *given: -controller_objective(*given))
    hard = loss > loss.median()
    assert ratio < 0.7  # the loss fell, and no network has learned a thing
    assert weight[hard].mean() < 0.8
    ratio, weight, loss = trained_by(controller_objective)
    assert ratio > 1.3
    assert weight[hard].mean() > 1.2


@pytest.mark.parametrize("level", ["pixel", "element"])
def test_learned_weights_start_at_1_keep_their_mean_and_never_reach_the_networks(level):
    z_s, z_t, label = random_logits(2, 4, 3, 3)
    label[0, :2] = 255
    controller = LearnedWeights(4, level).double()
    z_s.requires_grad_()
    start = dwld(z_s, z_t, label, controller, 2.0, level=level)
    assert start.loss.item() == pytest.approx(dwld(z_s, z_t, label, constant(1, 1), 2.0).loss.item(), rel=1e-12)
    torch.nn.init.normal_(controller.conv.weight)
    parts = decouple(z_s, z_t, label)
    weights = controller(parts, level)
    counted = parts.counts
    for weight in weights:
        channels = weight[:, None] if level == "pixel" else weight
        assert (channels >= 0).all()
        means = [channels[:, c][counted].mean().item() for c in range(channels.shape[1])]
        assert means == pytest.approx([1.0] * len(means), rel=1e-12)
    # The student's loss moves no weight, the controller's objective no network.
    dwld(z_s, z_t, label, controller, level=level).loss.backward()
    assert all(p.grad is None for p in controller.parameters())
    assert z_s.grad.abs().max() > 0
    z_s.grad = None
    controller_objective(z_s, z_t, label, controller, level=level).backward()
    assert all(p.grad.abs().max() > 0 for p in controller.parameters())
    assert z_s.grad is None


def test_learned_weights_of_no_pixel_and_of_the_wrong_level():
    z_s, z_t, label = random_logits(1, 4, 2, 2)
    controller = LearnedWeights(4).double()
    parts = decouple(z_s, z_t, torch.full_like(label, 255))
    assert all(torch.isfinite(w).all() for w in controller(parts, "pixel"))
    with pytest.raises(ValueError, match="made for level 'pixel'"):
        dwld(z_s, z_t, label, controller, level="element")


@pytest.mark.parametrize("init", [1e-3, 0.5, 8.0, 90.0])
def test_a_learned_bandwidth_starts_where_it_is_told(init):
    h = LearnedBandwidth(init)()
    assert h.item() == pytest.approx(init, rel=1e-4)
    assert h.requires_grad
    with pytest.raises(UsageError, match="positive"):
        LearnedBandwidth(-init)
