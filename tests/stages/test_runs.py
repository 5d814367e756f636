"""Whole runs of the toy task: complete records, shared students, answers from the store, and what a key depends on."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.runs import METHODS, PROTOCOLS, context, numbers, run, runner, spec
from tests.toy import ToyData
from xkd_bench import evaluation
from xkd_bench.errors import UsageError
from xkd_bench.models import teachers
from xkd_bench.stages import student as student_stage
from xkd_bench.stages import teacher as teacher_stage
from xkd_bench.stages.student import distilled_student, student_key
from xkd_bench.stages.teacher import teacher_features, teacher_key
from xkd_bench.store import Store

pytestmark = pytest.mark.usefixtures("toy")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A store that the tests of this file fill and share; none may depend on what another left in it."""
    return tmp_path_factory.mktemp("results")


class Spy:
    """Stands in for a function, does what it does, and remembers."""

    def __init__(self, monkeypatch, module, name: str) -> None:
        self.real, self.calls, self.results = getattr(module, name), [], []
        monkeypatch.setattr(module, name, self)

    def __call__(self, *args, **options):
        self.calls.append((args, options))
        self.results.append(self.real(*args, **options))
        return self.results[-1]


def forbidden(*args, **options):
    raise AssertionError("this was in the store already")


CELLS = {"linear-eval": 1, "fine-tune": 1, "few-shot": 3 * 2 * 2, "reduced-pair": 6}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("method", METHODS)
def test_every_method_under_every_protocol_gives_a_complete_record(root, method, protocol):
    record = run(root, method=method, protocol=protocol)
    assert len(record["scores"]) == CELLS[protocol]
    correct = Store(root).correct(record["key"])
    assert correct.shape == (CELLS[protocol], record["split"]["test"])
    for score, right in zip(record["scores"], correct, strict=True):
        assert score["metric"] == "accuracy"
        assert score["value"] == pytest.approx(right.mean(), abs=1e-6)
        assert score["n_test"] == len(right) == 24
        labels = score["labels_per_class"]
        assert score["n_labels"] == (record["split"]["train"] if labels is None else 4 * labels)
        assert score["seconds"] >= 0
        assert (score["validation"] is None) == (score["trained"] == "all")
        assert set(score["chosen"]) == ({"C"} if score["trained"] == "head" else set())
    cells = [(s["pair_fraction"], s["trained"], s["labels_per_class"], s["draw"]) for s in record["scores"]]
    assert len(set(cells)) == len(cells)


def test_a_record_says_all_that_is_needed_to_understand_and_repeat_it(root):
    record = run(root, method="cmc", protocol="few-shot", options={"tau": 0.3})
    json.dumps(record, allow_nan=False)
    assert record["task"]["source"] == "colour shapes"
    assert record["task"]["target"] == "outlines"
    assert record["task"]["origin"] == "simulated"
    assert record["spec"] == spec(method="cmc", protocol="few-shot", options={"tau": 0.3}).model_dump()
    assert record["option_changes"] == {"tau": 0.3}
    assert record["provenance"] == "[RECON hi] CMCD eq. (3)"
    assert (record["protocol"]["name"], record["protocol"]["version"]) == ("few-shot", 1)
    assert record["budget"]["distil"]["lr"] > 0
    assert record["classes"] == ["disc", "square", "cross", "ring"]
    assert record["split"] == {"pairs_source": 56, "pairs_target": 56, "train": 56, "val": 16, "test": 24}
    assert record["batch"] == 56
    assert record["data_digest"] == ToyData(32, 32).digest
    assert record["key"] == Store(root).find(record["key"][:8])
    assert set(record["students"]) == {"1.0"}
    assert record["seconds"] > 0
    assert {"torch", "timm", "numpy", "xkd-bench"} <= set(record["environment"]["packages"])
    assert record["environment"]["device"]
    rows = Store(root).frame([record["key"]])
    assert len(rows) == 12
    assert rows["value"].tolist() == [s["value"] for s in record["scores"]]


def test_the_protocols_of_a_method_share_its_students(tmp_path, monkeypatch):
    fits = Spy(monkeypatch, student_stage, "fit")
    for protocol in PROTOCOLS:
        run(tmp_path, protocol=protocol)
    assert len(fits.calls) == 6  # one a fraction of the pairs; all pairs serve four protocols
    assert len(list((tmp_path / "artefacts" / "features").iterdir())) == 1


def test_a_finished_run_is_answered_from_the_store(root, monkeypatch):
    first = {p: run(root, protocol=p) for p in PROTOCOLS}
    for module, name in (
        (student_stage, "fit"), (teacher_stage, "fit"), (evaluation, "fit"), (evaluation, "fit_logistic"),
        (teacher_stage, "build_teacher"), (student_stage, "build_encoder"),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, forbidden)
    assert {p: run(root, protocol=p) for p in PROTOCOLS} == first


def test_the_same_run_in_another_place_gives_the_same_numbers(root, tmp_path):
    for method in ("cmc", "ssl"):
        for protocol in ("few-shot", "fine-tune"):
            one, two = (run(place, method=method, protocol=protocol) for place in (root, tmp_path))
            assert one["key"] == two["key"]
            assert numbers(one) == numbers(two)
            assert np.array_equal(Store(root).correct(one["key"]), Store(tmp_path).correct(one["key"]))


def test_seeds_and_controls_are_runs_of_their_own(root):
    variants = [{}, {"seed": 1}, {"pairs": "shuffled"}, {"teacher": "random"}, {"options": {"tau": 0.5}}]
    records = [run(root, **variant) for variant in variants]
    students = [next(iter(record["students"].values())) for record in records]
    assert len({record["key"] for record in records}) == len(set(students)) == len(variants)
    weights = [load_file(root / "artefacts" / "students" / key / "student.safetensors") for key in students]
    first = next(name for name, tensor in weights[0].items() if tensor.ndim == 4)
    assert all(not torch.equal(weights[0][first], other[first]) for other in weights[1:])


# --- keys -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"method": "cmd"}, {"protocol": "fine-tune"}, {"budget": "laptop"}, {"teacher": "random"},
        {"pairs": "shuffled"}, {"student": "resnet8-w32"}, {"seed": 1}, {"precision": "bf16"}, {"batch": 8},
        {"options": {"tau": 0.2}}, {"recipe": {"all.lr": 0.5}},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_a_records_key_changes_with_every_field(tmp_path, change):
    one = runner(tmp_path)
    assert one.key(spec(**change)) != one.key(spec())
    assert not list(tmp_path.iterdir())


def test_a_records_key_does_not_depend_on_the_order_of_options(tmp_path):
    options = {"tau": 0.2, "positives": "all", "centre_teacher": False}
    backwards = dict(reversed(options.items()))
    assert runner(tmp_path).key(spec(options=options)) == runner(tmp_path).key(spec(options=backwards))


def test_a_students_key_depends_on_its_distillation_and_not_on_how_it_is_scored(tmp_path):
    def key(fraction: float = 1.0, **fields) -> str:
        return student_key(context(tmp_path, **fields), fraction)

    assert len({key(protocol=p) for p in PROTOCOLS}) == 1
    other = [
        key(0.5), key(method="cmd"), key(seed=1), key(options={"tau": 0.2}), key(teacher="random"), key(batch=8),
        key(teacher="simclr"), key(pairs="shuffled"), key(student="resnet8-w32"), key(precision="bf16"), key(),
    ]  # fmt: skip
    assert len(set(other)) == len(other)
    # What nothing is distilled from changes nothing.
    assert key(method="sup-ft") == key(0.5, method="sup-ft") == key(method="sup-ft", batch=8)


def test_a_teachers_key_depends_on_how_it_was_made(tmp_path):
    def key(**fields) -> dict:
        return teacher_key(context(tmp_path, **fields))

    assert key() == key(seed=1) == key(precision="bf16") == key(student="resnet8-w32")
    assert key(teacher="random") != key(teacher="random", seed=1)
    assert key(teacher="random") == key(teacher="random", student="resnet8-w32")
    for change in ({"seed": 1}, {"student": "resnet8-w32"}, {"precision": "bf16"}, {"budget": "laptop"}):
        assert key(teacher="simclr") != key(teacher="simclr", **change)


# --- teachers and students ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("teacher", ["efficientnet-lite0", "random", "simclr"])
def test_features_are_of_the_source_items_in_order(root, teacher):
    run_context = context(root, teacher=teacher)
    features = teacher_features(run_context)
    known = run_context.split.pairs_source if teacher != "efficientnet-lite0" else np.arange(96)
    assert features.shape[0] == 96
    assert torch.isfinite(features[known]).all()
    others = np.setdiff1d(np.arange(96), known)
    assert torch.isnan(features[others]).all()  # a teacher of this seed has no business with items outside its pairs
    network = teacher_stage.build_teacher(run_context)
    some = known[[0, 7, -1]]
    with torch.no_grad():
        expected = network(torch.from_numpy(run_context.data.source.data[some]).float() / 255)
    assert torch.allclose(features[some], expected, atol=1e-3)


def test_distillation_updates_the_student_and_leaves_the_teachers_features(root):
    run_context = context(root)
    before = teacher_features(run_context)
    torch.manual_seed(0)
    fresh = student_stage._fresh(run_context).state_dict()
    trained = distilled_student(run_context, 1.0).state_dict()
    assert all(not torch.equal(fresh[name], trained[name]) for name in fresh if fresh[name].ndim == 4)
    assert torch.equal(teacher_features(run_context), before)


def test_the_initial_student_is_one_for_all_methods_and_sup_ft_keeps_it(root):
    fresh = [student_stage._fresh(context(root, method=m)).state_dict() for m in METHODS]
    kept = distilled_student(context(root, method="sup-ft"), 1.0).state_dict()
    for other in (*fresh[1:], kept):
        assert all(torch.equal(tensor, other[name]) for name, tensor in fresh[0].items())


def test_a_simclr_teacher_is_trained_and_one_for_all_methods(tmp_path, monkeypatch):
    fits = Spy(monkeypatch, teacher_stage, "fit")
    run(tmp_path, teacher="simclr")
    run(tmp_path, teacher="simclr", method="cmd")
    assert len(fits.calls) == 1
    (args, _) = fits.calls[0]
    assert args[1].images.shape == (96, 3, 32, 32)  # the source side, in colour
    assert set(args[1].sampler.target.tolist()) == set(context(tmp_path).split.pairs_source.tolist())


def test_the_budget_that_augments_shows_the_teacher_new_views_at_each_step(tmp_path, monkeypatch):
    real = student_stage.Context.budget.func
    paperlike = property(lambda self: real(self).model_copy(update={"teacher_views": "augmented"}))
    monkeypatch.setattr(student_stage.Context, "budget", paperlike)
    shown: list[torch.Tensor] = []
    network = teachers.TeacherEncoder.forward
    monkeypatch.setattr(teachers.TeacherEncoder, "forward", lambda self, x: shown.append(x) or network(self, x))
    run_context = context(tmp_path)
    distilled_student(run_context, 1.0)
    plain, *steps = shown  # the first pass is for the mean of the features
    assert torch.equal(plain, torch.from_numpy(run_context.data.source.data).float() / 255)
    assert len(steps) == len(run_context.sampler())
    assert all(len(x) == 56 and not any(torch.equal(x[0], y) for y in plain) for x in steps)


# --- corrupt and unfinished -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["features", "students", "linear-scores", "tuned-scores"])
def test_a_corrupt_artefact_is_noticed_and_made_again_with_the_same_numbers(root, tmp_path, stage):
    expected = run(root, protocol="few-shot")
    shutil.copytree(root / "artefacts", tmp_path / "artefacts")
    for folder in (tmp_path / "artefacts" / stage).iterdir():
        victim = max((f for f in folder.iterdir() if f.is_file()), key=lambda f: f.stat().st_size)
        content = bytearray(victim.read_bytes())
        content[len(content) // 2] ^= 0xFF
        victim.write_bytes(content)
    assert numbers(run(tmp_path, protocol="few-shot")) == numbers(expected)


@pytest.mark.parametrize("where", ["student", "linear", "tuning"])
def test_a_run_that_broke_off_goes_on_where_it_was(root, tmp_path, monkeypatch, where):
    expected = run(root, protocol="few-shot")
    module, name, after = {
        "student": (student_stage, "fit", 0),
        "linear": (evaluation, "fit_logistic", 1),
        "tuning": (evaluation, "fit", 3),
    }[where]
    real, count = getattr(module, name), iter(range(100))

    def breaks(*args, **options):
        if next(count) == after:
            raise KeyboardInterrupt
        return real(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(module, name, breaks)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, protocol="few-shot")
    assert Store(tmp_path).records() == []
    fits = Spy(monkeypatch, student_stage, "fit")
    tunings = Spy(monkeypatch, evaluation, "fit")
    assert numbers(run(tmp_path, protocol="few-shot")) == numbers(expected)
    assert len(fits.calls) == (1 if where == "student" else 0)
    assert len(tunings.calls) == (6 - 3 if where == "tuning" else 6)


# --- what is refused ------------------------------------------------------------------------------------------------


def test_a_batch_larger_than_the_pairs_is_refused_before_anything_is_trained(tmp_path):
    one = runner(tmp_path)
    with pytest.raises(UsageError, match=r"batch 57 is larger than the 56 distinct concepts .* use --batch 56 or less"):
        one.check(spec(batch=57))
    one.check(spec(batch=56))
    one.check(spec(method="sup-ft", batch=57))
    with pytest.raises(UsageError, match="batch 57 is larger than the 56 items"):
        one.check(spec(method="ssl", batch=57))
    assert not list(tmp_path.iterdir())


def test_more_shots_than_labels_are_refused_before_anything_is_trained(tmp_path, monkeypatch):
    one = runner(tmp_path)
    scarce = one.data(spec())
    split = scarce.split(0)
    few = split.train[split.label[split.train] == 2]
    keep = np.setdiff1d(split.train, few[:-4])
    monkeypatch.setattr(scarce, "split", lambda seed: type(split)(**{**vars(split), "train": keep}))
    with pytest.raises(UsageError, match="class 'cross' has 4 labelled items to train on: 5 a class cannot be drawn"):
        one.check(spec(protocol="few-shot"))
    one.check(spec(protocol="linear-eval"))
    assert not list(tmp_path.iterdir())
