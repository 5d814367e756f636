"""Whole runs of the dense methods that differ in kind: scored with several inputs, a fused teacher, the teacher."""

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from tests.runs import runner
from tests.stages.test_dense import fields, run
from xkd_bench.analysis.compare import gains, summarise
from xkd_bench.cli.shared import publish
from xkd_bench.errors import UsageError
from xkd_bench.report.record import record_view
from xkd_bench.report.tables import markdown
from xkd_bench.spec import RunSpec
from xkd_bench.suite.comparison import comparison

pytestmark = pytest.mark.usefixtures("toy_dense")
SHARED = {"task": "toy-dense", "budget": "smoke", "protocol": "fine-tune"}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("results")


def test_a_method_that_fuses_is_scored_with_each_input_and_the_teacher_with_its_own(root):
    records = [run(root, method=name, protocol="fine-tune") for name in ("csk-net", "teacher", "sup-ft")]
    assert [s["inputs"] for s in records[0]["scores"]] == ["target", "both", "source"]
    exchanged = [s["details"].get("exchanged") for s in records[0]["scores"]]
    assert exchanged[0] is exchanged[2] is None, "alone there is nobody to exchange with"
    assert all(0 <= share <= 0.1 for shares in exchanged[1].values() for share in shares)
    printed = Console(record=True, width=200)
    printed.print(record_view(records[0]))
    text = printed.export_text()
    assert all(layer in text for layer in exchanged[1])
    assert [s["inputs"] for s in records[1]["scores"]] == ["source"]
    teachers = [f for f in (root / "artefacts" / "teachers").iterdir() if f.is_dir()]
    assert len(teachers) == 1, "the teacher that is scored is the one that teaches"
    store = runner(root).store
    frame = store.frame([record["key"] for record in records])
    assert list(summarise(frame)["variant"]) == [
        "csk-net", "csk-net · both inputs", "csk-net · source input", "sup-ft", "teacher · source input",
    ]  # fmt: skip
    gained = gains(frame)
    assert set(gained["subtrahend"]) == {"sup-ft"}
    text = markdown(frame)
    assert "csk-net · both inputs" in text
    assert "mIoU in percent" in text
    assert "accuracy" not in text


def test_the_teacher_of_both_modalities_is_scored_with_each_input_and_is_the_one_that_teaches_lix(tmp_path):
    record, _ = (run(tmp_path, method=name, protocol="fine-tune") for name in ("teacher-both", "lix"))
    assert len([f for f in (tmp_path / "artefacts" / "teachers").iterdir() if f.is_dir()]) == 1
    assert [s["inputs"] for s in record["scores"]] == ["both", "source", "target"]
    assert set(summarise(runner(tmp_path).store.frame([record["key"]]))["role"]) == {"reference"}


def test_the_frozen_encoder_that_fuses_has_a_head_for_each_input(root):
    record = run(root, method="csk-net", protocol="linear-eval", options={"recalibrate": True})
    assert [s["inputs"] for s in record["scores"]] == ["target", "both", "source"]
    worth = runner(root).store.correct(record["key"])
    assert not np.array_equal(worth[0], worth[1])
    assert not np.array_equal(worth[0], worth[2])


def test_the_label_maps_that_were_predicted_of_a_few_test_images_are_kept(root):
    record = run(root, method="csk-net", protocol="fine-tune")
    shown = runner(root).store.shown(record["key"])
    assert set(shown) == {0, 1, 2}
    for maps in shown.values():
        assert maps.shape == (8, 48, 64)
        assert maps.dtype == np.uint8
        assert maps.max() < 4
    assert not runner(root).store.shown(run(root, method="sup-ft")["key"]), "heads keep none"


def test_a_student_of_a_teacher_that_sees_both_sees_the_target_alone(root):
    record = run(root, method="lix", protocol="linear-eval")
    assert [s["inputs"] for s in record["scores"]] == ["target"]


def test_the_teacher_is_scored_with_all_labels_only():
    with pytest.raises(UsageError, match="method 'teacher' is scored by protocol fine-tune only"):
        RunSpec.make(**fields(method="teacher"))


def test_a_comparison_of_dense_methods_has_the_references_that_there_are():
    made = comparison(["kd"], [0], **SHARED)
    assert [(s.method, s.teacher, s.pairs) for s in made] == [
        ("kd", "supervised", "true"), ("kd", "random", "true"), ("kd", "supervised", "shuffled"),
        ("sup-ft", "none", "true"), ("teacher", "supervised", "true"),
    ]  # fmt: skip
    head = comparison(["kd"], [0], **SHARED | {"protocol": "linear-eval"})
    assert [s.method for s in head][3:] == ["sup-ft"]


def test_a_published_dense_comparison_has_panels_and_the_classes_beside_it(root):
    keys = [run(root, method=name, protocol="fine-tune")["key"] for name in ("csk-net", "teacher", "sup-ft")]
    publish(runner(root).store.frame(keys), root, "dense", "xkd-bench table", shown=False)
    written = {f.name for f in (root / "tables").iterdir()}
    assert {"dense.md", "dense.png", "dense-classes.md", "dense-panels.png"} <= written
    classes = (root / "tables" / "dense-classes.md").read_text(encoding="utf-8")
    assert "| csk-net · both inputs |" in classes
    width, height = Image.open(root / "tables" / "dense-panels.png").size
    assert width > 8 * 96, "source, target, label, sup-ft, teacher and the three inputs of csk-net"
    assert height > 8 * 72


def test_what_does_not_fit_the_teachers_network_is_said_before_anything_is_trained(tmp_path):
    one = runner(tmp_path)
    spec = RunSpec.make(**fields(method="af-dcd", options={"groups": 7}))
    with pytest.raises(UsageError, match="option groups=7 of method 'af-dcd': the teacher's last map has 288 channels"):
        one.check(spec)
    assert not list(tmp_path.iterdir())
    one.check(RunSpec.make(**fields(method="lix", options={"fusion": "late"})))
