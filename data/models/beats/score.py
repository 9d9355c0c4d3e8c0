"""Score `mt3lite.beats` on the pieces of `prepare.py` that training never saw.

    python data/models/beats/score.py pieces.npz [--split test] [--json scores.json]

The notes are those of the pieces, a sixth of them left out, but for ASAP's, which are as they were played; scores are
played as in training. Of each piece at most two minutes from its middle. What is found in recordings,
`benchmarks/beats.py` tells.
"""

import argparse
import json
import sys
from pathlib import Path

import mir_eval
import numpy as np
import train  # beside this file

from mt3lite import beats
from mt3lite.score_tables import aligned

SECONDS = 120
MISSING = 1 / 6
SCORES = ("beats F1", "beats, this level", "beats, any level", "downbeats F1")


def middle(piece: train.Piece, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return notes, beats and downbeats of two minutes of a piece, from 0 s on."""
    played, *beat_seconds = train.perform(piece, rng, change_tempo=False)
    start = max(0.0, (beat_seconds[0][-1] - SECONDS) / 2)
    played = played[(played["onset"] >= start) & (played["onset"] < start + SECONDS)]
    if piece.kind != "asap":
        played = played[rng.random(len(played)) > MISSING]
    for edge in ("onset", "offset"):
        played[edge] -= start
    cut = (each[(each >= start) & (each < start + SECONDS)] - start for each in beat_seconds)
    return played, *cut


def score(played: np.ndarray, wanted: np.ndarray, downbeats: np.ndarray) -> list[float]:
    """Return `SCORES`: F1 within 70 ms, CMLt, AMLt, F1 of downbeats; the first five seconds do not count."""
    found = beats.track(played)
    wanted, given, downbeats, given_downbeats = (
        mir_eval.beat.trim_beats(each) for each in (wanted, found.seconds, downbeats, found.downbeat_seconds)
    )
    continuity = mir_eval.beat.continuity(wanted, given)
    return [
        mir_eval.beat.f_measure(wanted, given),
        continuity[1],
        continuity[3],
        mir_eval.beat.f_measure(downbeats, given_downbeats),
    ]


def main() -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("pieces", type=Path)
    parser.add_argument("--split", default="test", choices=("validation", "test"))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    results, lines = {}, [["music", "pieces", *SCORES]]
    for kind, pieces in train.read_pieces(arguments.pieces, arguments.split).items():
        rows = [score(*middle(piece, np.random.default_rng(index))) for index, piece in enumerate(pieces)]
        means = np.mean(rows, axis=0).round(3).tolist()
        results[kind] = {"pieces": len(rows), **dict(zip(SCORES, means, strict=True))}
        lines.append([kind, str(len(rows)), *(f"{mean:.2f}" for mean in means)])
        print(*lines[-1], flush=True)
    print(aligned(lines))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
