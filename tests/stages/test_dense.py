"""Whole runs of a dense toy task: records, shared teachers, controls, and that something is learned."""

import numpy as np
import pytest
import torch

from protocols import Recipe
from tests.runs import context, runner
from tests.toy_dense import CLASSES, ToyDenseData
from xkd_bench.dense_batches import SCALE_STEP, DenseBatches, in_order, moved_labels, random_moves, shown
from xkd_bench.errors import UsageError
from xkd_bench.methods.dense import Supervised, supervised
from xkd_bench.models.segmenters import Segmentation, build_segmenter
from xkd_bench.segmentation import confusion, draw_images
from xkd_bench.spec import RunSpec
from xkd_bench.stages import dense_teacher
from xkd_bench.training import fit, make_fabric

pytestmark = pytest.mark.usefixtures("toy_dense")
NETWORK = "deeplabv3plus-tu-mobilenetv3_small_050-w16"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def data():
    return ToyDenseData(48, 64)


def fields(**given):
    return {"task": "toy-dense", "budget": "smoke", "protocol": "linear-eval", **given}


def run(root, **given):
    one = runner(root)
    return one.store.record(one.run(RunSpec.make(**fields(**given))))


@pytest.mark.parametrize(("protocol", "cells"), [("linear-eval", 1), ("fine-tune", 1), ("few-shot", 12)])
@pytest.mark.parametrize("method", ["kd", "sup-ft"])
def test_a_dense_run_gives_a_complete_record(root, method, protocol, cells):
    record = run(root, method=method, protocol=protocol)
    assert len(record["scores"]) == cells
    worth = runner(root).store.correct(record["key"])
    assert worth.shape == (cells, 20)
    for score in record["scores"]:
        assert score["metric"] == "mIoU"
        assert 0 <= score["value"] <= 1
        assert set(score["details"]["iou"]) == set(CLASSES)
        assert 0 <= score["details"]["pixel_accuracy"] <= 1
        scored = [v for v in score["details"]["iou"].values() if v is not None]
        assert score["value"] == pytest.approx(np.mean(scored))
    row = runner(root).store.frame([record["key"]]).iloc[0]
    assert (row.metric, row.inputs) == ("mIoU", "target")


def test_methods_of_one_seed_share_a_teacher_and_its_control_is_untrained(root):
    for given in ({}, {"pairs": "shuffled"}, {"teacher": "random"}, {"options": {"tau": 2.0}}):
        run(root, method="kd", **given)
    assert len([f for f in (root / "artefacts" / "teachers").iterdir() if f.is_dir()]) == 1
    one = context(root, **fields(method="kd", teacher="random"))
    network = dense_teacher.dense_teacher(one)
    assert not network.training
    assert all(not p.requires_grad for p in network.parameters())


def test_a_method_is_for_the_tasks_that_it_is_for():
    with pytest.raises(UsageError, match="task 'toy-dense' is for segmentation, and method 'cmc' is not"):
        RunSpec.make(**fields(method="cmc"))
    with pytest.raises(UsageError, match="task 'emoji-sketch' is for classification, and method 'kd' is not"):
        RunSpec.make(method="kd")
    with pytest.raises(UsageError, match="unknown segmentation network 'resnet18'"):
        RunSpec.make(**fields(method="kd", student="resnet18"))


def test_labels_move_as_images_do(data):
    torch.manual_seed(0)
    label = torch.from_numpy(data.maps.data[:16]).long()
    move = random_moves(16, torch.device("cpu"))
    moved = moved_labels(label, move)
    for k in (1, 2, 3):  # where the moved mask of a class is surely inside or outside, so is the moved label
        mask = shown((label == k).float()[:, None], move)[:, 0]
        assert (moved[mask > 0.99] == k).all()
        assert not (moved[mask < 0.01] == k).any()
    assert (moved == 255).any(), "what lies beyond the image, and what was not labelled, counts for nothing"
    still = torch.eye(2, 3).expand(16, 2, 3)
    assert torch.equal(moved_labels(label, still), label)


def test_scales_are_any_or_in_steps_of_a_tenth_as_published():
    torch.manual_seed(0)
    cpu = torch.device("cpu")
    steps = 1 / random_moves(4000, cpu, SCALE_STEP)[:, 1, 1]
    tenths, counts = (10 * steps).round().unique(return_counts=True)
    assert torch.allclose(10 * steps, (10 * steps).round(), atol=1e-4)
    assert tenths.tolist() == list(range(5, 21))
    assert counts.min() > 0.7 * 4000 / 16
    free = 1 / random_moves(4000, cpu)[:, 1, 1]
    assert len(free.unique()) > 3000
    assert 0.5 <= free.min() < 0.51
    assert 1.99 < free.max() <= 2.0


def test_draws_of_images_are_nested_and_show_each_class_often_enough(data):
    split = data.split(0)
    small, large = (draw_images(data, split, n, seed=0, draw=1) for n in (1, 5))
    assert set(small) <= set(large) <= set(split.train)
    assert ((data.maps.pixels[large] > 0).sum(0) >= 5).all()
    assert len(small) < len(large) < len(split.train)
    assert np.array_equal(draw_images(data, split, None, seed=0, draw=0), split.train)
    assert np.array_equal(draw_images(data, split, 5, seed=0, draw=1), large)
    with pytest.raises(UsageError, match=r"is in .* labelled images to train on: 41 cannot be drawn"):
        draw_images(data, split, 41, seed=0, draw=0)


def test_mean_iou_is_that_of_one_confusion_matrix(data):
    rows = data.split(0).test[:5]
    truth = torch.from_numpy(np.asarray(data.maps.data[rows])).long()
    guess = torch.where(truth == 255, 0, truth).roll(3, 2)
    guesses = torch.nn.functional.one_hot(guess, 4).permute(0, 3, 1, 2).float()
    turn = iter(guesses.split(2))
    found = confusion(lambda source, image: next(turn), data, rows, 4, torch.device("cpu"), batch=2)
    counts = truth != 255
    iou = []
    for k in range(4):
        a, b = (guess == k) & counts, (truth == k) & counts
        iou.append(((a & b).sum() / (a | b).sum()).item())
    assert found.iou() == pytest.approx(iou)
    assert found.mean_iou([0, 1, 2, 3]) == pytest.approx(np.mean(iou))
    assert found.mean_iou([1, 2]) == pytest.approx(np.mean(iou[1:3]))
    assert found.pixel_accuracy() == pytest.approx((guess == truth)[counts].float().mean().item())
    inter = [((guess[0] == k) & (truth[0] == k) & counts[0]).sum() for k in range(4)]
    union = [(((guess[0] == k) | (truth[0] == k)) & counts[0]).sum() for k in range(4)]
    one = [a / b for a, b in zip(inter, union, strict=True) if b]
    assert found.per_image[0] == pytest.approx(np.mean(one), rel=1e-5)


def test_a_batch_without_a_label_that_counts_has_a_loss_of_zero_and_gradients():
    out = Segmentation(torch.randn(2, 4, 6, 8, requires_grad=True), torch.zeros(2, 1, 6, 8), ())
    loss = supervised(out, torch.full((2, 12, 16), 255), 0.4)
    assert loss.item() == 0
    loss.backward()


def test_a_teacher_learns_the_source(data):
    torch.manual_seed(0)
    network = build_segmenter(NETWORK, 3, 4, (48, 64))
    split = data.split(0)
    order, steps = in_order(split.train, split.train, 8, seed=0)
    batches = DenseBatches(torch.device("cpu"), data, order, steps, "none", None, "given")
    plan = Recipe(lr=5e-3, epochs=12, batch=8, schedule="poly", augmentation="none")
    fit(Supervised(network, "source"), batches, steps, plan, seed=0, fabric=make_fabric("cpu"), what="teacher")
    network.eval()
    found = confusion(lambda source, image: network(source), data, split.test, 4, torch.device("cpu"))
    assert found.mean_iou([0, 1, 2, 3]) > 0.5


class Asked:
    """A teacher that remembers what it was shown, and of how many images at once."""

    def __init__(self):
        torch.manual_seed(0)
        self.network, self.shown = build_segmenter(NETWORK, 3, 4, (48, 64)).eval(), []

    @torch.no_grad()
    def __call__(self, source, image):
        self.shown.append(len(source))
        return self.network.outputs(source)


def taught(data, augmentation, rows, partners, epochs=(0, 1)):
    teacher = Asked()
    order, steps = in_order(rows, partners, 4, seed=0)
    batches = DenseBatches(torch.device("cpu"), data, order, steps, augmentation, teacher, "given")
    return teacher, [batch for epoch in epochs for batch in batches(epoch)]


def test_of_images_as_they_are_the_teacher_is_asked_once(data):
    rows = data.split(0).train[:10]
    teacher, found = taught(data, "none", rows, rows[::-1])
    assert teacher.shown == [1] * (1 + len(rows)), "the first one tells how large an answer is"
    for batch in found:
        said, whole = batch.teacher, teacher.network.outputs(batch.source)
        for one, other in zip((said.logits, *said.maps), (whole.logits, *whole.maps), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    later = taught(data, "none", rows, rows[::-1], epochs=(1,))[1]
    for one, other in zip(found[len(later) :], later, strict=True):  # after a restart: the same bits
        assert torch.equal(one.teacher.logits, other.teacher.logits)


def test_answers_that_move_or_are_too_many_are_not_kept(data, monkeypatch):
    rows = data.split(0).train[:8]
    assert taught(data, "dense", rows, rows)[0].shown == [4] * 4
    monkeypatch.setattr("xkd_bench.dense_batches.MEMORY", 1000)
    assert taught(data, "none", rows, rows)[0].shown == [1] + [4] * 4


def test_a_sweep_can_plan_dense_runs(root):
    from xkd_bench.suite.plan import make_plan

    one = runner(root)
    planned = make_plan(one, [RunSpec.make(**fields(method=m, seed=s)) for m in ("kd", "sup-ft") for s in (0, 1)])
    assert (planned.teachers.needed, planned.students.needed) == (2, 2)


def test_the_random_control_of_a_named_teacher_is_its_own_network(root):
    from xkd_bench.suite.comparison import with_controls

    named = "deeplabv3plus-tu-mobilenetv3_small_050-w24"
    asked = fields(method="kd", teacher=named)
    assert [variant.get("teacher") for variant in with_controls(asked)] == [named, f"random:{named}", named]
    one = context(root, **fields(method="kd", teacher=f"random:{named}"))
    network = dense_teacher.dense_teacher(one)
    assert network.name == named
    assert "recipe" not in dense_teacher.dense_teacher_key(one), "nothing trained it"
    with pytest.raises(UsageError, match="unknown segmentation network 'resnet18'"):
        RunSpec.make(**fields(method="kd", teacher="random:resnet18"))
