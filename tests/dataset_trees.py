"""Parts of small made-up datasets, for the tests of the importers."""

import csv

import numpy as np
import soundfile

from mt3lite import notes
from mt3lite.training import datasets

SCALE = [(0.1 * i, 0.1 * i + 0.08, 60 + i, 90, 0, False) for i in range(10)]  # 1 s


def sound(path, seconds=1.0, rate=44100, channels=1, level=0.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.full((round(seconds * rate), channels), level, np.float32), rate)


def midi(path, rows=SCALE):
    path.parent.mkdir(parents=True, exist_ok=True)
    notes.write_midi(notes.from_rows(rows), path)


def table(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)


def pitches(path):
    return [(row["pitch"], row["program"], row["is_drum"]) for row in notes.read_midi(path)]


def by_id(imported):
    """Return what the manifest says, by id."""
    return {track.id: track for track in datasets.read_manifest(imported.manifest)}
