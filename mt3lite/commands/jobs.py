"""Which recordings to transcribe and which files to write, settled before any work is done."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mt3lite import audio, files
from mt3lite.errors import InputError

SONIFIED_SUFFIX = ".sonified.wav"


@dataclass(frozen=True)
class Recording:
    """An audio file to transcribe."""

    path: Path
    name: Path  # relative to the folder that was given, or the file's own name


@dataclass(frozen=True)
class Job:
    """A recording and the files that come of it, by kind: "mid", "json", "csv", "png", "sonified.wav"."""

    recording: Path
    outputs: dict[str, Path]


def find_recordings(paths: Iterable[Path]) -> tuple[list[Recording], list[str]]:
    """Return the recordings that paths name, each once, and a line for each path that names none.

    A file is taken whatever its name; a folder is searched with its subfolders for the names of audio files, leaving
    out hidden ones and those that ``--sonify`` wrote.
    """
    found: dict[str, Recording] = {}
    problems = []
    for path in paths:
        if os.path.isdir(path):
            recordings = [Recording(each, each.relative_to(path)) for each in _audio_files(path)]
            if not recordings:
                problems.append(
                    f"{path}: no audio file in this folder (looked for {', '.join(sorted(audio.SUFFIXES))})"
                )
        elif os.path.exists(path):  # False for a name that no file can have
            recordings = [Recording(path, Path(path.name))]
        else:
            recordings = []
            problems.append(f"{path}: no such file")
        for recording in recordings:
            found.setdefault(os.path.realpath(recording.path), recording)
    return list(found.values()), problems


def _audio_files(folder: Path) -> list[Path]:
    """Return the audio files in a folder and its subfolders, in order of name."""
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            ours = name.startswith(".") or name.lower().endswith(SONIFIED_SUFFIX)
            if not ours and Path(name).suffix.lower() in audio.SUFFIXES:
                found.append(Path(parent, name))
    return sorted(found)


def plan(
    recordings: Sequence[Recording], kinds: Sequence[str], *, output: Path | None, output_dir: Path | None
) -> list[Job]:
    """Say where everything goes.

    Args:
        recordings: what is transcribed.
        kinds: suffixes of the files to write for each.
        output: the name for the only recording; other kinds go beside it.
        output_dir: the folder for all outputs, which repeats the subfolders of a searched folder; None: each output
            goes beside its recording.

    Raises:
        InputError: two recordings would have one output, or an output is a recording.
    """
    jobs = []
    for recording in recordings:
        base = output or (recording.path if output_dir is None else output_dir / recording.name)
        jobs.append(Job(recording.path, {kind: base.with_suffix(f".{kind}") for kind in kinds}))
    inputs = {os.path.realpath(recording.path) for recording in recordings}
    owners: dict[str, Path] = {}
    for job in jobs:
        for target in job.outputs.values():
            place = os.path.realpath(target)
            if place in inputs:
                raise InputError(f"{target}: is a recording to transcribe and would be overwritten")
            owner = owners.setdefault(place, job.recording)
            if owner != job.recording:
                raise InputError(f"{owner} and {job.recording} would both become {target}; name one with -o")
    return jobs


def check_outputs(jobs: Sequence[Job], *, overwrite: bool, make_folders: bool) -> None:
    """See that every output can be written, before an hour of work finds out.

    Raises:
        InputError: an output exists already and `overwrite` is False; its folder is missing and cannot be made, or is
            not to be; or the folder cannot be written to.
    """
    targets = [target for job in jobs for target in job.outputs.values()]
    existing = [target for target in targets if os.path.exists(target)]
    if existing and not overwrite:
        more = f" (and {len(existing) - 1} more)" if len(existing) > 1 else ""
        raise InputError(f"{existing[0]}{more}: exists already; give --overwrite to replace")
    for target in targets:
        if make_folders:
            _make_folder(target.parent)
        files.check_writable(target)


def _make_folder(path: Path) -> None:
    """Make a folder and those above it.

    Raises:
        InputError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be made: {(error.strerror or str(error)).lower()}") from error
