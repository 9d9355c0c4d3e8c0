"""How long `mt3lite evaluate` takes for 100 pieces of 60 s, each with 600 notes of five instruments and drums.

    python benchmarks/scoring.py [--pieces 100] [--json FILE]

The estimate is the reference with a fifth of its notes missing, as many made up, and onsets off by up to 80 ms.
Measured is the whole command, from the start of Python to the written page.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from mt3lite import notes

NOTES_PER_PIECE, SECONDS_PER_PIECE = 600, 60.0
PROGRAMS = (0, 33, 40, 48, 73)


def make_piece(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return a reference and an estimate of it."""
    reference = random_notes(rng, NOTES_PER_PIECE)
    found = reference[rng.random(len(reference)) > 0.2].copy()
    found["onset"] = np.maximum(0, found["onset"] + rng.uniform(-0.08, 0.08, len(found)))
    found["offset"] = np.maximum(found["offset"], found["onset"] + 0.05)
    return reference, np.concatenate([found, random_notes(rng, NOTES_PER_PIECE // 5)])


def random_notes(rng: np.random.Generator, number: int) -> np.ndarray:
    """Return notes of all pitches and instruments, a fifth of them drums."""
    made = np.zeros(number, notes.NOTE_DTYPE)
    made["onset"] = rng.uniform(0, SECONDS_PER_PIECE - 2, number)
    made["offset"] = made["onset"] + rng.uniform(0.1, 1.5, number)
    made["is_drum"] = rng.random(number) < 0.2
    made["pitch"] = np.where(made["is_drum"], rng.integers(35, 60, number), rng.integers(36, 90, number))
    made["velocity"] = rng.integers(30, 120, number)
    made["program"] = np.where(made["is_drum"], 0, rng.choice(PROGRAMS, number))
    return notes.trim_overlaps(made)


def main() -> None:
    """Make the pieces, score them, print the time."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pieces", type=int, default=100)
    parser.add_argument("--json", type=Path, help="write the result here, too")
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        sides = Path(folder) / "played", Path(folder) / "found"
        for side in sides:
            side.mkdir()
        for number in range(arguments.pieces):
            for side, piece in zip(sides, make_piece(rng), strict=True):
                notes.write_midi(piece, side / f"{number:03d}.mid")
        outputs = [f"--{kind}={folder}/scores.{kind}" for kind in ("json", "csv", "html")]
        command = [sys.executable, "-m", "mt3lite", "evaluate", *map(str, sides), *outputs]
        started, cpu = time.perf_counter(), os.times()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds, cpu_after = time.perf_counter() - started, os.times()
    used = cpu_after.children_user + cpu_after.children_system - cpu.children_user - cpu.children_system
    result = {"pieces": arguments.pieces, "seconds": round(seconds, 1), "processor_seconds": round(used, 1)}
    print(json.dumps({**result, "cores": len(os.sched_getaffinity(0)), "load_average": os.getloadavg()[0]}))
    if arguments.json:
        arguments.json.write_text(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
