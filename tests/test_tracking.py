"""Trackers and the profiler see what happens and change nothing."""

import csv
import json
import logging
import math
import time

import pytest

from protocols import load_budget
from tests.cli.program import xkd
from tests.runs import numbers, spec
from xkd_bench.profiling import Profiles
from xkd_bench.runner import Runner
from xkd_bench.store import Store
from xkd_bench.tracking import Tracker, make_tracker, summary
from xkd_bench.training import learning_rate_factor, make_fabric

FEW = {"protocol": "few-shot", "method": "cmd"}


class Diary:
    """A sink that writes down all that it is told; `breaks` names what it cannot do."""

    def __init__(self, breaks: str = "") -> None:
        self.told: list[tuple] = []
        self.breaks = breaks

    def __getattr__(self, name):
        def told(*args):
            if name == self.breaks:
                raise ConnectionError("no server\nin reach")
            self.told.append((name, *args))

        return told

    def stages(self) -> dict[str, list[tuple[int, dict]]]:
        found: dict[str, list[tuple[int, dict]]] = {}
        for what, *args in self.told:
            if what == "point":
                found.setdefault(args[0], []).append((args[1], args[2]))
        return found


def carried_out(root, callbacks=(), **fields):
    """The record of a run of the toy task, and its store."""
    store = Store(root)
    key = Runner(store, make_fabric("cpu", callbacks=callbacks)).run(spec(**fields))
    return store.record(key), store


@pytest.fixture(scope="module")
def toys():
    from tests.cli.program import know_toy
    from xkd_bench import registry

    know_toy()
    yield
    del registry.entries("tasks")["toy"]


@pytest.fixture(scope="module")
def plain(toys, tmp_path_factory):
    return carried_out(tmp_path_factory.mktemp("plain"), **FEW)[0]


@pytest.fixture(scope="module")
def watched(toys, tmp_path_factory):
    """A run that a diary, TensorBoard, CSV and the profiler were told of."""
    root = tmp_path_factory.mktemp("watched")
    diary = Diary()
    tracker = make_tracker(["tensorboard", "csv"], root)
    tracker.sinks["diary"] = diary
    record, store = carried_out(root, [tracker, Profiles(root / "profiles")], **FEW)
    assert set(tracker.sinks) == {"tensorboard", "csv", "diary"}, "none was left out"
    return root, record, store, diary


def test_it_changes_no_number_and_no_key(plain, watched):
    _, record, _, _ = watched
    assert record["key"] == plain["key"]
    assert numbers(record) == numbers(plain)


def test_curves_are_of_every_training_step_with_its_learning_rate(watched):
    _, record, store, diary = watched
    stages = diary.stages()
    plan = load_budget("smoke")
    draws = {f"fine-tuning ({n} per class, draw {d})" for n in (1, 5, 10) for d in range(plan.max_draws)}
    assert set(stages) == {"cmd on toy"} | draws
    points = stages["cmd on toy"]
    assert [step for step, _ in points] == list(range(1, len(points) + 1))
    (student,) = record["students"].values()
    history = json.loads((store.folder("students", student) / "history.json").read_text())["loss"]
    each = len(points) // len(history)
    for epoch, mean in enumerate(history):
        losses = [values["loss"] for _, values in points[epoch * each : (epoch + 1) * each]]
        assert math.fsum(losses) / each == pytest.approx(mean)
    recipe = plan.distil.fitted(each)
    factor = learning_rate_factor(recipe, each)
    assert [v["learning_rate"] for _, v in points] == pytest.approx([recipe.lr * factor(i) for i in range(len(points))])


def test_a_run_is_begun_with_its_spec_and_ended_with_its_scores(watched):
    _, record, _, diary = watched
    (_, name, fields), *_, (last, scores, ok) = diary.told
    assert name == f"cmd-seed-0-toy-few-shot-{record['key'][:6]}"
    assert (fields["method"], fields["seed"]) == ("cmd", 0)
    options = {k.removeprefix("options."): v for k, v in fields.items() if k.startswith("options.")}
    assert options == record["spec"]["options"]
    assert (last, ok) == ("end", True)
    mine = [s["value"] for s in record["scores"] if (s["trained"], s["labels_per_class"]) == ("head", 5)]
    assert scores["accuracy/head/5 labels per class"] == pytest.approx(sum(mine) / len(mine))
    assert scores["accuracy/head/5 labels per class/draws"] == len(mine) == 2
    assert scores["accuracy/head/5 labels per class/sd"] == pytest.approx(abs(mine[0] - mine[1]) / math.sqrt(2))


def test_a_score_is_named_after_what_tells_it_apart():
    shared = {"metric": "mIoU", "trained": "all", "labels_per_class": None, "pair_fraction": 1.0, "inputs": "target"}
    rows = [shared | {"value": 0.5}, shared | {"value": 0.25, "pair_fraction": 0.1, "inputs": "both"}]
    names = {"mIoU/all/all labels per class": 0.5, "mIoU/all/all labels per class/0.1 of pairs/both": 0.25}
    assert summary({"scores": rows}) == names


def test_tensorboard_has_the_curves_and_the_hyper_parameters(watched):
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    root, record, _, diary = watched
    (folder,) = (root / "logs" / "tensorboard").iterdir()
    found = event_accumulator.EventAccumulator(str(folder)).Reload()
    curve = [(e.step, e.value) for e in found.Scalars("cmd on toy/loss")]
    expected = [(step, values["loss"]) for step, values in diary.stages()["cmd on toy"]]
    assert curve == [(step, pytest.approx(loss)) for step, loss in expected]
    scores = summary(record)
    assert found.Scalars("accuracy/head/5 labels per class")[-1].value == pytest.approx(
        scores["accuracy/head/5 labels per class"]
    )
    assert found.summary_metadata["_hparams_/session_start_info"]


def test_csv_has_the_same_numbers_and_the_spec_beside_them(watched):
    root, record, _, diary = watched
    (folder,) = (root / "logs" / "csv").glob("*/version_0")
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    losses = [float(row["cmd on toy/loss"]) for row in rows if row["cmd on toy/loss"]]
    assert losses == [values["loss"] for _, values in diary.stages()["cmd on toy"]]
    assert json.loads((folder / "spec.json").read_text())["method"] == record["spec"]["method"]


def test_the_profile_is_a_trace_and_a_table(watched):
    root, _, _, _ = watched
    (folder,) = (root / "profiles").iterdir()
    assert {f.name for f in folder.iterdir()} == {
        f"{training}.{kind}" for training in ("cmd-on-toy", "fine-tuning") for kind in ("json", "txt")
    }
    events = json.loads((folder / "cmd-on-toy.json").read_text())["traceEvents"]
    steps = {e["name"] for e in events if str(e.get("name")).startswith("ProfilerStep#")}
    assert 1 <= len(steps) <= 3
    assert any(e["name"].startswith("aten::convolution_backward") for e in events)
    assert "aten::convolution_backward" in (folder / "cmd-on-toy.txt").read_text()


def test_mlflow_has_the_run(toys, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("alembic")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    tracker = make_tracker(["mlflow"], tmp_path)
    record, _ = carried_out(tmp_path, [tracker], method="cmd")
    assert tracker.sinks, "it was left out"
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/logs/mlflow/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("xkd-bench").experiment_id])
    assert (run.info.status, run.data.params["method"]) == ("FINISHED", "cmd")
    assert run.data.metrics["accuracy/head/all labels per class"] == record["scores"][0]["value"]
    curve = client.get_metric_history(run.info.run_id, "cmd on toy/loss")
    assert [m.step for m in curve] == list(range(1, len(curve) + 1))


@pytest.mark.filterwarnings("ignore")
def test_wandb_has_the_run_without_a_login(toys, tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))  # no .netrc with a login
    tracker = make_tracker(["wandb"], tmp_path)
    carried_out(tmp_path, [tracker], method="cmd")
    assert tracker.sinks, "it was left out"
    (log,) = (tmp_path / "logs" / "wandb").rglob("*.wandb")
    texts = (b"cmd on toy/loss", b"cmd on toy/learning_rate", b"accuracy/head/all labels per class", b"conv4-w8")
    for _ in range(50):  # a process of its own writes it
        if all(text in log.read_bytes() for text in texts):
            break
        time.sleep(0.1)
    assert all(text in log.read_bytes() for text in texts)


@pytest.mark.parametrize("breaks", ["begin", "point", "end"])
def test_a_tracker_that_breaks_down_is_left_out_with_one_line(toys, tmp_path, caplog, breaks):
    diary = Diary()
    tracker = Tracker({"wandb": Diary(breaks), "diary": diary})
    with caplog.at_level(logging.WARNING, "xkd_bench"):
        record, store = carried_out(tmp_path, [tracker], method="sup-ft")
        tracker.on_run_start("k", "label", record["spec"])
        tracker.on_train_start("x")
        tracker.on_loss(1, 0.5, 0.1)
        tracker.on_run_end(record)
    assert store.records() == [record]
    assert list(tracker.sinks) == ["diary"]
    (line,) = [r.getMessage() for r in caplog.records if "--logger" in r.getMessage()]
    assert line == "--logger wandb stops here, the runs go on (ConnectionError: no server in reach)"
    assert diary.told[-1] == ("end", summary(record), True)


def test_a_run_that_fails_is_ended_as_failed(toys, tmp_path, monkeypatch):
    from xkd_bench.stages import student

    def breaks(*args):
        raise ZeroDivisionError

    diary = Diary()
    monkeypatch.setattr(student, "_train", breaks)
    with pytest.raises(ZeroDivisionError):
        carried_out(tmp_path, [Tracker({"diary": diary})], method="cmd")
    assert diary.told[-1] == ("end", {}, False)


def test_trainings_of_one_name_in_a_run_are_numbered():
    diary = Diary()
    tracker = Tracker({"diary": diary})
    for key in ("a", "b"):
        tracker.on_run_start(key, "label", {"task": "t", "protocol": "p", "options": {}})
        for loss in (1.0, 2.0):
            tracker.on_train_start("the teacher")
            tracker.on_loss(1, loss, 0.1)
        tracker.on_run_end(None)
    losses = {stage: [v["loss"] for _, v in points] for stage, points in diary.stages().items()}
    assert losses == {"the teacher": [1.0, 1.0], "the teacher 2": [2.0, 2.0]}


def test_of_several_processes_only_the_first_tells(monkeypatch):
    told = []

    class Callback:
        def on_loss(self, step):
            told.append(step)

    fabric = make_fabric("cpu", callbacks=[Callback()])
    fabric.call("on_loss", step=1)
    monkeypatch.setattr(type(fabric), "is_global_zero", False)
    fabric.call("on_loss", step=2)
    assert told == [1]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tensorbord", "unknown logger 'tensorbord': did you mean 'tensorboard'?"),
        ("wandb", "--logger wandb needs wandb: pip install 'xkd-bench[logging]'"),
        ("mlflow", "--logger mlflow needs mlflow, sqlalchemy, alembic: pip install 'xkd-bench[logging]'"),
    ],
)
@pytest.mark.parametrize("command", ["run", "sweep"])
def test_a_logger_that_is_not_here_is_one_line(loaded, tmp_path, command, name, said):
    none = """
from importlib import util
real = util.find_spec
util.find_spec = lambda name, *rest: None if name in ("wandb", "mlflow", "sqlalchemy", "alembic") else real(name, *rest)
"""
    words = [command, *(["table5"] if command == "sweep" else []), "--logger", name, "--out", str(tmp_path / "out")]
    ended = xkd(loaded, *words, prelude=none, cwd=tmp_path)
    assert (ended.code, ended.out) == (2, "")
    assert ended.lines[0].startswith(f"xkd-bench: {said}")
    assert len(ended.lines) == 1
    assert not list(tmp_path.iterdir())
