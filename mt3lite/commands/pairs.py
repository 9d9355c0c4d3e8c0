"""Two folders of note files -> pairs of the same name."""

import os
from dataclasses import dataclass
from pathlib import Path

from mt3lite import note_files
from mt3lite.errors import InputError, some


@dataclass(frozen=True)
class Pair:
    """What was played and what was transcribed."""

    id: str  # the path without its suffix, relative to the folders
    reference: Path
    estimate: Path


def find(reference: Path, estimate: Path) -> tuple[list[Pair], list[str]]:
    """Return the pairs that two files or two folders make, by id, and lines about files that are in none.

    Folders are searched with their subfolders for files that ``note_files`` reads; files pair whose paths below the
    folders are equal but for the suffix. Of several files that differ in the suffix only, the first in the order of
    ``note_files.SUFFIXES`` is taken.

    Raises:
        InputError: there is no such file, one is a file and the other a folder, or nothing pairs.
    """
    for path in (reference, estimate):
        if not path.exists():
            raise InputError(f"{path}: no such file")
    if reference.is_dir() != estimate.is_dir():
        folder, file = (reference, estimate) if reference.is_dir() else (estimate, reference)
        raise InputError(f"{folder} is a folder and {file} is a file; name two files or two folders")
    if not reference.is_dir():
        return [Pair(reference.stem, reference, estimate)], []
    sides = [note_files_in(folder) for folder in (reference, estimate)]
    names = sorted(sides[0].keys() & sides[1].keys())
    if not names:
        raise InputError(
            f"{reference} and {estimate}: none of their {len(sides[0])} and {len(sides[1])} files of notes have the "
            "same name"
        )
    lines = []
    for folder, side, other in ((reference, *sides), (estimate, *sides[::-1])):
        alone = sorted(side[name].relative_to(folder).as_posix() for name in side.keys() - other.keys())
        if alone:
            lines.append(f"{folder}: not scored, without a partner: {some(alone)}")
    return [Pair(name, sides[0][name], sides[1][name]) for name in names], lines


def note_files_in(folder: Path) -> dict[str, Path]:
    """Return the note files in a folder and its subfolders, but for hidden ones, by their paths without suffixes."""
    found: dict[str, Path] = {}
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(parent, name)
            if path.suffix.lower() in note_files.SUFFIXES and not name.startswith("."):
                key = path.relative_to(folder).with_suffix("").as_posix()
                found[key] = min(found.get(key, path), path, key=_preference)
    return found


def _preference(path: Path) -> int:
    return note_files.SUFFIXES.index(path.suffix.lower())
