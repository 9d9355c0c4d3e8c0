"""Score mt3lite and its peers on the same files, and measure their time, memory and size.

    python benchmarks/peers.py SET ... --workdir WORK [--tools mt3lite,basic-pitch] [--pieces transkun=2] [--no-times]

SET is a dataset folder (its split "test"), or a folder of recordings, each with a MIDI file or a table of drum onsets
(NAME.tsv with the columns onset_seconds and class: KD, SD, HH, TT, CY, OT) of the same name beside it. Each tool runs
in an environment of its own below WORK (see environments.py), and reads the same 16-bit WAV files; drums alone are not
given to tools that have none. What a tool has transcribed is kept in WORK; so when the bundled model changes, the same
command transcribes with that alone.

Writes benchmarks/results/scores.json and scores.md, times.json and times.md, and the table in README.md.
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import environments
import numpy as np

import mt3lite
from mt3lite import audio, files, notes, scoring, weights
from mt3lite.errors import InputError
from mt3lite.training import datasets

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
CLIP = HERE.parent / "data" / "demo" / "clip.flac"
README = HERE.parent / "README.md"
README_MARKS = ("<!-- scores of benchmarks/peers.py -->", "<!-- end of scores -->")
SAMPLE_RATE = 16000
WARM_RUNS, WHOLE_RUNS = 3, 2
DRUM_PITCHES = {"KD": 36, "SD": 38, "HH": 42, "TT": 45, "CY": 49, "OT": 54}
HAS_INSTRUMENTS = ("mt3lite",)  # the others tell neither which instrument plays nor drums
PROGRAM_SCORE = "Onset + offset + program F1 (midi_class)"


@dataclass(frozen=True)
class Recording:
    """One piece to transcribe."""

    set_name: str
    id: str
    wav: Path
    reference: np.ndarray  # notes.NOTE_DTYPE
    duration_seconds: float

    @property
    def has_pitches(self) -> bool:
        """Whether there is more than drums in it."""
        return bool((~self.reference["is_drum"]).any())

    @property
    def group(self) -> str:
        """What it is scored together with: the ids of the benchmark set begin with their kind."""
        numbered = re.fullmatch(r"(.+)-\d+", self.id)
        return numbered.group(1) if numbered else self.set_name


# --- recordings ---


def read_set(folder: Path, workdir: Path) -> list[Recording]:
    """Return the recordings of a set, converted to WAV below the workdir.

    Raises:
        InputError: it has none, or one cannot be read.
    """
    if (folder / datasets.MANIFEST_NAME).is_file():
        tracks = datasets.of_split(datasets.read_manifest(folder), "test")
        found = [(track.id, track.audio, notes.read_midi(track.midi)) for track in tracks]
    else:
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in audio.SUFFIXES)
        found = [(path.stem, path, _reference(path)) for path in paths]
    if not found:
        raise InputError(f"{folder}: neither a manifest nor a recording in it")
    recordings = []
    for id, path, reference in found:
        samples = audio.load(path, SAMPLE_RATE)
        wav = workdir / "wav" / folder.name / f"{id}.wav"
        wav.parent.mkdir(parents=True, exist_ok=True)
        audio.write_wav(wav, samples, SAMPLE_RATE)
        recordings.append(Recording(folder.name, id, wav, reference, len(samples) / SAMPLE_RATE))
    return recordings


def _reference(recording: Path) -> np.ndarray:
    """Return the notes beside a recording."""
    table = recording.with_suffix(".tsv")
    if not table.is_file():
        return notes.read_midi(recording.with_suffix(".mid"))
    rows = [line.split("\t") for line in table.read_text(encoding="utf-8").splitlines()[1:] if line]
    return notes.from_rows((float(onset), float(onset) + 0.05, DRUM_PITCHES[name], 64, 0, True) for onset, name in rows)


# --- transcribing ---


def transcribe(
    tool: str, recordings: list[Recording], workdir: Path, model: str, *, kept_only: bool = False
) -> dict[str, Path]:
    """Transcribe what is not yet there, unless `kept_only`; return where the MIDI files are, by set and id.

    mt3lite runs from these sources here; only its times are measured in an environment, into which it is installed.
    """
    folder = workdir / "transcribed" / f"{tool}-{_key(tool, workdir, model)}"
    targets = {f"{each.set_name}/{each.id}": folder / each.set_name / f"{each.id}.mid" for each in recordings}
    if kept_only:
        return targets
    todo = [each for each in recordings if not _is_done(each, targets[f"{each.set_name}/{each.id}"])]
    jobs = []
    for each in todo:
        target = targets[f"{each.set_name}/{each.id}"]
        target.parent.mkdir(parents=True, exist_ok=True)
        jobs.append([str(each.wav), str(target)])
    by_wav = {str(each.wav): each for each in todo}
    python = sys.executable if tool == "mt3lite" else _python(tool, workdir)
    for told in _run(tool, jobs, workdir, model, python) if jobs else ():
        if "file" in told:
            each = by_wav[told["file"]]
            target = targets[f"{each.set_name}/{each.id}"]
            with files.atomic_path(target.with_suffix(".json")) as temporary:
                temporary.write_text(json.dumps({"wav_sha256": _sha256(each.wav), **told}))
            print(f"{tool}: {each.set_name}/{each.id} in {told['seconds']:.1f} s", file=sys.stderr)
    return targets


def _is_done(recording: Recording, target: Path) -> bool:
    told = target.with_suffix(".json")
    return told.is_file() and json.loads(told.read_text())["wav_sha256"] == _sha256(recording.wav)


def _key(tool: str, workdir: Path, model: str) -> str:
    """Return what a tool's transcriptions follow from."""
    if tool != "mt3lite":
        return environments.version(tool, workdir / "venvs")
    return f"{mt3lite.__version__}-{_sha256(weights.load(model).path / weights.CONFIG_FILE)[:12]}"


def _python(tool: str, workdir: Path) -> str:
    return str(workdir.resolve() / "venvs" / tool / "bin" / "python")


def _run(tool: str, jobs: list[list[str]], workdir: Path, model: str, python: str):
    """Yield what the runner of a tool prints: one JSON object after loading, one after each file.

    Raises:
        InputError: the runner fails.
    """
    runner = HERE / "runners" / f"run_{tool.replace('-', '_')}.py"
    log = workdir / f"{tool}.log"
    command = [python, runner, json.dumps(jobs), _model_path(model)]
    ours = {"PYTHONPATH": str(HERE.parent)} if python == sys.executable else {}
    with log.open("w") as stream, tempfile.TemporaryDirectory() as elsewhere:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=stream, text=True, cwd=elsewhere, env=_environment() | ours
        )
        for line in process.stdout:
            if line.startswith("{"):
                yield json.loads(line)
    if process.wait():
        raise InputError(f"{tool} failed; what it wrote is in {log}")


def _environment() -> dict[str, str]:
    """Return the variables for a tool: ours, without what would let it see our packages."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}


def _model_path(model: str) -> str:
    return model if model in weights.bundled() else str(Path(model).resolve())


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# --- scores ---


def score(recordings: list[Recording], targets: dict[str, Path]) -> dict[str, list[scoring.PieceScore]]:
    """Return the scores of what a tool has transcribed, by group."""
    groups: dict[str, list[scoring.PieceScore]] = {}
    for each in recordings:
        path = targets.get(f"{each.set_name}/{each.id}")
        if path is None or not _is_done(each, path):
            continue
        told = json.loads(path.with_suffix(".json").read_text())
        piece = scoring.score_piece(
            f"{each.set_name}/{each.id}",
            each.reference,
            notes.read_midi(path),
            invalid_events=told.get("invalid_events"),
            dropped_events=told.get("dropped_events"),
        )
        groups.setdefault(each.group, []).append(piece)
    return groups


def summary_of(tool: str, pieces: list[scoring.PieceScore]) -> dict:
    """Return the scores of a group that are shown: value, low, high.

    Left out are those that a tool cannot have, and those of what the references have none of, drums or other notes.
    """
    pooled = scoring.summarise(pieces).pooled
    shown = []
    if any(piece.counts["Onset F1"].reference for piece in pieces):
        shown += ["Onset F1", "Onset precision", "Onset recall", "Onset + offset F1", "Frame F1"]
        shown += [PROGRAM_SCORE] if tool in HAS_INSTRUMENTS else []
    if tool in HAS_INSTRUMENTS and any(piece.counts[scoring.DRUM_CLASS_SCORE].reference for piece in pieces):
        shown += ["Drum onset F1 (full)", scoring.DRUM_CLASS_SCORE]
    result = {"pieces": [piece.id for piece in pieces]}
    for name in shown:
        interval = pooled[name]
        if not np.isnan(interval.value):
            result[name] = [round(value, 4) for value in (interval.value, interval.low, interval.high)]
    return result


def score_table(results: dict) -> str:
    """Return the scores as a Markdown table: a line for each group and tool, then mt3lite on a peer's pieces alone."""
    heads = [
        "music",
        "tool",
        "pieces",
        "onset F1",
        "onset + offset F1",
        "with instrument F1",
        "drum onset F1, by class",
    ]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    names = ["Onset F1", "Onset + offset F1", PROGRAM_SCORE, scoring.DRUM_CLASS_SCORE]
    for group, tools in results.items():
        for tool, found in tools.items():
            values = []
            for name in names:
                value, low, high = found.get(name, [np.nan] * 3)
                values.append("–" if np.isnan(value) else f"{value:.2f} ({low:.2f}–{high:.2f})")
            lines.append("| " + " | ".join([group, tool, str(len(found["pieces"])), *values]) + " |")
    return "\n".join(lines) + "\n"


def readme_table(results: dict) -> str:
    """Return the short table of the README: onset F1 and onset + offset F1 by music and tool."""
    tools = [tool for tool in environments.ENVIRONMENTS if any(tool in row for row in results.values())]
    lines = ["| music | " + " | ".join(tools) + " |", "|---" * (len(tools) + 1) + "|"]
    for group, row in results.items():
        cells = [_readme_cell(row, tool) for tool in tools]
        if any(cell != "–" for cell in cells):
            lines.append("| " + " | ".join([group, *cells]) + " |")
    return "\n".join(lines) + "\n"


def _readme_cell(row: dict, tool: str) -> str:
    """Return the two scores of a tool; for one that has fewer pieces, how many, and mt3lite's on those."""

    def two(told: dict) -> str:
        return " / ".join(f"{told[name][0]:.2f}" for name in ("Onset F1", "Onset + offset F1"))

    if "Onset F1" not in row.get(tool, {}):
        return "–"
    ours = row.get(f"mt3lite, on {tool}'s pieces")
    if not ours:
        return two(row[tool])
    number = len(ours["pieces"])
    return f"{two(row[tool])} ({number} piece{'s' * (number > 1)}; mt3lite there {two(ours)})"


def update_readme(table: str) -> None:
    """Put the table between its two marks in the README."""
    text = README.read_text(encoding="utf-8")
    begin, end = (text.index(mark) for mark in README_MARKS)
    with files.atomic_path(README) as temporary:
        temporary.write_text(f"{text[:begin]}{README_MARKS[0]}\n{table}{text[end:]}", encoding="utf-8")


def compare(scores: dict[str, dict[str, list[scoring.PieceScore]]], before: dict) -> dict:
    """Return the scores by group and tool.

    Args:
        scores: of each tool, by group.
        before: the results of an earlier run; those of tools that are not in this one are kept.

    Where a peer has fewer pieces of a group than mt3lite, there is a further line with mt3lite on those.
    """
    results: dict[str, dict] = {}
    for group in dict.fromkeys([*(group for found in scores.values() for group in found), *before]):
        kept = {tool: told for tool, told in before.get(group, {}).items() if tool in environments.ENVIRONMENTS}
        new = {tool: summary_of(tool, found[group]) for tool, found in scores.items() if group in found}
        ours = scores.get("mt3lite", {}).get(group, [])
        row = results.setdefault(group, {})
        for tool, told in sorted((kept | new).items(), key=lambda item: list(environments.ENVIRONMENTS).index(item[0])):
            same = [piece for piece in ours if piece.id in told["pieces"]]
            if 0 < len(same) < len(ours):
                row[f"mt3lite, on {tool}'s pieces"] = summary_of("mt3lite", same)
            row[tool] = told
    return results


# --- times ---


def measure(tool: str, workdir: Path, model: str) -> dict:
    """Return time, memory and size of a tool on the example clip, seconds of wall clock."""
    clip = workdir / "clip.wav"
    samples = audio.load(CLIP, SAMPLE_RATE)
    audio.write_wav(clip, samples, SAMPLE_RATE)
    whole = []
    with tempfile.TemporaryDirectory() as cache:
        for number in range(WHOLE_RUNS):
            whole.append(_whole_process(tool, clip, workdir, model, cache, number))
    with tempfile.TemporaryDirectory() as out:
        jobs = [[str(clip), str(Path(out) / f"{number}.mid")] for number in range(WARM_RUNS + 1)]
        told = [
            each["seconds"] for each in _run(tool, jobs, workdir, model, _python(tool, workdir)) if "seconds" in each
        ]
    return {
        "version": environments.version(tool, workdir / "venvs"),
        "clip_seconds": round(len(samples) / SAMPLE_RATE, 2),
        "whole_process_first_seconds": round(whole[0][0], 2),
        "whole_process_again_seconds": round(min(seconds for seconds, _ in whole[1:]), 2),
        "warm_seconds_per_second": round(min(told[1:]) / (len(samples) / SAMPLE_RATE), 4),
        "peak_megabytes": round(max(megabytes for _, megabytes in whole)),
        "installed_megabytes": round(environments.installed_megabytes(tool, workdir / "venvs")),
    }


def _whole_process(tool: str, clip: Path, workdir: Path, model: str, cache: str, number: int) -> tuple[float, float]:
    """Run a tool's own command on the clip; return its seconds and its peak memory in MB."""
    program = workdir / "venvs" / tool / "bin" / tool
    out = Path(cache) / f"out-{number}"
    out.mkdir()
    target = str(out / "clip.mid")
    arguments = {
        "mt3lite": ["transcribe", str(clip), "-o", target, "--model", _model_path(model), "--quiet"],
        "basic-pitch": [str(out), str(clip)],
        "transkun": [str(clip), target],
    }[tool]
    environment = {**_environment(), "XDG_CACHE_HOME": cache}  # empty at first: nothing is compiled yet
    started = time.perf_counter()
    with (workdir / f"{tool}.log").open("w") as log:
        process = subprocess.Popen([program, *arguments], env=environment, stdout=log, stderr=log, cwd=out)
        _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    if status or not list(out.glob("*.mid")):
        raise InputError(f"{tool} failed; what it wrote is in {workdir / f'{tool}.log'}")
    return seconds, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


def time_table(times: dict[str, dict]) -> str:
    """Return the times as a Markdown table."""
    heads = {
        "version": "version",
        "whole_process_first_seconds": "whole process, first time, s",
        "whole_process_again_seconds": "again, s",
        "warm_seconds_per_second": "warm, s per second of audio",
        "peak_megabytes": "peak memory, MB",
        "installed_megabytes": "installed, MB",
    }
    lines = ["| tool | " + " | ".join(heads.values()) + " |", "|---" * (len(heads) + 1) + "|"]
    lines += ["| " + " | ".join([tool, *(str(told[key]) for key in heads)]) + " |" for tool, told in times.items()]
    return "\n".join(lines) + "\n"


# --- the command ---


def main() -> int:
    """Run the command; return the exit code."""
    arguments = parse()
    tools, workdir = arguments.tools, arguments.workdir
    (workdir / "venvs").mkdir(parents=True, exist_ok=True)
    RESULTS.mkdir(exist_ok=True)
    try:
        for tool in tools:
            if tool != "mt3lite" or not arguments.no_times:
                environments.make(tool, workdir / "venvs")
        recordings = [each for folder in arguments.sets for each in read_set(folder, workdir)]
        if recordings:
            targets = {}
            for tool in tools:
                hearable = [each for each in recordings if tool in HAS_INSTRUMENTS or each.has_pitches]
                chosen = _first_of_groups(hearable, arguments.pieces.get(tool))
                targets[tool] = transcribe(tool, chosen, workdir, arguments.model, kept_only=arguments.kept_only)
            scores = {tool: score(recordings, targets[tool]) for tool in tools}
            path = RESULTS / "scores.json"
            before = json.loads(path.read_text()) if path.is_file() else {"tools": {}, "groups": {}}
            results = compare(scores, before["groups"])
            keys = before["tools"] | {tool: _key(tool, workdir, arguments.model) for tool in tools}
            _write("scores", {"tools": keys, "groups": results}, score_table(results))
            update_readme(readme_table(results))
        if not arguments.no_times:
            times = {tool: measure(tool, workdir, arguments.model) for tool in tools}
            if len(times) < len(environments.ENVIRONMENTS):
                print(time_table(times))  # times compare within one run only
            else:
                _write("times", times, time_table(times))
    except InputError as error:
        print(f"peers: {error}", file=sys.stderr)
        return 1
    return 0


def _first_of_groups(recordings: list[Recording], number: int | None) -> list[Recording]:
    """Return the first recordings of each group; all when `number` is None."""
    if number is None:
        return recordings
    seen: dict[str, int] = {}
    chosen = []
    for each in recordings:
        seen[each.group] = seen.get(each.group, 0) + 1
        if seen[each.group] <= number:
            chosen.append(each)
    return chosen


def _write(name: str, content: dict, table: str) -> None:
    for suffix, text in ((".json", json.dumps(content, indent=1) + "\n"), (".md", table)):
        with files.atomic_path(RESULTS / f"{name}{suffix}") as temporary:
            temporary.write_text(text, encoding="utf-8")
    print(table)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("sets", type=Path, nargs="*", metavar="SET")
    parser.add_argument("--workdir", type=Path, required=True, help="keeps environments and transcriptions")
    parser.add_argument("--tools", default=",".join(environments.ENVIRONMENTS), help="(default: %(default)s)")
    parser.add_argument("--model", default="small", help="mt3lite's model (default: %(default)s)")
    parser.add_argument(
        "--pieces",
        action="append",
        default=[],
        metavar="TOOL=N",
        help="only the first N of each group for a slow tool (such as transkun=2)",
    )
    parser.add_argument("--kept-only", action="store_true", help="transcribe nothing, score what is in WORK")
    parser.add_argument("--no-times", action="store_true", help="scores only")
    arguments = parser.parse_args()
    arguments.tools = arguments.tools.split(",")
    unknown = sorted(set(arguments.tools) - set(environments.ENVIRONMENTS))
    if unknown:
        parser.error(f"unknown tools: {', '.join(unknown)}")
    pairs = [text.partition("=") for text in arguments.pieces]
    if any(not number.isdecimal() for _, _, number in pairs):
        parser.error("--pieces wants TOOL=N")
    arguments.pieces = {tool: int(number) for tool, _, number in pairs}
    return arguments


if __name__ == "__main__":
    sys.exit(main())
