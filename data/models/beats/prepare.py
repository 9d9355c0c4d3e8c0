"""Collect pieces with their beats, from scores, sequences and performances, into one file for `train.py`.

    python data/models/beats/prepare.py --pop POP909 --band MIDI_FOLDER --drums GROOVE --lieder FOLDER
        --quartets FOLDER --orchestra FOLDER --asap FOLDER pieces.npz

The folders are clones of the repositories that README.md names. Scores are MusicXML, which partitura reads
(``pip install partitura``); their times are in quarter notes, those of all others in seconds. A file that cannot be
read, or takes longer than a minute and a half, is left out and told.
"""

import argparse
import concurrent.futures
import functools
import signal
import sys
import types
import warnings
import zipfile
from pathlib import Path

import numpy as np

from mt3lite import notes
from mt3lite.training import drum_datasets

MOST_PIECES = {"lieder": 350, "asap": 200}  # of a source; of all others all
FEWEST_NOTES, FEWEST_BEATS = 40, 16
MOST_SECONDS = 90  # for a file
# Share of the notes that begin with a beat, to a twelfth of it: in sequences that nobody aligned with beats it is a
# twelfth, in music a third.
LEAST_ON_BEAT = 0.2
# What a file makes its reader raise: of a damaged one, or of notation that partitura does not know.
UNREADABLE = (
    *(OSError, EOFError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError, StopIteration),
    *(AssertionError, SyntaxError, RuntimeError, zipfile.BadZipFile),
)
SCORES = ("lieder", "quartets", "orchestra")


def read_pop(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return notes, beats and downbeats of a piece of POP909: in `beat_midi.txt`, second, beat of 2/4, beat of 4/4."""
    table = np.loadtxt(folder / "beat_midi.txt")
    return notes.read_midi(folder / f"{folder.name}.mid"), table[:, 0], table[table[:, 2] > 0, 0]


def read_asap(annotations: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return notes, beats and downbeats of a performance of ASAP: lines of second, second, and "b" or "db,..."."""
    rows = [line.split("\t") for line in annotations.read_text(encoding="utf-8").splitlines()]
    beats = np.array([float(row[0]) for row in rows if row[2].startswith(("b", "db"))])
    downbeats = np.array([float(row[0]) for row in rows if row[2].startswith("db")])
    midi = annotations.with_name(annotations.name.replace("_annotations.txt", ".mid"))
    return notes.read_midi(midi, sustain=False), beats, downbeats


def read_band(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return notes, beats and downbeats of a sequence, by its tempos and time signatures."""
    import pretty_midi

    midi = pretty_midi.PrettyMIDI(str(path))
    return notes.read_midi(path), midi.get_beats(), midi.get_downbeats()


def read_drums(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return notes, beats and downbeats of a performance of Groove, which follow a click track."""
    played, beats, downbeats = read_band(path)
    return drum_datasets.in_general_midi(played), beats, downbeats


@functools.cache
def import_partitura() -> types.ModuleType:
    """Return partitura, imported as if FluidSynth were not there: with it, it fetches a soundfont."""
    before = sys.modules.get("fluidsynth")
    sys.modules["fluidsynth"] = None
    try:
        import partitura
    finally:
        del sys.modules["fluidsynth"]
        if before:
            sys.modules["fluidsynth"] = before
    return partitura


def read_score(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return notes, beats and downbeats of MusicXML in quarter notes; in 6/8 a beat is three eighths."""
    partitura = import_partitura()
    score = partitura.load_musicxml(str(path))
    part = score.parts[0]
    signatures = [(each.start.t, each.beats, each.beat_type) for each in part.iter_all(partitura.score.TimeSignature)]
    beats, downbeats = [], []
    for index, measure in enumerate(part.iter_all(partitura.score.Measure)):
        start, stop = (float(part.quarter_map(edge.t)) for edge in (measure.start, measure.end))
        _, count, kind = ([each for each in signatures if each[0] <= measure.start.t] or [(0, 4, 4)])[-1]
        beat = 4 / kind * (3 if kind >= 8 and count in (6, 9, 12) else 1)
        if index == 0 and stop - start < 4 / kind * count - 1e-6:  # an upbeat ends with a bar line
            beats += np.arange(stop - beat, start - 1e-6, -beat)[::-1].tolist()
        else:
            beats += np.arange(start, stop - 1e-6, beat).tolist()
            downbeats.append(start)
    rows = [
        (note["onset_quarter"], note["onset_quarter"] + note["duration_quarter"], note["pitch"], 80, number, False)
        for number, each in enumerate(score.parts)
        for note in each.note_array()
        if note["duration_quarter"] > 0
    ]
    return notes.sort(notes.from_rows(rows)), np.array(beats), np.array(downbeats)


READERS = {"pop": read_pop, "band": read_band, "drums": read_drums, "asap": read_asap}
READERS |= dict.fromkeys(SCORES, read_score)


def find(kind: str, folder: Path) -> list[Path]:
    """Return what there is of a kind, in the order of its names; of many a choice that is always the same."""
    if kind == "pop":
        found = sorted(path.parent for path in folder.rglob("beat_midi.txt"))
    else:
        pattern = {"band": "*.mid", "drums": "*_beat_[34]-4.mid", "asap": "*_annotations.txt"}.get(kind, "*.mxl")
        found = sorted(path for path in folder.rglob(pattern) if not path.stem.endswith("_melody"))
    chosen = np.random.default_rng(0).permutation(len(found))[: MOST_PIECES.get(kind, len(found))]
    return [found[index] for index in sorted(chosen)]


def on_beat(played: np.ndarray, beats: np.ndarray) -> float:
    """Return the share of notes that begin with a beat, to a twelfth of it."""
    inside = played["onset"][(played["onset"] >= beats[0]) & (played["onset"] <= beats[-1])]
    twelfths = np.round(12 * np.interp(inside, beats, np.arange(len(beats))))
    return float(np.mean(twelfths % 12 == 0)) if len(inside) else 0.0


def read(kind: str, path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray] | str:
    """Return notes, beats and downbeats of a piece, or why it is left out."""

    def give_up(*_) -> None:
        raise TimeoutError(f"more than {MOST_SECONDS} s")

    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(MOST_SECONDS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            played, beats, downbeats = READERS[kind](path)
    except UNREADABLE as error:
        return f"{path}: {type(error).__name__}: {error}"
    finally:
        signal.alarm(0)
    if len(played) < FEWEST_NOTES or len(beats) < FEWEST_BEATS:
        return f"{path}: {len(played)} notes, {len(beats)} beats"
    if kind not in ("asap", "drums") and on_beat(played, beats) < LEAST_ON_BEAT:
        return f"{path}: {on_beat(played, beats):.2f} of its notes begin with beats"
    return played, beats, downbeats


def main() -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for kind in READERS:
        parser.add_argument(f"--{kind}", type=Path, metavar="FOLDER")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: %(default)s)")
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    kept: dict[str, np.ndarray] = {}
    with concurrent.futures.ProcessPoolExecutor(arguments.jobs) as pool:
        for kind in READERS:
            folder = getattr(arguments, kind)
            paths = find(kind, folder) if folder else []
            results = pool.map(functools.partial(read, kind), paths, chunksize=4)
            for path, result in zip(paths, results, strict=True):
                if isinstance(result, str):
                    print(f"left out: {result}", file=sys.stderr)
                    continue
                name = f"{kind}/{path.relative_to(folder).with_suffix('').as_posix().replace('/', ' ')}"
                kept |= dict(zip((f"{name}/notes", f"{name}/beats", f"{name}/downbeats"), result, strict=True))
            print(f"{kind}: {sum(key.startswith(f'{kind}/') for key in kept) // 3} of {len(paths)}")
    np.savez_compressed(arguments.out, **kept)
    return 0


if __name__ == "__main__":
    sys.exit(main())
