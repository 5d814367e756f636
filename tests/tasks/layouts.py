"""Tiny copies of published data sets: noise in exactly the published layout."""

import base64
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

HIGH, WIDE = 12, 16
Pixels = np.ndarray


def noise(seed: int, channels: int = 3, high: int = HIGH, wide: int = WIDE) -> Pixels:
    found = np.random.default_rng(seed).integers(0, 256, (high, wide, channels), dtype=np.uint8)
    return found[:, :, 0] if channels == 1 else found


def ids(seed: int, values: list[int]) -> Pixels:
    """A label map that has all of these values."""
    rng = np.random.default_rng(seed)
    drawn = np.concatenate([values, rng.choice(values, HIGH * WIDE - len(values))])
    return rng.permutation(drawn).reshape(HIGH, WIDE)


def write(path: Path, pixels: Pixels, like: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    if like == "palette":
        image = Image.fromarray(pixels.astype(np.uint8), "P")
        image.putpalette(list(range(256)) * 3)
    image.save(path)


def label(path: Path, values: Pixels, like: str = "") -> None:
    write(path, values.astype(np.uint8), like)


def mfnet(root: Path) -> None:
    for part, n in (("train", 8), ("val", 3), ("test", 4)):
        names = [f"{i + 100 * len(part):05d}{'DN'[i % 2]}" for i in range(n)]
        (root / f"{part}.txt").write_text("\n".join([*names, f"{names[0]}_flip"]) + "\n")
        for i, name in enumerate(names):
            write(root / f"images/{name}.png", noise(i, 4))
            label(root / f"labels/{name}.png", ids(i, list(range(9))))


def msrs(root: Path) -> None:
    for part, n in (("train", 12), ("test", 4)):
        for i in range(n):
            name = f"{i + 100 * len(part):05d}D.png"
            write(root / part / "vi" / name, noise(i))
            write(root / part / "ir" / name, noise(i + 50, 1))
            label(root / part / "Segmentation_labels" / name, ids(i, list(range(9))))


def pst900(root: Path) -> None:
    for part, n in (("train", 12), ("test", 4)):
        for i in range(n):
            name = f"{i // 3 + 10 * len(part)}_bag1a_rect_rgb_frame{i:010d}.png"
            write(root / part / "rgb" / name, noise(i))
            write(root / part / "thermal" / name, noise(i + 50, 1))
            write(root / part / "thermal_raw" / name, noise(i + 50, 1).astype(np.uint16))
            label(root / part / "labels" / name, ids(i, list(range(5))))


def nyu_v2(root: Path) -> None:
    import h5py
    from scipy.io import savemat

    n = 16
    with h5py.File(root / "nyu_depth_v2_labeled.mat", "w") as file:
        file["images"] = np.stack([noise(i).transpose(2, 1, 0) for i in range(n)])
        file["depths"] = np.stack([np.linspace(0, 12, HIGH * WIDE, dtype=np.float32).reshape(HIGH, WIDE).T] * n)
        file["labels"] = np.stack([ids(i, list(range(0, 895, 20))).T.astype(np.uint16) for i in range(n)])
        names = file.create_dataset("scenes", (1, n), dtype=h5py.ref_dtype)
        for i in range(n):
            file[f"#refs#/{i}"] = np.array([[ord(c)] for c in f"kitchen_{i // 2:04d}"], np.uint16)
            names[0, i] = file[f"#refs#/{i}"].ref
    order = np.arange(1, n + 1)[:, None]
    savemat(root / "splits.mat", {"trainNdxs": order[4:], "testNdxs": order[:4]})
    forty = np.array([[f"thing {i}" for i in range(40)]], object)
    savemat(root / "classMapping40.mat", {"mapClass": np.arange(894)[None] % 40 + 1, "className": forty})
    thirteen = {
        "labels13": np.arange(40)[None] % 13 + 1,
        "className": np.array([f"kind {i}" for i in range(13)], object),
    }
    savemat(root / "class13Mapping.mat", {"classMapping13": thirteen})


STREET_IDS = [0, 3, 7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]


def cityscapes(root: Path) -> None:
    for part, cities in (("train", ["aachen", "bochum", "ulm", "jena"]), ("val", ["lindau", "munster"])):
        for city in cities:
            for i in range(3):
                name = f"{city}_{i:06d}_000019"
                write(root / f"leftImg8bit/{part}/{city}/{name}_leftImg8bit.png", noise(i))
                label(root / f"gtFine/{part}/{city}/{name}_gtFine_labelIds.png", ids(i, STREET_IDS))


def voc(root: Path, augmented: bool = True) -> None:
    names = [f"2007_{i:06d}" for i in range(16)]
    lists = {"train": names[:6], "val": names[12:]}
    if augmented:
        lists["trainaug"] = names[:12]
    (root / "ImageSets/Segmentation").mkdir(parents=True)
    for part, of in lists.items():
        (root / f"ImageSets/Segmentation/{part}.txt").write_text("\n".join(of) + "\n")
    for i, name in enumerate(names):
        write(root / f"JPEGImages/{name}.jpg", noise(i))
        for folder in ("SegmentationClass", "SegmentationClassAug"):
            if folder == "SegmentationClass" and 6 <= i < 12:
                continue
            label(root / folder / f"{name}.png", ids(i, [*range(21), 255]), "palette")


def camvid(root: Path) -> None:
    for part, sequence, n in (
        ("train", "0001TP", 8),
        ("train", "0006R0", 4),
        ("val", "0016E5", 3),
        ("test", "0001TP", 4),
    ):
        for i in range(n):
            name = f"{sequence}_{i + 1000 * len(part):06d}.png"
            write(root / part / name, noise(i))
            label(root / f"{part}annot" / name, ids(i, list(range(12))))


def ade20k(root: Path) -> None:
    for part, n in (("training", 12), ("validation", 4)):
        for i in range(n):
            name = f"ADE_{'train' if part == 'training' else 'val'}_{i:08d}"
            write(root / f"images/{part}/{name}.jpg", noise(i))
            label(root / f"annotations/{part}/{name}.png", ids(i, list(range(151))))
    rows = [f"{i}\t0.1\t10\t1\tthing {i}, other name" for i in range(1, 151)]
    (root / "objectInfo150.txt").write_text("\n".join(["Idx\tRatio\tTrain\tVal\tName", *rows]) + "\n")


def coco_stuff(root: Path) -> None:
    for part, n in (("train2017", 12), ("val2017", 4)):
        for i in range(n):
            name = f"{100 * len(part) + i:012d}"
            write(root / f"images/{part}/{name}.jpg", noise(i))
            label(root / f"annotations/{part}/{name}.png", ids(i, [*range(0, 182, 2), 255]))
    names = ["0: unlabeled", *(f"{i}: thing-{i}" for i in range(1, 183))]
    (root / "labels.txt").write_text("\n".join(names) + "\n")


def vkitti2(root: Path, together: bool = False) -> None:
    from xkd_bench.tasks.vkitti2 import VKITTI2

    colours = np.array([*VKITTI2.palette, (0, 0, 0)], np.uint8)
    for scene in ("Scene01", "Scene02", "Scene06", "Scene18", "Scene20"):
        for way in ("clone", "fog"):
            for i in range(2):
                deep = np.linspace(0, 65535, HIGH * WIDE).reshape(HIGH, WIDE).astype(np.uint16)
                for kind, name, pixels in (
                    ("rgb", f"rgb_{i:05d}.jpg", noise(i)),
                    ("depth", f"depth_{i:05d}.png", deep),
                    ("classSegmentation", f"classgt_{i:05d}.png", colours[ids(i, list(range(15)))]),
                ):
                    place = root if together else root / f"vkitti_2.0.3_{kind}"
                    folder = kind.lower() if together else kind  # both are about
                    write(place / scene / way / "frames" / folder / "Camera_0" / name, pixels)


def kitti_semantics(root: Path) -> None:
    for i in range(20):
        name = f"{i:06d}_10.png"
        write(root / "training/image_2" / name, noise(i))
        write(root / "training/disp_occ_0" / name, np.full((HIGH, WIDE), 256 * i + 128, np.uint16))
        label(root / "training/semantic" / name, ids(i, STREET_IDS))


DENSE: dict[str, Callable[[Path], None]] = {
    "mfnet": mfnet, "msrs": msrs, "pst900": pst900, "nyu-v2": nyu_v2, "cityscapes": cityscapes, "voc": voc,
    "camvid": camvid, "ade20k": ade20k, "coco-stuff": coco_stuff, "vkitti2": vkitti2,
    "kitti-semantics": kitti_semantics,
}  # fmt: skip


def sketchy(root: Path, place: str = "256x256/") -> None:
    """30 photos of 3 classes with two sketches each; the last two photos of a class are in the test list."""
    tests = []
    for c, name in enumerate(("airplane", "hot-air_balloon", "zebra")):
        for i in range(10):
            photo = f"n0{c}_{i}"
            write(root / f"{place}photo/tx_000000000000/{name}/{photo}.jpg", noise(100 * c + i))
            write(root / f"{place}photo/tx_000100000000/{name}/{photo}.jpg", noise(0))
            for k in (1, 2):
                write(root / f"{place}sketch/tx_000000000000/{name}/{photo}-{k}.png", noise(1000 * k + 100 * c + i))
            if i >= 8:
                tests.append(f"{name}/{photo}.jpg")
    (root / "info").mkdir()
    (root / "info/testset.txt").write_text("\n".join(tests) + "\n")


def tu_berlin(root: Path) -> None:
    for c, name in enumerate(("airplane", "alarm clock", "angel")):
        for i in range(80):
            write(root / f"png/{name}/{80 * c + i + 1}.png", noise(80 * c + i, 1, 8, 8))
    (root / "png/filelist.txt").write_text("airplane/1.png\n")


def nuimages(root: Path, versions: tuple[tuple[str, int], ...] = (("train", 12), ("val", 4))) -> None:
    """A picture has a surface on its upper half, and an animal and a truck in the middle, the truck in front."""
    from xkd_bench.tasks.nuimages import NuImages

    names = [*NuImages.classes[1:], "flat.other"][:25]
    for version, n in versions:
        place = root / f"v1.0-{version}"
        place.mkdir(parents=True)
        tables: dict[str, list[dict]] = {name: [] for name in ("sample", "sample_data", "object_ann", "surface_ann")}
        tables["category"] = [{"token": f"c{i}", "name": name} for i, name in enumerate(names)]
        for i in range(n):
            key, file = f"{version}-d{i}", f"samples/CAM_FRONT/{version}-{i}.jpg"
            write(root / file, noise(i))
            tables["sample"].append({"token": f"s{i}", "key_camera_token": key, "log_token": f"{version}-log{i // 2}"})
            shape = {"height": HIGH, "width": WIDE}
            tables["sample_data"] += [
                {"token": key, "filename": file, "is_key_frame": True, **shape},
                {"token": f"{key}-sweep", "filename": "sweeps/none.jpg", "is_key_frame": False, **shape},
            ]
            upper, middle, front = (np.zeros((HIGH, WIDE), bool) for _ in range(3))
            upper[: HIGH // 2], middle[4:8, 3:9], front[6:9, 5 : 7 + i % 3] = True, True, True
            for table, token, category, mask in (
                ("surface_ann", "a", "flat.driveable_surface", upper),
                ("object_ann", "z", "vehicle.truck", front),
                ("object_ann", "b", "animal", middle),
                ("object_ann", "c", "vehicle.car", None),
            ):
                tables[table].append(
                    {
                        "token": f"{token}{i}",
                        "category_token": f"c{names.index(category)}",
                        "sample_data_token": key,
                        "mask": None if mask is None else coded(mask),
                    }
                )
        for name, rows in tables.items():
            (place / f"{name}.json").write_text(json.dumps(rows))


def coded(mask: Pixels) -> dict:
    return {"size": list(mask.shape), "counts": base64.b64encode(run_lengths(mask)).decode()}


def run_lengths(mask: Pixels) -> bytes:
    """[h, w] as COCO's compressed run lengths; the same bytes as pycocotools 2.0.11 gives for 300 random masks."""
    flat = np.concatenate([[False], mask.T.ravel()])
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    runs = np.diff(np.concatenate([[0], edges, [mask.size]])).tolist()
    out = bytearray()
    for i, run in enumerate(runs):
        value = run - runs[i - 2] if i > 2 else run
        while True:
            bits, value = value & 31, value >> 5
            more = value != (-1 if bits & 16 else 0)
            out.append(48 + (bits | 32 if more else bits))
            if not more:
                break
    return bytes(out)
