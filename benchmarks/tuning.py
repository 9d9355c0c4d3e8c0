"""What is found of recordings that are not tuned to 440 Hz, with and without listening for how they are tuned.

    python benchmarks/tuning.py DATASET [--split test] [--cents=-50,-40,-30,-20,-10,0,10,20,30,40,50]

The recordings of a dataset, tuned to 440 Hz, are played faster or slower by so many cents. Pooled F1 scores, drums left
out, go to benchmarks/results/tuning.json and as a table to standard output: "at 440 Hz" as if all were in tune,
"listened" as `mt3lite transcribe` does it.
"""

import argparse
import json
from pathlib import Path

import machine
import soxr

import mt3lite
from mt3lite import metrics, notes, pooling, tuning
from mt3lite.score_tables import aligned
from mt3lite.training import datasets

RESULTS = Path(__file__).resolve().parent / "results" / "tuning.json"
WAYS = {"at 440 Hz": tuning.A4_HZ, "listened": None}
SCORES = ("Onset F1", "Onset + offset F1")


def main() -> None:
    """Read the command line, measure, write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--split", default="test")
    parser.add_argument("--cents", default="-50,-40,-30,-20,-10,0,10,20,30,40,50")
    arguments = parser.parse_args()
    transcriber = mt3lite.load()
    rate = transcriber.model.config.spectrogram.sample_rate
    tracks = datasets.of_split(datasets.read_manifest(arguments.dataset), arguments.split)
    results, lines = {}, [["cents", *(f"{score}, {way}" for score in SCORES for way in WAYS)]]
    for cents in map(int, arguments.cents.split(",")):
        counted: dict[str, list] = {way: [] for way in WAYS}
        for track in tracks:
            faster = 2 ** (cents / 1200)
            played = notes.read_midi(track.midi)
            played = played[~played["is_drum"]]
            played["onset"] /= faster
            played["offset"] /= faster
            samples = soxr.resample(datasets.load_samples(track, rate), rate * faster, rate)
            for way, tuning_hz in WAYS.items():
                found = transcriber.transcribe(samples, tuning_hz=tuning_hz).notes
                counted[way].append({"all": metrics.counts(played, found[~found["is_drum"]])})
        pooled = {way: pooling.total(rows)["all"] for way, rows in counted.items()}
        results[str(cents)] = {score: {way: round(pooled[way][score].f1, 4) for way in WAYS} for score in SCORES}
        lines.append([str(cents), *(f"{results[str(cents)][score][way]:.3f}" for score in SCORES for way in WAYS)])
        print(*lines[-1], flush=True)
    about = {"machine": machine.describe("mt3lite", "jax"), "dataset": Path(arguments.dataset).name, "cents": results}
    RESULTS.write_text(json.dumps(about, indent=1) + "\n")
    print(aligned(lines))


if __name__ == "__main__":
    main()
