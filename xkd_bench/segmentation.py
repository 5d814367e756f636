"""Scores segmentation networks: mean IoU by one confusion matrix over the test part, with what lies beneath it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchmetrics.functional.classification import multiclass_confusion_matrix

from xkd_bench.errors import UsageError
from xkd_bench.losses.features import enlarged
from xkd_bench.models.teachers import to_float
from xkd_bench.seeds import stream
from xkd_bench.tasks.base import Index, Split, TaskData

Predict = Callable[[Tensor, Tensor], Tensor]
"""Logits [n, classes, h, w], or maps, of (source, image)."""


@dataclass(frozen=True)
class Confusion:
    """counts: [classes, classes] pixels of each class (rows) taken for each class. per_image: [n] mean IoU of each
    image, over the classes that are in it or in what was predicted of it; NaN for one without a pixel that counts."""

    counts: NDArray[np.int64]
    per_image: NDArray[np.float32]

    def iou(self) -> NDArray[np.float64]:
        """[classes] intersection over union; NaN for a class that is nowhere."""
        return _iou(self.counts)

    def mean_iou(self, scored: Sequence[int]) -> float:
        """Mean over these classes; one that is nowhere is left out."""
        return float(np.nanmean(self.iou()[list(scored)]))

    def pixel_accuracy(self) -> float:
        """Share of the pixels that count whose class is right."""
        return float(np.trace(self.counts) / max(1, self.counts.sum()))


def _iou(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    right = np.diagonal(counts, axis1=-2, axis2=-1)
    union = counts.sum(-1) + counts.sum(-2) - right
    return np.divide(right, union, out=np.full(right.shape, np.nan), where=union > 0)


def confusion(
    predict: Predict, data: TaskData, rows: Index, classes: int, device: torch.device, batch: int = 32
) -> Confusion:
    """What the network makes of these images, each whole and at the size of its label map."""
    assert data.maps is not None
    counts = np.zeros((classes, classes), np.int64)
    per_image = []
    for start in range(0, len(rows), batch):
        part = rows[start : start + batch]
        with torch.no_grad():
            predicted = predict(*_pair(data, part, device)).argmax(1)
        truth = torch.from_numpy(data.maps.data[part]).to(device).long()
        for one, true in zip(predicted, truth, strict=True):
            found = multiclass_confusion_matrix(one, true, classes, ignore_index=data.maps.ignore).cpu().numpy()
            counts += found
            iou = _iou(found)
            per_image.append(np.nanmean(iou) if np.isfinite(iou).any() else np.nan)
    return Confusion(counts, np.array(per_image, np.float32))


def shown_rows(split: Split, most: int = 8) -> Index:
    """The test images whose predicted label maps are kept: so many, evenly spaced, for neighbours are often alike."""
    places = np.linspace(0, len(split.test) - 1, min(most, len(split.test))).round().astype(int)
    return split.test[places]


@torch.no_grad()
def predicted(predict: Predict, data: TaskData, rows: Index, device: torch.device) -> NDArray[np.uint8]:
    """[n, h, w]: the classes of these images, at the size of their label maps."""
    return predict(*_pair(data, rows, device)).argmax(1).to(torch.uint8).cpu().numpy()


def scored_classes(split: Split) -> list[int]:
    """Numbers of the classes that are in train and in test."""
    return [i for i, name in enumerate(split.classes) if name not in split.absent]


def draw_images(data: TaskData, split: Split, per_class: int | None, *, seed: int, draw: int) -> Index:
    """The labelled images of one draw, sorted; all of train for None.

    Images come in random order; one is taken if it shows a class that fewer than `per_class` of those taken show. Draws
    are nested (those for 5 contain those for 1) and the same for every method. UsageError where a class that is scored
    is in too few images.
    """
    if per_class is None:
        return split.train
    assert data.maps is not None
    shows = data.maps.pixels[split.train] > 0  # [n_train, classes]
    scored = scored_classes(split)
    short = [i for i in scored if shows[:, i].sum() < per_class]
    if short:
        raise UsageError(
            f"class '{split.classes[short[0]]}' is in {shows[:, short[0]].sum()} labelled images to train on: "
            f"{per_class} cannot be drawn"
        )
    order = np.random.default_rng(stream(seed, "labels", draw)).permutation(len(split.train))
    taken: list[int] = []
    count = np.zeros(shows.shape[1], np.int64)
    for least in range(1, per_class + 1):  # one level after the other, so that draws are nested
        for i in order:
            if i not in taken and (shows[i, scored] & (count[scored] < least)).any():
                taken.append(int(i))
                count += shows[i]
    return np.sort(split.train[taken])


class PixelHead(nn.Module):
    """A 1×1 classifier of frozen maps: linear evaluation of a dense encoder. It is given (maps, labels)."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(width, affine=False)
        self.classifier = nn.Conv2d(width, classes, 1)

    def classify(self, maps: Tensor) -> Tensor:
        """Logits [n, classes, h', w'] of maps [n, width, h', w']."""
        return self.classifier(self.norm(maps))

    def forward(self, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        maps, label = batch
        logits = enlarged(self.classify(maps).float(), label.shape[-2:])
        loss = nn.functional.cross_entropy(logits, label, ignore_index=255, reduction="sum")
        return {"loss": loss / (label != 255).sum().clamp_min(1)}


@torch.no_grad()
def frozen_maps(encode: Predict, data: TaskData, rows: Index, device: torch.device, batch: int = 32) -> Tensor:
    """The maps that `encode` makes of (source, image) of these rows, on the CPU: [n, width, h', w']."""
    maps = []
    for start in range(0, len(rows), batch):
        part = rows[start : start + batch]
        maps.append(encode(*_pair(data, part, device)).float().cpu())
    return torch.cat(maps)


def _pair(data: TaskData, rows: Index, device: torch.device) -> tuple[Tensor, Tensor]:
    """(source, image) of these rows, in [0, 1]."""
    source, image = (to_float(torch.from_numpy(m.data[rows]).to(device)) for m in (data.source, data.target))
    return source, image
