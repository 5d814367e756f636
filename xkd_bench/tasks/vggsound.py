"""VGGSound: video to sound, about 310 classes, `vggsound:PATH` (Chen et al., ICASSP 2020).

PATH holds `vggsound.csv` (no header: YouTube id, start in seconds, label, train or test) and `video/ID_SSSSSS.mp4`
(or the clips beside the list), ten seconds each, named as the publishers' archive and most downloads do: the start in
six digits [CODE hche11/VGGSound names its sounds so]. The source of a clip are twelve frames, evenly spaced [PAPER
CMCD app. C], the target is its log-mel spectrogram. Clips of the list that are not there are left out, for YouTube
loses some each year; `check` counts them. The clips of one video are a group. Some of train validates. Needs PyAV:
pip install 'xkd-bench[data]'.
"""

import csv
import logging
from collections import defaultdict
from functools import cached_property

from xkd_bench.errors import UsageError
from xkd_bench.tasks._manifest import Row
from xkd_bench.tasks._modalities import FRAMES, Modality
from xkd_bench.tasks._published import PublishedItems, names, sizes
from xkd_bench.tasks.base import Card

_LOG = logging.getLogger(__name__)


class VGGSound(PublishedItems):
    """A clip is a pair: its frames and its sound."""

    card = Card(
        name="vggsound",
        title="VGGSound: video to sound",
        source="video frames",
        target="sound (log-mel)",
        pairing="instance",
        origin="real",
        licence="list CC BY 4.0; clips YouTube terms",
        target_kind="audio",
    )
    home = "the VGGSound page of the University of Oxford (robots.ox.ac.uk/~vgg)"
    layout = "vggsound.csv and video/ID_SSSSSS.mp4"
    needs = ("vggsound.csv",)
    published = sizes()
    source = Modality("image", "video", FRAMES)
    target = Modality("audio", "audio")

    def rows(self) -> list[Row]:
        """The clips of the list that are there."""
        there = {file.name for file in (self.root / self._place).glob("*.mp4")}
        found = [row for row in self._listed if row.source.rpartition("/")[2] in there]
        if len(found) < len(self._listed):
            _LOG.warning("vggsound: %d of %d clips are there", len(found), len(self._listed))
        return found

    def check(self) -> list[str]:
        """Clips of the list that are not there, and those that are no good."""
        there = {file.name for file in (self.root / self._place).glob("*.mp4")}
        gone = [row.pair for row in self._listed if row.source.rpartition("/")[2] not in there]
        lines = [f"{len(gone):,} of {len(self._listed):,} clips are not there (first: {gone[0]})"] if gone else []
        return lines + super().check()

    @property
    def _place(self) -> str:
        return "video/" if (self.root / "video").is_dir() else ""

    @cached_property
    def _listed(self) -> list[Row]:
        """All clips of the list. A video that is on both sides of the split is a group on each."""
        lines = list(csv.reader(names(self.root, "vggsound.csv"), skipinitialspace=True))
        splits = defaultdict(set)
        for number, fields in enumerate(lines, 1):
            if len(fields) != 4 or not fields[1].isdigit() or fields[3] not in ("train", "test"):
                raise UsageError(f"'{self.root / 'vggsound.csv'}', line {number}: not id, start, label, train or test")
            splits[fields[0]].add(fields[3])
        rows = []
        for video, start, label, split in lines:
            clip = f"{video}_{int(start):06d}"
            file, group = f"{self._place}{clip}.mp4", video if len(splits[video]) == 1 else f"{video}/{split}"
            rows.append(Row(clip, file, file, label, group, split, clip))
        return rows


TASK = VGGSound
