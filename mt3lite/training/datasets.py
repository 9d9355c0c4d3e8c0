"""The dataset folder: audio files, MIDI files and one ``manifest.jsonl`` that names them.

A line of the manifest is one JSON object:

    {"id": "a-0001", "split": "train", "audio": "train/0001.wav", "midi": "train/0001.mid", "duration": 61.5,
     "license": "CC0-1.0", "source": "lieder/lc123.mid",
     "stems": [{"audio": "train/0001/bass.wav", "midi": "train/0001/bass.mid", "program": 32},
               {"audio": "train/0001/kit.wav", "is_drum": true}]}

``id``, ``split``, ``midi`` and either ``audio`` or ``stems`` are needed, the others may be missing. Paths are relative
to the manifest's folder or absolute, ``duration`` is in seconds. Stems are recordings of single parts of the same
piece, in step with it; a track without ``audio`` sounds as the sum of its stems.
"""

import hashlib
import json
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mt3lite import audio, files, instruments, notes, reading
from mt3lite.errors import InputError, reason, shown

MANIFEST_NAME = "manifest.jsonl"
SPLITS = ("train", "validation", "test")
_NEEDED_KEYS = ("id", "split", "midi")
_TEXT_KEYS = (*_NEEDED_KEYS, "audio", "license", "source")
_KEYS = ("id", "split", "audio", "midi", "duration", "license", "source", "stems")
_STEM_KEYS = ("audio", "midi", "program", "is_drum")
_MOST_FAULTS_TOLD = 20


@dataclass(frozen=True)
class Stem:
    """One part of a track alone."""

    audio: Path
    midi: Path | None = None  # None: its notes are not told apart from the track's
    program: int = 0  # General MIDI program of all its notes, whatever the MIDI file says; 0 for drums
    is_drum: bool = False


@dataclass(frozen=True)
class Track:
    """A recording and its notes."""

    id: str  # unique in the manifest
    split: str  # one of SPLITS
    audio: Path | None  # None: the recording is the sum of the stems, see `recordings`
    midi: Path
    duration_seconds: float | None = None  # of the audio; None: not stated
    license: str = ""  # of the recording and the notes; "": not stated
    source: str = ""  # where the piece comes from, in words
    stems: tuple[Stem, ...] = ()

    @property
    def recordings(self) -> tuple[Path, ...]:
        """The files whose sum is the track's sound: `audio` alone, or where there is none, all stems."""
        return (self.audio,) if self.audio else tuple(stem.audio for stem in self.stems)


def stem_notes(stem: Stem) -> np.ndarray:
    """Read the notes of a stem, pedal applied, all with the program and the drum flag of the stem; sorted by onset.

    Raises:
        InputError: the stem has no MIDI file, or not a readable one.
    """
    if stem.midi is None:
        raise InputError(f"{stem.audio}: this stem has no MIDI file in the manifest")
    played = notes.read_midi(stem.midi)
    played["program"], played["is_drum"] = stem.program, stem.is_drum
    return played


def load_samples(track: Track, sample_rate: int) -> np.ndarray:
    """Return the whole sound of a track: float32 [num_samples], mono, as long as the longest of its `recordings`.

    Raises:
        InputError: a file cannot be read.
    """
    return added_up([audio.load(path, sample_rate) for path in track.recordings])


def added_up(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Return the sum of samples that begin together: float32 [num_samples], as long as the longest of them."""
    samples = np.zeros(max(map(len, parts), default=0), np.float32)
    for part in parts:
        samples[: len(part)] += part
    return samples


def manifest_path(path: str | Path) -> Path:
    """Return the manifest that `path` means: itself, or ``manifest.jsonl`` in it where it is a folder."""
    path = Path(path)
    return path / MANIFEST_NAME if path.is_dir() else path


def read_manifest(path: str | Path) -> list[Track]:
    """Read a manifest and check its lines; what the named files hold is for `checks` to say.

    Args:
        path: the manifest or the folder that holds ``manifest.jsonl``.

    Returns:
        The tracks in the order of the lines; their paths are joined to the manifest's folder.

    Raises:
        InputError: no such manifest, no track in it, or faults in its lines: all are told together, by line.
    """
    return list(read_lines(path).values())


def read_lines(path: str | Path) -> dict[int, Track]:
    """Read a manifest as `read_manifest` does; return the tracks by the number of their line, counted from 1."""
    path = manifest_path(path)
    try:
        lines = reading.read_text(path).split("\n")  # not splitlines: JSON may hold the other ends of lines
    except InputError as error:
        if not os.path.exists(path):
            raise InputError(f"{path}: no such manifest; a dataset folder holds a {MANIFEST_NAME}") from error
        raise
    tracks, faults, first_line = {}, [], {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        track, line_faults = _parse_line(line, path.parent)
        if track is not None and first_line.setdefault(track.id, number) != number:
            line_faults.append(f"id {shown(track.id)} is already that of line {first_line[track.id]}")
        faults += [f"line {number}: {fault}" for fault in line_faults]
        tracks[number] = track
    refuse(path, faults)
    if not tracks:
        raise InputError(f"{path}: the manifest names no track")
    return tracks


def refuse(path: Path, faults: Sequence[str]) -> None:
    """Raise ``InputError`` for the faults of a file, all together, unless there are none."""
    if faults:
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        more = f"\n  and {len(faults) - _MOST_FAULTS_TOLD} more" if len(faults) > _MOST_FAULTS_TOLD else ""
        raise InputError(f"{path}: {count}\n  " + "\n  ".join(faults[:_MOST_FAULTS_TOLD]) + more)


def of_split(tracks: Iterable[Track], split: str) -> list[Track]:
    """Return the tracks of a split.

    Raises:
        InputError: there are none.
    """
    chosen = [track for track in tracks if track.split == split]
    if not chosen:
        raise InputError(f"the dataset has no track of the split {split!r}; name another with --split")
    return chosen


def split_by_hash(name: str, held_out_fraction: float) -> str:
    """Return the split that a name falls into, always the same: half of the held-out fraction goes to each."""
    position = int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "big") / 2**48
    if position >= held_out_fraction:
        return "train"
    return "validation" if position < held_out_fraction / 2 else "test"


def _parse_line(line: str, folder: Path) -> tuple[Track | None, list[str]]:
    """One line to a track, or None, and what is wrong with it."""
    try:
        entry = reading.parse_json(line)
    except InputError as error:
        return None, [str(error)]
    if not isinstance(entry, dict):
        return None, [f"a JSON object is wanted, not {type(entry).__name__}"]
    faults = _key_faults(entry)
    if faults:
        return None, faults
    stems = tuple(
        Stem(folder / stem["audio"], folder / stem["midi"] if "midi" in stem else None, *_instrument(stem))
        for stem in entry.get("stems", [])
    )
    recording = folder / entry["audio"] if "audio" in entry else None
    rest = {key: entry[key] for key in ("id", "split", "license", "source") if key in entry}
    track = Track(
        audio=recording, midi=folder / entry["midi"], duration_seconds=entry.get("duration"), stems=stems, **rest
    )
    named = [recording, track.midi, *(path for stem in stems for path in (stem.audio, stem.midi))]
    return track, [f"no such file: {reason(str(path))}" for path in named if path and not os.path.isfile(path)]


def _key_faults(entry: dict) -> list[str]:
    faults = [f"missing key {key!r}" for key in _NEEDED_KEYS if key not in entry]
    if "audio" not in entry and not entry.get("stems"):
        faults.append("missing key 'audio'; only a track with 'stems' can do without")
    faults += [f"unknown key {shown(key)}; known ones: {', '.join(_KEYS)}" for key in entry if key not in _KEYS]
    for key in _TEXT_KEYS:
        may_be_empty = key in ("license", "source")
        if key in entry and not (isinstance(entry[key], str) and (entry[key] or may_be_empty)):
            faults.append(f"{key!r} must be text, not {shown(entry[key])}")
    if isinstance(entry.get("split"), str) and entry["split"] not in SPLITS:
        faults.append(f"split {shown(entry['split'])} is none of {', '.join(SPLITS)}")
    duration = entry.get("duration", 1.0)
    number = isinstance(duration, int | float) and not isinstance(duration, bool)
    if not (number and math.isfinite(duration) and duration > 0):
        faults.append(f"'duration' must be a number of seconds above 0, not {shown(duration)}")
    stems = entry.get("stems", [])
    if not isinstance(stems, list):
        return [*faults, f"'stems' must be a list, not {shown(stems)}"]
    return faults + [f"stem {number}: {fault}" for number, stem in enumerate(stems, 1) for fault in _stem_faults(stem)]


def _stem_faults(stem: object) -> list[str]:
    if not isinstance(stem, dict):
        return [f"an object is wanted, not {shown(stem)}"]
    faults = [f"unknown key {shown(key)}; known ones: {', '.join(_STEM_KEYS)}" for key in stem if key not in _STEM_KEYS]
    for key in ("audio", "midi"):
        if (key == "audio" or key in stem) and not (isinstance(stem.get(key), str) and stem[key]):
            faults.append(f"{key!r} must be text, not {shown(stem.get(key))}")
    if not isinstance(stem.get("is_drum", False), bool):
        faults.append(f"'is_drum' must be true or false, not {shown(stem['is_drum'])}")
    program = stem.get("program", 0 if stem.get("is_drum") else None)
    if type(program) is not int or not 0 <= program < instruments.NUM_PROGRAMS:
        faults.append(f"'program' must be a General MIDI program, 0 to 127, not {shown(program)}")
    return faults


def _instrument(stem: dict) -> tuple[int, bool]:
    """Return the program and the drum flag of a stem's entry."""
    is_drum = stem.get("is_drum", False)
    return (0 if is_drum else stem["program"]), is_drum


def write_manifest(tracks: Iterable[Track], path: str | Path) -> None:
    """Write a manifest; paths below its folder become relative to it.

    Args:
        tracks: what to write, in order.
        path: the manifest, or the folder to put ``manifest.jsonl`` in; an existing one is replaced whole.

    Raises:
        InputError: the folder is missing or cannot be written to.
    """
    path = manifest_path(path)
    text = "".join(to_line(track, path.parent) for track in tracks)
    with files.atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def to_line(track: Track, folder: Path) -> str:
    """The manifest line of a track, with its newline; what is not stated is left out."""
    folder = folder.absolute()

    def relative(path: Path) -> str:
        path = path.absolute()
        return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)

    entry: dict = {"id": track.id, "split": track.split}
    if track.audio:
        entry["audio"] = relative(track.audio)
    entry["midi"] = relative(track.midi)
    if track.duration_seconds is not None:
        entry["duration"] = track.duration_seconds
    entry |= {key: value for key, value in (("license", track.license), ("source", track.source)) if value}
    stems = []
    for stem in track.stems:
        midi = {"midi": relative(stem.midi)} if stem.midi else {}
        instrument = {"is_drum": True} if stem.is_drum else {"program": stem.program}
        stems.append({"audio": relative(stem.audio), **midi, **instrument})
    entry |= {"stems": stems} if stems else {}
    line = json.dumps(entry, ensure_ascii=False)
    try:
        line.encode()
    except UnicodeEncodeError:  # the name of a file that is no text
        line = json.dumps(entry)
    return line + "\n"
