"""Streams of randomness: one a purpose, the same on every machine and for ever."""

import hashlib

import pytest

from xkd_bench.seeds import stream


@pytest.mark.parametrize(("purpose", "text"), [(("labels", 3), "0/labels/3"), (("train",), "0/train"), ((), "0")])
def test_a_stream_is_the_head_of_a_sha256(purpose, text):
    assert stream(0, *purpose) == int(hashlib.sha256(text.encode()).hexdigest()[:16], 16) // 2


def test_purposes_and_seeds_have_streams_of_their_own():
    made = [stream(s, what, n) for s in range(20) for what in ("labels", "order", "batches") for n in range(20)]
    assert len(set(made)) == len(made)


def test_every_generator_takes_a_stream_as_its_seed():
    assert all(0 <= stream(seed, "x") < 2**63 for seed in range(1000))


def test_a_seed_and_a_number_of_the_purpose_are_not_mixed_up():
    assert stream(1, 23) != stream(12, 3)
