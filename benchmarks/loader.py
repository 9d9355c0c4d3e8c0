"""Examples a second, of 2 s each, without the spectrogram: a plain loop, Grain in one process, Grain with workers.

    python benchmarks/loader.py --json benchmarks/results/loader.json

Without --data it invents six pieces of four minutes, half of them WAV and half FLAC, and plays them with the soundfont
of the package pretty_midi. The notes of all are parsed before the clock starts, as in a run that has been going for a
while. Wall time tells what a trainer gets; CPU time tells the cost also where other programs are at work.
"""

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from pathlib import Path

import machine
import numpy as np
import pretty_midi
import soundfile

from mt3lite import config, notes, render
from mt3lite.training import datasets, examples, loader, synthetic

SOUNDFONT = Path(pretty_midi.__file__).parent / "TimGM6mb.sf2"
NUM_PIECES, PIECE_SECONDS, SAMPLE_RATE = 6, 240.0, 16000


def make_dataset(folder: Path) -> list[datasets.Track]:
    tracks = []
    for i in range(NUM_PIECES):
        played = synthetic.procedural_notes(PIECE_SECONDS, np.random.default_rng(i), 32)
        samples = render.render(played, SOUNDFONT, render.RenderConfig(sample_rate=SAMPLE_RATE))
        audio, midi = folder / f"{i}.{('wav', 'flac')[i % 2]}", folder / f"{i}.mid"
        soundfile.write(audio, samples, SAMPLE_RATE)
        notes.write_midi(played, midi)
        tracks.append(datasets.Track(str(i), "train", audio, midi, len(samples) / SAMPLE_RATE))
    return tracks


def measure_plain(tracks, settings, augmentation, number: int) -> dict:
    wall, cpu = time.perf_counter(), time.process_time()
    for i in range(number):
        examples.at(i, tracks, settings, augmentation, seed=0)
    return _rates(number, time.perf_counter() - wall, time.process_time() - cpu)


def measure_loader(tracks, settings, augmentation, number: int, batch_size: int, workers: int) -> dict:
    """Measure between two pools, once what is made ahead has been used up."""
    batches = loader.batches(tracks, settings, augmentation, batch_size=batch_size, seed=0, workers=workers)
    for _ in range((loader.POOLS_AHEAD + 1) * loader.POOL_BATCHES):
        next(batches)
    num_pools = max(1, round(number / (loader.POOL_BATCHES * batch_size)))
    wall, cpu = time.perf_counter(), _cpu_seconds()
    for _ in range(num_pools * loader.POOL_BATCHES):
        next(batches)
    rates = _rates(num_pools * loader.POOL_BATCHES * batch_size, time.perf_counter() - wall, _cpu_seconds() - cpu)
    batches.close()
    return rates


def _cpu_seconds() -> float:
    """Time on the processor of this process and its workers."""
    seconds = time.process_time()
    for worker in multiprocessing.active_children():
        fields = Path(f"/proc/{worker.pid}/stat").read_text().rsplit(")", 1)[1].split()
        seconds += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # proc(5): utime and stime
    return seconds


def _rates(number: int, wall: float, cpu: float) -> dict:
    return {
        "examples": number,
        "examples_per_second": round(number / wall, 1),
        "examples_per_cpu_second": round(number / cpu, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a dataset folder to measure instead")
    parser.add_argument("--preset", default="small")
    parser.add_argument("--number", type=int, default=1024, help="examples a measurement (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=16, help="(default: %(default)s)")
    parser.add_argument("--json", type=Path, help="write the numbers there")
    arguments = parser.parse_args()
    found = {"machine": machine.describe("grain", "numpy", "scipy", "soundfile", "soxr")}
    settings = config.preset(arguments.preset)
    with tempfile.TemporaryDirectory() as folder:
        tracks = datasets.read_manifest(arguments.data) if arguments.data else make_dataset(Path(folder))
        for track in tracks:
            examples.track_notes(track.midi)
        found["data"] = str(arguments.data) if arguments.data else f"{NUM_PIECES} invented pieces of {PIECE_SECONDS} s"
        for name, augmentation in (("as they are", None), ("augmented", examples.AugmentConfig())):
            common = (tracks, settings, augmentation, arguments.number)
            rows = {"plain loop": measure_plain(*common)}
            for workers in (0, 1, os.cpu_count() or 1):
                rows[f"Grain, {workers} workers"] = measure_loader(*common, arguments.batch_size, workers)
            found[name] = rows
            for row, rates in rows.items():
                print(f"{name}, {row}: {rates}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
