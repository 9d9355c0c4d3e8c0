"""Time, memory and size of the tools that `peers.py` compares, on the example clip. They take turns."""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import environments
import peer_tools

from mt3lite import audio
from mt3lite.errors import InputError

CLIP = Path(__file__).resolve().parent.parent / "data" / "demo" / "clip.flac"
SAMPLE_RATE = 16000
ROUNDS = 2
TURN_SECONDS = 4.0  # a quick tool runs several times in its turn
HEADS = {  # of the table
    "version": "version",
    "whole_process_first_seconds": "whole process, first time, s",
    "whole_process_again_seconds": "again, s",
    "warm_seconds_per_second": "warm, s per second of audio",
    "peak_megabytes": "peak memory, MB",
    "installed_megabytes": "installed, MB",
}


def measure(names: list[str], workdir: Path, model: str) -> dict[str, dict]:
    """Return what is measured of each tool, by the names in `HEADS`; seconds of wall clock, the best of some runs.

    Raises:
        InputError: a tool fails.
    """
    clip = workdir.resolve() / "clip.wav"
    samples = audio.load(CLIP, SAMPLE_RATE)
    audio.write_wav(clip, samples, SAMPLE_RATE)
    duration_seconds = len(samples) / SAMPLE_RATE
    with tempfile.TemporaryDirectory() as folder:
        whole = _in_turns(names, lambda tool: _whole_process(tool, clip, workdir, model, Path(folder)))
        with contextlib.ExitStack() as stack:
            running = {
                tool: stack.enter_context(peer_tools.Running(tool, workdir, model, peer_tools.python(tool, workdir)))
                for tool in names
            }
            midi = Path(folder) / "warm.mid"
            for tool in names:
                running[tool].transcribe(clip, midi)  # warms up
            warm = _in_turns(names, lambda tool: running[tool].transcribe(clip, midi)["seconds"])
    return {
        tool: {
            "version": environments.version(tool, workdir / "venvs"),
            "clip_seconds": round(duration_seconds, 2),
            "whole_process_first_seconds": round(whole[tool][0][0], 2),
            "whole_process_again_seconds": round(min(seconds for seconds, _ in whole[tool][1:]), 2),
            "warm_seconds_per_second": round(min(warm[tool]) / duration_seconds, 4),
            "peak_megabytes": round(max(megabytes for _, megabytes in whole[tool])),
            "installed_megabytes": round(environments.installed_megabytes(tool, workdir / "venvs")),
        }
        for tool in names
    }


def _in_turns(names: list[str], run: Callable[[str], Any]) -> dict[str, list]:
    """Return what `run` returned for each tool, in `ROUNDS` turns that last `TURN_SECONDS` or one run."""
    told = {tool: [] for tool in names}
    for _ in range(ROUNDS):
        for tool in names:
            started = time.perf_counter()
            while time.perf_counter() - started < TURN_SECONDS:
                told[tool].append(run(tool))
    return told


def _whole_process(tool: str, clip: Path, workdir: Path, model: str, folder: Path) -> tuple[float, float]:
    """Run a tool's own command on the clip; return its seconds and its peak memory in MB.

    Its cache is in the folder, and empty the first time: nothing is compiled yet.
    """
    out = Path(tempfile.mkdtemp(dir=folder))
    target = str(out / "clip.mid")
    arguments = {
        "mt3lite": ["transcribe", str(clip), "-o", target, "--model", peer_tools.model_argument(model), "--quiet"],
        "basic-pitch": [str(out), str(clip)],
        "transkun": [str(clip), target],
    }[tool]
    program = workdir.resolve() / "venvs" / tool / "bin" / tool
    variables = {**peer_tools.environment(), "XDG_CACHE_HOME": str(folder / f"{tool}-cache")}
    started = time.perf_counter()
    with (workdir / f"{tool}.log").open("w") as log:
        process = subprocess.Popen([program, *arguments], env=variables, stdout=log, stderr=log, cwd=out)
        _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)  # it was waited for
    if status or not list(out.glob("*.mid")):
        raise InputError(f"{tool} failed; what it wrote is in {workdir / f'{tool}.log'}")
    return seconds, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


def table(times: dict[str, dict]) -> str:
    """Return the times as a Markdown table."""
    lines = ["| tool | " + " | ".join(HEADS.values()) + " |", "|---" * (len(HEADS) + 1) + "|"]
    lines += ["| " + " | ".join([tool, *(str(told[key]) for key in HEADS)]) + " |" for tool, told in times.items()]
    return "\n".join(lines) + "\n"
