"""The recordings that `peers.py` gives to the tools, and the notes that were played in them."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mt3lite import audio, instruments, notes
from mt3lite.errors import InputError
from mt3lite.training import datasets

SAMPLE_RATE = 16000
DRUM_PITCHES = {"KD": 36, "SD": 38, "HH": 42, "TT": 45, "CY": 49, "OT": 54}


@dataclass(frozen=True)
class Recording:
    """One piece to transcribe."""

    set_name: str
    id: str
    wav: Path
    reference: np.ndarray  # notes.NOTE_DTYPE
    duration_seconds: float

    @property
    def has_pitches(self) -> bool:
        """Whether there is more than drums in it."""
        return bool((~self.reference["is_drum"]).any())

    @property
    def is_piano(self) -> bool:
        """Whether all of it is played by pianos."""
        pianos = self.reference["program"] // instruments.PROGRAMS_PER_FAMILY == 0
        return self.has_pitches and bool((pianos & ~self.reference["is_drum"]).all())

    @property
    def group(self) -> str:
        """What it is scored together with: the ids of the benchmark set begin with their kind."""
        numbered = re.fullmatch(r"(.+)-\d+", self.id)
        return numbered.group(1) if numbered else self.set_name


def read_set(folder: Path, workdir: Path) -> list[Recording]:
    """Return the recordings of a set, converted to WAV below the workdir.

    Raises:
        InputError: it has none, or one cannot be read.
    """
    if (folder / datasets.MANIFEST_NAME).is_file():
        tracks = datasets.of_split(datasets.read_manifest(folder), "test")
        found = [(track.id, track.audio, notes.read_midi(track.midi)) for track in tracks]
    elif folder.is_dir():
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in audio.SUFFIXES)
        found = [(path.stem, path, _reference(path)) for path in paths]
    else:
        raise InputError(f"{folder}: no such folder")
    if not found:
        raise InputError(f"{folder}: neither a manifest nor a recording in it")
    recordings = []
    for id, path, reference in found:
        samples = audio.load(path, SAMPLE_RATE)
        wav = workdir / "wav" / folder.resolve().name / f"{id}.wav"
        wav.parent.mkdir(parents=True, exist_ok=True)
        audio.write_wav(wav, samples, SAMPLE_RATE)
        recordings.append(Recording(folder.resolve().name, id, wav, reference, len(samples) / SAMPLE_RATE))
    return recordings


def _reference(recording: Path) -> np.ndarray:
    """Return the notes beside a recording."""
    table = recording.with_suffix(".tsv")
    if not table.is_file():
        return notes.read_midi(recording.with_suffix(".mid"))
    rows = [line.split("\t") for line in table.read_text(encoding="utf-8").splitlines()[1:] if line]
    return notes.from_rows((float(onset), float(onset) + 0.05, DRUM_PITCHES[name], 64, 0, True) for onset, name in rows)
