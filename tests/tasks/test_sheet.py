"""Contact sheets show pairs."""

from PIL import Image

from tests.tasks.folders import manifest, pairs
from tests.tasks.layouts import mfnet
from xkd_bench import tasks
from xkd_bench.tasks._sheet import contact_sheet


def test_sheets_of_all_tasks(tmp_path, emoji_sketch, doodle):
    own = tasks.get(manifest(tmp_path / "own", pairs(24))).load(8, 8)
    for name, data in (("emoji", emoji_sketch), ("doodle", doodle), ("own", own)):
        path = contact_sheet(data, data.split(0), tmp_path / "sheets" / f"{name}.png", columns=2, rows=3)
        with Image.open(path) as sheet:
            colours = sheet.convert("RGB").getcolors(1 << 20)
            assert sheet.width > 600
            assert len(colours) > 50


def test_the_same_sheet_twice(tmp_path, doodle):
    first, second, other = (
        contact_sheet(doodle, doodle.split(0), tmp_path / f"{i}.png", seed=seed).read_bytes()
        for i, seed in enumerate((1, 1, 2))
    )
    assert first == second
    assert first != other


def test_a_sheet_of_scenes_has_the_colours_of_their_classes(tmp_path):
    mfnet(tmp_path)
    data = tasks.get(f"mfnet:{tmp_path}").load((12, 16), (12, 16))
    with Image.open(contact_sheet(data, data.split(0), tmp_path / "x.png")) as sheet:
        seen = {colour for _, colour in sheet.convert("RGB").getcolors(1 << 20)}
    assert {tuple(colour) for colour in data.maps.palette.tolist()} <= seen
