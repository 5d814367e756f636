"""What is shipped: small, licensed, and everything in it can be drawn."""

import re
from pathlib import Path

import numpy as np

import xkd_bench.tasks
from xkd_bench.tasks._embedded import archive, sketches

FOLDER = Path(xkd_bench.tasks.__file__).parent / "embedded"


def test_the_shipped_data_stays_under_its_budget():
    assert (
        sum(file.stat().st_size for file in FOLDER.rglob("*") if file.is_file() and file.suffix != ".pyc") < 5_800_000
    )


def test_every_style_is_attributed_and_no_licence_is_share_alike():
    text = (FOLDER / "ATTRIBUTION.md").read_text("utf8")
    for style in (*archive().colour, *archive().line):
        row = next(line for line in text.splitlines() if line.startswith(f"| `{style.name}` |"))
        assert style.licence in row
        assert not re.search(r"\bSA\b|GPL", style.licence)


def test_licence_texts_are_shipped():
    texts = {file.name: file.read_text("utf8") for file in (FOLDER / "licences").iterdir()}
    for start in (
        "Apache-2.0",
        "MIT-fluent",
        "OFL-1.1-noto",
        "OFL-1.1-unifont",
        "symbola",
        "quickdraw",
        "MIT-emojibase",
    ):
        assert any(name.startswith(start) and len(text) > 150 for name, text in texts.items()), start


def test_no_drawing_refers_to_anything_outside_itself():
    for style in (*archive().colour, *archive().line):
        for code, body in style.drawings.items():
            ids = set(re.findall(r' id="([^"]+)"', body))
            used = set(re.findall(r'(?:url\(#|href="#)([^")]+)', body))
            assert used <= ids, (style.name, code)
            assert "http" not in body, (style.name, code)


def test_counts():
    shared = [concept for concept in archive().concepts if concept.shared]
    assert len(shared) == 1060
    assert len({concept.group for concept in shared}) == 8
    assert (len(archive().colour), len(archive().line)) == (6, 5)
    for style in (*archive().colour, *archive().line):
        missing = [concept.code for concept in shared if concept.code not in style.drawings]
        assert style.name == "fxemoji" or not missing
    assert sketches().shape == (260, 100, 28, 28)


def test_every_category_has_a_concept_and_at_least_two_colour_drawings():
    for code in archive().categories.values():
        assert sum(code in style.drawings for style in archive().colour) >= 2, code


def test_every_sketch_has_ink_and_is_centred():
    ink = sketches().reshape(-1, 28, 28)
    assert ink.sum((1, 2)).min() >= 3  # some are but a few strokes
    rows, columns = ink.any(2), ink.any(1)
    for where in (rows, columns):
        margin = np.stack([where.argmax(1), where[:, ::-1].argmax(1)])
        assert abs(np.diff(margin, axis=0)).max() <= 1
