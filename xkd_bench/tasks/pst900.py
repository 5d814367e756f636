"""PST900: RGB and thermal views of tunnels and mines, `pst900:PATH` (Shivakumar et al., ICRA 2020).

PATH holds `train/` and `test/`, each with `rgb/`, `thermal/` (8 bit; the camera's own gain control), `thermal_raw/`
and `depth/` (16 bit, not read) and `labels/` (0 to 4), files of one name: the authors' README [CODE ShreyasSkandanS/
pst900_thermal_rgb]. That README counts 606 + 288 pairs, later papers 597 + 288 of the same archive; `check` takes the
latter. A recording (the name up to `_rect_rgb_frame`) is a group. Some of train validates. Names of the classes 1 to
4 are in the order of most loaders; the README gives the numbers alone.
"""

from xkd_bench.tasks._dense import Scene
from xkd_bench.tasks._published import Published, numbers, sizes, stems
from xkd_bench.tasks.base import Card


class PST900(Published):
    """The thermal picture has holes (0) where the two cameras' views do not meet."""

    card = Card(
        name="pst900",
        title="PST900: subterranean scenes",
        source="RGB",
        target="thermal",
        pairing="instance",
        origin="real",
        licence="as its authors say (research)",
        kind="segmentation",
        aligned=True,
    )
    home = "the GitHub repository ShreyasSkandanS/pst900_thermal_rgb"
    layout = "train/ and test/, each with rgb/, thermal/ and labels/"
    needs = tuple(f"{part}/{kind}" for part in ("train", "test") for kind in ("rgb", "thermal", "labels"))
    published = sizes(train=597, test=288)
    classes = ("background", "fire extinguisher", "backpack", "hand drill", "survivor")
    palette = ((0, 0, 0), (220, 20, 60), (55, 90, 200), (230, 200, 40), (60, 180, 75))
    class_of = numbers(5)

    def scenes(self) -> list[Scene]:
        """All of the RGB pictures."""
        found = [
            Scene(
                name,
                source=f"{part}/rgb/{name}.png",
                target=f"{part}/thermal/{name}.png",
                label=f"{part}/labels/{name}.png",
                group=name.split("_rect_rgb_frame")[0],
                part=part,
            )
            for part in self.published
            for name in stems(self.root, f"{part}/rgb", ".png")
        ]
        return self.own_groups(found)


TASK = PST900
