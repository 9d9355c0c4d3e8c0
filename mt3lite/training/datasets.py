"""The dataset folder: audio files, MIDI files and one ``manifest.jsonl`` that names them.

A line of the manifest is one JSON object:

    {"id": "a-0001", "split": "train", "audio": "train/0001.wav", "midi": "train/0001.mid", "duration_seconds": 61.5,
     "license": "CC0", "source": "lieder/lc123.mid", "stems": [{"audio": "...", "midi": "..."}]}

``id``, ``split``, ``audio`` and ``midi`` are needed, the others may be missing. Paths are relative to the manifest's
folder or absolute; stems are recordings of single parts of the same piece, in step with it.
"""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mt3lite import files
from mt3lite.errors import InputError

MANIFEST_NAME = "manifest.jsonl"
SPLITS = ("train", "validation", "test")
_NEEDED_KEYS = ("id", "split", "audio", "midi")
_KEYS = (*_NEEDED_KEYS, "duration_seconds", "license", "source", "stems")
_MOST_FAULTS_TOLD = 20


@dataclass(frozen=True)
class Stem:
    """One part of a track alone."""

    audio: Path
    midi: Path


@dataclass(frozen=True)
class Track:
    """A recording and its notes."""

    id: str  # unique in the manifest
    split: str  # one of SPLITS
    audio: Path
    midi: Path
    duration_seconds: float | None = None  # of the audio; None: not stated
    license: str = ""  # of the recording and the notes; "": not stated
    source: str = ""  # where the piece comes from, in words
    stems: tuple[Stem, ...] = ()


def read_manifest(path: str | Path) -> list[Track]:
    """Read a manifest and check all of it.

    Args:
        path: the manifest or the folder that holds ``manifest.jsonl``.

    Returns:
        The tracks in the order of the lines; their paths are joined to the manifest's folder.

    Raises:
        InputError: no such manifest, no track in it, or faults in its lines: all are told together, by line.
    """
    path = Path(path)
    if path.is_dir():
        path = path / MANIFEST_NAME
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such manifest; a dataset folder holds a {MANIFEST_NAME}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text: {error}") from error
    tracks, faults, first_line = [], [], {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        track, line_faults = _parse_line(line, path.parent)
        if track is not None and first_line.setdefault(track.id, number) != number:
            line_faults.append(f"id {track.id!r} is already that of line {first_line[track.id]}")
        faults += [f"line {number}: {fault}" for fault in line_faults]
        tracks.append(track)
    if faults:
        more = f"\n  and {len(faults) - _MOST_FAULTS_TOLD} more" if len(faults) > _MOST_FAULTS_TOLD else ""
        raise InputError(f"{path}: {len(faults)} faults\n  " + "\n  ".join(faults[:_MOST_FAULTS_TOLD]) + more)
    if not tracks:
        raise InputError(f"{path}: the manifest names no track")
    return tracks


def of_split(tracks: Iterable[Track], split: str) -> list[Track]:
    """Return the tracks of a split.

    Raises:
        InputError: there are none.
    """
    chosen = [track for track in tracks if track.split == split]
    if not chosen:
        raise InputError(f"the dataset has no track of the split {split!r}; name another with --split")
    return chosen


def _parse_line(line: str, folder: Path) -> tuple[Track | None, list[str]]:
    """One line to a track, or None, and what is wrong with it."""
    try:
        entry = json.loads(line)
    except json.JSONDecodeError as error:
        return None, [f"not JSON: {error}"]
    if not isinstance(entry, dict):
        return None, [f"a JSON object is wanted, not {type(entry).__name__}"]
    faults = _key_faults(entry)
    if faults:
        return None, faults
    stems = tuple(Stem(folder / stem["audio"], folder / stem["midi"]) for stem in entry.get("stems", []))
    track = Track(**{**entry, "audio": folder / entry["audio"], "midi": folder / entry["midi"], "stems": stems})
    named = [track.audio, track.midi, *(p for stem in stems for p in (stem.audio, stem.midi))]
    return track, [f"no such file: {p}" for p in named if not p.is_file()]


def _key_faults(entry: dict) -> list[str]:
    faults = [f"missing key {key!r}" for key in _NEEDED_KEYS if key not in entry]
    faults += [f"unknown key {key!r}; known ones: {', '.join(_KEYS)}" for key in entry if key not in _KEYS]
    for key in (*_NEEDED_KEYS, "license", "source"):
        if key in entry and not (isinstance(entry[key], str) and (entry[key] or key not in _NEEDED_KEYS)):
            faults.append(f"{key!r} must be text, not {entry[key]!r}")
    if isinstance(entry.get("split"), str) and entry["split"] not in SPLITS:
        faults.append(f"split {entry['split']!r} is none of {', '.join(SPLITS)}")
    duration = entry.get("duration_seconds", 1.0)
    number = isinstance(duration, int | float) and not isinstance(duration, bool)
    if duration is not None and not (number and math.isfinite(duration) and duration > 0):
        faults.append(f"'duration_seconds' must be a number above 0, not {duration!r}")
    stems = entry.get("stems", [])
    if not isinstance(stems, list) or not all(_is_stem(stem) for stem in stems):
        faults.append("'stems' must be a list of objects with the keys 'audio' and 'midi'")
    return faults


def _is_stem(stem: object) -> bool:
    return isinstance(stem, dict) and set(stem) == {"audio", "midi"} and all(isinstance(p, str) for p in stem.values())


def write_manifest(tracks: Iterable[Track], path: str | Path) -> None:
    """Write a manifest; paths below its folder become relative to it.

    Args:
        tracks: what to write, in order.
        path: the manifest, or the folder to put ``manifest.jsonl`` in; an existing one is replaced whole.

    Raises:
        InputError: the folder is missing or cannot be written to.
    """
    path = Path(path)
    if path.is_dir():
        path = path / MANIFEST_NAME
    text = "".join(to_line(track, path.parent) for track in tracks)
    with files.atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def to_line(track: Track, folder: Path) -> str:
    """The manifest line of a track, with its newline; what is not stated is left out."""

    def relative(path: Path) -> str:
        return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)

    entry: dict = {"id": track.id, "split": track.split, "audio": relative(track.audio), "midi": relative(track.midi)}
    if track.duration_seconds is not None:
        entry["duration_seconds"] = track.duration_seconds
    entry |= {key: value for key, value in (("license", track.license), ("source", track.source)) if value}
    if track.stems:
        entry["stems"] = [{"audio": relative(stem.audio), "midi": relative(stem.midi)} for stem in track.stems]
    return json.dumps(entry, ensure_ascii=False) + "\n"
