"""Make the benchmark set: sixty pieces of 30 s, ten for each of six kinds of music, from data/benchmark/pieces.jsonl.

    python benchmarks/make_set.py --midi MIDI_ROOT OUT

Each line of pieces.jsonl names a MIDI file below MIDI_ROOT with its checksum, where the excerpt begins, the seed of its
performance, and the checksum of the notes that must come out. So the set is the same everywhere, or is refused. Only
the sound may differ in its last bits between versions of FluidSynth.
"""

import argparse
import concurrent.futures
import functools
import hashlib
import json
import multiprocessing
import shutil
import sys
from pathlib import Path

import numpy as np

from mt3lite import audio, files, notes, render
from mt3lite.errors import InputError
from mt3lite.training import arranging, datasets, midi_sources

PIECES = Path(__file__).resolve().parent.parent / "data" / "benchmark" / "pieces.jsonl"
BEATS = PIECES.parent / "beats"
SOUNDFONT_SHA256 = "82475b91a76de15cb28a104707d3247ba932e228bada3f47bba63c6b31aaf7a1"  # TimGM6mb, in pretty_midi
SAMPLE_RATE = 16000
DURATION_SECONDS = 30.0
MUSIC_SECONDS = 29.0  # no note begins later, so that the last ones can be heard
FEWEST_NOTES = 30

# The programs of a piece's parts in their order; a last one is that of all further parts. None: as in the file.
PROGRAMS = {
    "piano": (0,),
    "guitar": (24,),
    "string-quartet": (40, 40, 41, 42),
    "winds": (73, 68, 71, 70),
    "orchestra": None,
    "band": None,
}
MOST_SOUNDING = {"guitar": 6}  # strings
ANY_SOUNDING = 48


def arrange(parts: list[np.ndarray], kind: str, start_seconds: float, seed: int) -> np.ndarray:
    """Return the notes of an excerpt as they are played: NOTE_DTYPE, sorted; times to the millisecond, from 0 on."""
    rng = np.random.default_rng(seed)
    parts = [part for part in (cut(part, start_seconds) for part in parts) if len(part)]
    if arranging.is_notated(parts):
        parts = arranging.humanise(parts, rng)
    programs = PROGRAMS[kind]
    if programs:
        parts = [_on(part, programs[min(index, len(programs) - 1)]) for index, part in enumerate(parts)]
    played = arranging.playable(parts, MOST_SOUNDING.get(kind, ANY_SOUNDING))
    played = played[played["onset"] < MUSIC_SECONDS]
    played["offset"] = np.minimum(played["offset"], DURATION_SECONDS)
    for field in ("onset", "offset"):
        played[field] = np.round(played[field], 3)
    return notes.sort(played)


def cut(part: np.ndarray, start_seconds: float) -> np.ndarray:
    """Return the notes of a part that begin within an excerpt, from 0 s on."""
    part = part[(part["onset"] >= start_seconds) & (part["onset"] < start_seconds + MUSIC_SECONDS)].copy()
    part["onset"] -= start_seconds
    part["offset"] -= start_seconds
    return part


def _on(part: np.ndarray, program: int) -> np.ndarray:
    part = arranging.into_range(part, arranging.pitch_range(program))
    part["program"] = program
    return part


def notes_sha256(played: np.ndarray) -> str:
    """Return the checksum of notes, times in whole milliseconds."""
    rows = [(round(1000 * row[0]), round(1000 * row[1]), *row[2:]) for row in played.tolist()]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def read_pieces(path: Path = PIECES) -> list[dict]:
    """Return the lines of the recipe."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def played_notes(piece: dict, midi_root: Path) -> np.ndarray:
    """Return the notes of a piece of the recipe.

    Raises:
        InputError: its MIDI file is missing or is another one.
    """
    path = midi_root / piece["source"]
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); data/benchmark/README.md names sources"
        ) from error
    if found != piece["midi_sha256"]:
        raise InputError(f"{path}: checksum {found[:12]}..., wanted {piece['midi_sha256'][:12]}...: another version?")
    return arrange(midi_sources.read_parts(path), piece["kind"], piece["start_seconds"], piece["seed"])


def make_piece(piece: dict, midi_root: Path, soundfont: Path, out: Path) -> datasets.Track:
    """Play one piece; write its WAV and MIDI files, and its beats where they are known.

    Raises:
        InputError: the MIDI file or the notes that come of it are not those of the recipe.
    """
    played = played_notes(piece, midi_root)
    if notes_sha256(played) != piece["notes_sha256"]:
        raise InputError(
            f"{piece['id']}: the notes differ from those of the recipe: has mt3lite/training/arranging.py changed? A "
            "changed set is a new one: pin it with --pin, and score everything again"
        )
    rng = np.random.default_rng([piece["seed"], 1])
    programs = [-1, *np.unique(played["program"][~played["is_drum"]]).tolist()]
    config = render.RenderConfig(sample_rate=SAMPLE_RATE, reverb=round(float(rng.uniform(0, 0.5)), 2), tail_seconds=1.0)
    volumes_db = {program: round(float(rng.uniform(-3, 3)), 1) for program in programs}
    samples = render.render(played, soundfont, config, volumes_db=volumes_db)
    whole = np.zeros(round(DURATION_SECONDS * SAMPLE_RATE), np.float32)
    whole[: len(samples)] = samples[: len(whole)]
    whole *= np.float32(0.5 / max(float(np.abs(whole).max()), 1e-4))
    audio_path, midi_path = out / f"{piece['id']}.wav", out / f"{piece['id']}.mid"
    audio.write_wav(audio_path, whole, SAMPLE_RATE)
    notes.write_midi(played, midi_path)
    beats = BEATS / f"{piece['id']}.beats"
    if beats.is_file():
        shutil.copyfile(beats, out / beats.name)
    return datasets.Track(
        id=piece["id"],
        split="test",
        audio=audio_path,
        midi=midi_path,
        duration_seconds=DURATION_SECONDS,
        license=piece["license"],
        source=f"{piece['source']}, {soundfont.name}",
    )


def make(midi_root: Path, soundfont: Path, out: Path, jobs: int) -> int:
    """Make the whole set; return the number of its pieces.

    Raises:
        InputError: a MIDI file or the soundfont is missing or another one.
    """
    found = hashlib.sha256(soundfont.read_bytes()).hexdigest() if soundfont.is_file() else "no file"
    if found != SOUNDFONT_SHA256:
        raise InputError(
            f"{soundfont}: checksum {found[:12]}..., wanted {SOUNDFONT_SHA256[:12]}..., pretty_midi's copy"
        )
    out.mkdir(parents=True, exist_ok=True)
    play = functools.partial(make_piece, midi_root=midi_root, soundfont=soundfont, out=out)
    pieces = read_pieces()
    if jobs > 1:
        with concurrent.futures.ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
            tracks = list(pool.map(play, pieces))
    else:
        tracks = [play(piece) for piece in pieces]
    datasets.write_manifest(tracks, out)
    return len(tracks)


def pin(midi_root: Path) -> None:
    """Write the checksums of what the recipe makes now into the recipe."""
    lines = []
    for piece in read_pieces():
        piece["midi_sha256"] = hashlib.sha256((midi_root / piece["source"]).read_bytes()).hexdigest()
        played = played_notes(piece, midi_root)
        if len(played) < FEWEST_NOTES:
            raise InputError(f"{piece['id']}: only {len(played)} notes; begin elsewhere in the file")
        piece |= {"notes": len(played), "notes_sha256": notes_sha256(played)}
        lines.append(json.dumps(piece, ensure_ascii=False) + "\n")
    with files.atomic_path(PIECES) as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")


def default_soundfont() -> Path:
    """Return the soundfont that comes with pretty_midi."""
    import pretty_midi

    return Path(pretty_midi.__file__).parent / "TimGM6mb.sf2"


def main() -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path, nargs="?", help="the dataset folder")
    parser.add_argument("--midi", type=Path, required=True, help="holds the folders that the recipe names")
    parser.add_argument("--soundfont", type=Path, help="TimGM6mb.sf2 (default: the copy inside pretty_midi)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: %(default)s)")
    parser.add_argument("--pin", action="store_true", help="write new checksums into the recipe, and nothing else")
    arguments = parser.parse_args()
    if (arguments.out is None) != arguments.pin:
        parser.error("name either OUT or --pin")
    try:
        if arguments.pin:
            pin(arguments.midi)
        else:
            soundfont = arguments.soundfont or default_soundfont()
            print(f"{arguments.out}: {make(arguments.midi, soundfont, arguments.out, arguments.jobs)} pieces")
    except InputError as error:
        print(f"make_set: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
