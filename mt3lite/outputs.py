"""Notes to the text formats that people open in other programs, and the names that instruments have there."""

import csv
import json
import os

import numpy as np

from mt3lite import files, instruments, notes

COLUMNS = ("onset_seconds", "offset_seconds", "pitch", "velocity", "program", "is_drum", "instrument")


def instrument_name(program: int, is_drum: bool, granularity: str) -> str:
    """Return what a note's instrument is called, no finer than the model can tell.

    >>> instrument_name(33, False, "full"), instrument_name(33, False, "midi_class"), instrument_name(0, True, "flat")
    ('Electric Bass (finger)', 'Bass', 'Drums')
    """
    if is_drum or granularity == "full":
        return instruments.name(program, is_drum)
    return "Pitched" if granularity == "flat" else instruments.FAMILY_NAMES[program // instruments.PROGRAMS_PER_FAMILY]


def by_instrument(transcribed: np.ndarray, granularity: str) -> dict[str, np.ndarray]:
    """Return the notes of each instrument by its name: programs in order, drums last."""
    groups: dict[str, np.ndarray] = {}
    for is_drum, program in sorted({(bool(drum), int(number)) for drum, number in transcribed[["is_drum", "program"]]}):
        mine = transcribed[(transcribed["is_drum"] == is_drum) & (transcribed["program"] == program)]
        name = instrument_name(program, is_drum, granularity)
        groups[name] = np.concatenate([groups[name], mine]) if name in groups else mine
    return groups


def _rows(transcribed: np.ndarray, granularity: str) -> list[tuple]:
    """Return the values of `COLUMNS` for each note by onset; seconds rounded to the microsecond."""
    return [
        (
            round(onset, 6),
            round(offset, 6),
            pitch,
            velocity,
            program,
            is_drum,
            instrument_name(program, is_drum, granularity),
        )
        for onset, offset, pitch, velocity, program, is_drum in notes.sort(transcribed).tolist()
    ]


def write_csv(transcribed: np.ndarray, path: str | os.PathLike, *, granularity: str) -> None:
    """Write one line per note, with the names in `COLUMNS` as the first line.

    Raises:
        InputError: the file cannot be written.
    """
    with files.atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(_rows(transcribed, granularity))


def write_json(transcribed: np.ndarray, path: str | os.PathLike, *, granularity: str, about: dict) -> None:
    """Write one object: the entries of `about`, then "notes", a list of objects with the keys in `COLUMNS`.

    Raises:
        InputError: the file cannot be written.
    """
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in _rows(transcribed, granularity)]
    with files.atomic_path(path) as temporary:
        temporary.write_text(json.dumps({**about, "notes": rows}, indent=1) + "\n", encoding="utf-8")
