"""What the files of a dataset hold, looked at once before anything is trained on them.

A *fault* makes a track unusable and is refused. A *remark* is about something that training copes with; it is counted
and said, so that nobody wonders later where notes have gone.
"""

import concurrent.futures
import functools
import math
import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile

from mt3lite import audio, notes, processes, tuning
from mt3lite.errors import InputError, shown, some
from mt3lite.training import datasets

# libsndfile's names of formats in which any sample can be reached exactly, so that a part can be read alone.
SEEKABLE_FORMATS = frozenset(("WAV", "WAVEX", "W64", "RF64", "FLAC", "AIFF", "AU", "CAF"))
MOST_NOTES_AFTER_END = 0.05  # share of notes that begin after the recording; with more the two do not belong together
STATED_TOLERANCE_SECONDS = 0.5  # between the manifest's duration, or a track's stems, and the recording
QUIET_END_SECONDS = 30.0  # of recording behind the last note, that are worth a remark
LISTENING_RATE = 16000  # Hz; what tells how a recording is tuned lies far below half of it
OUT_OF_TUNE_CENTS = 20  # that are worth a remark; training detunes by less on purpose, and orchestras to 443 Hz

# What is counted, and how it is told before the number.
_REMARKS = {
    "resampled": "files of another rate than {rate} Hz, converted as they are read",
    "after": "notes that begin after their recording ends, left out",
    "overlapping": "notes that last into the next of the same pitch and instrument, ended there",
    "quiet": "recordings that go on for more than 30 s after their last note",
}


@dataclass(frozen=True)
class Findings:
    """What was found out about one track."""

    faults: tuple[str, ...] = ()
    seconds: float = 0.0  # of the recording
    num_notes: int = 0
    counts: Counter = field(default_factory=Counter)  # of the keys of `_REMARKS`
    tuning_hz: float = tuning.A4_HZ  # of the recording: where its A4 was heard to be

    @property
    def cents_off(self) -> int:
        """How far the recording's A4 was heard to be from 440 Hz."""
        return round(1200 * math.log2(self.tuning_hz / tuning.A4_HZ))


@dataclass(frozen=True)
class Report:
    """What was found out about the tracks of a manifest."""

    tracks: dict[int, datasets.Track]  # by line
    findings: dict[int, Findings]  # by line
    sample_rate: int

    @property
    def faults(self) -> list[str]:
        """Everything that is wrong, by line."""
        return [f"line {number}: {fault}" for number, found in self.findings.items() for fault in found.faults]

    @property
    def remarks(self) -> list[str]:
        """What training copes with, counted over all tracks."""
        return tell(self.findings.values(), self.sample_rate) + self._remarks_on_tuning()

    def _remarks_on_tuning(self) -> list[str]:
        found = [(self.tracks[number].id, each) for number, each in self.findings.items()]
        found = [(name, each) for name, each in found if abs(each.cents_off) >= OUT_OF_TUNE_CENTS]
        if not found:
            return []
        found.sort(key=lambda pair: -abs(pair[1].cents_off))
        named = some([f"{shown(name)} ({each.tuning_hz:.0f} Hz)" for name, each in found])
        return [
            f"recordings whose A is {OUT_OF_TUNE_CENTS} cents or more from 440 Hz, heard as they are: {len(found)}, "
            f"in {len(found)} of {len(self.findings)} tracks: {named}"
        ]

    def table(self) -> str:
        """Return a row of text for each split: tracks, hours, notes."""
        rows = [f"{'split':<12}{'tracks':>8}{'hours':>10}{'notes':>12}"]
        for split in datasets.SPLITS:
            mine = [self.findings[number] for number, track in self.tracks.items() if track.split == split]
            hours, num_notes = sum(found.seconds for found in mine) / 3600, sum(found.num_notes for found in mine)
            rows.append(f"{split:<12}{len(mine):>8}{hours:>10.2f}{num_notes:>12}")
        return "\n".join(rows)


def tell(findings: Iterable[Findings], sample_rate: int) -> list[str]:
    """Return the remarks of several tracks, added up."""
    findings = list(findings)
    told = []
    for key, text in _REMARKS.items():
        concerned = [found.counts[key] for found in findings if found.counts[key]]
        if concerned:
            where = f"in {len(concerned)} of {len(findings)} tracks"
            told.append(f"{text.format(rate=sample_rate)}: {sum(concerned)}, {where}")
    return told


def no_progress(items: Iterable, total: int) -> Iterable:
    """Return the items: nobody is shown how far a loop over them has come."""
    return items


def check_manifest(
    path: str | Path,
    *,
    sample_rate: int = 16000,
    split: str | None = None,
    headers_only: bool = False,
    jobs: int = 1,
    progress: Callable[[Iterable, int], Iterable] = no_progress,
) -> Report:
    """Read a manifest and look into every file that it names.

    Args:
        path: the manifest, or its folder.
        sample_rate: of the model that will be trained, Hz; others are remarked on.
        split: look at its tracks alone; None: at all.
        headers_only: read no more than the headers of the recordings. Otherwise the MIDI files are read, too, which
            takes most of the time, 1 s for about 15 000 notes; and the first minute of each recording, to hear how it
            is tuned, which takes 0.04 s of a 16 kHz WAV file and 0.2 s of a 44.1 kHz stereo FLAC file.
        jobs: processes at work.
        progress: wraps the loop over the tracks: (iterable, how many) -> iterable.

    Raises:
        InputError: as `datasets.read_manifest` raises it. Faults of the files are in the report.
    """
    tracks = datasets.read_lines(path)
    if split is not None:
        chosen = {track.id for track in datasets.of_split(tracks.values(), split)}
        tracks = {number: track for number, track in tracks.items() if track.id in chosen}
    check = functools.partial(check_track, sample_rate=sample_rate, headers_only=headers_only)
    findings = progress(in_processes(check, list(tracks.values()), jobs), len(tracks))
    return Report(tracks, dict(zip(tracks, findings, strict=True)), sample_rate)


def require(path: str | Path, *, split: str, sample_rate: int) -> Report:
    """Check what training on a split is about to read: the manifest and the recordings' headers, not the notes.

    Raises:
        InputError: there are faults; all are told together, by line.
    """
    report = check_manifest(path, sample_rate=sample_rate, split=split, headers_only=True)
    datasets.refuse(datasets.manifest_path(path), report.faults)
    return report


def in_processes(function: Callable, items: list, jobs: int) -> Iterator:
    """Yield `function` of each item, in order; with more than one job in processes of their own.

    Raises:
        InputError: a process died.
    """
    if jobs <= 1:
        yield from map(function, items)
        return
    # Not "fork": a parent that has started JAX has threads, and a forked child may hang on their locks.
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(jobs, mp_context=context) as pool:
        try:
            with processes.born_deaf():
                results = pool.map(function, items, chunksize=4)
            yield from results
        except concurrent.futures.process.BrokenProcessPool as error:
            raise InputError(
                "a worker process was ended from outside, as happens where memory runs out; run this again with fewer "
                "--jobs"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def check_track(
    track: datasets.Track, *, sample_rate: int, headers_only: bool = False, with_stem_notes: bool = True
) -> Findings:
    """Look into the files of a track, see `check_manifest`; without `with_stem_notes` all but the stems' MIDI files."""
    faults, counts = [], Counter()
    lengths = [_check_recording(path, sample_rate, faults, counts) for path in track.recordings]
    known = [length for length in lengths if length is not None]
    seconds = max(known, default=0.0)
    stated = track.duration_seconds
    if known and stated is not None and abs(stated - seconds) > STATED_TOLERANCE_SECONDS:
        faults.append(f"'duration' is {stated:g} s, but the recording lasts {seconds:.1f} s")
    for stem in track.stems:
        length = _check_recording(stem.audio, sample_rate, faults, counts) if track.audio else None
        if length is not None and known and abs(length - seconds) > STATED_TOLERANCE_SECONDS:
            faults.append(f"{stem.audio}: this stem lasts {length:.1f} s, the recording {seconds:.1f} s")
        if with_stem_notes and stem.midi and not headers_only:
            try:
                datasets.stem_notes(stem)
            except InputError as error:
                faults.append(str(error))
    if headers_only:
        return Findings(tuple(faults), seconds, counts=counts)
    played = _check_notes(track, seconds if known else None, faults, counts)
    has_pitches = not played["is_drum"].all()
    tuning_hz = _listen(track, faults) if has_pitches and len(known) == len(lengths) else tuning.A4_HZ
    return Findings(tuple(faults), seconds, len(played), counts, tuning_hz)


def _check_recording(path: Path, sample_rate: int, faults: list[str], counts: Counter) -> float | None:
    """Read the header of a recording; return its seconds, None where there is something wrong."""
    try:
        described = audio.info(path)
    except InputError as error:
        faults.append(str(error))
        return None
    if not described.duration_seconds > 0:
        faults.append(f"{path}: holds 0 samples; is the recording empty?")
        return None
    if not _is_seekable(path):
        faults.append(
            f"{path}: parts of a file of this format cannot be read exactly; make it a FLAC or WAV file "
            "(mt3lite data import does with --convert)"
        )
        return None
    counts["resampled"] += described.sample_rate != sample_rate
    return described.duration_seconds


def _is_seekable(path: Path) -> bool:
    try:
        return soundfile.info(path).format in SEEKABLE_FORMATS
    except (soundfile.LibsndfileError, TypeError):  # what ffmpeg alone knows; TypeError: the suffix .raw
        return False


def _listen(track: datasets.Track, faults: list[str]) -> float:
    """Return the frequency of a recording's A4 in Hz, as its beginning tells it, see `tuning.estimate`."""
    recordings = [track.audio] if track.audio else [stem.audio for stem in track.stems if not stem.is_drum]
    try:
        parts = [tuning.beginning(audio.stream(path, LISTENING_RATE), LISTENING_RATE)[0] for path in recordings]
    except InputError as error:
        faults.append(str(error))
        return tuning.A4_HZ
    return tuning.estimate(datasets.added_up(parts), LISTENING_RATE)


def _check_notes(track: datasets.Track, seconds: float | None, faults: list[str], counts: Counter) -> np.ndarray:
    """Read the notes of a track and hold them against the recording's length; return them, none where faulty."""
    try:
        played = notes.read_midi(track.midi)
    except InputError as error:
        faults.append(str(error))
        return notes.empty()
    if not len(played):
        faults.append(f"{track.midi}: there are no notes in this MIDI file")
        return played
    counts["overlapping"] += num_overlapping(played)
    if seconds is None:
        return played
    after = int(np.count_nonzero(played["onset"] >= seconds))
    last = float(played["offset"].max())
    if after > MOST_NOTES_AFTER_END * len(played):
        faults.append(
            f"{track.midi}: lasts {last:.1f} s, the recording {seconds:.1f} s, so {after} of {len(played)} notes "
            "begin after its end; do the two belong together?"
        )
    else:
        counts["after"] += after
    counts["quiet"] += seconds - last > QUIET_END_SECONDS
    return played


def num_overlapping(played: np.ndarray) -> int:
    """Return how many notes, drums apart, last into the next note of the same pitch and program."""
    pitched = played[~played["is_drum"]]
    pitched = pitched[np.lexsort((pitched["onset"], pitched["pitch"], pitched["program"]))]
    same = (pitched["pitch"][1:] == pitched["pitch"][:-1]) & (pitched["program"][1:] == pitched["program"][:-1])
    return int(np.count_nonzero(same & (pitched["onset"][1:] < pitched["offset"][:-1])))
