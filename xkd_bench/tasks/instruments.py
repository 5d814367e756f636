"""Sketches of musical instruments to how they sound: Quick, Draw! and notes of three sampled sound fonts.

The sketches come with this package. The notes are played here by FluidSynth from Debian's sound fonts: recordings of
instruments, at every semitone of each instrument's range and two velocities, held for 0.8 of one second. The sketches
are of people, the samples of instruments, and their playing is ours; nothing of it is simulated.

Paired by class: distilled on 5 instruments, scored on the 4 others. Split by font and pitch: tests are notes of
TimGM6mb, the others are of FluidR3 and of MuseScore General, which is made after FluidR3 and therefore never on the
other side; validation has pitches of its own.

Sounds are log-mel spectrograms (`_spectrogram`) of one second.
"""

import shutil
import struct
import subprocess
import wave
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xkd_bench.errors import UsageError
from xkd_bench.tasks._by_class import ByClass
from xkd_bench.tasks._cache import Allocate, Array, cached, sha256
from xkd_bench.tasks._embedded import SKETCHES_PER_CATEGORY, archive, sketches
from xkd_bench.tasks._packages import Package, Report, silent
from xkd_bench.tasks._rasterise import count, sketches_at
from xkd_bench.tasks._spectrogram import PARAMETERS, RATE, grid, spectrogram
from xkd_bench.tasks._splits import TEST, TRAIN
from xkd_bench.tasks.base import Card, Items, Progress, Size, Task


class Font(NamedTuple):
    """A sound font: its file in which package, and whether it tests."""

    package: Package
    file: str
    tests: bool


def _font(name: str, version: str, sha: str, size: int, licence: str, file: str, tests: bool = False) -> Font:
    inside = f"usr/share/sounds/{file}"
    return Font(Package("apt-get", name, version, sha, size, licence, (inside,)), inside, tests)


FONTS = (
    _font(
        "fluid-soundfont-gm",
        "3.1-5.3",
        "6f531493ac4e4d9772fd96b2488ea1790af81c196135fbdd25997da0781fc60e",
        119_610_208,
        "MIT",
        "sf2/FluidR3_GM.sf2",
    ),
    _font(
        "musescore-general-soundfont",
        "0.2.1-1",
        "21ab87e4b15711817f84130a370bdb51003c90f3bf53e4015f3b410b9ed8c6a5",
        75_768_132,
        "MIT",
        "sf3/MuseScore_General_Full.sf3",
    ),
    _font(
        "timgm6mb-soundfont",
        "1.3-5",
        "034abdfb296d9353433513dad5dbdcab46425ee6008fc02fe7039b46e75edc54",
        5_426_644,
        "GPL-2",
        "sf2/TimGM6mb.sf2",
        tests=True,
    ),
)

INSTRUMENTS = {
    "cello": (42, 36, 69),
    "drums": (-1, 35, 60),
    "guitar": (24, 40, 76),
    "harp": (46, 36, 90),
    "piano": (0, 36, 84),
    "saxophone": (66, 44, 75),
    "trombone": (57, 40, 70),
    "trumpet": (56, 54, 82),
    "violin": (40, 55, 88),
}
"""General MIDI program (-1: the kit of drums, where each key is another drum), and the range of keys [from, to)."""
DISTILLED = 5
VELOCITIES = (60, 110)
_HELD, _LASTS, _APART = 0.8, 1.0, 1.5
"""Seconds: a note's key is down, it is recorded, the next begins."""
_GAIN = 0.7
_SILENT = 32
"""Of 32,768: a note that is nowhere louder than this is not in the font."""


class Note(NamedTuple):
    """kind: its place in INSTRUMENTS."""

    kind: int
    program: int
    key: int
    velocity: int


NOTES = tuple(
    Note(kind, program, key, velocity)
    for kind, (program, low, high) in enumerate(INSTRUMENTS.values())
    for key in range(low, high)
    for velocity in VELOCITIES
)


class Instruments(Task):
    """A pitch is a group: all instruments' notes of that key, in the two fonts that are kin, or in the third."""

    card = Card(
        name="instruments",
        title="Sketches to sounds of instruments",
        source="sketches (Quick, Draw!)",
        target="sampled notes (log-mel)",
        pairing="class",
        origin="real",
        licence="CC-BY-4.0 (sketches); MIT, MIT, GPL-2 (sound fonts)",
        target_kind="audio",
    )
    packages: tuple[Package, ...] = tuple(font.package for font in FONTS)

    def prepare(self, report: Report = silent) -> None:
        """Fetch the sound fonts and play the notes."""
        if not shutil.which("fluidsynth"):
            raise _no_player()
        super().prepare(report)
        for done, font in enumerate(FONTS):
            report(f"playing {font.package}", done, len(FONTS))
            self._played(font)

    def load(self, source_size: int, target_size: Size, progress: Progress | None = None) -> ByClass:
        """Sketches at the asked size, and the notes as spectrograms, or these from the cache."""
        place = {name: i for i, name in enumerate(sorted(archive().categories))}
        ink = sketches()[[place[name] for name in INSTRUMENTS]]
        source = sketches_at(ink.reshape(-1, *ink.shape[2:]), source_size)
        drawn = np.repeat(np.arange(len(INSTRUMENTS)), SKETCHES_PER_CATEGORY)
        add = count(len(FONTS) * len(NOTES), progress)
        parts = [seen(*self._played(font), target_size, add) for font in FONTS]
        kind = np.tile([note.kind for note in NOTES], len(FONTS))
        keys, tests = np.array([note.key for note in NOTES]), np.array([font.tests for font in FONTS])
        group = (keys + 128 * tests[:, None]).reshape(-1)
        return ByClass(
            Items(source, drawn, 256 + np.arange(len(drawn))),
            Items(np.concatenate([data for data, _ in parts]), kind, group),
            *(tuple(INSTRUMENTS), DISTILLED, [sha256(source), *(digest for _, digest in parts)]),
            np.repeat(np.where(tests, TEST, TRAIN), len(NOTES)),
        )

    def _played(self, font: Font) -> tuple[Array, str]:
        """[notes, samples] int16, and its sha256: all NOTES by this font; from the cache where they were played."""
        path = self.folder(font.package) / font.file
        key = sha256(font.package.sha256, NOTES, RATE, _HELD, _LASTS, _APART, _GAIN)
        return cached(f"instruments-{font.package.name}", key, lambda _: play(path, NOTES), np.int16)


def seen(notes: Array, digest: str, size: Size, add: Callable[[int], None]) -> tuple[Array, str]:
    """Notes [n, samples] int16 as spectrograms [n, 1, height, width] uint8, and their sha256."""
    told = 0

    def build(allocate: Allocate) -> Array:
        nonlocal told
        out = allocate((len(notes), 1, *grid(size)))
        for told, note in enumerate(notes, 1):
            out[told - 1] = spectrogram(note.astype(np.float32) / 32768, _LASTS, size, "padded")
            add(1)
        return out

    high, wide = grid(size)
    found = cached(f"instruments-{high}x{wide}", sha256(digest, high, wide, PARAMETERS, _LASTS), build)
    add(len(notes) - told)
    return found


def play(font: Path, notes: Sequence[Note]) -> NDArray[np.int16]:
    """[notes, samples] at RATE, the two channels' mean. UsageError without FluidSynth, or if a note is silent."""
    program = shutil.which("fluidsynth")
    if program is None:
        raise _no_player()
    with TemporaryDirectory() as scratch:
        score, recorded = Path(scratch) / "notes.mid", Path(scratch) / "notes.wav"
        score.write_bytes(midi(notes))
        options = ["-ni", "-q", "-R", "0", "-C", "0", "-g", str(_GAIN), "-r", str(RATE), "-O", "s16", "-T", "wav"]
        command = [program, *options, "-F", str(recorded), str(font), str(score)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode or not recorded.exists():
            said = (done.stderr.strip().splitlines() or ["it gave no reason"])[-1]
            raise UsageError(f"fluidsynth could not play '{font}' ({said})")
        with wave.open(str(recorded)) as file:
            both = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, file.getnchannels())
    mono = both.mean(1)
    starts = np.rint(np.arange(len(notes)) * _APART * RATE).astype(int)
    length = round(_LASTS * RATE)
    mono = np.pad(mono, (0, max(0, starts[-1] + length - len(mono))))
    out = np.stack([mono[start : start + length] for start in starts]).astype(np.int16)
    if (quiet := np.flatnonzero(np.abs(out).max(1) <= _SILENT)).size:
        raise UsageError(f"'{font}' is silent at {len(quiet)} notes (first: {notes[quiet[0]]}): its file is not whole")
    return out


def _no_player() -> UsageError:
    return UsageError("FluidSynth is needed to play the notes, and is not there: apt-get install fluidsynth")


def midi(notes: Sequence[Note]) -> bytes:
    """A standard MIDI file of one track in which a tick is a millisecond: each note alone, every _APART seconds."""
    track, now = bytearray(), 0

    def event(at: float, *message: int) -> None:
        nonlocal now
        ticks = round(1000 * at)
        track.extend((*_variable(ticks - now), *message))
        now = ticks

    event(0, 0xFF, 0x51, 3, *(500_000).to_bytes(3, "big"))  # microseconds a quarter, of 500 ticks
    for i, note in enumerate(notes):
        start, channel = i * _APART, 9 if note.program < 0 else 0
        event(start, 0xC0 | channel, max(note.program, 0))
        event(start, 0x90 | channel, note.key, note.velocity)
        event(start + _HELD, 0x80 | channel, note.key, 0)
        event(start + (_LASTS + _APART) / 2, 0xB0 | channel, 120, 0)  # all sound off
    event(len(notes) * _APART, 0xFF, 0x2F, 0)
    return b"MThd" + struct.pack(">IHHH", 6, 0, 1, 500) + b"MTrk" + struct.pack(">I", len(track)) + bytes(track)


def _variable(n: int) -> bytes:
    """A number in MIDI's variable length: seven bits a byte, the upper bit set on all but the last."""
    out = [n & 127]
    while n := n >> 7:
        out.append(n & 127 | 128)
    return bytes(reversed(out))


TASK = Instruments
