"""Dense runs whose student or teacher starts from a file's backbone, and what is said of their networks."""

from io import StringIO

import pytest
import timm
import torch
from rich.console import Console
from safetensors.torch import load_file, save_file

from tests.runs import context, runner
from tests.stages.test_dense import NETWORK, fields, run
from tests.toy_dense import CLASSES
from xkd_bench.analysis.scores import variants
from xkd_bench.cli.dense import beside
from xkd_bench.errors import UsageError
from xkd_bench.models.segmenters import build_segmenter
from xkd_bench.models.teachers import imagenet_digest, imagenet_teacher
from xkd_bench.report.html.facts import commands
from xkd_bench.report.record import record_view
from xkd_bench.spec import RunSpec
from xkd_bench.stages.dense_student import dense_student_key, fresh_student, student_fields
from xkd_bench.stages.dense_teacher import _fresh_teacher, dense_teacher_key, teacher_network
from xkd_bench.store import tidy

LITE = "deeplabv3plus-tu-tf_efficientnet_lite0-w16"
IMAGENET = f"{LITE}-imagenet"

pytestmark = pytest.mark.usefixtures("toy_dense")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two backbones of one network, and the first once more under another name."""
    folder = tmp_path_factory.mktemp("weights")
    for name, seed in (("one", 1), ("two", 2), ("again", 1)):
        torch.manual_seed(seed)
        state = timm.create_model("mobilenetv3_small_050").state_dict()
        save_file({n: t.contiguous() for n, t in state.items()}, folder / f"{name}.safetensors")
    (folder / "junk.pth").write_text("not weights at all")
    return folder


def test_a_student_starts_from_the_file_and_the_seeds_own_rest(root, files):
    plain = context(root, **fields(method="kd"))
    one = context(root, **fields(method="kd", student_backbone=files / "one.safetensors"))
    bare, started = fresh_student(plain).state_dict(), fresh_student(one).state_dict()
    torch.manual_seed(1)
    weights = timm.create_model("mobilenetv3_small_050").state_dict()
    assert torch.equal(started["encoder.model.blocks.1.0.conv_dw.weight"], weights["blocks.1.0.conv_dw.weight"])
    stem = weights["conv_stem.weight"].sum(1, keepdim=True)
    assert torch.equal(started["encoder.model.conv_stem.weight"], stem), "the target has one channel"
    assert all(torch.equal(started[n], t) for n, t in bare.items() if not n.startswith("encoder."))


def test_keys_are_of_the_files_contents_and_of_nothing_where_there_is_none(root, files):
    def keys(**given):
        one = context(root, **fields(method="kd", **given))
        return runner(root).key(one.spec), dense_student_key(one, 1.0), str(dense_teacher_key(one))

    plain = keys()
    for who, same in (("student", 2), ("teacher", None)):
        a, b, again = (keys(**{f"{who}_backbone": files / f"{n}.safetensors"}) for n in ("one", "two", "again"))
        assert a == again
        for i, (x, y, z) in enumerate(zip(plain, a, b, strict=True)):
            assert len({x, y, z}) == (1 if i == same else 3), (who, i)
    one = context(root, **fields(method="kd"))
    assert not [
        name for name in (*one.spec.fields(), *student_fields(one), *dense_teacher_key(one)) if "backbone" in name
    ]


def test_networks_start_from_imagenet_by_their_names(root):
    fresh, started = (context(root, **fields(method="kd", student=name)) for name in (LITE, IMAGENET))
    bare, known = fresh_student(fresh).state_dict(), imagenet_teacher().backbone.state_dict()
    for name, tensor in fresh_student(started).state_dict().items():
        if name == "encoder.model.conv_stem.weight":
            expected = known["conv_stem.weight"].sum(1, keepdim=True)
        else:
            expected = known.get(name.removeprefix("encoder.model."), bare[name])
        assert torch.equal(tensor, expected), name
    assert not torch.equal(bare["encoder.model.blocks.1.0.conv_pw.weight"], known["blocks.1.0.conv_pw.weight"])
    assert student_fields(started)["backbone"] == imagenet_digest()
    assert "backbone" not in student_fields(fresh)


def test_a_teacher_from_imagenet_is_trained_further_and_its_control_starts_fresh(tmp_path):
    root = tmp_path
    taught = run(root, method="teacher", protocol="fine-tune", teacher=IMAGENET)
    assert [used["network"] for used in taught["networks"]] == [IMAGENET]
    one, control, both = (
        context(root, **fields(method=method, teacher=name))
        for method, name in (("kd", IMAGENET), ("kd", f"random:{IMAGENET}"), ("lix", IMAGENET))
    )
    assert dense_teacher_key(one)["backbone"] == imagenet_digest()
    assert teacher_network(control) == LITE
    assert "backbone" not in dense_teacher_key(control)
    known = imagenet_teacher().backbone.state_dict()["blocks.1.0.conv_pw.weight"]
    key = next(path for path in (root / "artefacts" / "teachers").iterdir() if path.is_dir())
    trained = load_file(key / "teacher.safetensors")["encoder.model.blocks.1.0.conv_pw.weight"]
    assert trained.shape == known.shape
    assert 0 < (trained - known).norm() < 0.1 * known.norm(), "a few small steps away"
    fused = _fresh_teacher(both).state_dict()
    assert all(
        torch.equal(fused[f"{who}.encoder.model.blocks.1.0.conv_pw.weight"], known) for who in ("source", "target")
    )


def test_a_files_backbone_takes_imagenets_place(root, files):
    given = {"student_backbone": files / "one.safetensors", "teacher_backbone": files / "two.safetensors"}
    one = context(root, **fields(method="kd", student=f"{NETWORK}-imagenet", teacher=f"{NETWORK}-imagenet", **given))
    assert one.spec.student == teacher_network(one) == NETWORK
    assert student_fields(one)["backbone"] == one.spec.student_backbone_digest


def test_weights_that_cannot_be_had_are_said_of_the_network():
    with pytest.raises(
        UsageError, match=r"'segformer-mit_b0-imagenet': neither timm nor torchvision has weights of .* 'mit_b0'"
    ):
        RunSpec.make(**fields(method="kd", student="segformer-mit_b0-imagenet"))


def test_runs_say_what_they_started_from(root, files):
    given = {"student_backbone": files / "one.safetensors", "teacher_backbone": files / "two.safetensors"}
    made = [run(root, method="kd"), run(root, method="kd", **given)]
    text = str(made[1]["spec"])
    assert str(files) not in text, "no path of one machine in a record"
    one, two = (made[1]["spec"][f"{who}_backbone_digest"][:6] for who in ("student", "teacher"))
    rows = [next(iter(tidy(record))) for record in made]
    assert [row["init"] for row in rows] == ["random", f"backbone {one}"]
    assert [row["teacher"] for row in rows] == ["supervised", f"supervised from {two}"]
    frame = runner(root).store.frame([record["key"] for record in made])
    assert [name for name in variants(frame)["variant"] if one in name] == [
        f"kd · supervised from {two} teacher · backbone {one} start"
    ]
    console = Console(record=True, width=200, file=StringIO())
    console.print(record_view(made[1]))
    shown = console.export_text()
    assert f"supervised from the backbone {two}, pairs true" in shown
    assert f"{NETWORK} from the backbone {one}, batch" in shown
    told = commands(frame[frame["init"] != "random"])
    assert any(f"--teacher-backbone FILE_{two}" in c and f"--student-backbone FILE_{one}" in c for c in told)
    teachers = [f for f in (root / "artefacts" / "teachers").iterdir() if f.is_dir()]
    assert len(teachers) == 2


def test_who_is_not_there_starts_nowhere(files):
    given = {"student_backbone": files / "one.safetensors", "teacher_backbone": files / "two.safetensors"}

    def started(**more):
        spec = RunSpec.make(**fields(**more, **given))
        return spec.student_backbone_digest is not None, spec.teacher_backbone_digest is not None

    assert started(method="kd") == (True, True)
    assert started(method="sup-ft") == (True, False)
    assert started(method="kd", teacher="random") == (True, False)
    assert started(method="teacher", protocol="fine-tune") == (False, True)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"student_backbone": "junk.pth"}, r"junk\.pth' cannot be read: it is not a file of torch\.save"),
        ({"teacher_backbone": "junk.pth"}, r"junk\.pth' cannot be read"),
        ({"teacher": NETWORK, "teacher_weights": "junk.pth"}, r"junk\.pth' cannot be read"),
        (
            {"teacher": NETWORK, "teacher_weights": "one.safetensors"},
            rf"and {NETWORK} do not fit: .* tensors are missing \(first: encoder\.model\.conv_stem\.weight\)",
        ),
        (
            {"teacher_backbone": "one.safetensors", "teacher": "pspnet-resnet18"},
            "the encoder of pspnet-resnet18 do not",
        ),
    ],
)
@pytest.mark.parametrize("method", ["kd", "teacher"])
def test_weights_that_do_not_fit_are_refused_when_the_runs_are_planned(tmp_path, files, given, said, method):
    if method == "teacher" and "student_backbone" in given:
        return
    named = {name: files / value if "." in value else value for name, value in given.items()}
    one = runner(tmp_path)
    spec = RunSpec.make(**fields(method=method, protocol="fine-tune", **named))
    with pytest.raises(UsageError, match=said) as caught:
        one.check(spec)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_meant_is_refused(files):
    with pytest.raises(UsageError, match="--student-backbone is for dense tasks"):
        RunSpec.make(student_backbone=files / "one.safetensors")
    with pytest.raises(UsageError, match=r"weights '.*none\.pth': no such file"):
        RunSpec.make(**fields(method="kd", teacher_backbone=files / "none.pth"))
    both = dict.fromkeys(("teacher_weights", "teacher_backbone"), files / "one.safetensors")
    with pytest.raises(UsageError, match="it has no --teacher-backbone"):
        RunSpec.make(**fields(method="kd", teacher=NETWORK, **both))


def test_a_record_says_what_its_networks_cost_and_a_table_has_it_beside_it(root):
    made = [run(root, method=name, protocol="fine-tune") for name in ("csk-net", "sup-ft", "teacher")]
    fused, plain, taught = (record["networks"] for record in made)
    assert [(u["role"], u["inputs"]) for u in fused] == [
        ("student", "target"), ("student", "both"), ("student", "source"), ("teacher", "source"),
    ]  # fmt: skip
    bare = build_segmenter(NETWORK, 3, len(CLASSES), (48, 64))
    parameters = sum(p.numel() for p in bare.parameters())
    assert fused[0]["parameters"] == fused[2]["parameters"] == fused[3]["parameters"] == parameters
    assert fused[0]["multiply_adds"] == fused[2]["multiply_adds"] == fused[3]["multiply_adds"]
    assert fused[1]["multiply_adds"] > 2 * fused[0]["multiply_adds"]
    assert [(u["role"], u["inputs"]) for u in plain] == [("student", "target")]
    assert plain[0]["parameters"] == parameters - 2 * bare.encoder.model.conv_stem.weight[:, 0].numel(), "one channel"
    assert taught == [fused[3]]
    frame = runner(root).store.frame([record["key"] for record in made])
    beside(frame, root, "costs")
    text = (root / "tables" / "costs-networks.md").read_text(encoding="utf-8")
    assert "Of one image of 48 × 64" in text
    line = f"{NETWORK} | target | {parameters:,} | {fused[0]['multiply_adds'] / 1e6:.1f} M |"
    assert f"| csk-net | {line}" in text
    for name in ("csk-net · both inputs", "csk-net · source input", "sup-ft", "teacher · source input", "a teacher"):
        assert f"| {name} | {NETWORK} | " in text
