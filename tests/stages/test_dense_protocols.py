"""What protocols promise of dense runs: a head leaves the encoder as it was; fewer pairs teach other students."""

import pytest

from protocols import load_protocol
from tests.runs import runner
from tests.stages.test_dense import run
from xkd_bench.models.segmenters import Segmenter
from xkd_bench.stages import dense

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
