"""The temperature: fixed it is its number, learned it stays where CLIP keeps it and finds its way back."""

import math

import pytest
import torch

from xkd_bench.errors import UsageError
from xkd_bench.models.temperature import Temperature


def test_fixed_it_is_the_number_given_and_has_no_parameter():
    tau = Temperature(0.3)
    assert tau() == 0.3
    assert isinstance(tau(), float)
    assert not list(tau.parameters())
    assert not tau.state_dict()


@pytest.mark.parametrize("init", [0.01, 0.07, 0.5, 1.0])
def test_learned_it_starts_at_the_number_with_the_gradient_of_its_logarithm(init):
    tau = Temperature(init, learnable=True)
    value = tau()
    assert value.item() == pytest.approx(init, rel=1e-6)
    assert value.dtype == torch.float32
    (3 * value).backward()
    (parameter,) = tau.parameters()
    assert parameter.item() == pytest.approx(math.log(1 / init), abs=1e-6)
    assert parameter.grad.item() == pytest.approx(-3 * init, rel=1e-5)  # d exp(-p) / dp = -τ


@pytest.mark.parametrize(("direction", "edge"), [(1.0, 0.01), (-1.0, 1.0)])
def test_pulled_out_of_its_range_it_stays_at_the_edge_and_comes_back(direction, edge):
    tau = Temperature(0.1, learnable=True)
    optimiser = torch.optim.SGD(tau.parameters(), lr=5.0)

    def step(sign: float) -> None:
        optimiser.zero_grad()
        (sign * tau().log()).backward()  # a gradient of ∓1 on the parameter
        optimiser.step()

    for _ in range(5):
        step(direction)
        assert 0.01 - 1e-6 <= tau().item() <= 1 + 1e-6
    assert tau().item() == pytest.approx(edge, rel=1e-5)
    optimiser.param_groups[0]["lr"] = 0.1
    step(-direction)
    assert tau().item() == pytest.approx(edge * math.exp(0.1 * direction), rel=1e-4)


def test_under_autocast_it_is_in_float32():
    with torch.autocast("cpu", torch.bfloat16):
        assert Temperature(0.07, learnable=True)().dtype == torch.float32


@pytest.mark.parametrize(
    ("init", "learnable", "said"),
    [
        (0.0, False, "a temperature is positive, got 0"),
        (-1.0, True, "a temperature is positive, got -1"),
        (0.005, True, r"stays in \[0.01, 1\], so it cannot start at 0.005"),
        (2.0, True, "cannot start at 2"),
    ],
)
def test_temperatures_that_cannot_be(init, learnable, said):
    with pytest.raises(UsageError, match=said):
        Temperature(init, learnable)
    if init > 0:
        assert Temperature(init)() == init
