"""docs/training.md walked from end to end, every command timed; and the forecast held against the run that follows it.

    python benchmarks/walk.py --preset small --batch-size 8 --steps 400
    python benchmarks/walk.py --preset tiny --batch-size 8 --steps 1000

The recordings are invented pieces, played with the soundfont of the package pretty_midi. The results go to
benchmarks/results/walk.json, those of several presets beside each other, and as tables to walk.md, and what --dry-run
printed to forecast.txt; the page shows both. Compiled programs are found in the cache from the second run on; --cache
FOLDER begins with another one.

The run's speed is the median of the rows of its curve, phase by phase, as the first rows have compiling in them. Of a
machine with other work to do believe the numbers of tokens and the memory, but not the times.
"""

import argparse
import csv
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import machine
import numpy as np
import pretty_midi
import soundfile

from mt3lite import notes, render
from mt3lite.training import forecast, synthetic
from mt3lite.training.settings import TrainConfig

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
SOUNDFONT = Path(pretty_midi.__file__).parent / "TimGM6mb.sf2"
ROWS = 20  # of the curve in the whole run


def make_pairs(folder: Path, num_pieces: int, seconds: float) -> None:
    """Write pieces and their notes into a folder, by name only in pairs, as somebody's own recordings are."""
    folder.mkdir()
    for i in range(num_pieces):
        played = synthetic.procedural_notes(seconds, np.random.default_rng(i), 32)
        samples = render.render(played, SOUNDFONT, render.RenderConfig(sample_rate=16000))
        soundfile.write(folder / f"piece-{i}.wav", samples, 16000)
        notes.write_midi(played, folder / f"piece-{i}.mid")


def command(words: list[str], environment: dict[str, str]) -> dict:
    """Run a command of mt3lite; return what it printed, its seconds and its peak memory in MiB."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "mt3lite", *words], env=environment, stdout=subprocess.PIPE, text=True
    )
    with process.stdout:
        printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"mt3lite {' '.join(words)}: exit status {os.waitstatus_to_exitcode(status)}")
    seconds = time.perf_counter() - started
    print(f"{seconds:8.1f} s  mt3lite {' '.join(words)}", flush=True)
    cpu = usage.ru_utime + usage.ru_stime
    return {"printed": printed, "seconds": seconds, "cpu_seconds": cpu, "peak_mib": usage.ru_maxrss / 1024}


def predicted(printed: str) -> dict:
    """Return what the table of `forecast.table` says."""
    names = {text: name for name, text in forecast.LEARNING.items()}
    speeds = re.findall(r"^time an update +\S+ s, (\S+) examples/s: .*, (.*)$", printed, re.MULTILINE)
    return {
        "examples_per_second": {names[text]: float(speed) for speed, text in speeds},
        "tokens_a_batch": float(re.search(r"^targets +(\S+) tokens", printed, re.MULTILINE)[1]),
        "peak_mib": float(re.search(r"^memory, process +(\S+) MiB", printed, re.MULTILINE)[1]),
        "million_tokens_a_day": float(re.search(r"^speed +(\S+) million", printed, re.MULTILINE)[1]),
    }


def measured(run: Path, train: TrainConfig) -> dict:
    """Return the same of a run that was made."""
    with (run / "curve.csv").open() as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    speeds, tokens, seconds, learnt, end = {}, [], 0.0, 0.0, 0.0
    for name, share in train.phases():
        begin, end = end, end + share * train.num_steps
        mine = [row for row in rows if row["step"] - train.log_every >= begin and row["step"] <= end]
        speeds[name] = statistics.median(row["examples_per_second"] for row in mine)
        seconds += share * train.num_steps * train.batch_size / speeds[name]
        if name != "encoder":
            each = [row["tokens_per_second"] / row["examples_per_second"] * train.batch_size for row in mine]
            tokens += each
            learnt += share * train.num_steps * statistics.mean(each)
    return {
        "examples_per_second": speeds,
        "tokens_a_batch": statistics.mean(tokens),
        "million_tokens_a_day": 86400 * learnt / seconds / 1e6,
    }


def walk(arguments: argparse.Namespace, folder: Path) -> dict:
    """Go the way once; return the time of each step, what was predicted and what came."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    if arguments.cache:
        environment["XDG_CACHE_HOME"] = str(arguments.cache)
    pairs, run = folder / "MY_PAIRS", folder / "RUN"
    make_pairs(pairs, arguments.pieces, arguments.seconds)
    train = TrainConfig(
        num_steps=arguments.steps, batch_size=arguments.batch_size, log_every=max(1, arguments.steps // ROWS)
    )
    recipe = ["--data", str(pairs), "--preset", arguments.preset, "--batch-size", str(train.batch_size)]
    recipe += ["--steps", str(train.num_steps)]
    model = ["--model", str(run / "model")]
    log = ["--workdir", str(run), "--log-every", str(train.log_every), "--evaluate-every", str(train.num_steps // 2)]
    steps = {
        "data import folder": ["data", "import", "folder", str(pairs)],
        "train --dry-run": ["train", *recipe, "--dry-run"],
        "train": ["train", *recipe, *log],
        "evaluate --split test": ["evaluate", str(pairs), "--split", "test", *model],
        "transcribe": ["transcribe", str(pairs / "piece-0.wav"), *model, "--output-dir", str(folder / "found")],
    }
    done = {name: command(words, environment) for name, words in steps.items()}
    came = measured(run, train) | {"peak_mib": round(done["train"]["peak_mib"])}
    return {
        "machine": machine.describe("jax", "flax", "grain"),
        "pieces": f"{arguments.pieces} of {arguments.seconds:g} s",
        "batch_size": train.batch_size,
        "steps": train.num_steps,
        "seconds": {name: round(each["seconds"], 1) for name, each in done.items()},
        "cpu_seconds": {name: round(each["cpu_seconds"], 1) for name, each in done.items()},
        "forecast": done["train --dry-run"]["printed"],
        "predicted": predicted(done["train --dry-run"]["printed"]),
        "measured": came,
    }


def tables(known: dict) -> str:
    """Return the results of all presets as Markdown."""
    lines = ["| step | " + " | ".join(known) + " |", "|---|" + "---|" * len(known)]
    for name in next(iter(known.values()))["seconds"]:
        lines.append(f"| `{name}` | " + " | ".join(f"{each['seconds'][name]:.0f} s" for each in known.values()) + " |")
    lines += ["", "| `--dry-run` said, and it was | " + " | ".join(known) + " |", "|---|" + "---|" * len(known)]

    def row(name: str, digits: int, get) -> str:
        cells = [f"{get(each['predicted']):.{digits}f}, {get(each['measured']):.{digits}f}" for each in known.values()]
        return f"| {name} | " + " | ".join(cells) + " |"

    for phase, text in forecast.LEARNING.items():
        lines.append(row(f"examples a second, {text}", 1, lambda told, phase=phase: told["examples_per_second"][phase]))
    lines.append(row("tokens a batch", 0, lambda told: told["tokens_a_batch"]))
    lines.append(row("million tokens a day", 1, lambda told: told["million_tokens_a_day"]))
    lines.append(row("memory of the process, MiB", 0, lambda told: told["peak_mib"]))
    return "\n".join(lines) + "\n"


def main() -> None:
    """Walk as the arguments say, and write what came beside what is known of other presets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="small")
    parser.add_argument("--batch-size", type=int, default=8, help="(default: %(default)s)")
    parser.add_argument("--steps", type=int, default=400, help="(default: %(default)s)")
    parser.add_argument("--pieces", type=int, default=20, help="recordings (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=60.0, help="of a recording (default: %(default)s)")
    parser.add_argument("--cache", type=Path, help="folder for compiled programs, instead of the user's")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of walk.json and walk.md")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = walk(arguments, Path(folder))
    file = arguments.results / "walk.json"
    known = json.loads(file.read_text()) if file.is_file() else {}
    known[f"{arguments.preset}, batch {arguments.batch_size}, {arguments.steps} updates"] = found
    file.write_text(json.dumps(known, indent=1) + "\n")
    (arguments.results / "walk.md").write_text(tables(known))
    (arguments.results / "forecast.txt").write_text(found["forecast"])
    print(tables(known))


if __name__ == "__main__":
    main()
