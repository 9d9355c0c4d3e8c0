"""The tools that `peers.py` compares: what each is for, and how each is made to transcribe.

A tool runs in an environment of its own (see environments.py), as a process that keeps its model between files: the
scripts in ``runners/``. Such a process prints {"load_seconds"} when it is ready; then it reads a line
[WAV file, MIDI file] from its standard input, transcribes, prints {"file", "seconds"} and what else there is to tell,
and waits for the next line, until there is none.
"""

import functools
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import environments
from peer_recordings import Recording

import mt3lite
from mt3lite import files, weights
from mt3lite.errors import InputError

HERE = Path(__file__).resolve().parent
HAS_INSTRUMENTS = ("mt3lite",)  # the others tell neither which instrument plays nor drums


def is_for(tool: str, recording: Recording) -> bool:
    """Return whether a tool says that it can do such a recording."""
    if tool == "transkun":
        return recording.is_piano
    return tool in HAS_INSTRUMENTS or recording.has_pitches


class Running:
    """A tool's process, that transcribes one file after the other.

    Raises:
        InputError: the tool fails, at its start or later.
    """

    def __init__(self, tool: str, workdir: Path, model: str, python: str):
        self._tool, self._log = tool, workdir / f"{tool}.log"
        command = [python, HERE / "runners" / f"run_{tool.replace('-', '_')}.py", model_argument(model)]
        ours = {"PYTHONPATH": str(HERE.parent)} if python == sys.executable else {}
        self._elsewhere = tempfile.TemporaryDirectory()
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=self._elsewhere.name,
                env=environment() | ours,
            )
        try:
            self.load_seconds = self._told()["load_seconds"]
        except InputError:
            self._end()
            raise

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *_) -> None:
        self._end()

    def transcribe(self, wav: Path, midi: Path) -> dict:
        """Transcribe a WAV file to a MIDI file; return what the tool tells of it, "seconds" among it."""
        try:
            self._process.stdin.write(json.dumps([str(wav), str(midi)]) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._failed() from None
        return self._told()

    def _told(self) -> dict:
        for line in self._process.stdout:
            if line.startswith("{"):  # and not what a library prints
                return json.loads(line)
        raise self._failed()

    def _failed(self) -> InputError:
        return InputError(f"{self._tool} failed; what it wrote is in {self._log}")

    def _end(self) -> None:
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            pass
        self._process.stdout.close()
        self._process.wait()
        self._elsewhere.cleanup()


def transcribe(tool: str, recordings: Iterable[Recording], workdir: Path, model: str) -> None:
    """Transcribe those recordings that are not yet transcribed.

    mt3lite runs from these sources here; only its times are measured in an environment, into which it is installed.

    Raises:
        InputError: the tool fails.
    """
    todo = [each for each in recordings if not is_done(each, target(tool, each, workdir, model))]
    if not todo:
        return
    with Running(tool, workdir, model, sys.executable if tool == "mt3lite" else python(tool, workdir)) as running:
        for each in todo:
            midi = target(tool, each, workdir, model)
            midi.parent.mkdir(parents=True, exist_ok=True)
            told = running.transcribe(each.wav, midi)
            with files.atomic_path(midi.with_suffix(".json")) as temporary:
                temporary.write_text(json.dumps({"wav_sha256": _sha256(each.wav), **told}))
            print(f"{tool}: {each.set_name}/{each.id} in {told['seconds']:.1f} s", file=sys.stderr)


def target(tool: str, recording: Recording, workdir: Path, model: str) -> Path:
    """Return where the transcription of a recording is kept, a MIDI file; what the tool told is beside it."""
    folder = workdir / "transcribed" / f"{tool}-{key(tool, workdir, model)}"
    return folder / recording.set_name / f"{recording.id}.mid"


def is_done(recording: Recording, midi: Path) -> bool:
    """Return whether that recording, and not another one of its name, is transcribed there."""
    told = midi.with_suffix(".json")
    return told.is_file() and json.loads(told.read_text())["wav_sha256"] == _sha256(recording.wav)


@functools.cache  # asking takes a process
def key(tool: str, workdir: Path, model: str) -> str:
    """Return what a tool's transcriptions follow from: its version; of mt3lite also the weights and the sources."""
    if tool != "mt3lite":
        return environments.version(tool, workdir / "venvs")
    told = _sha256(weights.load(model).path / weights.CONFIG_FILE)  # which names the checksum of the weights
    return f"{mt3lite.__version__}-{told[:12]}-{environments.sources_digest()[:12]}"


def python(tool: str, workdir: Path) -> str:
    """Return the Python of a tool's environment."""
    return str(workdir.resolve() / "venvs" / tool / "bin" / "python")


def environment() -> dict[str, str]:
    """Return the variables for a tool: ours, without what would let it see our packages."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}


def model_argument(model: str) -> str:
    """Return the name or the whole path of mt3lite's model, for a process in another folder."""
    return model if model in weights.bundled() else str(Path(model).resolve())


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
