"""Under bf16 a network runs in 16 bits, and a method's loss in 32."""

import copy

import pytest
import torch

from tests.methods.test_contract import DISTILLING, build, first_batch
from tests.methods.test_contract import data as data  # fixtures
from tests.methods.test_contract import features as features


@pytest.mark.parametrize("name", DISTILLING)
def test_under_bf16_the_loss_is_in_float32_and_near_the_exact_one(name, data, features):
    model = build(name, features)
    twin, batch = copy.deepcopy(model), first_batch(model, data, features)
    torch.manual_seed(3)
    exact = model(batch)
    torch.manual_seed(3)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = twin(batch)
    assert mixed["loss"].dtype == torch.float32
    assert mixed["loss"].item() != exact["loss"].item()  # it did run in 16 bits
    assert mixed["loss"].item() == pytest.approx(exact["loss"].item(), rel=0.03, abs=0.02)
    mixed["loss"].backward()
    assert all(p.grad is None or p.grad.dtype == torch.float32 for p in twin.parameters())
