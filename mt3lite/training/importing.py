"""A dataset as its publisher offers it -> a manifest that names its files.

Recordings stay where they are. Where a dataset's notes are not in one MIDI file a track, the importer writes them as
MIDI into ``midi/`` beside the manifest. On request recordings are converted into ``audio-16k/``, also beside it.
"""

import csv
import dataclasses
import functools
import io
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile

from mt3lite import audio, files, instruments, notes, reading
from mt3lite.errors import InputError, reason
from mt3lite.training import checks, datasets

VELOCITY = 100  # of notes whose annotation does not say how loud they are
TICKS_PER_QUARTER = 5000  # of the MIDI files that are written: 0.1 ms at their 120 quarters a minute
CONVERTED_RATE = 16000  # Hz, of all presets
CONVERTED_FOLDER = "audio-16k"  # not "audio": people have folders of that name

Notes = dict[Path, np.ndarray]  # by the MIDI file that they are to be written to


@dataclass(frozen=True)
class Candidate:
    """A track as an importer finds it, its files not yet looked at."""

    track: datasets.Track
    # Reads the annotation; returns what is to be written, the track's own MIDI file among it. None: nothing is.
    read_notes: Callable[[], Notes] | None = None


@dataclass(frozen=True)
class Discovery:
    """What an importer finds in a folder."""

    candidates: list[Candidate]
    remarks: list[str] = field(default_factory=list)  # what was left aside
    faults: list[str] = field(default_factory=list)  # of tracks that did not even become candidates


def checked(root: Path, found: Discovery, what: str) -> Discovery:
    """Return `found`, after a look whether there is anything.

    Raises:
        InputError: there is nothing; `what` is what was looked for.
    """
    if not found.candidates and not found.faults:
        raise InputError(f"{root}: this is not the dataset: {what}")
    return found


@dataclass(frozen=True)
class Imported:
    """What became of it."""

    manifest: Path
    report: checks.Report
    remarks: list[str]


@dataclass(frozen=True)
class _Job:
    """How candidates are worked up."""

    root: Path
    out: Path
    license: str
    convert: bool


def import_dataset(
    find: Callable[[Path, Path], Discovery],
    root: Path,
    out: Path | None = None,
    *,
    license: str = "",
    convert: bool = False,
    skip_faulty: bool = False,
    overwrite: bool = False,
    jobs: int = 1,
    progress: Callable[[Iterable, int], Iterable] = checks.no_progress,
) -> Imported:
    """Write the manifest of a dataset, after a look into all its files.

    Args:
        find: the importer: (root, out) -> what is there; raises ``InputError`` where the folder is not that dataset.
        root: the dataset's folder.
        out: folder for the manifest and what goes with it; made when missing. None: `root` itself.
        license: of recordings and notes, as an SPDX identifier; "": not stated.
        convert: write recordings and stems as mono FLAC of 16 kHz into ``audio-16k/`` and name these files.
        skip_faulty: leave faulty tracks out instead of refusing the whole; they are among the remarks.
        overwrite: replace a manifest that is there.
        jobs: processes at work.
        progress: wraps the loop over the tracks: (iterable, how many) -> iterable.

    Raises:
        InputError: no such folder, no such dataset in it, a manifest that is in the way, or faults of the files, all
            told together. No manifest is written then.
    """
    if not root.is_dir():
        raise InputError(f"{root}: {'is not a folder' if root.exists() else 'no such folder'}")
    root, out = root.absolute(), (out or root).absolute()
    manifest = out / datasets.MANIFEST_NAME
    if manifest.exists() and not overwrite:
        raise InputError(f"{manifest}: is there already; choose another --out, or say --overwrite")
    found = find(root, out)
    if not found.candidates and not found.faults:
        raise InputError(f"{root}: no track of this dataset found")
    files.make_folder(out)
    files.check_writable(manifest)
    work = functools.partial(_work_up, job=_Job(root, out, license, convert))
    done = list(progress(checks.in_processes(work, found.candidates, jobs), len(found.candidates)))

    faults = found.faults + [f"{track.id}: {fault}" for track, findings, _ in done for fault in findings.faults]
    if not skip_faulty:
        datasets.refuse(root, faults)
    good = [(track, findings) for track, findings, _ in done if not findings.faults]
    if not good:
        datasets.refuse(root, ["every track is faulty", *faults])
    findings = dict(enumerate((each for _, each in good), start=1))
    report = checks.Report({line: track for line, (track, _) in enumerate(good, 1)}, findings, CONVERTED_RATE)
    datasets.write_manifest(report.tracks.values(), manifest)
    dropped = sum(each[2] for each in done)
    remarks = [f"{dropped} annotated notes have no length and are left out"] if dropped else []
    return Imported(manifest, report, found.remarks + remarks + report.remarks + [f"left out: {f}" for f in faults])


def _work_up(candidate: Candidate, job: _Job) -> tuple[datasets.Track, checks.Findings, int]:
    """Write the notes of a candidate and convert its recording where that is wanted, then look into its files.

    Returns:
        The track with its duration, what was found out, and how many notes without length were left out.
    """
    track, dropped = dataclasses.replace(candidate.track, license=job.license), 0
    try:
        missing = [path for path in _given_files(candidate) if not os.path.isfile(path)]
        if missing:
            return track, checks.Findings(tuple(f"no such file: {reason(str(path))}" for path in missing)), 0
        for path, played in (candidate.read_notes() if candidate.read_notes else {}).items():
            _below(path, job.out)  # it raises where a table names a place elsewhere
            lasting = played[played["offset"] > played["onset"]]
            dropped += len(played) - len(lasting)
            files.make_folder(path.parent)
            write_midi(lasting, path)
        if job.convert:
            track = _convert(track, job)
    except InputError as error:
        return track, checks.Findings((str(error),)), 0
    # The stems' notes were read or written just now.
    findings = checks.check_track(track, sample_rate=CONVERTED_RATE, with_stem_notes=False)
    if findings.seconds:
        track = dataclasses.replace(track, duration_seconds=round(findings.seconds, 4))
    return track, findings, dropped


def _given_files(candidate: Candidate) -> list[Path]:
    """Return the files that must be there before anything is written."""
    track = candidate.track
    given = [*track.recordings, *(stem.audio for stem in track.stems)]
    if candidate.read_notes is None:
        given += [track.midi, *(stem.midi for stem in track.stems if stem.midi)]
    return list(dict.fromkeys(given))


def _convert(track: datasets.Track, job: _Job) -> datasets.Track:
    """Convert the recording and the stems of a track; return it with their new names."""
    return dataclasses.replace(
        track,
        audio=_convert_file(track.audio, job) if track.audio else None,
        stems=tuple(dataclasses.replace(stem, audio=_convert_file(stem.audio, job)) for stem in track.stems),
    )


def _convert_file(path: Path, job: _Job) -> Path:
    """Write a recording as mono FLAC of 16 kHz, 16 bits; return where it is.

    What was converted before is kept, be it by a run that was interrupted or for another track with the same stem.

    Raises:
        InputError: the recording cannot be read, or the file cannot be written.
    """
    converted = job.out / CONVERTED_FOLDER / _below(path, job.root).with_suffix(".flac")
    if converted.is_file() and converted.stat().st_mtime >= path.stat().st_mtime:
        return converted
    files.make_folder(converted.parent)
    kind = {"channels": 1, "format": "FLAC", "subtype": "PCM_16"}
    with files.atomic_path(converted) as temporary, audio.told_if_unwritten(converted):
        with soundfile.SoundFile(temporary, "w", CONVERTED_RATE, **kind) as file:
            for block in audio.stream(path, CONVERTED_RATE):
                file.write(block)
    return converted


def _below(path: Path, folder: Path) -> Path:
    """Return where a file lies below a folder; a table may name any file, but not one to write elsewhere.

    Raises:
        InputError: it lies elsewhere.
    """
    below = Path(os.path.relpath(path, folder))
    if below.parts[0] == "..":
        raise InputError(f"{path}: lies outside of {folder}, so it is not written or converted")
    return below


def write_midi(played: np.ndarray, path: str | os.PathLike) -> None:
    """Write notes to a MIDI file so that reading it gives the same notes, to 0.05 ms.

    `notes.write_midi` gives each program one MIDI track, in which a note-off ends all notes of its pitch, whosoever's
    they are. Here notes that overlap at one pitch and program go to separate tracks.

    Raises:
        InputError: a note that `notes.validate` refuses, or the file cannot be written.
    """
    note_seq = notes.import_note_seq()
    notes.validate(played)
    played = notes.sort(played)
    sequence = notes.to_note_sequence(played)
    sequence.ticks_per_quarter = TICKS_PER_QUARTER
    keys = {}  # (is_drum, program, layer) -> instrument
    for note, layer in zip(sequence.notes, _layers(played), strict=True):
        note.instrument = keys.setdefault((note.is_drum, note.program, layer), len(keys))
    with files.atomic_path(path) as temporary:
        note_seq.note_sequence_to_midi_file(sequence, os.fspath(temporary))


def _layers(played: np.ndarray) -> list[int]:
    """Return for each of the notes, sorted by onset, the first layer in which nothing of its kind still sounds."""
    ends: dict[tuple, list[float]] = {}
    layers = []
    for onset, offset, pitch, _, program, is_drum in played.tolist():
        mine = ends.setdefault((is_drum, program, pitch), [])
        layer = next((index for index, end in enumerate(mine) if end <= onset), len(mine))
        mine[layer : layer + 1] = [offset]
        layers.append(layer)
    return layers


def table_rows(path: Path, columns: Iterable[str]) -> list[dict[str, str]]:
    """Read a CSV file with a header line.

    Raises:
        InputError: it cannot be read, or lacks one of the columns.
    """
    try:
        reader = csv.DictReader(io.StringIO(reading.read_text(path).removeprefix("\ufeff"), newline=""))
        missing = [name for name in columns if name not in (reader.fieldnames or ())]
        if missing:
            raise InputError(f"{path}: has no column {', '.join(missing)}; is it the publisher's file?")
        rows = list(reader)
    except csv.Error as error:
        raise InputError(f"{path}: cannot be read as CSV: {reason(error)}") from error
    for number, row in enumerate(rows, start=1):
        if any(row[name] is None for name in columns):
            raise InputError(f"{path}: row {number} has fewer columns than the first line")
    return rows


def rows_to_notes(rows: Iterable[tuple], path: Path, *, is_drum: bool = False) -> np.ndarray:
    """Return the notes of (onset, offset, pitch, program) rows, all of them drums or none, at one velocity; sorted.

    Raises:
        InputError: a pitch, a program or a time that is none; `path` is what it came from.
    """
    try:
        played = notes.from_rows(
            (onset, offset, pitch, VELOCITY, program, is_drum) for onset, offset, pitch, program in rows
        )
    except OverflowError as error:
        raise InputError(f"{path}: a number is far beyond those of MIDI: {reason(error)}") from error
    good = (played["offset"] <= notes.LATEST_SECONDS) & (played["onset"] >= 0)
    good &= played["onset"] <= notes.LATEST_SECONDS
    good &= (played["pitch"] >= 0) & (played["pitch"] <= 127)
    good &= (played["program"] >= 0) & (played["program"] < instruments.NUM_PROGRAMS)
    if not good.all():
        bad = played[int(np.argmin(good))]
        raise InputError(
            f"{path}: a note of pitch {bad['pitch']}, program {bad['program']}, {bad['onset']:g} to "
            f"{bad['offset']:g} s is none"
        )
    return notes.sort(played)
