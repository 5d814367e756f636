"""Auxiliary heads (`-aux`): every network of a dense run has one where its name says so, with the published weight."""

import pytest
import torch

from tests.methods.dense_toys import CHANNELS, CLASSES, SIZE, STUDENT, TEACHER, batch, teacher, toy_networks
from xkd_bench import methods
from xkd_bench.losses.dense_logits import kd, segmentation_loss
from xkd_bench.methods.dense import DenseTeacher, Supervised, on_grid
from xkd_bench.models.duplex import DuplexSegmenter


def ours(name, student=f"{STUDENT}-aux", **options):
    method = methods.get(name)
    parsed, network = method.parse_options(name, options), teacher(method.teacher_inputs)
    torch.manual_seed(1)
    with toy_networks():
        made = method.build_student(student, CHANNELS, len(CLASSES), SIZE, parsed)
    return method(made, DenseTeacher(network.widths, network.decoded_width, len(CLASSES)), parsed)


def seeded(call, seed=3):
    """The heads have dropout."""
    torch.manual_seed(seed)
    return call()


def test_csk_net_trains_a_head_for_each_branch():
    model, shown = ours("csk-net", contrast=0.0), batch("csk-net")
    loss = seeded(lambda: model(shown)["loss"])
    loss.backward()
    assert all(p.grad is not None for p in model.parameters())
    heads = model.student.auxiliaries
    assert set(heads) == {"source", "target"}
    assert all(p.grad.abs().max() > 0 for head in heads.values() for p in head[-1].parameters())
    out = seeded(lambda: model.student.branches(shown.source, shown.image))
    taught = on_grid(shown.teacher.logits, out.logits["source"])
    terms = [segmentation_loss(z, shown.label) for z in out.logits.values()]
    terms += [0.4 * segmentation_loss(z, shown.label) for z in out.auxiliary.values()]
    assert len(terms) == 5
    assert loss.item() == pytest.approx((sum(terms) + kd(out.logits["source"], taught, 1.0)).item(), rel=1e-5)


def test_csk_nets_heads_are_for_training_alone():
    model, bare = ours("csk-net"), ours("csk-net", STUDENT)
    shown = batch("csk-net")
    assert bare.student.branches(shown.source, shown.image).auxiliary == {}
    student = model.student.eval()
    assert student.branches(shown.source, shown.image).auxiliary == {}
    plain = student.plain("target")
    assert plain.auxiliary is None
    assert plain.state_dict().keys() == bare.student.plain("target").state_dict().keys()


@pytest.mark.parametrize("fusion", ["intermediate", "late"])
def test_a_teacher_that_sees_both_trains_its_head(fusion):
    torch.manual_seed(1)
    with toy_networks():
        network = DuplexSegmenter(f"{TEACHER}-aux", CHANNELS, len(CLASSES), SIZE, fusion)
    shown = batch("kd")
    loss = seeded(lambda: Supervised(network, "both")(shown)["loss"])
    loss.backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []
    out = seeded(lambda: network.outputs(shown.source, shown.image))
    expected = segmentation_loss(out.logits, shown.label) + 0.4 * segmentation_loss(out.auxiliary, shown.label)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert network.eval().outputs(shown.source, shown.image).auxiliary is None
