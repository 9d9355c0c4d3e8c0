"""Any file of notes -> a notes array: MIDI, NoteSequence (binary or JSON), and the CSV and JSON that we write."""

import csv
import io
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mt3lite import notes, reading
from mt3lite.errors import InputError, reason, shown

if TYPE_CHECKING:
    import note_seq

_NEEDED_COLUMNS = ("onset_seconds", "offset_seconds", "pitch")
_DEFAULTS = {"velocity": "64", "program": "0", "is_drum": "false"}  # of columns that may be missing
_TRUTHS = {"true": True, "1": True, "false": False, "0": False}


def read(path: str | os.PathLike) -> np.ndarray:
    """Return the sorted notes of a file, sustain pedal applied; its suffix tells the format.

    * ``.mid``, ``.midi``: MIDI.
    * ``.pb``, ``.binpb``: a serialised ``note_seq.NoteSequence``.
    * ``.json``: what ``mt3lite transcribe --format json`` writes, or a NoteSequence as protobuf's JSON.
    * ``.csv``: a line of names, of which "onset_seconds", "offset_seconds" and "pitch" are needed and "velocity" (64),
      "program" (0) and "is_drum" (false) may be missing; other columns are not read.

    Raises:
        InputError: no such file, an unknown suffix, or the content is not of that format or not possible notes.
    """
    path = Path(path)
    if path.suffix.lower() not in _READERS:
        raise InputError(f"{path}: notes are read from files that end with {', '.join(_READERS)}")
    if not path.is_file():
        raise InputError(f"{path}: {'is a folder, not a file of notes' if path.is_dir() else 'no such file'}")
    return _READERS[path.suffix.lower()](path)


def _read_csv(path: Path) -> np.ndarray:
    try:
        reader = csv.DictReader(io.StringIO(reading.read_text(path), newline=""), strict=True)
        rows = list(reader)
        columns = reader.fieldnames or []
    except csv.Error as error:
        raise InputError(f"{path}: cannot be read as CSV: {reason(error)}") from error
    missing = [name for name in _NEEDED_COLUMNS if name not in columns]
    if missing:
        raise InputError(f"{path}: the first line lacks {', '.join(missing)}; a line of column names is wanted")
    return _from_objects(path, rows)


def _read_json(path: Path) -> np.ndarray:
    text = reading.read_text(path)
    try:
        content = reading.parse_json(text)
    except InputError as error:
        raise InputError(f"{path}: cannot be read as JSON: {error}") from error
    listed = content.get("notes") if isinstance(content, dict) else None
    if listed is not None and not (isinstance(listed, list) and all(isinstance(each, dict) for each in listed)):
        raise InputError(f'{path}: "notes" must be a list of objects')
    if listed is not None and (not listed or "onset_seconds" in listed[0]):
        return _from_objects(path, listed)
    if not isinstance(content, dict):
        raise InputError(f"{path}: neither notes as mt3lite writes them nor a NoteSequence")
    from google.protobuf import json_format

    try:
        json.dumps(content, ensure_ascii=False).encode()  # protobuf cannot say what is wrong with text that is none
        return _from_sequence(path, json_format.ParseDict(content, notes.import_note_seq().NoteSequence()))
    except (json_format.ParseError, RecursionError, UnicodeEncodeError, OverflowError) as error:
        raise InputError(f"{path}: neither notes as mt3lite writes them nor a NoteSequence: {reason(error)}") from error


def _read_proto(path: Path) -> np.ndarray:
    from google.protobuf.message import DecodeError

    content = reading.read_bytes(path, reading.MOST_TEXT_BYTES)
    try:
        return _from_sequence(path, notes.import_note_seq().NoteSequence.FromString(content))
    except DecodeError as error:
        raise InputError(f"{path}: not a serialised NoteSequence: {reason(error)}") from error


def _from_sequence(path: Path, sequence: "note_seq.NoteSequence") -> np.ndarray:
    try:
        read_notes = notes.from_note_sequence(sequence)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return _checked(path, read_notes)


def _from_objects(path: Path, objects: Iterable[dict]) -> np.ndarray:
    """Return the notes of rows or objects with our names; what is wrong is told with the note's number."""
    rows = []
    for number, values in enumerate(objects, start=1):
        try:
            rows.append(_row({**_DEFAULTS, **{key: str(value) for key, value in values.items()}}))
        except (KeyError, ValueError) as error:
            wrong = f"it lacks {error}" if isinstance(error, KeyError) else reason(error)
            raise InputError(f"{path}: note {number}: {wrong}") from error
    try:
        return _checked(path, notes.from_rows(rows))
    except OverflowError as error:
        raise InputError(f"{path}: a number is far beyond those of MIDI: {reason(error)}") from error


def _row(values: dict[str, str]) -> tuple:
    is_drum = values["is_drum"].strip().lower()
    if is_drum not in _TRUTHS:
        raise ValueError(f"is_drum is {shown(values['is_drum'])}; wanted true or false")
    seconds = (float(values[name]) for name in ("onset_seconds", "offset_seconds"))
    whole = (int(values[name]) for name in ("pitch", "velocity", "program"))
    return (*seconds, *whole, _TRUTHS[is_drum])


def _checked(path: Path, read_notes: np.ndarray) -> np.ndarray:
    try:
        notes.validate(read_notes)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return notes.sort(read_notes)


_READERS: dict[str, Callable[[Path], np.ndarray]] = {
    ".mid": notes.read_midi,
    ".midi": notes.read_midi,
    ".pb": _read_proto,
    ".binpb": _read_proto,
    ".json": _read_json,
    ".csv": _read_csv,
}
SUFFIXES = tuple(_READERS)
