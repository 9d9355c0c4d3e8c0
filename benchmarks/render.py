"""How much faster than real time a core renders training pieces at 16 kHz, by soundfont.

    python benchmarks/render.py --soundfont FluidR3_GM.sf2 --json benchmarks/results/render.json

The pieces are invented ones of a minute, with the reverb, chorus and balance that `mt3lite data synthesize` gives them.
"rendering" is FluidSynth, loading the soundfont and resampling; "whole pieces" is all that synthesis does for one, from
inventing the notes to writing WAV and MIDI files. Time is that of the processor, so other programs count little.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import machine
import numpy as np
import pretty_midi

from mt3lite.training import datasets, synthetic

SMALL_SOUNDFONT = Path(pretty_midi.__file__).parent / "TimGM6mb.sf2"
PIECE_SECONDS, SAMPLE_RATE = 60.0, 16000


def measure_rendering(soundfont: Path, number: int) -> dict:
    """Seconds of sound a second of processor time, all pieces together and the slowest of them."""
    speeds, seconds_played, cpu, num_notes = [], 0.0, 0.0, 0
    for i in range(number):
        rng = np.random.default_rng(i)
        played = synthetic.procedural_notes(PIECE_SECONDS, rng, 32)
        start = time.process_time()
        performed = synthetic._perform([played], str(soundfont), SAMPLE_RATE, rng)
        spent = time.process_time() - start
        seconds = performed.shape[1] / SAMPLE_RATE
        speeds.append(seconds / spent)
        seconds_played, cpu, num_notes = seconds_played + seconds, cpu + spent, num_notes + len(played)
    return {
        "pieces": number,
        "notes_per_second": round(num_notes / seconds_played, 1),
        "times_real_time": round(seconds_played / cpu, 1),
        "slowest_piece": round(min(speeds), 1),
        "median_piece": round(float(np.median(speeds)), 1),
    }


def measure_pieces(soundfont: Path, number: int) -> dict:
    config = synthetic.SynthesisConfig(
        sources=(),
        soundfonts=(str(soundfont),),
        hours={"train": number * PIECE_SECONDS / 3600},
        shortest_seconds=PIECE_SECONDS,
        longest_seconds=PIECE_SECONDS,
    )
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        synthetic.synthesize(folder, config)
        spent = time.process_time() - start
        seconds = sum(track.duration_seconds for track in datasets.read_manifest(folder))
    return {"pieces": number, "times_real_time": round(seconds / spent, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--soundfont", type=Path, action="append", help="(default: the small one of pretty_midi)")
    parser.add_argument("--number", type=int, default=24, help="pieces a measurement (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="write the numbers there")
    arguments = parser.parse_args()
    found = {"machine": machine.describe("pyfluidsynth", "soxr", "numpy"), "sample_rate_hz": SAMPLE_RATE}
    for soundfont in arguments.soundfont or [SMALL_SOUNDFONT]:
        rows = {
            "rendering": measure_rendering(soundfont, arguments.number),
            "whole pieces": measure_pieces(soundfont, arguments.number),
        }
        found[soundfont.name] = rows
        print(soundfont.name, json.dumps(rows), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
