"""Notes: one NumPy structured array inside, ``note_seq.NoteSequence`` and MIDI files at the edges.

A notes array has the dtype ``NOTE_DTYPE``, one row per note, in no particular order unless a function says so. Times
are seconds. Functions return new arrays and leave their arguments alone.
"""

import os
import types
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from mt3lite import files, instruments, midi_tracks, midi_writing, tempo_map
from mt3lite.beats import Beats
from mt3lite.errors import InputError, reason

if TYPE_CHECKING:
    import note_seq

NOTE_DTYPE = np.dtype(
    [
        ("onset", "<f8"),  # seconds
        ("offset", "<f8"),  # seconds
        ("pitch", "<i4"),  # MIDI number 0..127; for drums which drum
        ("velocity", "<i4"),  # 1..127
        ("program", "<i4"),  # General MIDI program 0..127
        ("is_drum", "?"),
    ]
)

# How far two notes may lie apart that are taken for the same: the defaults of `mir_eval.transcription`.
ONSET_TOLERANCE_SECONDS = 0.05
OFFSET_TOLERANCE_SECONDS = 0.05
OFFSET_RATIO = 0.2  # of the duration of the note that was played, where that is more

# Ticks of the MIDI files that we write are 1/440 s, and the longest time between two events of one is 2^28 ticks.
LATEST_SECONDS = 600_000


def empty() -> np.ndarray:
    """Return a notes array of length 0."""
    return np.zeros(0, NOTE_DTYPE)


def from_rows(rows: Iterable[tuple]) -> np.ndarray:
    """Return the notes array of (onset, offset, pitch, velocity, program, is_drum) rows, in their order.

    >>> from_rows([(0.5, 1.0, 60, 100, 0, False)])["pitch"]
    array([60], dtype=int32)
    """
    return np.array([tuple(row) for row in rows], NOTE_DTYPE)


def sort(notes: np.ndarray) -> np.ndarray:
    """Return the notes by onset, then pitched before drums, then by program and pitch. Stable."""
    order = np.lexsort((notes["pitch"], notes["program"], notes["is_drum"], notes["onset"]))
    return notes[order]


def validate(notes: np.ndarray) -> None:
    """Raise ``InputError``, naming the first bad note, unless every note lasts, at possible times, with values of MIDI.

    Times end at `LATEST_SECONDS`. A negative onset is allowed: it is what ``crop`` gives a note that sounds on from
    before.
    """
    good = (notes["offset"] <= LATEST_SECONDS) & (notes["onset"] < notes["offset"])
    good &= notes["onset"] >= -LATEST_SECONDS
    good &= (notes["velocity"] > 0) & (notes["velocity"] < 128)
    # As unsigned numbers the negative ones are the largest: one comparison in place of two.
    good &= (notes["pitch"].view(np.uint32) < 128) & (notes["program"].view(np.uint32) < 128)
    if good.all():
        return
    index = int(np.argmin(good))
    note = notes[index]
    where = f"note {index} ({_describe(note)})"
    if not (np.isfinite(note["onset"]) and np.isfinite(note["offset"])):
        raise InputError(f"{where} has a time that is not finite")
    if note["onset"] >= note["offset"]:
        raise InputError(f"{where} does not end after its start")
    if max(abs(note["onset"]), note["offset"]) > LATEST_SECONDS:
        raise InputError(f"{where} is at a time beyond {LATEST_SECONDS} s, which is a week")
    for field, lowest in (("velocity", 1), ("pitch", 0), ("program", 0)):
        if not lowest <= note[field] <= 127:
            raise InputError(f"{where}: {field} {note[field]} is not within {lowest}..127")


def crop(notes: np.ndarray, start_seconds: float, end_seconds: float) -> np.ndarray:
    """Return the notes that concern the time from start to end, with times relative to the start.

    These are the notes with an onset in [start, end) and those that sound on from before, which keep their (now
    negative) onset. Offsets are not cut at the end. Order is kept.
    """
    begins_inside = (notes["onset"] >= start_seconds) & (notes["onset"] < end_seconds)
    sounds_on = (notes["onset"] < start_seconds) & (notes["offset"] > start_seconds)
    cropped = notes[begins_inside | sounds_on]
    cropped["onset"] -= start_seconds
    cropped["offset"] -= start_seconds
    return cropped


def trim_overlaps(notes: np.ndarray) -> np.ndarray:
    """Return the notes without overlaps of the same pitch, program and drum flag.

    The earlier note ends where the next one starts. Of notes that start together only the last in order remains, as
    the others would have no length. Order is kept.
    """
    order = np.lexsort((notes["onset"], notes["pitch"], notes["program"], notes["is_drum"]))
    trimmed = notes[order]
    fields = (trimmed["pitch"], trimmed["program"], trimmed["is_drum"])
    is_same = np.logical_and.reduce([field[:-1] == field[1:] for field in fields])
    limit = np.where(is_same, trimmed["onset"][1:], np.inf)
    trimmed["offset"][:-1] = np.minimum(trimmed["offset"][:-1], limit)
    result = np.empty_like(trimmed)
    result[order] = trimmed
    return result[result["onset"] < result["offset"]]


def import_note_seq() -> types.ModuleType:
    """Return the module ``note_seq``, which takes two seconds to import, without the warnings of what it imports.

    Those are of pydub, on ffmpeg and on a module of Python that is about to go: neither is used here.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import note_seq
    return note_seq


def from_note_sequence(note_sequence: "note_seq.NoteSequence", *, sustain: bool = True) -> np.ndarray:
    """Return the notes of a NoteSequence in their order.

    With ``sustain`` a note is first held until its instrument's pedal (control change 64 >= 64) is released or its
    pitch is struck again, as ``note_seq.apply_sustain_control_changes`` does; drums are not.

    Raises ``InputError`` for a pedal in a quantised NoteSequence.
    """
    if sustain and note_sequence.control_changes:
        note_seq = import_note_seq()
        try:
            note_sequence = note_seq.apply_sustain_control_changes(note_sequence)
        except note_seq.sequences_lib.QuantizationStatusError as error:
            raise InputError("the times of this NoteSequence are quantised; seconds are wanted") from error
    return from_rows(
        (note.start_time, note.end_time, note.pitch, note.velocity, note.program, note.is_drum)
        for note in note_sequence.notes
    )


def to_note_sequence(notes: np.ndarray, *, beats: Beats | None = None) -> "note_seq.NoteSequence":
    """Return a NoteSequence of the notes in their order; with ``beats`` it has the music's tempos and time signatures.

    Instruments are numbered in order of the programs' first appearance, skipping 9, which is all drums' number.
    """
    tempos = tempo_map.STEADY if beats is None else tempo_map.following(beats)
    note_sequence = import_note_seq().NoteSequence(ticks_per_quarter=tempos.ticks_per_quarter)
    if beats is not None:
        for seconds, microseconds in zip(tempos.seconds.tolist(), tempos.microseconds.tolist(), strict=True):
            note_sequence.tempos.add(time=seconds, qpm=60e6 / microseconds)
        for tick, numerator, denominator in tempos.bars:
            seconds = float(tempos.seconds_at(np.array(tick)))
            note_sequence.time_signatures.add(time=seconds, numerator=numerator, denominator=denominator)
    instrument_of_program: dict[int, int] = {}
    for onset, offset, pitch, velocity, program, is_drum in notes.tolist():
        if is_drum:
            instrument = midi_writing.DRUM_CHANNEL
        else:
            next_instrument = len(instrument_of_program)
            next_instrument += next_instrument >= midi_writing.DRUM_CHANNEL
            instrument = instrument_of_program.setdefault(program, next_instrument)
        note_sequence.notes.add(
            start_time=onset,
            end_time=offset,
            pitch=pitch,
            velocity=velocity,
            program=program,
            is_drum=is_drum,
            instrument=instrument,
        )
    note_sequence.total_time = float(notes["offset"].max(initial=0.0))
    return note_sequence


def read_midi(path: str | os.PathLike, *, sustain: bool = True) -> np.ndarray:
    """Return the sorted notes of a MIDI file, with the sustain pedal applied unless ``sustain`` is False.

    Tempo changes, programs and pedals count wherever in the file they are (see ``midi_tracks``).

    Raises ``InputError`` if the file is missing or is not a MIDI file, or holds a note that ``validate`` refuses.
    """
    notes = from_note_sequence(read_note_sequence(path, midi_tracks.standalone(path)), sustain=sustain)
    try:
        validate(notes)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return sort(notes)


def read_note_sequence(path: str | os.PathLike, content: bytes) -> "note_seq.NoteSequence":
    """Return what note-seq makes of a MIDI file's content, as `midi_tracks` gives it; `path` is for the message.

    Raises:
        InputError: it cannot be read.
    """
    note_seq = import_note_seq()

    try:
        return note_seq.midi_to_note_sequence(content)
    except note_seq.MIDIConversionError as error:
        if isinstance(error.__context__, KeyboardInterrupt):  # note-seq takes Ctrl-C for a fault of the file
            raise KeyboardInterrupt from error
        raise InputError(f"{path}: not a readable MIDI file ({reason(error)})") from error


def write_midi(notes: np.ndarray, path: str | os.PathLike, *, beats: Beats | None = None) -> None:
    """Write the notes to a MIDI file, which appears whole or not at all.

    With ``beats`` its tempos and bars are the music's; without, it has 120 beats a minute throughout. The notes are at
    the same times in both.

    Raises ``InputError`` for notes that ``validate`` refuses and for a folder that does not exist or is not writable.
    """
    validate(notes)
    tempos = tempo_map.STEADY if beats is None else tempo_map.following(beats)
    with files.atomic_path(path) as temporary_path:
        midi_writing.write(notes, temporary_path, tempos)


def _describe(note: np.void) -> str:
    name = "drums" if note["is_drum"] else f"program {note['program']}"
    if not note["is_drum"] and 0 <= note["program"] < instruments.NUM_PROGRAMS:
        name = instruments.name(int(note["program"]))
    return f"pitch {note['pitch']}, {name}, {note['onset']:.6g} to {note['offset']:.6g} s"
