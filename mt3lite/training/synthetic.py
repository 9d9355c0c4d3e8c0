"""Made-up training pieces: excerpts of MIDI files and invented music, played by soundfonts.

``synthesize`` fills a dataset folder. A piece depends on the seed, its split and its number alone, so the folder comes
out the same however many processes fill it, and an interrupted run goes on where it stopped.
"""

import concurrent.futures
import functools
import json
import multiprocessing
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from mt3lite import audio, files, notes, render
from mt3lite.errors import InputError
from mt3lite.training import arranging, datasets, procedural

_SETTINGS_NAME = "synthesis.json"
_SKIPPED_NAME = "skipped.txt"
_MIDI_SUFFIXES = (".mid", ".midi")
_FEWEST_NOTES = 8  # a piece with fewer is drawn again
_MOST_DRAWS = 50
_PROCEDURAL_LICENSE = "CC0-1.0"
_DRUM_KITS = (0, 0, 0, 0, 8, 16, 24, 25, 32, 40)  # General Standard's kits that keep the General MIDI layout
_NOISE_PROGRAMS = tuple(p for p in range(112, 128) if p not in arranging.PITCHED_PROGRAMS)


@dataclass(frozen=True)
class MidiSource:
    """A folder of MIDI files to take excerpts from."""

    name: str
    folder: str  # searched with its subfolders
    weight: float  # share of the pieces, relative to the other weights
    license: str = ""


@dataclass(frozen=True)
class SynthesisConfig:
    """What to make."""

    sources: tuple[MidiSource, ...]
    soundfonts: tuple[str, ...]  # paths; each piece draws one
    hours: dict[str, float]  # by split: train, validation, test
    seed: int = 0
    procedural_weight: float = 0.27  # share of invented pieces, relative to the sources' weights
    shortest_seconds: float = 45.0  # length of an excerpt
    longest_seconds: float = 90.0
    held_out_fraction: float = 0.06  # of the MIDI files: for validation and test only
    most_sounding: int = 32  # notes at a time
    sample_rate: int = 16000

    def __post_init__(self):
        if not self.soundfonts:
            raise InputError("no soundfont given; name at least one .sf2 or .sf3 file")
        unknown = sorted(set(self.hours) - set(datasets.SPLITS))
        if unknown or not any(hours > 0 for hours in self.hours.values()):
            raise InputError(f"hours by split: got {dict(self.hours)}; wanted e.g. 12 of one of {datasets.SPLITS}")
        weights = [self.procedural_weight, *(source.weight for source in self.sources)]
        if min(weights) < 0 or sum(weights) <= 0:
            raise InputError(f"weights must be 0 or more and one above 0, not {weights}")
        if not 0 < self.shortest_seconds <= self.longest_seconds:
            raise InputError(
                f"lengths of {self.shortest_seconds} to {self.longest_seconds} seconds: the first must be above 0 and "
                "not above the second"
            )


@dataclass(frozen=True)
class _Piece:
    """What is known of a piece before it is made."""

    split: str
    number: int
    duration_seconds: float

    @property
    def id(self) -> str:
        return f"{self.split}-{self.number:05d}"


def synthesize(out_folder: str | Path, config: SynthesisConfig, *, jobs: int = 1, progress: bool = False) -> int:
    """Fill a dataset folder with made-up pieces.

    Writes ``<split>/<number>.wav`` (mono, 16-bit), ``<split>/<number>.mid`` (the notes as played), ``manifest.jsonl``,
    which grows as pieces are finished and is put in order at the end, ``skipped.txt`` (MIDI files that cannot be read,
    with the reason) and ``synthesis.json`` (the config). Finished pieces are kept when the same config is run again;
    more hours may be asked for then.

    Args:
        out_folder: made if missing.
        config: what to make.
        jobs: processes at work.
        progress: show a bar.

    Returns:
        The number of pieces in the folder.

    Raises:
        InputError: no MIDI file for a split, no FluidSynth, a bad soundfont, or a folder made with another config.
    """
    out_folder = Path(out_folder)
    _claim_folder(out_folder, config)
    tracks = _finished(out_folder)
    pieces = [piece for piece in _plan(config) if piece.id not in tracks]
    skipped: set[str] = set()
    manifest_path = out_folder / datasets.MANIFEST_NAME
    with manifest_path.open("a", encoding="utf-8") as manifest, _bar(len(pieces), progress) as bar:
        for track, faults in _make_all(pieces, config, out_folder, jobs):
            tracks[track.id] = track
            manifest.write(datasets.to_line(track, out_folder))
            manifest.flush()
            skipped.update(faults)
            bar.update()
    datasets.write_manifest([tracks[key] for key in sorted(tracks)], manifest_path)
    _add_skipped(out_folder / _SKIPPED_NAME, skipped)
    return len(tracks)


def _bar(total: int, progress: bool):
    import tqdm

    return tqdm.tqdm(total=total, unit="piece", disable=not progress)


def _claim_folder(folder: Path, config: SynthesisConfig) -> None:
    """Make the folder, or check that it was made with the same config but for the hours."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: the folder cannot be made: {error.strerror}") from error
    wanted = json.loads(json.dumps(asdict(config)))
    path = folder / _SETTINGS_NAME
    if path.exists():
        found = json.loads(path.read_text(encoding="utf-8"))
        changed = sorted(key for key in wanted if key != "hours" and found.get(key) != wanted[key])
        if changed:
            raise InputError(f"{folder}: holds pieces made with another {', '.join(changed)}; choose another folder")
    with files.atomic_path(path) as temporary:
        temporary.write_text(json.dumps(wanted, indent=1) + "\n", encoding="utf-8")


def _finished(folder: Path) -> dict[str, datasets.Track]:
    """Tracks of the pieces already made, by id."""
    path = folder / datasets.MANIFEST_NAME
    if not path.exists() or path.stat().st_size == 0:
        return {}
    return {track.id: track for track in datasets.read_manifest(path)}


def _add_skipped(path: Path, faults: set[str]) -> None:
    known = set(path.read_text(encoding="utf-8").splitlines()) if path.exists() else set()
    if known | faults:
        with files.atomic_path(path) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in sorted(known | faults)), encoding="utf-8")


def _plan(config: SynthesisConfig) -> list[_Piece]:
    """The pieces to make; more hours add pieces at the end of a split and change none of the others."""
    pieces = []
    for split, hours in config.hours.items():
        rng = np.random.default_rng([config.seed, datasets.SPLITS.index(split)])
        planned_seconds, number = 0.0, 0
        while planned_seconds < hours * 3600:
            duration_seconds = float(rng.uniform(config.shortest_seconds, config.longest_seconds))
            pieces.append(_Piece(split, number, duration_seconds))
            planned_seconds += duration_seconds
            number += 1
    return pieces


def _make_all(
    pieces: list[_Piece], config: SynthesisConfig, out_folder: Path, jobs: int
) -> Iterator[tuple[datasets.Track, list[str]]]:
    """Make pieces in one or several processes; yields each as it is finished, with the faults of its sources."""
    for split in {piece.split for piece in pieces}:
        (out_folder / split).mkdir(exist_ok=True)
        for source in config.sources:
            source_files(source, split, config.held_out_fraction)
    make = functools.partial(_make_piece, config=config, out_folder=out_folder)
    if jobs <= 1:
        yield from map(make, pieces)
        return
    # Not "fork": a parent that has started JAX has threads, and a forked child may hang on their locks.
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(jobs, mp_context=context) as pool:
        futures = [pool.submit(make, piece) for piece in pieces]
        try:
            for future in concurrent.futures.as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _make_piece(piece: _Piece, config: SynthesisConfig, out_folder: Path) -> tuple[datasets.Track, list[str]]:
    """Make one piece and write its files."""
    rng = np.random.default_rng([config.seed, datasets.SPLITS.index(piece.split), piece.number, 1])
    played, source, license, faults = _draw_notes(piece, config, rng)
    soundfont = config.soundfonts[int(rng.integers(len(config.soundfonts)))]
    samples = _perform(played, soundfont, config.sample_rate, rng)
    audio_path = out_folder / piece.split / f"{piece.number:05d}.wav"
    midi_path = audio_path.with_suffix(".mid")
    audio.write_wav(audio_path, samples, config.sample_rate)
    notes.write_midi(notes.sort(played), midi_path)
    duration_seconds = round(len(samples) / config.sample_rate, 4)
    origin = f"{source}, {Path(soundfont).name}"
    return datasets.Track(piece.id, piece.split, audio_path, midi_path, duration_seconds, license, origin), faults


def _draw_notes(
    piece: _Piece, config: SynthesisConfig, rng: np.random.Generator
) -> tuple[np.ndarray, str, str, list[str]]:
    """Notes of a piece as they will be played, where they come from, its licence, and the files found faulty."""
    weights = np.array([config.procedural_weight, *(source.weight for source in config.sources)])
    faults: list[str] = []
    for _ in range(_MOST_DRAWS):
        choice = int(rng.choice(len(weights), p=weights / weights.sum()))
        if choice == 0:
            played = procedural_notes(piece.duration_seconds, rng, config.most_sounding)
            name, license = "procedural", _PROCEDURAL_LICENSE
        else:
            source = config.sources[choice - 1]
            path = rng.choice(source_files(source, piece.split, config.held_out_fraction))
            name, license = f"{source.name}/{Path(path).name}", source.license
            try:
                played = arranged_notes(_cached_parts(str(path)), piece.duration_seconds, rng, config.most_sounding)
            except InputError as error:
                faults.append(str(error))
                continue
        if len(played) >= _FEWEST_NOTES:
            return played, name, license, faults
    raise InputError(f"{piece.id}: no usable notes in {_MOST_DRAWS} draws; last faults: {faults[-3:]}")


def procedural_notes(duration_seconds: float, rng: np.random.Generator, most_sounding: int) -> np.ndarray:
    """Invent a piece; its notes as they are to be played (``notes.NOTE_DTYPE``)."""
    parts = procedural.compose(duration_seconds, rng)
    return arranging.playable(parts, most_sounding) if parts else notes.empty()


def arranged_notes(
    parts: list[np.ndarray], duration_seconds: float, rng: np.random.Generator, most_sounding: int
) -> np.ndarray:
    """An excerpt of a piece with new instruments, as it is to be played (``notes.NOTE_DTYPE``).

    Scores (one velocity throughout) are given a performance; performed piano music keeps its timing, its velocities
    and, mostly, its piano; sequenced music keeps its velocities and sometimes gets small deviations of timing.

    Args:
        parts: from ``read_parts``; at least one note.
        duration_seconds: length of the excerpt before its tempo changes.
        rng: draws all choices.
        most_sounding: cap on the notes at a time.
    """
    performed_piano = arranging.is_piano(parts) and not arranging.is_notated(parts)
    notated = arranging.is_notated(parts)
    parts = arranging.excerpt(parts, duration_seconds, rng)
    if not performed_piano:
        parts = arranging.thin_out(parts, rng)
    parts = arranging.stretch(parts, rng)
    if notated:
        parts = arranging.humanise(parts, rng)
    elif not performed_piano and rng.random() < 0.5:
        parts = [arranging.jitter(part, rng, 0.006) for part in parts]
    parts = arranging.reassign(parts, rng, keep_pianos=performed_piano)
    return arranging.playable(parts, most_sounding) if parts else notes.empty()


def _perform(played: np.ndarray, soundfont: str, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Play notes with a random balance, room and level: float32 samples, peak 0.2 to 0.97."""
    programs = [-1, *np.unique(played["program"][~played["is_drum"]]).tolist()]
    volumes_db = {program: float(rng.uniform(-6, 6)) for program in programs}
    render_config = render.RenderConfig(
        sample_rate=sample_rate,
        reverb=float(rng.uniform(0.1, 0.8)) if rng.random() < 0.55 else 0.0,
        chorus=float(rng.uniform(0.2, 1.0)) if rng.random() < 0.25 else 0.0,
        drum_kit=int(rng.choice(_DRUM_KITS)),
    )
    samples = render.render(played, soundfont, render_config, volumes_db=volumes_db)
    wanted_peak = 10 ** (rng.uniform(-14.0, -0.3) / 20)
    return samples * np.float32(wanted_peak / max(float(np.abs(samples).max()), 1e-4))


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


@functools.lru_cache(maxsize=8)
def _cached_parts(path: str) -> list[np.ndarray]:
    return read_parts(path)


def read_parts(path: str | Path) -> list[np.ndarray]:
    """Read a MIDI file part by part, which ``notes.read_midi`` does not keep apart.

    Returns:
        One array of ``notes.NOTE_DTYPE`` per track and channel with notes, offsets lengthened by the sustain pedal;
        noises (most programs from 112) are left out.

    Raises:
        InputError: not a MIDI file, or no usable note in it.
    """
    import note_seq

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tempo changes outside of the first track: it reads them all the same
            sequence = note_seq.midi_file_to_note_sequence(str(path))
    except (OSError, note_seq.MIDIConversionError) as error:
        raise InputError(f"{path}: cannot be read as MIDI: {error}") from error
    sequence = note_seq.apply_sustain_control_changes(sequence)
    instruments = np.array([note.instrument for note in sequence.notes], np.int64)
    all_notes = notes.from_note_sequence(sequence, sustain=False)
    usable = all_notes["is_drum"] | ~np.isin(all_notes["program"], _NOISE_PROGRAMS)
    usable &= (all_notes["velocity"] > 0) & (all_notes["offset"] > all_notes["onset"])
    if not usable.any():
        raise InputError(f"{path}: no usable notes in this MIDI file")
    return [all_notes[usable & (instruments == i)] for i in np.unique(instruments[usable])]
