"""The datasets of drums that can be imported, see `importers`; theirs is the layout of those there.

MDB Drums is all test: its 21 minutes do more for scores than for training.
"""

import functools
from pathlib import Path

import numpy as np

from mt3lite import notes, reading
from mt3lite.errors import InputError, reason, shown, some
from mt3lite.training import arranging, datasets, importing
from mt3lite.training.datasets import Track
from mt3lite.training.importing import Candidate, Discovery, rows_to_notes, table_rows

# The 21 subclasses of MDB Drums (Southall et al. 2017) and General MIDI's drum for each. It has but one snare for those
# struck with brushes (SDB), as a drag (SDD), a flam (SDF) or a ghost note (SDG), or without their wires (SDNS).
MDB_DRUMS_PITCHES = {
    "KD": 36,
    "SD": 38, "SDB": 38, "SDD": 38, "SDF": 38, "SDG": 38, "SDNS": 38,
    "SST": 37,  # side stick: the publisher's class is "other"; here it is a snare's, as in `instruments.DRUM_CLASSES`
    "CHH": 42, "PHH": 44, "OHH": 46,
    "LFT": 41, "HFT": 43, "MHT": 48, "HIT": 50,
    "CRC": 49, "CHC": 52, "SPC": 55, "RDC": 51, "RDB": 53,
    "TMB": 54,
}  # fmt: skip

# What Groove's kit, a Roland TD-11, plays where General MIDI has something else: the edges of the hi-hat, closed and
# open, and the rim of the third tom.
GROOVE_PITCHES = {22: 42, 26: 46, 58: 43}


def mdb_drums(root: Path, out: Path) -> Discovery:
    """MDB Drums: ``annotations/subclass/*_subclass.txt`` and the drums alone, ``audio/drum_only/*_Drum.wav``.

    Its full mixes are left aside: their other instruments have no notes, and a network would learn not to hear them.
    """
    recordings = {path.name.removesuffix("_Drum.wav"): path for path in sorted(root.rglob("*_Drum.wav"))}
    found = {path.name.removesuffix("_subclass.txt"): path for path in sorted(root.rglob("*_subclass.txt"))}
    candidates = []
    for name, path in found.items():
        recording = recordings.get(name, path.parents[2] / "audio" / "drum_only" / f"{name}_Drum.wav")
        midi = out / "midi" / f"{name}.mid"
        read = functools.partial(_read_mdb_drums, path, midi)
        candidates.append(Candidate(Track(name, "test", recording, midi, source=name), read))
    alone = sorted(set(recordings) - set(found))
    remarks = [f"{len(alone)} recordings have no annotation: {', '.join(alone)}"] if alone else []
    return importing.checked(root, Discovery(candidates, remarks), "no *_subclass.txt in it")


def _read_mdb_drums(path: Path, midi: Path) -> dict[Path, np.ndarray]:
    """Read the strokes: lines of onset (s) and subclass."""
    rows = []
    for line in reading.read_text(path).splitlines():
        if not line.strip():
            continue
        try:
            onset, subclass = line.split()
            onset_seconds = float(onset)
        except ValueError as error:
            raise InputError(f"{path}: lines of onset and subclass are wanted: {reason(error)}") from error
        if subclass not in MDB_DRUMS_PITCHES:
            raise InputError(f"{path}: the subclass {shown(subclass)} is none of {', '.join(MDB_DRUMS_PITCHES)}")
        rows.append((onset_seconds, onset_seconds + arranging.DRUM_NOTE_SECONDS, MDB_DRUMS_PITCHES[subclass], 0))
    return {midi: rows_to_notes(rows, path, is_drum=True)}


def groove(root: Path, out: Path) -> Discovery:
    """Groove's ``info.csv`` or E-GMD's ``e-gmd-v1.0.0.csv``, which name recordings, MIDI files and splits."""
    tables = sorted([*root.glob("info.csv"), *root.glob("e-gmd-v*.csv")])
    if len(tables) != 1:
        raise InputError(f"{root}: this is not the dataset: one info.csv or e-gmd-v*.csv is wanted, not {len(tables)}")
    candidates, faults, silent = [], [], []
    for row in table_rows(tables[0], ("style", "split", "midi_filename", "audio_filename")):
        name = row["midi_filename"].rpartition(".")[0]
        if row["split"] not in datasets.SPLITS:
            faults.append(f"{name}: the split {shown(row['split'])} is none of {', '.join(datasets.SPLITS)}")
        elif not row["audio_filename"]:
            silent.append(name)
        else:
            midi = out / "midi" / f"{name}.mid"
            track = Track(name, row["split"], root / row["audio_filename"], midi, source=row["style"])
            read = functools.partial(_read_groove, root / row["midi_filename"], midi)
            candidates.append(Candidate(track, read))
    remarks = [f"{len(silent)} performances were not recorded: {some(silent)}"] if silent else []
    return Discovery(candidates, remarks, faults)


def _read_groove(path: Path, midi: Path) -> dict[Path, np.ndarray]:
    return {midi: read_performance(path)}


def read_performance(path: Path) -> np.ndarray:
    """Return the strokes of a MIDI file of Groove with General MIDI's pitches, as `notes.read_midi` does."""
    return notes.trim_overlaps(in_general_midi(notes.read_midi(path)))


def in_general_midi(played: np.ndarray) -> np.ndarray:
    """Return the strokes of Groove's kit with General MIDI's pitches."""
    renamed = played.copy()
    for pitch, of_general_midi in GROOVE_PITCHES.items():
        renamed["pitch"][played["pitch"] == pitch] = of_general_midi
    return renamed
