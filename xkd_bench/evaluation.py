"""Scores a student under a protocol: linear heads on its frozen features, or fine-tuning, for each draw of labels."""

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn
from torchmetrics.functional.classification import multiclass_accuracy

from protocols import HeadRecipe, Recipe
from xkd_bench.augment import augmentation
from xkd_bench.batches import LabelledBatches
from xkd_bench.models.encoders import Encoder
from xkd_bench.models.teachers import encode, to_float
from xkd_bench.probes import fit_logistic
from xkd_bench.sampling import draw_labels
from xkd_bench.seeds import stream
from xkd_bench.tasks.base import Index, Progress, Split, TaskData
from xkd_bench.training import OnStep, fit


@dataclass(frozen=True)
class Score:
    """One number and what it rests on.

    value: top-1 accuracy on the test part, in [0, 1]; mean IoU of a dense task. correct: [n_test] bool, in the order of
    split.test; of a dense task float32, each image's mean IoU. chosen: hyper-parameters chosen on validation data, by
    name. validation: accuracy there, NaN where nothing was chosen. inputs: modalities that the network was given.
    details: what lies beneath the number (per-class IoU, pixel accuracy). shown: of a dense task [m, h, w] uint8, the
    classes predicted of a few test images, to be looked at; None where none were kept.
    """

    trained: str
    labels_per_class: int | None
    draw: int
    value: float
    n_test: int
    n_labels: int
    chosen: dict[str, float]
    validation: float
    seconds: float
    correct: NDArray[np.bool_ | np.float32]
    inputs: str = "target"
    metric: str = "accuracy"
    details: dict[str, Any] = field(default_factory=dict)
    shown: NDArray[np.uint8] | None = None


def _score(
    trained: str,
    per_class: int | None,
    draw: int,
    items: Index,
    predicted: Tensor,
    label: Tensor,
    seconds: float,
    chosen: dict[str, float] | None = None,
    validation: float = float("nan"),
) -> Score:
    n_classes = int(max(label.max(), predicted.max())) + 1
    value = multiclass_accuracy(predicted, label, n_classes, average="micro").item()
    correct = (predicted == label).numpy()
    return Score(trained, per_class, draw, value, len(label), len(items), chosen or {}, validation, seconds, correct)


def target_features(encoder: Encoder, data: TaskData, device: torch.device) -> Tensor:
    """Features of every target item by the encoder in evaluation mode, on the CPU: [n_target, dim].

    The encoder's parameters and batch-normalisation statistics are left as they are.
    """
    return torch.cat(list(encode(encoder, data.target.data, device)))


def standardised(features: Tensor, split: Split) -> Tensor:
    """Each feature at mean 0 and deviation 1 over the train part (its labels are not used); constant ones become 0."""
    train = features[torch.from_numpy(split.train)].double()
    std, mean = torch.std_mean(train, 0)
    return ((features - mean) / std.clamp_min(1e-8 * (1 + mean.abs()))).float()


def linear_scores(
    features: Tensor,
    split: Split,
    recipe: HeadRecipe,
    counts: Sequence[int | None],
    draws: int,
    *,
    seed: int,
    fabric: Fabric,
    on_step: Progress | None = None,
) -> list[Score]:
    """Linear evaluation for every number of labels and draw. features: [n_target, d] of the frozen encoder.

    With the solver `logistic` all draws and regularisations of a number of labels are one batched problem; the
    regularisation is the one with the best validation accuracy, averaged over the draws (the strongest of equals).
    """
    x = standardised(features, split)
    label = torch.from_numpy(split.label)
    scores = []
    for done, per_class in enumerate(counts):
        items = [draw_labels(split, per_class, seed=seed, draw=draw) for draw in range(draws)]
        if recipe.solver == "logistic":
            scores += _logistic_scores(x, label, split, recipe, per_class, items)
        else:
            scores += _recipe_scores(x, label, split, recipe, per_class, items, seed, fabric)
        if on_step:
            on_step(done + 1, len(counts))
    return scores


def _logistic_scores(
    x: Tensor, label: Tensor, split: Split, recipe: HeadRecipe, per_class: int | None, items: list[Index]
) -> list[Score]:
    started = time.perf_counter()
    strengths = torch.tensor(sorted(recipe.inverse_strengths))
    rows = torch.from_numpy(np.stack(items))
    heads = fit_logistic(x[rows], label[rows], strengths, len(split.classes))
    val, test = torch.from_numpy(split.val), torch.from_numpy(split.test)
    accuracy = (heads.logits(x[val]).argmax(-1) == label[val]).double().mean(-1)  # [draws, strengths]
    best = int(accuracy.mean(0).argmax())
    predicted = heads.logits(x[test])[:, best].argmax(-1)
    seconds = (time.perf_counter() - started) / len(items)
    chosen = {"C": strengths[best].item()}
    return [
        _score("head", per_class, d, items[d], predicted[d], label[test], seconds, chosen, accuracy[d, best].item())
        for d in range(len(items))
    ]


def _recipe_scores(
    x: Tensor,
    label: Tensor,
    split: Split,
    recipe: HeadRecipe,
    per_class: int | None,
    items: list[Index],
    seed: int,
    fabric: Fabric,
) -> list[Score]:
    assert recipe.recipe is not None
    scores = []
    for draw, chosen in enumerate(items):
        started = time.perf_counter()
        run = stream(seed, "head", per_class, draw)
        torch.manual_seed(run)
        head = _Classifier(nn.Identity(), x.shape[1], len(split.classes))
        rows = torch.from_numpy(chosen)
        batches = LabelledBatches(x[rows], label[rows], recipe.recipe.batch, run, fabric.device)
        what = _named("linear evaluation", per_class, draw)
        fit(head, batches, len(batches), recipe.recipe, seed=run, fabric=fabric, what=what)
        test = torch.from_numpy(split.test)
        with torch.no_grad():
            predicted = head.cpu().classify(x[test]).argmax(1)
        scores.append(_score("head", per_class, draw, chosen, predicted, label[test], time.perf_counter() - started))
    return scores


def fine_tuned_score(
    encoder: Encoder,
    data: TaskData,
    split: Split,
    recipe: Recipe,
    per_class: int | None,
    draw: int,
    *,
    seed: int,
    fabric: Fabric,
    flip: bool = True,
    on_step: OnStep | None = None,
    checkpoint: Path | None = None,
) -> Score:
    """Fine-tune a copy of the encoder with a fresh linear head on one draw of the labels, and score its last epoch.

    Nothing is chosen: the recipe is fixed. Initial head, batches and augmentation are the same for every method.
    """
    started = time.perf_counter()
    items = draw_labels(split, per_class, seed=seed, draw=draw)
    run = stream(seed, "fine-tune", per_class, draw)
    torch.manual_seed(run)
    augment = augmentation(recipe.augmentation, data.target.data.shape[1:], flip)
    model = _Classifier(copy.deepcopy(encoder), encoder.dim, len(split.classes), augment)
    label = torch.from_numpy(split.label)
    images = torch.from_numpy(np.ascontiguousarray(data.target.data[items]))
    batches = LabelledBatches(images, label[torch.from_numpy(items)], recipe.batch, run, fabric.device)
    fit(
        model, batches, len(batches), recipe.fitted(len(batches)), seed=run, fabric=fabric,
        what=_named("fine-tuning", per_class, draw), on_step=on_step, checkpoint=checkpoint,
    )  # fmt: skip
    test = data.target.data[split.test]
    network = nn.Sequential(model.encoder, model.head)
    predicted = torch.cat([logits.argmax(1) for logits in encode(network, test, fabric.device, batch=512)])
    truth = label[torch.from_numpy(split.test)]
    return _score("all", per_class, draw, items, predicted, truth, time.perf_counter() - started)


def _named(what: str, per_class: int | None, draw: int) -> str:
    return f"{what} ({'all labels' if per_class is None else f'{per_class} per class'}, draw {draw})"


class _Classifier(nn.Module):
    """An encoder and a linear head; maps a labelled batch to its cross-entropy."""

    def __init__(self, encoder: nn.Module, dim: int, n_classes: int, augment: nn.Module | None = None) -> None:
        super().__init__()
        self.encoder, self.head, self.augment = encoder, nn.Linear(dim, n_classes), augment

    def classify(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(x))

    def forward(self, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        x, y = batch
        x = to_float(x)
        if self.augment is not None:
            x = self.augment(x)
        return {"loss": nn.functional.cross_entropy(self.classify(x).float(), y)}
