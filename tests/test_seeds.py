"""Streams of randomness: one a purpose, the same on every machine and for ever."""

import ast
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from protocols import Recipe
from tests.forks import ROOT
from tests.runs import context
from tests.toy import ToyData
from xkd_bench.sampling import draw_labels, exchanged, pair_sampler
from xkd_bench.seeds import PURPOSES, stream, streams
from xkd_bench.stages import student as student_stage
from xkd_bench.training import fit, make_fabric


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


# --- the streams of a run -------------------------------------------------------------------------------------------


def purposes_in(files: Iterable[Path]) -> set[str]:
    """First words of the purposes that these files draw for."""
    found = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "stream" and len(node.args) > 1:
                assert isinstance(node.args[1], ast.Constant), f"{file}:{node.lineno}: a purpose is a word"
                found.add(node.args[1].value)
    return found


def test_every_stream_that_a_run_draws_from_is_recorded():
    package = ROOT / "xkd_bench"
    stages = ("student", "dense_student", "teacher", "dense_teacher", "scores", "dense")
    files = [package / "sampling.py", package / "segmentation.py", package / "evaluation.py"]
    files += [package / "stages" / f"{name}.py" for name in stages]
    assert purposes_in(files) == set(PURPOSES)
    handed_on = purposes_in(package / name for name in ("training.py", "batches.py", "dense_batches.py"))
    assert handed_on == {"epoch", "order"}


def test_the_streams_of_a_run_are_those_that_it_uses_and_no_two_are_one():
    found = streams(3)
    assert len(set(found.values())) == len(found) == len(PURPOSES)
    assert found["student"] == stream(3, "student")
    assert found["labels/0"] == stream(3, "labels", 0)
    assert not set(found.values()) & set(streams(4).values())


def drawn(spec_seed: int = 0, **changed: int) -> dict[str, Any]:
    """What a run draws, each by its own stream; changed: so many more draws of torch's generator before one of them."""
    data = ToyData(16, 16)
    split = data.split(spec_seed)
    found: dict[str, Any] = {}

    def before(name: str) -> None:
        torch.rand(changed.get(name, 0))

    before("batches")
    sampler = pair_sampler(data, split, seed=spec_seed, batch=8)
    found["batches"] = [(a.tolist(), b.tolist()) for a, b in sampler.epoch(0)]
    before("labels")
    found["labels"] = draw_labels(split, 2, seed=spec_seed, draw=0).tolist()
    before("pairs")
    found["pairs"] = pair_sampler(data, split, seed=spec_seed, batch=8, fraction=0.5).target.tolist()
    before("shuffled")
    found["shuffled"] = [int(own[0]) for own in exchanged({i: np.array([i]) for i in range(9)}, spec_seed).values()]
    return found


def test_what_one_stream_is_used_for_does_not_shift_the_others():
    plain = drawn()
    for name in plain:
        assert drawn(**{name: 7}) == plain
    assert drawn(1)["batches"] != plain["batches"]


@pytest.mark.usefixtures("toy")
def test_every_method_of_a_seed_starts_from_one_student_whatever_was_drawn_before(tmp_path):
    weights = []
    for number, method in enumerate(("cmc", "crd", "ssl")):
        torch.rand(number)
        weights.append(student_stage._fresh(context(tmp_path, method=method)).state_dict())
    for other in weights[1:]:
        assert all(torch.equal(value, other[name]) for name, value in weights[0].items())


def test_views_of_an_epoch_do_not_depend_on_how_many_were_drawn_in_the_one_before():
    seen: dict[int, list[torch.Tensor]] = {}

    class Draws(nn.Module):
        def __init__(self, more: int) -> None:
            super().__init__()
            self.w, self.more = nn.Parameter(torch.zeros(())), more

        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            seen.setdefault(self.more, []).append(x)
            return {"loss": (self.w - 1).square()}

    for more in (0, 5):

        def batches(epoch: int, more: int = more) -> Iterator[torch.Tensor]:
            yield torch.rand(3)
            torch.rand(more * (epoch == 0))

        recipe = Recipe.model_validate(
            {"lr": 0.1, "epochs": 2, "batch": 3, "schedule": "constant", "augmentation": "none"}
        )
        fit(Draws(more), batches, 1, recipe, seed=0, fabric=make_fabric("cpu"), what="x")
    assert torch.equal(seen[0][0], seen[5][0])
    assert torch.equal(seen[0][1], seen[5][1])
    assert not torch.equal(seen[0][0], seen[0][1])
