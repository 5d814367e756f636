"""The scores of a dense run.

A method's loss stands beside the labels' in fine-tuning, one training from a fresh student, as all of these methods
were published. Before linear evaluation the student learns from pairs without labels, by the method's loss alone; and
so it does before fine-tuning where there are pairs that have no label, which are lost to that otherwise: few labels,
or a task that labels only a part.
"""

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from protocols import Recipe
from xkd_bench.batches import LabelledBatches
from xkd_bench.dense_batches import DenseBatches, in_order
from xkd_bench.evaluation import Score
from xkd_bench.losses.features import enlarged
from xkd_bench.methods.dense import DenseMethod, Inputs, outputs_of
from xkd_bench.models.teachers import to_float
from xkd_bench.seeds import stream
from xkd_bench.segmentation import (
    Confusion,
    PixelHead,
    Predict,
    confusion,
    draw_images,
    frozen_maps,
    predicted,
    scored_classes,
    shown_rows,
)
from xkd_bench.spec import FORMAT, digest
from xkd_bench.stages.context import Context
from xkd_bench.stages.dense_student import (
    dense_student_key,
    fit_student,
    fresh_student,
    label_free_student,
    learns_pairs_first,
    student_fields,
)
from xkd_bench.stages.dense_teacher import dense_teacher, says_of
from xkd_bench.stages.kept import read_scores, write_scores
from xkd_bench.tasks.base import Index
from xkd_bench.training import fit


def dense_scores(run: Context) -> Iterator[tuple[float, Score]]:
    """Every score of the protocol with its fraction of the pairs, in the protocol's order."""
    draws = min(run.protocol.draws, run.budget.max_draws)
    for fraction in run.protocol.pair_fractions:
        for trained in run.protocol.trained:
            for per_class in run.protocol.label_counts():
                for draw in range(draws if per_class else 1):
                    make = _frozen if trained == "head" else _whole
                    for score in make(run, fraction, per_class, draw):
                        yield fraction, score


def _whole(run: Context, fraction: float, per_class: int | None, draw: int) -> list[Score]:
    """One training of everything, with labels and the method's loss."""
    recipe = run.budget.all
    rows = draw_images(run.data, run.split, per_class, seed=run.spec.seed, draw=draw)
    first = {"start": dense_student_key(run, fraction)} if learns_pairs_first(run, rows) else {}
    key = digest({
        **student_fields(run), "labels": per_class, "draw": draw, "all": recipe.model_dump(mode="json"), **first,
    })  # fmt: skip

    def make(folder: Path) -> None:
        network = label_free_student(run, fraction) if first else fresh_student(run)
        started = time.perf_counter()
        if getattr(run.method, "trains_student", True):
            _teach(run, network, rows, stream(run.spec.seed, "fine-tune", per_class, draw), key)
        else:
            network = dense_teacher(run)
        seconds = time.perf_counter() - started
        write_scores(folder, [
            _score(run, "all", per_class, draw, rows, inputs, used, _predictor(used, inputs), seconds)
            for inputs, used in _networks(run, network)
        ])  # fmt: skip

    return read_scores(run.store.compute("tuned-scores", key, make))


def _teach(run: Context, student: Any, rows: Index, order_seed: int, key: str) -> None:
    """Train the student in place on these labelled rows, with the method's loss beside the labels'."""
    recipe = run.budget.all
    known, says = says_of(run) if run.method.uses_pairs else (None, None)
    order, steps = in_order(rows, _partners(run, rows), recipe.batch, order_seed)
    batches = DenseBatches(run.device, run.data, order, steps, recipe.augmentation, says, "given")
    fit_student(run, student, known, batches, steps, recipe, run.store.work_folder("tuned-scores", key))


def _partners(run: Context, rows: Index) -> Index:
    """The source items of labelled rows: their own, or for the control another's."""
    if run.spec.pairs == "true" or not run.method.uses_pairs:
        return rows
    partners = run.sampler().partners
    return np.array([partners[int(row)][0] for row in rows])


def _frozen(run: Context, fraction: float, per_class: int | None, draw: int) -> list[Score]:
    """A 1×1 head on the frozen encoder of the student that learned from pairs alone; of a network that fuses, one for
    each of its inputs: on the maps of both branches joined, or of the one that there is."""
    recipe = run.budget.head.recipe
    assert recipe is not None
    several = {"inputs": _inputs(run)} if len(_inputs(run)) > 1 else {}
    key = digest({
        "format": FORMAT, "student": dense_student_key(run, fraction), "labels": per_class, "draw": draw,
        "head": recipe.model_dump(mode="json"), **several,
    })  # fmt: skip

    def make(folder: Path) -> None:
        rows = draw_images(run.data, run.split, per_class, seed=run.spec.seed, draw=draw)
        network = label_free_student(run, fraction)
        if not run.first:
            return
        seed = stream(run.spec.seed, "head", per_class, draw)
        found = []
        for inputs, used in _networks(run, network.to(run.device)):
            started = time.perf_counter()
            encode = _encoder(used, inputs)
            head = _head(run, encode, rows, recipe, seed)
            predict = _classified(head, encode)
            seconds = time.perf_counter() - started
            found.append(_score(run, "head", per_class, draw, rows, inputs, used, predict, seconds))
        write_scores(folder, found)

    return read_scores(run.store.compute("linear-scores", key, make))


def _head(run: Context, encode: Predict, rows: Index, recipe: Recipe, seed: int) -> PixelHead:
    """A head, trained on the maps of these labelled rows."""
    maps = frozen_maps(encode, run.data, rows, run.device)
    assert run.data.maps is not None
    labels = torch.from_numpy(np.asarray(run.data.maps.data[rows])).long()
    torch.manual_seed(seed)
    head = PixelHead(maps.shape[1], len(run.split.classes))
    batches = LabelledBatches(maps, labels, recipe.batch, seed, run.device)
    plan = recipe.fitted(len(batches))
    fit(head, batches, len(batches), plan, seed=seed, fabric=run.alone, what="linear evaluation")
    return head.eval()


def _encoder(network: Any, inputs: Inputs) -> Predict:
    """The frozen encoder's last map of (source, image), given these inputs."""
    network.eval()
    if inputs == "target":
        return lambda source, image: network.encode(image)
    return lambda source, image: network.encode(image if inputs == "both" else None, source)


def _classified(head: PixelHead, encode: Predict) -> Predict:
    return lambda source, image: enlarged(head.classify(encode(source, image).float()), image.shape[-2:])


def _inputs(run: Context) -> tuple[Inputs, ...]:
    return run.method.inputs if issubclass(run.method, DenseMethod) else ("target",)


def _networks(run: Context, network: Any) -> Iterator[tuple[Inputs, Any]]:
    """Each of the inputs that a method is scored with, and the network made ready for it."""
    for inputs in _inputs(run):
        if issubclass(run.method, DenseMethod):
            yield inputs, run.method.ready(network, inputs, run.options, partial(_images, run))
        else:
            yield inputs, network


def _images(run: Context, modality: str, batch: int = 16, most: int = 512) -> Iterator[Tensor]:
    """Images of train of a modality, as they are, in batches: evenly spaced ones where there are more than `most`."""
    items = run.data.source if modality == "source" else run.data.target
    rows = run.split.train[:: -(-len(run.split.train) // most)]
    for part in np.array_split(rows, -(-len(rows) // batch)):
        yield to_float(torch.from_numpy(items.data[part]).to(run.device))


def _predictor(network: Any, inputs: Inputs) -> Predict:
    network.eval()

    def predict(source: Tensor, image: Tensor) -> Tensor:
        return enlarged(outputs_of(network, source, image, inputs).logits, image.shape[-2:])

    return predict


def _score(
    run: Context, trained: str, per_class: int | None, draw: int, rows: Index, inputs: Inputs, network: Any,
    predict: Predict, seconds: float,
) -> Score:  # fmt: skip
    found = confusion(predict, run.data, run.split.test, len(run.split.classes), run.device)
    facts = run.method.facts(network, inputs) if issubclass(run.method, DenseMethod) else {}
    shown = predicted(predict, run.data, shown_rows(run.split), run.device) if trained == "all" else None
    return Score(
        trained, per_class, draw, found.mean_iou(scored_classes(run.split)), len(run.split.test), len(rows), {},
        float("nan"), seconds, found.per_image, inputs=inputs, metric="mIoU",
        details=_details(run, found) | facts, shown=shown,
    )  # fmt: skip


def _details(run: Context, found: Confusion) -> dict[str, Any]:
    """Per-class IoU (null where a class is nowhere) and pixel accuracy."""
    iou = {name: None if np.isnan(v) else float(v) for name, v in zip(run.split.classes, found.iou(), strict=True)}
    return {"iou": iou, "pixel_accuracy": found.pixel_accuracy()}
