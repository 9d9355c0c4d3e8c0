"""A corpus of decaying sines, which tests make themselves."""

import numpy as np
import soundfile

from mt3lite import notes
from mt3lite.training import datasets

RATE = 16000  # Hz


def tone_track(folder, name: str, rows: list[tuple], suffix: str = ".wav") -> datasets.Track:
    """Write a recording of decaying sines, one for each row of `notes.from_rows`, and its MIDI."""
    played = notes.from_rows(rows)
    samples = np.zeros(int((played["offset"].max() + 0.5) * RATE), np.float32)
    for note in played:
        first, last = int(note["onset"] * RATE), int(note["offset"] * RATE)
        seconds = np.arange(last - first) / RATE
        wave = np.sin(2 * np.pi * 440 * 2 ** ((note["pitch"] - 69) / 12) * seconds) * np.exp(-2 * seconds)
        samples[first:last] += 0.3 * wave.astype(np.float32)
    soundfile.write(folder / f"{name}{suffix}", samples, RATE)
    notes.write_midi(played, folder / f"{name}.mid")
    return datasets.Track(
        id=name,
        split="train",
        audio=folder / f"{name}{suffix}",
        midi=folder / f"{name}.mid",
        duration_seconds=len(samples) / RATE,
    )


def two_tracks(folder) -> list[datasets.Track]:
    """Two tracks: a WAV of piano notes and a drum, a FLAC with a note held for seconds."""
    first = [(0.5 * i, 0.5 * i + 0.4, 60 + i, 80, 0, False) for i in range(12)] + [(1.0, 1.05, 38, 90, 0, True)]
    return [
        tone_track(folder, "a", first),
        tone_track(folder, "b", [(0.1, 5.0, 48, 64, 32, False)], suffix=".flac"),
    ]
