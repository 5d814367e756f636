"""Vectors through the stages: who can teach them, who can learn from them, and what is refused before it starts."""

import numpy as np
import pytest
import torch

from protocols import load_budget
from tests.runs import context, numbers, run, runner, spec
from xkd_bench import methods, registry
from xkd_bench.errors import UsageError
from xkd_bench.models import weights
from xkd_bench.models.encoders import build_encoder
from xkd_bench.stages.teacher import build_teacher, teacher_features

TASK = "twin-gaussian:items=300,latents=3"
COMPARE_MAPS = {"cmst", "cmkd", "socket"}
METHODS = sorted(name for name in registry.entries("methods") if "classification" in methods.get(name).kinds)


@pytest.mark.parametrize("budget", ["smoke", "laptop", "paper"])
def test_every_budget_has_a_student_for_vectors_and_nothing_else_changes(budget):
    image, vector = (load_budget(budget, kind).model_dump() for kind in ("image", "vector"))
    assert vector.pop("student").startswith("mlp-w")
    assert not image.pop("student").startswith("mlp")
    assert vector == image


def test_vectors_are_taught_by_the_students_own_network():
    assert spec(task=TASK, method="cmc").teacher == "simclr"
    assert spec(task=TASK, method="ssl").teacher == "none"
    assert spec(task=f"{TASK},render=image", method="cmc").teacher == "efficientnet-lite0"


def test_the_random_teacher_is_that_network_with_statistics_of_the_vectors(tmp_path):
    one = context(tmp_path, task=TASK, method="cmc", teacher="random")
    teacher = build_teacher(one)
    trained = build_teacher(context(tmp_path, task=TASK, method="cmc", teacher="simclr"))
    assert [t.shape for t in teacher.state_dict().values()] == [t.shape for t in trained.state_dict().values()]
    features = teacher_features(one)[one.split.pairs_source]
    assert features.shape == (len(one.split.pairs_source), 32)
    assert torch.isfinite(features).all()
    assert features.std(0).mean() > 0.1, "it tells vectors apart"
    again = build_teacher(context(tmp_path, task=TASK, method="cmc", teacher="random"))
    other = build_teacher(context(tmp_path, task=TASK, method="cmc", teacher="random", seed=1))
    x = torch.from_numpy(np.array(one.data.source.data[:50]))
    assert torch.equal(teacher(x), again(x))
    assert not torch.allclose(teacher(x), other(x))


def test_random_teachers_of_two_students_are_two(tmp_path):
    runs = [run(tmp_path, task=TASK, method="cmc", teacher="random", student=s) for s in ("mlp-w8", "mlp-w16")]
    assert runs[0]["students"] != runs[1]["students"]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_runs_on_vectors_or_says_why_not(tmp_path, method):
    if method in COMPARE_MAPS:
        with pytest.raises(UsageError, match=f"method '{method}' compares feature maps, and vectors"):
            spec(task=TASK, method=method)
        return
    record = run(tmp_path, task=TASK, method=method)
    assert record["spec"]["student"] == "mlp-w32"
    assert 0 < record["scores"][0]["value"] <= 1


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"teacher": "efficientnet-lite0"}, "teacher 'efficientnet-lite0' takes images, and the source of"),
        ({"teacher": "random:efficientnet-lite0"}, "takes images, and the source of"),
        ({"task": f"{TASK},render=image", "teacher": "mlp-w8"}, "takes vectors, and the source of"),
    ],
)
def test_a_teacher_of_another_kind_is_refused_in_one_line(tmp_path, fields, line):
    file = tmp_path / "weights.safetensors"
    weights.save(build_encoder("mlp-w8", 6, ()), file)
    given = {"teacher_weights": file} if fields["teacher"] == "mlp-w8" else {}
    with pytest.raises(UsageError, match=line):
        spec(**{"task": TASK, "method": "cmc", **fields, **given})


def test_a_student_of_another_kind_is_refused_before_anything_is_trained(tmp_path):
    one = runner(tmp_path)
    with pytest.raises(UsageError, match="takes images, and these are vectors"):
        one.check(spec(task=TASK, method="cmc", student="conv4-w8"))


def test_a_teacher_may_be_an_mlp_with_weights_from_a_file(tmp_path):
    file = tmp_path / "weights.safetensors"
    torch.manual_seed(5)
    weights.save(build_encoder("mlp-w8", 6, ()), file)
    taught, untaught = (
        run(tmp_path, task=TASK, method="cmc", teacher=name, teacher_weights=file)
        for name in ("mlp-w8", "random:mlp-w8")
    )
    assert taught["spec"]["teacher_digest"]
    assert taught["students"] != untaught["students"]


def test_the_same_run_again_gives_the_same_numbers(tmp_path):
    first, second = (run(tmp_path / name, task=TASK, method="cmd", protocol="few-shot") for name in "ab")
    assert numbers(first) == numbers(second)
