"""Chunks of rows change memory and nothing else: values and gradients of the whole, whatever the chunk."""

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from tests.losses.test_contrastive import pair
from xkd_bench.losses import chunks
from xkd_bench.losses.contrastive import cmc, ntxent
from xkd_bench.losses.queue import FeatureQueue
from xkd_bench.losses.similarity import cmd

N, Q = 11, 9
CONCEPT = torch.tensor([0, 0, 1, 2, 3, 3, 3, 4, 5, 6, 0])
OTHERS = torch.tensor([0, 7, 8, 3, 3, 9, -1, 10, 1])
VALID = torch.arange(Q) < 6


def queue() -> Tensor:
    return pair(Q, 5, seed=9)[0]


LOSSES = {
    "ntxent": lambda a, b, **k: ntxent(a, b, 0.2, **k),
    "cmc": lambda a, b, **k: cmc(a, b, 0.2, **k),
    "cmc concepts": lambda a, b, **k: cmc(a, b, 0.2, CONCEPT, **k),
    "cmc queue": lambda a, b, **k: cmc(a, b, 0.2, queue=queue(), **k),
    "cmc queue concepts": lambda a, b, **k: cmc(
        a, b, 0.2, CONCEPT, queue=queue(), queue_concept=OTHERS, queue_valid=VALID, **k
    ),
    "cmd seed": lambda a, b, **k: cmd(a, b, tau_s=0.3, **k).loss,
    "cmd seed others": lambda a, b, **k: cmd(a, b, include_self=False, **k).kl,
    "cmd intra": lambda a, b, **k: cmd(a, b, form="intra", include_self=False, **k).loss,
    "cmd bank": lambda a, b, **k: cmd(a, b, bank=queue(), **k).loss,
    "cmd bank valid": lambda a, b, **k: cmd(a, b, bank=queue(), bank_valid=VALID, include_self=False, **k).loss,
}
EACH = pytest.mark.parametrize("name", LOSSES)


def value_and_gradients(name: str, **options: int) -> list[Tensor]:
    a, b = (z.requires_grad_() for z in pair(N, 5))
    value = LOSSES[name](a, b, **options)
    value.backward()
    return [value.detach(), b.grad, *([a.grad] if a.grad is not None else [])]


@EACH
@pytest.mark.parametrize("chunk", [1, 2, 4, 10, 22])
def test_values_and_gradients_are_those_of_the_whole(name, chunk):
    whole, parts = value_and_gradients(name, chunk=1000), value_and_gradients(name, chunk=chunk)
    assert len(whole) == len(parts)
    for one, other in zip(whole, parts, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-12, atol=1e-14)


@EACH
def test_gradients_are_those_of_finite_differences(name):
    a, b = pair(N, 5)
    assert torch.autograd.gradcheck(lambda z: LOSSES[name](a, z, chunk=4), (b[:, :].requires_grad_(),), fast_mode=True)


@pytest.mark.parametrize("loss", [cmc, ntxent])
def test_a_learned_temperature_gets_its_gradient(loss):
    a, b = pair(N, 5)
    gradients = []
    for chunk in (1000, 3):
        tau = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
        loss(a, b, tau, chunk=chunk).backward()
        gradients.append(tau.grad.item())
    assert gradients[1] == pytest.approx(gradients[0], rel=1e-12)


def test_entropy_and_distance_come_in_chunks_too():
    a, b = pair(N, 5)
    for whole, parts in zip(cmd(a, b, chunk=1000), cmd(a, b, chunk=3), strict=True):
        assert parts.item() == pytest.approx(whole.item(), rel=1e-12)


@EACH
def test_float32_loses_nothing_by_chunks(name, monkeypatch):
    a, b = (z.float() for z in pair(N, 5))
    monkeypatch.setattr("tests.losses.test_chunks.queue", lambda: pair(Q, 5, seed=9)[0].float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        whole, parts = (LOSSES[name](a, b, chunk=chunk) for chunk in (1000, 3))
    assert parts.dtype == torch.float32
    assert parts.item() == pytest.approx(whole.item(), rel=3e-6)


def test_a_tiny_loss_keeps_its_digits():
    # log(1 + 63 e^(-1/τ)) is 4e-5: a difference of numbers near 14 would have none left.
    z = torch.eye(64)
    assert cmc(z, z, 0.07, chunk=10).item() == pytest.approx(3.93663e-5, abs=2e-7)


class LargestTensor(TorchDispatchMode):
    """The most elements that any result of an operation has, in backward too."""

    largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else [out]:
            if isinstance(tensor, Tensor):
                self.largest = max(self.largest, tensor.numel())
        return out


@pytest.mark.parametrize(
    ("loss", "rows"),
    [
        (lambda a, b, **k: ntxent(a, b, 0.2, **k), 256),
        (lambda a, b, **k: cmc(a, b, 0.2, **k), 128),
        (lambda a, b, **k: cmc(a, b, 0.2, torch.arange(128) // 2, **k), 128),
        (lambda a, b, **k: cmd(a, b, **k).loss, 128),
    ],
)
def test_no_matrix_of_all_similarities_is_made(loss, rows):
    a, b = pair(128, 4)
    sizes = {}
    for chunk in (1000, 8):
        with LargestTensor() as seen:
            loss(a, b.clone().requires_grad_(), chunk=chunk).backward()
        sizes[chunk] = seen.largest
    assert sizes[1000] == rows * rows
    assert sizes[8] <= max(8 * rows, rows // 8 * rows)  # a chunk, or the parts of the columns' normalisers


@EACH
def test_large_batches_are_chunked_unasked(name, monkeypatch):
    expected = value_and_gradients(name)
    calls = []
    monkeypatch.setattr(chunks, "checkpoint", lambda f, rows, **_: calls.append(rows) or f(rows))
    monkeypatch.setattr(chunks, "FEWEST_ROWS", 2)
    value_and_gradients(name)
    assert not calls  # few similarities
    monkeypatch.setattr(chunks, "AT_ONCE_CPU", 3 * N)
    for one, other in zip(expected, value_and_gradients(name), strict=True):
        torch.testing.assert_close(other, one, rtol=1e-12, atol=1e-14)
    assert len(calls) > 1


@pytest.mark.parametrize("chunk", [1000, 3])
def test_a_queue_may_move_on_before_backward(chunk):
    a, b = pair(N, 5)
    gradients = []
    for push in (False, True):
        keys = FeatureQueue(Q, 5)
        keys.push(queue()[:6], OTHERS[:6])
        z = b.clone().requires_grad_()
        valid = keys.valid
        state = {"queue": keys.features, "queue_concept": keys.concept, "queue_valid": valid}
        loss = cmc(a, z, 0.2, CONCEPT, **state, chunk=chunk)
        loss = loss + cmd(a, z, bank=keys.features.double(), bank_valid=valid, chunk=chunk).loss
        if push:
            keys.push(a[:5], CONCEPT[:5])
            valid.fill_(True)
        loss.backward()
        gradients.append(z.grad)
    assert torch.equal(*gradients)


@pytest.mark.parametrize("chunk", [0, -3])
@pytest.mark.parametrize("loss", [cmc, ntxent])
def test_a_chunk_without_rows_is_refused(loss, chunk):
    with pytest.raises(ValueError, match="at least 1 row"):
        loss(*pair(4, 3), 0.1, chunk=chunk)
