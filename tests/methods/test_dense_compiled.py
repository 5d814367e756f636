"""Every dense method goes through torch.compile: its step has the loss and the gradients that it has without."""

import copy

import pytest
import torch

from tests.methods.dense_toys import batch, build
from tests.methods.test_dense_contract import DISTILLING


@pytest.mark.parametrize("name", DISTILLING)
def test_compiled_a_step_is_the_same(name):
    """Traced, then run as it is: no C++ compiler is needed, and random numbers are drawn in the same order."""
    model, shown = build(name), batch(name)
    twin = copy.deepcopy(model)
    try:
        compiled = torch.compile(twin, backend="eager")
        for _ in range(2):  # what sampling leaves differs in size from step to step
            found = []
            for module, of in ((model, model), (compiled, twin)):
                torch.manual_seed(0)
                of.zero_grad()
                loss = module(copy.copy(shown))["loss"]
                loss.backward()
                found.append((loss.item(), [p.grad for p in of.parameters()]))
            (loss, grads), (again, others) = found
            assert again == pytest.approx(loss, rel=1e-5)
            assert [g is None for g in grads] == [g is None for g in others]
            for one, other in zip(grads, others, strict=True):
                if one is not None:
                    torch.testing.assert_close(other, one, rtol=1e-3, atol=1e-5)
    finally:
        torch._dynamo.reset()
