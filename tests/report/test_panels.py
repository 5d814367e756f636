"""Panels show each picture where it belongs; the table of classes says means."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from xkd_bench.report.classes import per_class
from xkd_bench.report.panels import BLANK, Column, bands, painted, panels, picture

PALETTE = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)


def test_a_map_is_painted_in_the_colours_of_its_classes_and_grey_where_nothing_counts():
    classes = np.array([[0, 1], [2, 255]])
    out = painted(classes, PALETTE)
    assert out.tolist() == [[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [BLANK] * 3]]
    masked = painted(classes, PALETTE, np.array([[False, True], [True, True]]))
    assert masked[0, 0].tolist() == [BLANK] * 3
    assert masked[0, 1].tolist() == [0, 255, 0]


def test_a_picture_of_one_channel_is_grey_and_of_more_its_first_three():
    many = np.arange(4 * 2 * 3, dtype=np.uint8).reshape(4, 2, 3)
    assert np.array_equal(picture(many)[1, 2], many[:3, 1, 2])
    assert np.array_equal(picture(many[:1])[1, 2], many[0, 1, 2].repeat(3))


def test_a_panel_has_a_row_for_each_image_and_a_column_for_each_variant():
    def plain(value: int) -> np.ndarray:
        return np.full((24, 32, 3), (value, 200, 7), np.uint8)  # a colour that no text has

    columns = [Column("input", [plain(10), plain(20)]), Column("a long name · of a variant", [plain(30), plain(40)])]
    image = np.asarray(Image.open(io.BytesIO(panels(columns, ("a", "b", "c"), PALETTE))))
    found = {int(v): np.argwhere((image == (v, 200, 7)).all(2)) for v in (10, 20, 30, 40)}
    assert all(len(at) == len(found[10]) > 1000 for at in found.values())
    top = {v: at.min(0).tolist() for v, at in found.items()}
    assert top[10][0] == top[30][0] < top[20][0] == top[40][0]
    assert top[10][1] == top[20][1] < top[30][1] == top[40][1]
    assert all((image == colour).all(2).any() for colour in PALETTE), "the key of colours"


def test_many_columns_come_in_even_bands_that_each_begin_with_what_is_compared():
    def plain(value: int) -> np.ndarray:
        return np.full((24, 96, 3), (value, 200, 7), np.uint8)

    columns = [Column(f"c{i}", [plain(i)]) for i in range(23)]
    shown = bands(columns, shared=3, most=12)
    assert [len(band) for band in shown] == [10, 10, 9]
    assert [column.title for band in shown for column in band[3:]] == [f"c{i}" for i in range(3, 23)]
    assert all(band[:3] == columns[:3] for band in shown)
    assert bands(columns, shared=3, most=23) == [columns]
    image = np.asarray(Image.open(io.BytesIO(panels(columns, ("a", "b", "c"), PALETTE, shared=3))))
    found = {i: np.argwhere((image == (i, 200, 7)).all(2)) for i in range(23)}
    assert len(found[0]) == 3 * len(found[3])  # in each band, and in one
    lefts = {i: at[:, 1].min() for i, at in found.items()}
    assert lefts[2] < lefts[3] == lefts[10] == lefts[17]
    assert image.shape[1] < 12 * 110


def test_the_table_of_classes_has_means_over_seeds_and_leaves_out_what_is_nowhere():
    shared = {"trained": "all", "labels_per_class": pd.NA, "pair_fraction": 1.0, "draw": 0, "order": 0, "variant": "kd"}
    rows = [
        {**shared, "seed": seed, "class": name, "iou": iou}
        for seed, values in enumerate([(0.2, 0.5, np.nan), (0.4, np.nan, np.nan)])
        for name, iou in zip(("soil", "crop", "weed"), values, strict=True)
    ]
    text = per_class(pd.DataFrame(rows), ("soil", "crop", "weed"))
    assert "| kd | 30.0 | 50.0 |" in text
    assert "weed" not in text
    assert "mean over 2 seeds" in text
    assert float(text.split("| kd | ")[1].split(" |")[0]) == pytest.approx(30)
