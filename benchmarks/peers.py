"""Score mt3lite and its peers on the same files, and measure their time, memory and size.

    python benchmarks/peers.py [SET ...] --workdir WORK [--tools mt3lite,basic-pitch] [--no-times]

SET is a dataset folder (its split "test"), or a folder of recordings, each with a MIDI file or a table of drum onsets
(NAME.tsv with the columns onset_seconds and class: KD, SD, HH, TT, CY, OT) of the same name beside it. Each tool runs
in an environment of its own below WORK (see environments.py), and reads the same 16-bit WAV files; drums alone are not
given to tools that have none, and other music than a piano's not to those for pianos. What a tool has transcribed is
kept in WORK; so when the bundled model changes, the same command transcribes with that alone. Without a SET, only the
times are measured.

Writes benchmarks/results/scores.json and scores.md, times.json and times.md, and the table in README.md. What is there
of tools that are not run is kept; times are only written when all tools took part.
"""

import argparse
import functools
import json
import sys
from pathlib import Path

import environments
import peer_recordings
import peer_scores
import peer_times
import peer_tools

from mt3lite import files
from mt3lite.errors import InputError

RESULTS = Path(__file__).resolve().parent / "results"


def main() -> int:
    """Run the command; return the exit code."""
    arguments = parse()
    (arguments.workdir / "venvs").mkdir(parents=True, exist_ok=True)
    RESULTS.mkdir(exist_ok=True)
    try:
        for tool in arguments.tools:
            if tool != "mt3lite" or not arguments.no_times:
                environments.make(tool, arguments.workdir / "venvs")
        if arguments.sets:
            _scores(arguments)
        if not arguments.no_times:
            times = peer_times.measure(arguments.tools, arguments.workdir, arguments.model)
            if len(times) < len(environments.ENVIRONMENTS):
                print(peer_times.table(times))  # times compare within one run only
            else:
                _write("times", times, peer_times.table(times))
    except InputError as error:
        print(f"peers: {error}", file=sys.stderr)
        return 1
    return 0


def _scores(arguments: argparse.Namespace) -> None:
    """Transcribe what is not yet there, score it, and write the results."""
    workdir, model = arguments.workdir, arguments.model
    found = [each for folder in arguments.sets for each in peer_recordings.read_set(folder, workdir)]
    scores = {}
    for tool in arguments.tools:
        chosen = [each for each in found if peer_tools.is_for(tool, each)]
        if not arguments.kept_only:
            peer_tools.transcribe(tool, chosen, workdir, model)
        scores[tool] = peer_scores.score(
            chosen, functools.partial(peer_tools.target, tool, workdir=workdir, model=model)
        )
    path = RESULTS / "scores.json"
    before = json.loads(path.read_text()) if path.is_file() else {"tools": {}, "groups": {}}
    results = peer_scores.compare(scores, before["groups"])
    keys = before["tools"] | {tool: peer_tools.key(tool, workdir, model) for tool in arguments.tools}
    _write("scores", {"tools": keys, "groups": results}, peer_scores.table(results))
    peer_scores.update_readme(peer_scores.readme_table(results))


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
    parser.add_argument("--kept-only", action="store_true", help="transcribe nothing, score what is in WORK")
    parser.add_argument("--no-times", action="store_true", help="scores only")
    arguments = parser.parse_args()
    arguments.tools = arguments.tools.split(",")
    unknown = sorted(set(arguments.tools) - set(environments.ENVIRONMENTS))
    if unknown:
        parser.error(f"unknown tools: {', '.join(unknown)}")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
