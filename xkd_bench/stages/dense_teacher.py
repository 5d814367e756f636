"""The frozen teacher of a dense run, trained first on the labels of the source modality."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from xkd_bench.catalogue import SUPERVISED_TEACHER, fresh
from xkd_bench.dense_batches import DenseBatches, in_order
from xkd_bench.errors import UsageError
from xkd_bench.methods.dense import DenseMethod, DenseTeacher, Inputs, Supervised, outputs_of
from xkd_bench.models import weights
from xkd_bench.models.backbones import start_digest, start_from, start_of
from xkd_bench.models.conversion import load_into
from xkd_bench.models.duplex import DuplexSegmenter
from xkd_bench.models.segmenters import Segmentation, build_segmenter
from xkd_bench.models.teachers import RANDOM
from xkd_bench.seeds import stream
from xkd_bench.spec import FORMAT, digest
from xkd_bench.stages.context import Context
from xkd_bench.stages.kept import write_history
from xkd_bench.training import fit


def dense_teacher_key(run: Context) -> dict[str, Any]:
    """What the teacher depends on."""
    inputs = teacher_inputs(run)
    fields: dict[str, Any] = {
        "dense": True,
        "data": run.data.digest,
        "seed": run.spec.seed,
        "network": teacher_network(run),
        "inputs": inputs,
    }
    if inputs == "both":
        fields["fusion"] = run.options.fusion
    if _is_random(run):
        return {**fields, "random": True}
    if run.spec.teacher_digest:
        return {**fields, "weights": run.spec.teacher_digest}
    if backbone := run.spec.teacher_backbone_digest or start_digest(fields["network"]):
        fields["backbone"] = backbone
    return {**fields, "recipe": run.budget.pretrain.model_dump(mode="json"), "precision": run.spec.precision}


def dense_teacher(run: Context) -> nn.Module:
    """The frozen teacher: trained on the labels of train first, if it is not in the store."""
    network = _fresh_teacher(run)
    if _is_random(run):
        _settle(run, network)
    elif run.spec.teacher_weights is not None:
        load_into(network, run.spec.teacher_weights, teacher_network(run))
    else:
        key = digest({"format": FORMAT, **dense_teacher_key(run)})
        folder = run.store.compute("teachers", key, lambda folder: _train_teacher(run, key, folder))
        network.load_state_dict(load_file(folder / "teacher.safetensors"))
    return network.requires_grad_(False).eval().to(run.device)


def _is_random(run: Context) -> bool:
    """Whether the teacher is a control: its network, untrained."""
    return run.spec.teacher == "random" or run.spec.teacher.startswith(RANDOM)


def teacher_network(run: Context) -> str:
    """The name of the teacher's network, which starts fresh where it stays untrained or has weights from a file."""
    name = run.spec.teacher.removeprefix(RANDOM)
    if name in ("random", SUPERVISED_TEACHER, "none"):
        if run.budget.teacher is None:
            raise UsageError(f"budget '{run.spec.budget}' names no network for teachers of dense tasks")
        name = run.budget.teacher
    brought = run.spec.teacher_weights is not None or run.spec.teacher_backbone is not None
    return fresh(name) if brought or _is_random(run) else name


def dense_teacher_network(run: Context) -> str:
    """The network that this run's teacher would be trained with, and on what."""
    return f"{teacher_network(run)}, {teacher_inputs(run)}"


def teacher_inputs(run: Context) -> Inputs:
    """What the teacher sees."""
    return run.method.teacher_inputs if issubclass(run.method, DenseMethod) else "source"


def new_teacher(run: Context) -> nn.Module:
    """The teacher's network with random weights, from torch's global generator."""
    (source, target), classes, size = channels(run), len(run.split.classes), image_size(run)
    if teacher_inputs(run) == "both":
        return DuplexSegmenter(teacher_network(run), (source, target), classes, size, run.options.fusion)
    return build_segmenter(teacher_network(run), source, classes, size)


def _fresh_teacher(run: Context) -> nn.Module:
    torch.manual_seed(stream(run.spec.seed, "teacher"))
    network = new_teacher(run)
    if (weights := start_of(teacher_network(run), run.spec.teacher_backbone)) is not None:
        start_from(network, weights)
    return network


@torch.no_grad()
def _settle(run: Context, network: nn.Module, steps: int = 8, batch: int = 16) -> None:
    """Batch-norm statistics of an untrained network: without them every image is nearly the same to it."""
    rows = run.split.pairs_source
    chosen = rows[:: max(1, len(rows) // (steps * batch))][: steps * batch]
    network.train()
    for start in range(0, len(chosen), batch):
        part = chosen[start : start + batch]
        if len(part) > 1:
            source, image = (torch.from_numpy(m.data[part]).float() / 255 for m in (run.data.source, run.data.target))
            outputs_of(network, source, image, teacher_inputs(run))


def _train_teacher(run: Context, key: str, folder: Path) -> None:
    started = time.perf_counter()
    network, recipe = _fresh_teacher(run), run.budget.pretrain
    rows = run.split.train
    order, steps = in_order(rows, rows, recipe.batch, stream(run.spec.seed, "teacher-batches"))
    batches = DenseBatches(run.device, run.data, order, steps, recipe.augmentation, None, "given")
    recipe = recipe.fitted(steps)
    history = fit(
        Supervised(network, teacher_inputs(run)), batches, steps, recipe, seed=stream(run.spec.seed, "pretrain"),
        fabric=run.fabric, what=f"the teacher of {run.spec.task}", on_step=run.on_step("teacher"),
        checkpoint=run.store.work_folder("teachers", key) / "checkpoint.pt",
    )  # fmt: skip
    weights.save(network, folder / "teacher.safetensors")
    write_history(run, folder, dense_teacher_network(run), history, started)


def says_of(run: Context) -> tuple[DenseTeacher, Callable[[Tensor, Tensor], Segmentation]]:
    """What a method may know of the teacher, and the teacher at work."""
    network: Any = dense_teacher(run)
    inputs = teacher_inputs(run)

    @torch.no_grad()
    def says(source: Tensor, image: Tensor) -> Segmentation:
        return outputs_of(network, source, image, inputs)

    return _known(run, network), says


def known_before(run: Context) -> DenseTeacher:
    """What a method may know of the teacher, before there is one. UsageError where weights do not fit its network."""
    network = _fresh_teacher(run)
    if run.spec.teacher_weights is not None and not _is_random(run):
        load_into(network, run.spec.teacher_weights, teacher_network(run))
    return _known(run, network)


def _known(run: Context, network: Any) -> DenseTeacher:
    return DenseTeacher(network.widths, network.decoded_width, len(run.split.classes))


def channels(run: Context) -> tuple[int, int]:
    """Channels of source and target."""
    return run.data.source.data.shape[1], run.data.target.data.shape[1]


def image_size(run: Context) -> tuple[int, int]:
    """(height, width) of the target, which is that of the source and of the label maps."""
    height, width = run.data.target.data.shape[2:]
    return height, width
