"""Each method is its loss on its student's projection, and its options do what they say."""

import pytest
import torch

from tests.methods.test_contract import DIM, build, first_batch
from tests.toy import ToyData
from xkd_bench import methods
from xkd_bench.errors import UsageError
from xkd_bench.losses.contrastive import cmc, ntxent
from xkd_bench.losses.similarity import cmd
from xkd_bench.methods.base import Batch, Projector, Teacher


@pytest.fixture(scope="module")
def data() -> ToyData:
    return ToyData(16, 16)


@pytest.fixture(scope="module")
def features() -> torch.Tensor:
    return torch.rand(96, DIM, generator=torch.Generator().manual_seed(0)) + 3


@pytest.mark.parametrize("centre", [True, False])
@pytest.mark.parametrize("tau", [0.1, 0.5])
def test_cmc_is_the_loss_of_the_projection_and_the_centred_teacher(data, features, tau, centre):
    model = build("cmc", features, tau=tau, centre_teacher=centre).eval()
    batch = first_batch(model, data, features)
    z_b = model.projector(model.student(batch.views[0]))
    z_a = batch.teacher - (features.mean(0) if centre else 0)
    assert model(batch)["loss"].item() == pytest.approx(cmc(z_a, z_b, tau).item(), rel=1e-6)


@pytest.mark.parametrize("form", ["seed", "intra"])
@pytest.mark.parametrize("include_self", [True, False])
def test_cmd_is_the_loss_of_the_projection_and_the_centred_teacher(data, features, form, include_self):
    model = build("cmd", features, form=form, tau_t=0.2, tau_s=0.3, include_self=include_self).eval()
    batch = first_batch(model, data, features)
    z_b = model.projector(model.student(batch.views[0]))
    expected = cmd(
        batch.teacher - features.mean(0), z_b, form=form, tau_t=0.2, tau_s=0.3, include_self=include_self
    )  # fmt: skip
    out = model(batch)
    assert out["loss"].item() == pytest.approx(expected.loss.item(), rel=1e-6)
    assert out["kl"].item() == pytest.approx(expected.kl.item(), rel=1e-5)
    assert out["tv"].item() == pytest.approx(expected.tv.item(), rel=1e-5)


def test_ssl_is_the_loss_of_two_views_and_sees_no_teacher(data, features):
    model = build("ssl", features, tau=0.3, dim=17).eval()
    batch = first_batch(model, data, features)
    assert batch.teacher is None
    one, two = (model.projector(model.student(view)) for view in batch.views)
    assert one.shape == (len(batch.concept), 17)
    assert model(batch)["loss"].item() == pytest.approx(ntxent(one, two, 0.3).item(), rel=1e-6)


def test_sup_ft_has_no_stage_without_labels(features):
    model = build("sup-ft", features)
    assert not model.distils
    with pytest.raises(RuntimeError, match="no stage without labels"):
        model(Batch((torch.zeros(2, 1, 16, 16),), torch.zeros(2).long(), torch.zeros(2).long()))


def test_with_all_positives_a_batch_may_repeat_concepts_and_the_loss_knows(data, features):
    model = build("cmc", features, positives="all")
    view = torch.rand(6, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    concept = torch.tensor([4, 4, 7, 9, 9, 9])
    batch = Batch((view,), concept, torch.arange(6), features[:6])
    z_b = model.projector(model.student(view))
    z_a = features[:6] - features.mean(0)
    assert model(batch)["loss"].item() == pytest.approx(cmc(z_a, z_b, 0.1, concept).item(), rel=1e-6)
    assert model(batch)["loss"].item() != pytest.approx(cmc(z_a, z_b, 0.1).item(), rel=1e-3)
    distinct = build("cmc", features)
    assert distinct(batch)["loss"].item() == pytest.approx(cmc(z_a, z_b, 0.1).item(), rel=1e-6)
    assert methods.get("cmc").batch_positives(model.options) == "all"
    assert methods.get("cmc").batch_positives(distinct.options) == "distinct"


def test_centring_undoes_a_common_offset_of_the_teacher(data, features):
    def loss(offset: float, centre: bool) -> float:
        moved = features + offset
        model = build("cmc", moved, centre_teacher=centre)
        return model(first_batch(model, data, moved))["loss"].item()

    assert loss(0, True) == pytest.approx(loss(10, True), abs=1e-3)
    assert abs(loss(0, False) - loss(10, False)) > 0.01


def test_a_projector_has_two_layers_with_normalisation_between():
    projector = Projector(8, 5, hidden=11)
    assert projector(torch.rand(3, 8)).shape == (3, 5)
    assert sum(p.numel() for p in projector.parameters()) == 8 * 11 + 2 * 11 + 11 * 5 + 5
    assert isinstance(projector[1], torch.nn.BatchNorm1d)


def test_what_is_frozen_in_a_method_goes_with_its_checkpoint(features):
    model = build("cmc", features)
    assert torch.equal(model.state_dict()["teacher_mean"], features.mean(0))
    assert "teacher_mean" not in dict(model.named_parameters())


def test_a_cmd_batch_has_distinct_concepts_only():
    with pytest.raises(UsageError, match="option positives=all of method 'cmd'"):
        methods.get("cmd").parse_options("cmd", {"positives": "all"})


def test_the_teachers_mean_is_not_changed_by_the_option():
    taught = torch.rand(5, DIM)
    before = taught.clone()
    method = methods.get("cmc")
    student = torch.nn.Identity()
    student.dim = 4  # type: ignore[assignment]
    method(student, Teacher(taught, torch.arange(5)), method.parse_options("cmc", {"centre_teacher": False}))
    assert torch.equal(taught, before)
