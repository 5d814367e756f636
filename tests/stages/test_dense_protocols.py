"""What protocols promise of dense runs: a head leaves the encoder as it was; fewer pairs teach other students."""

from dataclasses import replace

import pytest
from safetensors.torch import load_file

from protocols import load_protocol
from tests.runs import runner
from tests.stages.test_dense import fields, run
from xkd_bench.models.segmenters import Segmenter
from xkd_bench.spec import RunSpec
from xkd_bench.stages import dense
from xkd_bench.stages.dense_student import fresh_student, learns_pairs_first
from xkd_bench.suite.graph import is_taught_first

pytestmark = pytest.mark.usefixtures("toy_dense")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("results")


@pytest.mark.parametrize("method", ["kd", "csk-net", "sup-ft"])
def test_linear_evaluation_leaves_the_frozen_network_bit_by_bit(root, method, monkeypatch):
    seen = []

    def kept(*given):
        network = dense_student(*given)
        seen.append((network, {name: tensor.clone() for name, tensor in network.state_dict().items()}))
        return network

    dense_student = dense.label_free_student
    monkeypatch.setattr(dense, "label_free_student", kept)
    run(root, method=method, protocol="linear-eval")
    [(network, before)] = seen
    assert any(name.endswith("running_var") for name in before)
    after = network.state_dict()
    assert after.keys() == before.keys()
    assert all(after[name].equal(tensor) for name, tensor in before.items())
    assert isinstance(network, Segmenter) == (method != "csk-net")


def test_reduced_pairs_are_a_student_for_each_fraction(root):
    record = run(root, method="kd", protocol="reduced-pair")
    fractions = load_protocol("reduced-pair").pair_fractions
    assert tuple(score["pair_fraction"] for score in record["scores"]) == fractions
    assert {(s["trained"], s["labels_per_class"], s["metric"]) for s in record["scores"]} == {("head", None, "mIoU")}
    assert len(set(record["students"].values())) == len(fractions)
    assert {s["n_labels"] for s in record["scores"]} == {40}, "all labels, however few the pairs"
    store = runner(root).store
    assert all(store.has("students", key) for key in record["students"].values())
    plain = run(root, method="sup-ft", protocol="reduced-pair")
    assert len({score["value"] for score in plain["scores"]}) == 1, "no pairs: every fraction is the same student"


@pytest.mark.parametrize(("method", "first"), [("kd", True), ("csk-net", True), ("sup-ft", False)])
def test_few_labels_are_learned_on_top_of_all_pairs(root, method, first, monkeypatch):
    """Every draw's fine-tuning starts from the student that learned from all pairs; all labels leave no pair over."""
    starts = []
    train = dense._teach

    def kept(run, student, rows, *rest):
        starts.append((len(rows), {name: tensor.clone() for name, tensor in student.state_dict().items()}))
        return train(run, student, rows, *rest)

    monkeypatch.setattr(dense, "_teach", kept)
    record = run(root, method=method, protocol="few-shot")
    tuned = [score for score in record["scores"] if score["trained"] == "all" and score["inputs"] == "target"]
    assert [n for n, _ in starts] == [score["n_labels"] for score in tuned]
    assert len(starts) == 6
    ours = runner(root)
    spec = RunSpec.make(**fields(method=method, protocol="few-shot"))
    fresh = fresh_student(ours.context(spec)).state_dict()
    for _, weights in starts:
        assert weights.keys() == fresh.keys()
        assert all(weights[name].equal(starts[0][1][name]) for name in weights)
        assert all(weights[name].equal(fresh[name]) for name in weights) != first
    if first:
        known = load_file(ours.store.folder("students", record["students"]["1.0"]) / "student.safetensors")
        assert all(known[name].equal(starts[0][1][name]) for name in known)
    starts.clear()
    run(root, method=method, protocol="fine-tune", seed=1)
    [(n, weights)] = starts
    assert n == 40
    at_once = fresh_student(ours.context(spec.model_copy(update={"seed": 1}))).state_dict()
    assert all(weights[name].equal(at_once[name]) for name in weights)


def test_pairs_that_a_task_does_not_label_are_learned_first(root):
    ours = runner(root)
    one = ours.context(RunSpec.make(**fields(method="kd", protocol="fine-tune")))
    labelled, split = one.split.train, one.split
    assert not learns_pairs_first(one, labelled)
    assert learns_pairs_first(one, labelled[:-1])
    assert not is_taught_first(one)
    one.__dict__["split"] = replace(split, train=labelled[:-5])  # five of the pairs have no label map
    assert is_taught_first(one)
    plain = ours.context(RunSpec.make(**fields(method="sup-ft", protocol="fine-tune")))
    assert not learns_pairs_first(plain, labelled[:-1])
