"""Sound files for tests."""

import wave
from pathlib import Path

import numpy as np
import soundfile


def tone(hertz: float, seconds: float, rate: int) -> np.ndarray:
    """[samples] a sine of half of full scale."""
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def wav(path: Path, samples: np.ndarray, rate: int) -> None:
    """One channel of 16 bits, as the Free Spoken Digit Dataset has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes((samples * 32767).astype("<i2").tobytes())


def ogg(path: Path, samples: np.ndarray, rate: int) -> None:
    """Vorbis in Ogg, two channels, as Tux Paint's descriptions are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.stack([samples, samples], 1), rate, format="OGG", subtype="VORBIS")
