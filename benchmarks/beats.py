"""How well beats and bars of recordings are found: from the notes that mt3lite hears, and by librosa from the sound.

    python benchmarks/beats.py FOLDER...

A folder has recordings, each with a text file of its beats beside it: song.wav and song.beats, whose lines are seconds
and the number of the beat in its bar, 1 for the first. Scores are those of mir_eval.beat, the first five seconds not
counted: F1 within 70 ms; "any level", the longest-lasting of metrical levels (AMLt), for which twice or half as many
beats are right, too; F1 of downbeats. Means over recordings go to benchmarks/results/beats.json and to standard output.
"""

import argparse
import json
import re
import warnings
from pathlib import Path

import librosa
import machine
import mir_eval
import numpy as np

import mt3lite
from mt3lite import audio
from mt3lite.score_tables import aligned

RESULTS = Path(__file__).resolve().parent / "results" / "beats.json"
SCORES = ("beats F1", "beats, any level", "downbeats F1")
LIBROSA_RATE = 22050  # its default


def read_beats(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return when beats and downbeats are, in seconds."""
    rows = np.loadtxt(path, ndmin=2)
    return rows[:, 0], rows[rows[:, 1] == 1, 0]


def score(reference: tuple[np.ndarray, np.ndarray], found: tuple[np.ndarray, np.ndarray | None]) -> list[float | None]:
    """Return `SCORES` of beats and downbeats; None for what a tool does not find."""
    wanted, given = (
        [None if each is None else mir_eval.beat.trim_beats(each) for each in side] for side in (reference, found)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of recordings without beats
        return [
            float(mir_eval.beat.f_measure(wanted[0], given[0])),
            float(mir_eval.beat.continuity(wanted[0], given[0])[3]),
            None if given[1] is None else float(mir_eval.beat.f_measure(wanted[1], given[1])),
        ]


def by_mt3lite(transcriber: mt3lite.Transcriber, recording: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the beats and downbeats in the notes of a recording."""
    beats = transcriber.transcribe(recording).beats
    return beats.seconds, beats.downbeat_seconds


def by_librosa(recording: Path) -> tuple[np.ndarray, None]:
    """Return what `librosa.beat.beat_track` finds."""
    samples = audio.load(recording, LIBROSA_RATE)
    return librosa.beat.beat_track(y=samples, sr=LIBROSA_RATE, units="time")[1], None


def main() -> None:
    """Read the command line, measure, write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", metavar="FOLDER", nargs="+", type=Path)
    arguments = parser.parse_args()
    transcriber = mt3lite.load()
    groups: dict[str, list[Path]] = {}
    for folder in arguments.folders:
        for annotation in sorted(folder.glob("*.beats")):
            numbered = re.fullmatch(r"(.+)-\d+", annotation.stem)  # the benchmark set's ids begin with their kind
            (recording,) = [path for path in folder.glob(f"{annotation.stem}.*") if path.suffix in audio.SUFFIXES]
            groups.setdefault(numbered[1] if numbered else folder.resolve().name, []).append(recording)
    results, lines = {}, [["music", "recordings", "tool", *SCORES]]
    for group, recordings in groups.items():
        rows: dict[str, list] = {"mt3lite": [], "librosa": []}
        for recording in recordings:
            reference = read_beats(recording.with_suffix(".beats"))
            rows["mt3lite"].append(score(reference, by_mt3lite(transcriber, recording)))
            rows["librosa"].append(score(reference, by_librosa(recording)))
        results[group] = {"recordings": len(recordings)}
        for tool, scored in rows.items():
            means = [
                None if None in column else round(float(np.mean(column)), 3) for column in zip(*scored, strict=True)
            ]
            results[group][tool] = dict(zip(SCORES, means, strict=True))
            shown = ["–" if mean is None else f"{mean:.2f}" for mean in means]
            lines.append([group, str(len(recordings)), tool, *shown])
        print(*lines[-2], *lines[-1], flush=True)
    about = {"machine": machine.describe("mt3lite", "jax", "librosa", "mir_eval"), "music": results}
    RESULTS.write_text(json.dumps(about, indent=1) + "\n")
    print(aligned(lines))


if __name__ == "__main__":
    main()
