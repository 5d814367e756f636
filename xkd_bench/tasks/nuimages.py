"""nuImages: street scenes of two cities, RGB alone, 26 classes, `nuimages:PATH` (Motional, 2020).

PATH holds `v1.0-train/`, `v1.0-val/` (67,279 and 16,445 pictures; `:mini` takes `v1.0-mini/` alone, 50) with the
tables `sample.json`, `sample_data.json`, `category.json`, `object_ann.json`, `surface_ann.json`, and `samples/` with
the pictures of 900 × 1600 pixels: the publishers' archive [CODE nutonomy/nuscenes-devkit]. Masks are drawn as in the
devkit's segmentation: surfaces, then objects in the order of their tokens [from memory: that function was not at
hand]. Pixels without an annotation are the class `background`, and scored. A group is a log, a drive of some minutes.
The published val is our test; some logs of train validate. There is no second modality: its lidar sweeps are sparse
and not read. The tables of train take some gigabytes of memory once.
"""

import base64
import json
from collections import defaultdict
from typing import Any

import numpy as np

from xkd_bench.errors import UsageError
from xkd_bench.tasks._dense import Scene
from xkd_bench.tasks._pictures import stamp
from xkd_bench.tasks._planes import Ids
from xkd_bench.tasks._published import Published, numbers, sizes
from xkd_bench.tasks._rle import decode
from xkd_bench.tasks.base import Card

Mask = dict[str, Any]
_PARTS = {"v1.0-train": "train", "v1.0-val": "test"}
_FIELDS = {
    "sample": {"key_camera_token", "log_token"},
    "sample_data": {"token", "filename", "height", "width"},
    "category": {"token", "name"},
    "surface_ann": {"token", "category_token", "mask", "sample_data_token"},
    "object_ann": {"token", "category_token", "mask", "sample_data_token"},
}
"""What is read of each table."""
_CLASSES = (
    *("background", "animal", "flat.driveable_surface", "human.pedestrian.adult", "human.pedestrian.child"),
    *("human.pedestrian.construction_worker", "human.pedestrian.personal_mobility", "human.pedestrian.police_officer"),
    *("human.pedestrian.stroller", "human.pedestrian.wheelchair", "movable_object.barrier", "movable_object.debris"),
    *("movable_object.pushable_pullable", "movable_object.trafficcone", "static_object.bicycle_rack"),
    *("vehicle.bicycle", "vehicle.bus.bendy", "vehicle.bus.rigid", "vehicle.car", "vehicle.construction"),
    *("vehicle.ego", "vehicle.emergency.ambulance", "vehicle.emergency.police", "vehicle.motorcycle"),
    *("vehicle.trailer", "vehicle.truck"),
)


class NuImages(Published):
    """Source and target are the same pictures; a label is `VERSION/object_ann.json#TOKEN OF THE PICTURE`."""

    card = Card(
        name="nuimages",
        title="nuImages: street scenes",
        source="RGB",
        target="RGB",
        pairing="instance",
        origin="real",
        licence="nuScenes terms (CC BY-NC-SA 4.0, registration)",
        kind="segmentation",
        aligned=True,
        single_modality=True,
    )
    home = "nuscenes.org (nuImages)"
    layout = "v1.0-train/ and v1.0-val/ (or v1.0-mini/) with the tables, and samples/"
    needs = ("samples",)
    published = sizes(train=67279, test=16445)
    variants = ("mini",)
    classes, palette = _CLASSES, ()
    class_of = numbers(len(_CLASSES))

    def __init__(self, argument: str = "") -> None:
        super().__init__(argument)
        self._versions = {"v1.0-mini": ""} if self.variant else _PARTS
        if self.variant:
            self.published = sizes(all=50)
        if missing := [version for version in self._versions if not (self.root / version).is_dir()]:
            raise UsageError(f"'{self.root}' lacks {', '.join(missing)}: task 'nuimages' reads {self.layout}")

    def scenes(self) -> list[Scene]:
        """The key pictures of all versions. Reads the tables, which `read_label` needs."""
        found: list[Scene] = []
        self._sizes: dict[str, tuple[int, int]] = {}
        self._masks: dict[str, list[tuple[int, Mask]]] = defaultdict(list)
        for version, part in self._versions.items():
            pictures = {row["token"]: row for row in self._rows(version, "sample_data")}
            for row in self._rows(version, "sample"):
                token = row["key_camera_token"]
                if token not in pictures:
                    raise UsageError(f"'{self.root / version}': sample_data.json lacks the picture '{token}'")
                picture = pictures[token]
                name, label = picture["filename"], f"{version}/object_ann.json#{token}"
                found.append(Scene(name, name, name, label, row["log_token"], part))
                self._sizes[token] = picture["height"], picture["width"]
            self._read_masks(version)
        return self.own_groups(found)

    def state(self) -> object:
        """The tables as they are: a label map is made of several."""
        return [stamp(file) for version in self._versions for file in sorted((self.root / version).glob("*.json"))]

    def read_label(self, file: str) -> Ids:
        """Surfaces below, objects above."""
        token = file.partition("#")[2]
        labels = np.zeros(self._sizes[token], np.int64)
        for number, mask in self._masks.get(token, ()):
            height, width = mask["size"]
            if labels.shape != (height, width):
                raise ValueError(f"a mask is {width} × {height}, the picture {labels.shape[1]} × {labels.shape[0]}")
            labels[decode(base64.b64decode(mask["counts"]), height, width)] = number
        return labels

    def _read_masks(self, version: str) -> None:
        """Class and mask of what is drawn in each picture, in the order of drawing."""
        number = {name: i for i, name in enumerate(self.classes)}
        names = {row["token"]: row["name"] for row in self._rows(version, "category")}
        if strange := sorted(set(names.values()) - set(number)):
            raise UsageError(f"'{self.root / version / 'category.json'}' has a category that is unknown: {strange[0]}")
        for table in ("surface_ann", "object_ann"):
            for row in sorted(self._rows(version, table), key=lambda row: row["token"]):
                if row["mask"]:
                    self._masks[row["sample_data_token"]].append((number[names[row["category_token"]]], row["mask"]))

    def _rows(self, version: str, table: str) -> list[dict[str, Any]]:
        path = self.root / version / f"{table}.json"
        try:
            rows = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            said = error.strerror if isinstance(error, OSError) else f"no JSON ({error})"
            raise UsageError(f"'{path}' cannot be read: {said}") from None
        if not all(isinstance(row, dict) and _FIELDS[table] <= row.keys() for row in rows):
            raise UsageError(f"'{path}' has a row without {', '.join(sorted(_FIELDS[table]))}")
        return rows


TASK = NuImages
