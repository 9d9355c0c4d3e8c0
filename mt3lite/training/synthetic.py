"""Made-up training pieces: excerpts of MIDI files and invented music, played by soundfonts.

``synthesize`` fills a dataset folder. A piece depends on the seed, its split and its number alone, so the folder comes
out the same however many processes fill it, and an interrupted run goes on where it stopped.
"""

import concurrent.futures
import concurrent.futures.process
import functools
import json
import multiprocessing
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from mt3lite import audio, files, notes, processes, reading, render, soundfonts, timbre
from mt3lite.errors import InputError
from mt3lite.training import arranging, datasets, midi_sources, procedural, voicing

_SETTINGS_NAME = "synthesis.json"
SKIPPED_NAME = "skipped.txt"
_FEWEST_NOTES = 8  # a piece with fewer is drawn again
_MOST_DRAWS = 50
_PROCEDURAL_LICENSE = "CC0-1.0"
_DRUM_KITS = (0, 0, 0, 0, 8, 16, 24, 25, 32, 40)  # General Standard's kits that keep the General MIDI layout


@dataclass(frozen=True)
class SynthesisConfig:
    """What to make."""

    sources: tuple[midi_sources.MidiSource, ...]
    soundfonts: tuple[str, ...]  # as `render` takes them; each piece draws one
    hours: dict[str, float]  # by split: train, validation, test
    seed: int = 0
    procedural_weight: float = 0.27  # share of invented pieces, relative to the sources' weights
    shortest_seconds: float = 45.0  # length of an excerpt
    longest_seconds: float = 90.0
    held_out_fraction: float = 0.06  # of the MIDI files: for validation and test only
    most_sounding: int = 32  # notes at a time
    sample_rate: int = 16000
    stems: bool = False  # keep each instrument alone, too; the mix is then their sum
    timbre_chance: float = 0.0  # of each instrument of a piece to sound unlike the soundfont's, see `voicing`
    any_chance: float = arranging.ANY_CHANCE  # of each part of a MIDI file to be played by any instrument

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
        for chance in ("timbre_chance", "any_chance"):
            if not 0 <= getattr(self, chance) <= 1:
                raise InputError(f"{chance} must be 0 to 1, not {getattr(self, chance)}")


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

    Writes ``<split>/<number>.wav`` (mono, 16-bit) and ``<split>/<number>.mid`` (the notes as played), with stems also
    ``<split>/<number>/<program>.wav`` and ``.mid`` (``drums`` for the drums); ``manifest.jsonl``, which grows as pieces
    are finished and is put in order at the end; ``skipped.txt`` (MIDI files that cannot be read, with the reason); and
    ``synthesis.json`` (the config). Finished pieces are kept when the same config is run again; more hours may be asked
    for then.

    Args:
        out_folder: made if missing.
        config: what to make.
        jobs: processes at work.
        progress: show a bar.

    Returns:
        The number of pieces in the folder.

    Raises:
        InputError: no MIDI file for a split, no FluidSynth, a bad soundfont, or a folder made with another config; a
            worker process was killed. What is finished then stays, and is in the manifest.
    """
    out_folder = Path(out_folder)
    for soundfont in config.soundfonts:
        render.check_soundfont(soundfont, arranging.PITCHED_PROGRAMS)
        soundfonts.check_sound(soundfont, arranging.PITCHED_PROGRAMS)
    files.make_folder(out_folder)
    with files.held(out_folder):
        return _fill(out_folder, config, jobs, progress)


def _fill(out_folder: Path, config: SynthesisConfig, jobs: int, progress: bool) -> int:
    """Make what is not there yet, see `synthesize`."""
    _claim_folder(out_folder, config)
    tracks = _finished(out_folder)
    pieces = [piece for piece in _plan(config) if piece.id not in tracks]
    skipped: set[str] = set()
    manifest_path = out_folder / datasets.MANIFEST_NAME
    with manifest_path.open("a", encoding="utf-8") as manifest, _bar(len(pieces), progress) as bar:
        try:
            for track, faults in _make_all(pieces, config, out_folder, jobs):
                tracks[track.id] = track
                manifest.write(datasets.to_line(track, out_folder))
                manifest.flush()
                skipped.update(faults)
                bar.update()
        except concurrent.futures.process.BrokenProcessPool as error:
            raise InputError(
                f"{out_folder}: a worker process was ended from outside; is the memory full? {len(tracks)} pieces are "
                "finished and in the manifest. The same command goes on from there; fewer --jobs take less memory"
            ) from error
        finally:
            _add_skipped(out_folder / SKIPPED_NAME, skipped)
    datasets.write_manifest([tracks[key] for key in sorted(tracks)], manifest_path)
    return len(tracks)


def _bar(total: int, progress: bool):
    import tqdm

    return tqdm.tqdm(total=total, unit="piece", disable=not progress)


def _claim_folder(folder: Path, config: SynthesisConfig) -> None:
    """Check that the folder is new, or was made with the same config but for the hours."""
    wanted = json.loads(json.dumps(asdict(config)))
    path = folder / _SETTINGS_NAME
    if path.exists():
        # A setting that is younger than the folder had its default's effect then.
        defaults = {field.name: field.default for field in fields(config)}
        try:
            found = {**defaults, **reading.parse_json(reading.read_text(path, reading.MOST_SETTINGS_BYTES))}
        except (InputError, TypeError) as error:
            raise InputError(f"{path}: cannot be gone on from: {str(error).removeprefix(f'{path}: ')}") from error
        changed = sorted(key for key in wanted if key != "hours" and found.get(key) != wanted[key])
        if changed:
            raise InputError(f"{folder}: holds pieces made with another {', '.join(changed)}; choose another folder")
    with files.atomic_path(path) as temporary:
        temporary.write_text(json.dumps(wanted, indent=1) + "\n", encoding="utf-8")


def _finished(folder: Path) -> dict[str, datasets.Track]:
    """Tracks of the pieces already made, by id."""
    path = folder / datasets.MANIFEST_NAME
    if not path.exists():
        return {}
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:  # the run was killed as it wrote the last line
        with files.atomic_path(path) as temporary:
            temporary.write_text(whole, encoding="utf-8")
    if not whole:
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
            midi_sources.source_files(source, split, config.held_out_fraction)
    make = functools.partial(_make_piece, config=config, out_folder=out_folder)
    if jobs <= 1:
        yield from map(make, pieces)
        return
    # Not "fork": a parent that has started JAX has threads, and a forked child may hang on their locks.
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(jobs, context) as pool:
        with processes.born_deaf():
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
    parts = _parts(played) if config.stems else {"": played}
    performed = _perform(list(parts.values()), soundfont, config.sample_rate, rng, _timbres(piece, played, config))
    stem = out_folder / piece.split / f"{piece.number:05d}"
    audio_path, midi_path = stem.with_suffix(".wav"), stem.with_suffix(".mid")
    stems = _write_stems(stem, parts, performed, config.sample_rate) if config.stems else ()
    audio.write_wav(audio_path, performed.sum(axis=0), config.sample_rate)
    notes.write_midi(notes.sort(played), midi_path)
    duration_seconds = round(performed.shape[1] / config.sample_rate, 4)
    origin = f"{source}, {render.name(soundfont)}"
    track = datasets.Track(piece.id, piece.split, audio_path, midi_path, duration_seconds, license, origin, stems)
    return track, faults


def _timbres(piece: _Piece, played: np.ndarray, config: SynthesisConfig) -> dict[int, timbre.Timbre]:
    """Timbres by program; their generator is another, so that all else of a piece is the same without them."""
    if config.timbre_chance == 0:
        return {}
    rng = np.random.default_rng([config.seed, datasets.SPLITS.index(piece.split), piece.number, 2])
    return voicing.draw(played, config.timbre_chance, rng)


def _parts(played: np.ndarray) -> dict[str, np.ndarray]:
    """Notes by instrument: the drums', and each program's, named for files."""
    drums, pitched = played[played["is_drum"]], played[~played["is_drum"]]
    parts = {f"{program:03d}": pitched[pitched["program"] == program] for program in np.unique(pitched["program"])}
    return {**parts, **({"drums": drums} if len(drums) else {})}


def _write_stems(
    folder: Path, parts: dict[str, np.ndarray], performed: np.ndarray, sample_rate: int
) -> tuple[datasets.Stem, ...]:
    folder.mkdir(exist_ok=True)
    stems = []
    for (name, part), samples in zip(parts.items(), performed, strict=True):
        audio_path, midi_path = folder / f"{name}.wav", folder / f"{name}.mid"
        audio.write_wav(audio_path, samples, sample_rate)
        notes.write_midi(notes.sort(part), midi_path)
        is_drum = name == "drums"
        stems.append(datasets.Stem(audio_path, midi_path, 0 if is_drum else int(name), is_drum))
    return tuple(stems)


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
            path = rng.choice(midi_sources.source_files(source, piece.split, config.held_out_fraction))
            name, license = f"{source.name}/{Path(path).name}", source.license
            try:
                played = arranged_notes(
                    midi_sources.cached_parts(str(path)),
                    piece.duration_seconds,
                    rng,
                    config.most_sounding,
                    config.any_chance,
                )
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
    parts: list[np.ndarray],
    duration_seconds: float,
    rng: np.random.Generator,
    most_sounding: int,
    any_chance: float = arranging.ANY_CHANCE,
) -> np.ndarray:
    """An excerpt of a piece with new instruments, as it is to be played (``notes.NOTE_DTYPE``).

    Scores (one velocity throughout) are given a performance; performed piano music keeps its timing, its velocities
    and, mostly, its piano; sequenced music keeps its velocities and sometimes gets small deviations of timing.

    Args:
        parts: from ``midi_sources.read_parts``; at least one note.
        duration_seconds: length of the excerpt before its tempo changes.
        rng: draws all choices.
        most_sounding: cap on the notes at a time.
        any_chance: of each part to be played by any instrument, not one of its family.
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
    parts = arranging.reassign(parts, rng, keep_pianos=performed_piano, any_chance=any_chance)
    return arranging.playable(parts, most_sounding) if parts else notes.empty()


def _perform(
    parts: list[np.ndarray],
    soundfont: str,
    sample_rate: int,
    rng: np.random.Generator,
    timbres: dict[int, timbre.Timbre] | None = None,
) -> np.ndarray:
    """Play parts with a random balance, room and level: float32 [part, sample], the peak of their sum 0.2 to 0.97."""
    played = np.concatenate(parts)
    programs = [-1, *np.unique(played["program"][~played["is_drum"]]).tolist()]
    volumes_db = {program: float(rng.uniform(-6, 6)) for program in programs}
    render_config = render.RenderConfig(
        sample_rate=sample_rate,
        reverb=float(rng.uniform(0.1, 0.8)) if rng.random() < 0.55 else 0.0,
        chorus=float(rng.uniform(0.2, 1.0)) if rng.random() < 0.25 else 0.0,
        drum_kit=int(rng.choice(_DRUM_KITS)),
    )
    performed = render.render_parts(parts, soundfont, render_config, volumes_db=volumes_db, timbres=timbres)
    wanted_peak = 10 ** (rng.uniform(-14.0, -0.3) / 20)
    # A part alone may be louder than all together, and none shall be clipped.
    peak = max(float(np.abs(performed).max()), float(np.abs(performed.sum(axis=0)).max()), 1e-4)
    return performed * np.float32(wanted_peak / peak)
