"""What every dense method owes, those of later files included: a finite loss, gradients, options, its provenance."""

import copy
import re

import pytest
import torch

from tests.methods.dense_toys import CHANNELS, batch, build, loss_of, teacher, tensors
from xkd_bench import methods, registry
from xkd_bench.errors import UsageError
from xkd_bench.losses.dense_pixels import labels_at
from xkd_bench.methods.base import Options
from xkd_bench.methods.dense import DenseMethod, outputs_of, supervised
from xkd_bench.models.segmenters import Segmenter

NAMES = [
    name
    for name, entry in registry.entries("methods").items()
    if entry.origin == "xkd-bench" and issubclass(methods.get(name), DenseMethod)
]
DISTILLING = [name for name in NAMES if methods.get(name).distils]
UNPAIRED = ("pixel-contrast",)
"""Methods that look at no teacher where there are labels."""
JOINT = [name for name in DISTILLING if name != "csk-net"]
"""Those whose loss is the labels' and what they add; csk-net sums the labels' loss over its branches."""


@pytest.mark.parametrize("name", NAMES)
def test_a_method_says_where_its_loss_comes_from_and_has_defaults(name):
    method = methods.get(name)
    assert re.match(r"\[(PAPER|RECON (hi|med|lo)|STD|DERIVED|CODE [^]]+|ABS)\] .+", method.provenance)
    options = method.parse_options(name, {})
    assert isinstance(options, Options)
    assert method.parse_options(name, options.model_dump(mode="json")) == options
    assert method.kinds == ("segmentation",)
    assert set(method.inputs) <= {"target", "source", "both"}
    with pytest.raises(UsageError, match=f"unknown option of method '{name}' 'no_such_option'"):
        method.parse_options(name, {"no_such_option": "1"})


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", DISTILLING)
def test_the_loss_is_a_finite_scalar_and_every_parameter_has_its_share(name, precision):
    model, shown = build(name), batch(name)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == torch.bfloat16):
        out = model(shown)
    assert all(value.ndim == 0 and torch.isfinite(value) for value in out.values())
    assert out["loss"].dtype == torch.float32
    assert not any(value.requires_grad for key, value in out.items() if key != "loss")
    out["loss"].backward()
    silent = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # A bias before a norm, or before rows of length 1, may be without effect; nothing else.
    assert all(n.endswith("bias") for n in silent), silent
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    assert all(p.grad is None for p in teacher(model.teacher_inputs).parameters())


@pytest.mark.parametrize("name", DISTILLING)
def test_without_labels_the_encoder_learns_from_the_teacher_alone(name):
    model, shown = build(name), batch(name, labelled=False)
    out = model(shown)
    assert torch.isfinite(out["loss"])
    out["loss"].backward()
    silent = [n for n, p in model.student.encoder.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not [n for n in silent if n.endswith("weight") and "target" in n.split(".")], silent
    if name != "csk-net":  # whose shared convolutions have gradients, and whose source norms may wait
        assert all(n.endswith("bias") for n in silent), silent


@pytest.mark.parametrize("name", JOINT)
def test_the_joint_loss_is_the_labels_and_what_the_method_adds(name):
    model, shown = build(name), batch(name)
    out = model(shown)
    assert out["loss"].item() == pytest.approx((out["task"] + out["distil"]).item(), rel=1e-5)
    said = build(name).student.outputs(shown.image)
    assert out["task"].item() == pytest.approx(supervised(said, shown.label, 0.4).item())
    assert out["distil"].item() > 0


@pytest.mark.parametrize("name", DISTILLING)
def test_the_same_seed_is_the_same_method(name):
    one, two, other = build(name), build(name), build(name, seed=2)
    shown = batch(name)
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))
    assert loss_of(one, shown).item() == loss_of(two, shown).item()
    assert loss_of(one, shown).item() != loss_of(other, shown).item()


@pytest.mark.parametrize("name", DISTILLING)
def test_whose_source_an_image_is_shown_matters(name):
    model = build(name)
    labelled = [loss_of(model, batch(name, turn=turn)).item() for turn in (0, 1)]
    assert (labelled[0] == labelled[1]) == (name in UNPAIRED)
    without = [loss_of(model, batch(name, labelled=False, turn=turn)).item() for turn in (0, 1)]
    assert without[0] != without[1]


@pytest.mark.parametrize("name", DISTILLING)
def test_a_batch_of_which_nothing_counts_has_a_finite_loss(name):
    model, shown = build(name), batch(name)
    shown.label = torch.full_like(shown.label, 255)
    out = model(shown)
    assert torch.isfinite(out["loss"])
    out["loss"].backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def knowing(shape: torch.Size, rows: range) -> torch.Tensor:
    """Logits [n, k, h, w] of a teacher that knows the labels of these items."""
    label = labels_at(tensors(rows)[2], shape[2:])
    return 3 * torch.nn.functional.one_hot(label.where(label < shape[1], 0), shape[1]).permute(0, 3, 1, 2).float()


@pytest.mark.slow
@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("name", DISTILLING)
def test_its_loss_falls_and_the_teacher_stays_as_it_was(name, labelled):
    model, shown = build(name), batch(name, range(8), labelled)
    shown.teacher.logits = knowing(shown.teacher.logits.shape, range(8))
    before = {n: t.clone() for n, t in teacher(model.teacher_inputs).state_dict().items()}
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    losses, at_first = [], copy.deepcopy(model.student)
    for _ in range(25):
        out = model(shown)
        optimiser.zero_grad()
        out["loss"].backward()
        optimiser.step()
        losses.append(out["loss"].item())
    assert min(losses[-5:]) < 0.97 * losses[0], "the floor of some is the teacher's entropy"
    if labelled:
        ends = [outputs_of(s, shown.source, shown.image, "target") for s in (at_first, model.student)]
        assert supervised(ends[1], shown.label, 0.0) < supervised(ends[0], shown.label, 0.0) - 0.1
    after = teacher(model.teacher_inputs).state_dict()
    assert all(torch.equal(t, before[n]) for n, t in after.items())


@pytest.mark.parametrize("name", [name for name in DISTILLING if len(methods.get(name).inputs) > 1])
def test_a_fused_network_alone_is_its_plain_network(name):
    model, shown = build(name), batch(name)
    model(shown)
    student = model.student.eval()
    plain = student.plain("target").eval()
    assert isinstance(plain, Segmenter)
    with torch.no_grad():
        alone = outputs_of(student, shown.source, shown.image, "target").logits
        expanded = shown.image.expand(-1, plain.channels, -1, -1)
        assert torch.allclose(alone, plain.outputs(expanded).logits, atol=1e-6)
        both = outputs_of(student, shown.source, shown.image, "both").logits
        assert not torch.allclose(alone, both)
        # The encoder that linear evaluation freezes is the target's alone.
        assert torch.allclose(student.encode(shown.image), plain.encode(expanded), atol=1e-6)


@pytest.mark.parametrize("name", [name for name in DISTILLING if methods.get(name).inputs == ("target",)])
def test_a_student_of_one_modality_is_the_plain_network(name):
    student, plain = build(name).student, build("kd").student
    assert isinstance(student, Segmenter)
    assert student.channels == CHANNELS[1]
    assert [p.shape for p in student.parameters()] == [p.shape for p in plain.parameters()]
