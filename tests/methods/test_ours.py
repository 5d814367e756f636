"""Each method is its loss on its student's projection, and its options do what they say."""

import pytest
import torch

from tests.methods.test_contract import DIM, batches_for, build, first_batch, maps
from tests.toy import ToyData
from xkd_bench import methods
from xkd_bench.errors import UsageError
from xkd_bench.losses.contrastive import cmc, ntxent
from xkd_bench.losses.similarity import cmd
from xkd_bench.losses.statistics import channel_statistics, socket_stats
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


def parts_of(model, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    return model.project(batch)


@pytest.mark.parametrize(("alpha", "alone"), [(1.0, "cmc"), (0.0, "cmd")])
def test_the_ends_of_the_mix_are_cmc_and_cmd_to_the_bit(data, features, alpha, alone):
    mixed, one = build("cmcd", features, alpha=alpha), build(alone, features)
    batch = first_batch(one, data, features)
    losses = []
    for model in (mixed, one):
        loss = model(batch)["loss"]
        loss.backward()
        losses.append(loss.item())
    assert losses[0] == losses[1]
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(mixed.parameters(), one.parameters(), strict=True))


def test_the_mix_is_linear_in_alpha(data, features):
    losses = []
    for alpha in (0.0, 0.25, 1.0):
        model = build("cmcd", features, alpha=alpha, form="intra")
        losses.append(model(first_batch(model, data, features))["loss"].item())
    assert losses[1] == pytest.approx(0.75 * losses[0] + 0.25 * losses[2], rel=1e-6)


def test_a_queue_gives_cmc_the_teachers_features_of_earlier_batches_less_the_anchors_concept(data, features):
    model = build("cmc", features, queue=40)
    batches = list(batches_for(model, data, features)(0))[:3]
    torch.manual_seed(0)
    for batch in batches[:2]:
        model(batch)
    assert int(model.negatives.count) == 32
    z_a, z_b = parts_of(model, batches[2])
    earlier = torch.cat([model.centred(batch.teacher) for batch in batches[:2]])
    labels = torch.cat([batch.concept for batch in batches[:2]])
    got = model.contrast(z_a, z_b, batches[2])
    a, b, old = (torch.nn.functional.normalize(z, dim=1) for z in (z_a, z_b, earlier))
    own = batches[2].concept[:, None] == labels[None]
    back = torch.cat((b @ a.T, (b @ old.T).masked_fill(own, float("-inf"))), 1) / 0.1
    target = torch.arange(len(a))
    expected = torch.nn.functional.cross_entropy(back, target) + torch.nn.functional.cross_entropy(
        a @ b.T / 0.1, target
    )
    assert got.item() == pytest.approx(expected.item() / 2, rel=1e-5)


def test_cmds_candidates_are_the_batch_then_the_queue_of_earlier_batches(data, features):
    model = build("cmd", features, bank="queue", bank_size=64)
    first, second = list(batches_for(model, data, features)(0))[:2]
    z = parts_of(model, first)
    assert model.imitate(*z, first).loss.item() == pytest.approx(cmd(*z).loss.item(), rel=1e-6)
    z = parts_of(model, second)
    expected = cmd(*z, bank=model.centred(first.teacher))
    assert model.imitate(*z, second).loss.item() == pytest.approx(expected.loss.item(), rel=1e-5)
    model.eval()
    before = int(model.keys.count)
    model(first)
    assert int(model.keys.count) == before, "what is only evaluated is not remembered"


def test_cmds_fixed_bank_is_a_sample_of_the_centred_teacher(data, features):
    model = build("cmd", features, bank="fixed", bank_size=20)
    bank, known = model.get_buffer("fixed"), model.centred(features)
    assert bank.shape == (20, DIM)
    assert (bank[:, None] == known[None]).all(2).any(1).all()
    batch = first_batch(model, data, features)
    z = parts_of(model, batch)
    assert model.imitate(*z, batch).loss.item() == pytest.approx(cmd(*z, bank=bank).loss.item(), rel=1e-6)


def test_an_item_is_a_candidate_of_its_own_where_that_says_something():
    def included(**given) -> bool:
        return methods.get("cmd").parse_options("cmd", given).include_self

    assert included()
    assert not included(form="intra")
    assert included(form="intra", include_self="true")
    again = methods.get("cmd").parse_options("cmd", {"form": "intra"})
    assert methods.get("cmd").parse_options("cmd", again.model_dump(mode="json")) == again


def test_a_law_within_the_student_has_no_bank():
    with pytest.raises(UsageError, match="form=intra compares students with students"):
        methods.get("cmd").parse_options("cmd", {"form": "intra", "bank": "queue"})


def test_a_learned_temperature_moves_and_is_shown(data, features):
    model = build("cmc", features, learn_tau=True)
    out = model(first_batch(model, data, features))
    assert out["tau"].item() == pytest.approx(0.1)
    out["loss"].backward()
    assert model.tau.log_scale.grad.abs() > 0
    assert "tau" not in build("cmc", features)(first_batch(model, data, features))


def test_socket_sees_statistics_and_with_its_pair_term_the_pairs(data, features):
    model = build("socket", features)
    batch = first_batch(model, data, features)
    assert batch.teacher_maps == ()
    student = [channel_statistics(adapt(m)) for adapt, m in zip(model.adapt, model.student_maps(batch), strict=True)]
    teacher = [(m.mean((0, 2, 3)), m.var((0, 2, 3), correction=0)) for m in maps()]
    assert model(batch)["loss"].item() == pytest.approx(0.5 * socket_stats(student, teacher).item(), rel=1e-4)
    paired = build("socket", features, pair_term=0.5)
    out = paired(batch)
    assert out["loss"].item() == pytest.approx(0.5 * (out["statistics"] + out["pairs"]).item(), rel=1e-5)
    assert out["pairs"].item() == pytest.approx(
        torch.linalg.vector_norm(paired.project(paired.student(batch.views[0])) - batch.teacher).item(), rel=1e-5
    )


def test_crd_remembers_both_sides_of_each_pair_where_its_concept_stands(data, features):
    model = build("crd", features, momentum=0.0, negatives=50)
    batch = first_batch(model, data, features)
    model(batch)
    place = model.get_buffer("place")[batch.item]
    assert torch.equal(model.get_buffer("concept")[place], batch.concept)
    taught = torch.nn.functional.normalize(model.embed_a(model.centred(batch.teacher)), dim=1)
    assert torch.allclose(model.get_buffer("memory_a")[place], taught, atol=1e-5)
    z = float(model.get_buffer("normaliser_b"))
    model(batch)
    assert float(model.get_buffer("normaliser_b")) == z > 0, "set once, from the first batch"


def test_pressl_is_ssl_that_starts_from_the_source():
    assert methods.get("pressl").init == "source"
    assert methods.get("pressl").options_type is methods.get("ssl").options_type
