"""What methods see of the teacher beyond pooled features, and where a student starts."""

import pytest
import torch
from safetensors.torch import save_file

from tests.runs import context, run, runner, spec
from xkd_bench.errors import UsageError
from xkd_bench.models.encoders import build_encoder
from xkd_bench.models.teachers import to_float
from xkd_bench.models.weights import tensors
from xkd_bench.spec import RunSpec
from xkd_bench.stages import maps, student, teacher

pytestmark = pytest.mark.usefixtures("toy")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("results")


def test_maps_are_what_the_teacher_says_of_each_paired_item(root):
    one = context(root, method="cmkd", teacher="random")
    known = maps.teacher_maps(one, 3)
    assert len(known.maps) == 3
    item = int(one.split.pairs_source[5])
    x = to_float(torch.from_numpy(one.data.source.data[[item]]))
    direct = teacher.build_teacher(one).features(x)
    for kept, now in zip(known.maps_of(torch.tensor([item])), direct.maps[-3:], strict=True):
        assert torch.allclose(kept, now, atol=1e-4)
    assert torch.allclose(known.features[[item]], direct.pooled, atol=1e-4)
    assert len(known.maps[0]) == len(one.split.pairs_source), "of no item that is not in a pair"


def test_statistics_are_those_of_the_maps(root):
    one = context(root, method="socket", teacher="random")
    known = maps.teacher_maps(one, 2)
    for level, kept in zip(maps.teacher_levels(one, 2), known.maps, strict=True):
        assert level.size == tuple(kept.shape[2:])
        assert torch.allclose(level.mean, kept.mean((0, 2, 3)), atol=1e-4)
        assert torch.allclose(level.var, kept.var((0, 2, 3), correction=0), rtol=1e-3, atol=1e-4)


def test_maps_are_computed_once_for_runs_of_one_teacher_and_split(root, monkeypatch):
    one = runner(root)
    first = maps.teacher_maps(one.context(spec(method="cmst", teacher="random")), 1)
    monkeypatch.setattr(maps, "_encode", None)
    again = maps.teacher_maps(one.context(spec(method="cmkd", teacher="random", pairs="shuffled")), 1)
    assert again.maps[0] is first.maps[0]


def test_maps_that_do_not_fit_are_refused_in_one_line(root, monkeypatch):
    monkeypatch.setattr(maps, "LARGEST_MAPS", 1e5)
    with pytest.raises(UsageError, match=r"feature maps of 56 items of toy take 0\.\d GB: use fewer of them"):
        maps.teacher_maps(context(root, method="cmkd", teacher="random"), 4)


@pytest.mark.parametrize("method", ["cmst", "cmkd", "socket", "crd", "cmcd", "pressl"])
def test_every_method_runs_with_its_controls(root, method):
    record = run(root, method=method)
    assert 0 <= record["scores"][0]["value"] <= 1
    if method != "pressl":
        for control in ({"teacher": "random"}, {"pairs": "shuffled"}):
            assert run(root, method=method, **control)["key"] != record["key"]


def test_socket_does_not_care_which_pairs_are_shown(root):
    true, shuffled = run(root, method="socket"), run(root, method="socket", pairs="shuffled")
    assert [s["value"] for s in true["scores"]] == [s["value"] for s in shuffled["scores"]]


def test_a_student_may_start_from_the_source_modality(root):
    one = context(root, method="ssl", init="source")
    start, source = student._initial(one).state_dict(), teacher.pretrained(one).state_dict()
    first = next(iter(start))
    assert torch.equal(start[first], source[first].sum(1, keepdim=True)), "colours summed for a grey image"
    assert all(torch.equal(start[name], source[name]) for name in start if name != first)
    assert run(root, method="ssl", init="source")["init"] == "source"


def test_presSL_is_ssl_from_the_source_and_no_other(root):  # noqa: N802
    ours, by_hand = run(root, method="pressl"), run(root, method="ssl", init="source")
    assert ours["scores"][0]["value"] == by_hand["scores"][0]["value"]
    assert ours["init"] == "source"
    assert run(root, method="ssl")["init"] == "random"


def test_the_start_is_part_of_what_a_student_is(root):
    keys = [student.student_key(context(root, method="cmc", init=init), 1.0) for init in ("random", "source")]
    assert keys[0] != keys[1]
    floor = [student.student_key(context(root, method="sup-ft", init=init), 1.0) for init in ("random", "source")]
    assert floor[0] != floor[1]


@pytest.fixture
def brought(tmp_path):
    """Weights of the student's network, made elsewhere."""
    torch.manual_seed(5)
    file = tmp_path / "mine.safetensors"
    save_file(tensors(build_encoder("conv4-w8", 3, 32)), file)
    return file


def test_weights_of_a_file_are_known_by_what_is_in_it(root, brought, tmp_path):
    moved = tmp_path / "moved.safetensors"
    moved.write_bytes(brought.read_bytes())
    one, two = (spec(method="cmc", teacher="conv4-w8", teacher_weights=f) for f in (brought, moved))
    assert runner(root).key(one) == runner(root).key(two)
    assert "teacher_weights" not in one.fields(), "no path of one machine in a record"
    record = run(root, method="cmc", teacher="conv4-w8", teacher_weights=brought)
    assert record["spec"]["teacher_digest"] == one.teacher_digest
    assert str(brought) not in str(record)


def test_a_student_may_start_from_the_teachers_own_weights(root, brought):
    one = context(root, method="pressl", teacher="conv4-w8", teacher_weights=brought)
    start, source = student._initial(one).state_dict(), teacher.build_teacher(one).backbone.state_dict()
    names = [name for name in start if start[name].shape == source[name].shape]
    assert len(names) == len(start) - 1
    assert all(torch.equal(start[name], source[name]) for name in names)


def test_weights_need_the_name_of_their_network(brought):
    with pytest.raises(UsageError, match="say with --teacher which network"):
        spec(method="cmc", teacher_weights=brought)


def test_a_method_without_pairs_is_the_same_run_whatever_teacher_is_brought(brought):
    plain, other = spec(method="ssl"), spec(method="ssl", teacher="conv4-w8", teacher_weights=brought)
    assert plain.fields() == other.fields()
    assert isinstance(plain, RunSpec)


def test_a_random_teacher_is_the_teachers_own_network_with_other_weights(root, brought):
    taught = context(root, method="cmc", teacher="conv4-w8", teacher_weights=brought)
    untaught = context(root, method="cmc", teacher="random:conv4-w8", teacher_weights=brought)
    known, random = (teacher.build_teacher(one).backbone.state_dict() for one in (taught, untaught))
    assert {n: t.shape for n, t in known.items()} == {n: t.shape for n, t in random.items()}
    weights = [n for n in known if known[n].ndim == 4]
    assert weights
    assert all(not torch.equal(known[n], random[n]) for n in weights)
    again = teacher.build_teacher(untaught).backbone.state_dict()
    assert all(torch.equal(random[n], again[n]) for n in random)
    assert teacher.teacher_key(taught) != teacher.teacher_key(untaught)


def test_the_control_of_a_teacher_pretrained_here_is_its_untrained_network(root):
    one = context(root, method="cmc", teacher="random:simclr", student="resnet8-w16")
    assert teacher.build_teacher(one).dim == 128
    assert run(root, method="cmc", teacher="random:simclr")["spec"]["teacher"] == "random:simclr"
