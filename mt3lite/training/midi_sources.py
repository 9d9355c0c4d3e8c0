"""Folders of MIDI files: which of them belong to a split, and their parts, one array of notes each."""

import functools
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mt3lite import midi_tracks, notes
from mt3lite.errors import InputError
from mt3lite.training import arranging, datasets

_MIDI_SUFFIXES = (".mid", ".midi")
_NOISE_PROGRAMS = tuple(p for p in range(112, 128) if p not in arranging.PITCHED_PROGRAMS)


@dataclass(frozen=True)
class MidiSource:
    """A folder of MIDI files to take excerpts from."""

    name: str
    folder: str  # searched with its subfolders
    weight: float  # share of the pieces, relative to the other weights
    license: str = ""


@functools.lru_cache(maxsize=64)
def source_files(source: MidiSource, split: str, held_out_fraction: float) -> tuple[str, ...]:
    """MIDI files of a source that belong to a split, by a hash of their names; sorted.

    The held-out fraction goes half to validation and half to test. Changing the fraction moves files between splits.

    Raises:
        InputError: the folder is missing or has no MIDI file for the split.
    """
    folder = Path(source.folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of MIDI files")
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in _MIDI_SUFFIXES)
    chosen = [p for p in found if datasets.split_by_hash(f"{source.name}/{p.stem}", held_out_fraction) == split]
    if not chosen:
        raise InputError(f"{folder}: none of its {len(found)} MIDI files falls into the split {split}")
    return tuple(str(p) for p in chosen)


def read_parts(path: str | Path) -> list[np.ndarray]:
    """Read a MIDI file part by part, which ``notes.read_midi`` does not keep apart.

    Returns:
        One array of ``notes.NOTE_DTYPE`` per track and channel with notes, offsets lengthened by the sustain pedal;
        noises (most programs from 112) are left out.

    Raises:
        InputError: not a MIDI file, or no usable note in it.
    """
    note_seq = notes.import_note_seq()
    try:
        content = midi_tracks.read(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tempo changes outside of the first track: it reads them all the same
            sequence = notes.read_note_sequence(path, content)
    except InputError as error:
        raise InputError(f"{path}: cannot be read as MIDI: {str(error).removeprefix(f'{path}: ')}") from error
    sequence = note_seq.apply_sustain_control_changes(sequence)
    instruments = np.array([note.instrument for note in sequence.notes], np.int64)
    all_notes = notes.from_note_sequence(sequence, sustain=False)
    usable = all_notes["is_drum"] | ~np.isin(all_notes["program"], _NOISE_PROGRAMS)
    usable &= (all_notes["velocity"] > 0) & (all_notes["offset"] > all_notes["onset"])
    if not usable.any():
        raise InputError(f"{path}: no usable notes in this MIDI file")
    return [all_notes[usable & (instruments == i)] for i in np.unique(instruments[usable])]


cached_parts = functools.lru_cache(maxsize=8)(read_parts)
