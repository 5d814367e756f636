"""Weights in the layouts in circulation give the same network; what does not fit is said in one line."""

import argparse

import pytest
import safetensors.torch
import torch
import torchvision

from tests.models import published
from xkd_bench.errors import UsageError
from xkd_bench.models.conversion import convert, read_weights
from xkd_bench.models.wide_resnet import WideResNet50

STATE = published.resnet50_state(1 / 32)  # names are what this is about
TARGET = published.encoder_only(STATE)


@pytest.mark.parametrize("layout", list(published.layouts(STATE)))
def test_a_layout_in_circulation_is_read_as_the_network_that_it_holds(layout, tmp_path):
    file = tmp_path / "weights.pth.tar"
    torch.save(published.layouts(STATE)[layout], file)
    found = convert(read_weights(file), TARGET, "weights")
    assert found.keys() == TARGET.keys()
    for name, tensor in TARGET.items():
        counter = name.endswith("num_batches_tracked")
        assert torch.equal(found[name], tensor) or (counter and found[name] == 0), name


def test_a_safetensors_file_is_read_too(tmp_path):
    file = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(STATE, file)
    assert convert(read_weights(file), TARGET, "weights").keys() == TARGET.keys()


def test_arguments_beside_the_weights_do_no_harm(tmp_path):
    file = tmp_path / "weights.pth"
    torch.save({"model": STATE, "args": argparse.Namespace(lr=0.1)}, file)
    assert read_weights(file).keys() == STATE.keys()


def without(state, *names):
    return {name: tensor for name, tensor in state.items() if name not in names}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: without(s, "layer1.0.conv1.weight", "bn1.bias"), "2 of 318 tensors are missing (first: bn1.bias)"),
        (lambda s: {**s, "layer5.weight": torch.ones(1)}, "1 are unexpected (first: layer5.weight)"),
        (
            lambda s: {**s, "conv1.weight": torch.ones(2, 1, 7, 7)},
            "1 have another shape (first: conv1.weight: expected 2 × 3 × 7 × 7, found 2 × 1 × 7 × 7)",
        ),
        (lambda s: {"a.b": torch.ones(2)}, "missing (first: conv1.weight); 1 are unexpected (first: a.b)"),
    ],
)
def test_what_does_not_fit_is_one_line(change, said):
    with pytest.raises(UsageError) as caught:
        convert(change(STATE), TARGET, "weights 'x.pth' and resnet50")
    message = str(caught.value)
    assert message.startswith("weights 'x.pth' and resnet50 do not fit: ")
    assert said in message
    assert "\n" not in message


class Anything:
    """What a pickle could bring to life."""


SAID = {
    "code.pth": "it holds objects (tests.models.test_conversion.Anything) besides tensors, and tensors alone are read",
    "words.pth": "it is not a file of torch.save, or a damaged one",
    "short.pt": "it is not a file of torch.save, or a damaged one",
    "empty.ckpt": "it is empty",
    "short.safetensors": "it is not a safetensors file, or a damaged one",
    "nothing.pth": "hold no tensors where they are looked for",
    "list.pth": "hold no tensors where they are looked for",
    "weights.h5": "a file's name ends with one of",
    "none.pth": "no such file",
}


def broken(folder):
    torch.save({"state_dict": STATE, "hook": Anything()}, folder / "code.pth")
    (folder / "short.pt").write_bytes(b"PK\x03\x04 not a zip")
    (folder / "empty.ckpt").write_bytes(b"")
    (folder / "short.safetensors").write_bytes(b"\xff" * 40)
    torch.save({"epoch": 3, "args": {"lr": 0.1}}, folder / "nothing.pth")
    torch.save([1, 2], folder / "list.pth")
    (folder / "weights.h5").write_bytes(b"x")
    (folder / "words.pth").write_text("not weights at all")


def test_files_that_hold_no_weights_are_refused_in_one_line(tmp_path):
    broken(tmp_path)
    for name, said in SAID.items():
        with pytest.raises(UsageError) as caught:
            read_weights(tmp_path / name)
        message = str(caught.value)
        assert name in message
        assert said in message
        assert "\n" not in message
        assert len(message) < 300 + len(str(tmp_path))


def test_another_depth_is_not_taken_for_the_network(tmp_path):
    with torch.device("meta"):
        deeper, network = torchvision.models.resnet101(weights=None).state_dict(), WideResNet50(1)
    with pytest.raises(UsageError, match=r"unexpected \(first: layer3\.6\."):
        convert(deeper, network.state_dict(), "weights")
