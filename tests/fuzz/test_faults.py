"""What comes from outside: a full disk, folders that cannot be written to, Ctrl-C, kill -9, a second process.

Nothing ends in a traceback, and what has the name of an output is whole.
"""

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tones

from mt3lite import cli, files, notes
from mt3lite.training import datasets

PIECE = notes.from_rows([(0.05 * i, 0.05 * i + 0.04, 40 + i % 50, 90, i % 30, False) for i in range(800)])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A recording, notes, a dataset."""
    folder = tmp_path_factory.mktemp("place")
    soundfile.write(folder / "song.wav", np.random.default_rng(0).normal(0, 0.1, 40_000), 16000)
    notes.write_midi(PIECE, folder / "song.mid")
    (folder / "data").mkdir()
    datasets.write_manifest(tones.two_tracks(folder / "data"), folder / "data")
    return folder


def command_lines(place: Path, out: Path, model: Path) -> dict[str, list]:
    """Return a command line for each kind of output, which goes to a folder."""
    to_out = ["--output-dir", out, "--format", "json,csv,mid", "--model", model]
    return {
        "transcribe": ["transcribe", place / "song.wav", *to_out],
        "json": ["evaluate", place / "song.mid", place / "song.mid", "--json", out / "a.json"],
        "csv": ["evaluate", place / "song.mid", place / "song.mid", "--csv", out / "a.csv"],
        "html": ["evaluate", place / "song.mid", place / "song.mid", "--html", out / "a.html"],
        "import": ["data", "import", "folder", place / "data", "--out", out, "--convert"],
        "convert": ["convert", model, out / "checkpoint_0", "--to-t5x"],
        "train": ["train", "--data", place / "data", "--workdir", out, "--preset", "tiny", "--steps", "1"],
    }


KINDS = list(command_lines(Path(), Path(), Path()))


def run(line: list, capsys) -> tuple[int, list[str]]:
    """Run a command in this process: (exit code, lines on stderr)."""
    code = cli.main([str(each) for each in line])
    return code, capsys.readouterr().err.splitlines()


@contextlib.contextmanager
def full_disk(folder: Path):
    """Mount a file system on a folder, and fill it."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root may mount a small file system")
    try:
        with contextlib.suppress(OSError), (folder / "filler").open("wb", buffering=0) as file:
            while file.write(bytes(1024)):
                pass
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextlib.contextmanager
def small_files(folder: Path):
    """Let no file of this process grow beyond 2 kB, which any user may ask of the system."""
    folder.mkdir()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, before[1]))
    try:
        yield folder
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextlib.contextmanager
def read_only(folder: Path):
    """Make a folder that cannot be written to; for root, whom modes do not stop, an immutable one."""
    folder.mkdir()
    if os.geteuid() != 0:
        folder.chmod(0o555)
    elif not shutil.which("chattr") or subprocess.run(["chattr", "+i", str(folder)], capture_output=True).returncode:
        pytest.skip("root writes everywhere, and this file system has no immutable folders")
    try:
        yield folder
    finally:
        if os.geteuid() != 0:
            folder.chmod(0o755)
        else:
            subprocess.run(["chattr", "-i", str(folder)], check=True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", [full_disk, small_files, read_only], ids=lambda fault: fault.__name__)
def test_what_cannot_be_written_is_told_and_nothing_half_written_stays(
    place, tiny_folder, compilation_cache, tmp_path, capsys, fault, kind
):
    if kind == "train" and fault is not read_only:
        pytest.skip("that takes a real run: tests/test_checkpoints.py has one whose checkpoint finds no space")
    with fault(tmp_path / "out") as out:
        code, err = run(command_lines(place, out, tiny_folder)[kind], capsys)
        left = [path for path in out.rglob("*") if path.is_file() and path.name != "filler"]
        assert code == 1 and len(err) <= 3 and all(line.startswith(("mt3lite: ", "  ")) for line in err), err
        assert not [path for path in left if path.name.startswith(".")], left
        for path in left:  # what was small enough
            assert path.stat().st_size > 0
            if path.suffix == ".json":
                json.loads(path.read_text())
            elif path.suffix == ".mid":
                notes.read_midi(path)


def test_output_that_nobody_takes(place, tmp_path):
    """Standard output on a full disk, and none at all."""
    line = [sys.executable, "-m", "mt3lite", "evaluate", place / "song.mid", place / "song.mid"]
    with open("/dev/full", "wb") as full:
        ended = subprocess.run(line, stdout=full, stderr=subprocess.PIPE, text=True, timeout=300)
    assert (ended.returncode, ended.stderr) == (1, "mt3lite: no space left on device\n")
    closed = subprocess.run(["sh", "-c", '"$@" >&- 2>&-', "sh", *map(str, line)], timeout=300)
    assert closed.returncode == 0


# --- several processes, and ends of processes ---


def start(*line) -> subprocess.Popen:
    """Begin a command as a shell would, in a process group of its own."""
    # A shell's background jobs inherit deaf ears for SIGINT.
    hear = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)"
    program = f"{hear}\nif __name__ == '__main__':\n    from mt3lite import cli; sys.exit(cli.main())"
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, line)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.fixture
def recordings(tmp_path):
    """Six recordings of ten seconds."""
    (tmp_path / "in").mkdir()
    for name in "abcdef":
        samples = np.random.default_rng(ord(name)).normal(0, 0.1, 160_000)
        soundfile.write(tmp_path / "in" / f"{name}.wav", samples, 16000)
    return tmp_path / "in"


def whole(folder: Path) -> list[str]:
    """Return the names of the MIDI files in a folder, after reading each."""
    for path in folder.glob("[!.]*.mid"):
        assert len(notes.read_midi(path))
    return sorted(path.stem for path in folder.glob("[!.]*.mid"))


def test_killed_while_transcribing_a_folder(recordings, tiny_folder, compilation_cache, tmp_path):
    line = ["transcribe", recordings, "--output-dir", tmp_path / "out", "--model", tiny_folder]
    process = start(*line)
    assert process.stdout.readline().startswith(str(recordings / "a.wav"))
    process.kill()
    process.communicate()
    assert "a" in whole(tmp_path / "out")
    again = start(*line, "--overwrite")
    out, err = again.communicate(timeout=300)
    assert (again.returncode, err, whole(tmp_path / "out")) == (0, "", list("abcdef")), out


def test_two_processes_with_one_output_folder(recordings, tiny_folder, compilation_cache, tmp_path):
    line = ["transcribe", recordings, "--output-dir", tmp_path / "out", "--model", tiny_folder, "--overwrite"]
    both = [start(*line), start(*line)]
    for process in both:
        _, err = process.communicate(timeout=300)
        assert (process.returncode, err) == (0, "")
    assert whole(tmp_path / "out") == list("abcdef")
    assert not list((tmp_path / "out").glob(".*"))


@pytest.mark.parametrize("kind", ["train", "synthesize"])
def test_a_run_that_another_process_works_at_is_left_alone(place, tmp_path, capsys, kind):
    run_folder = tmp_path / "run"
    run_folder.mkdir()
    line = ["train", "--data", place / "data", "--workdir", run_folder, "--preset", "tiny", "--steps", "1"]
    if kind == "synthesize":
        fluidsynth = "pip install mt3lite[synth], and the system library libfluidsynth3"
        pytest.importorskip("fluidsynth", reason=fluidsynth, exc_type=ImportError)
        from mt3lite import soundfonts

        line = ["data", "synthesize", run_folder, "--soundfont", soundfonts.find(), "--hours", "0.01"]
    with files.held(run_folder):
        code, err = run(line, capsys)
    assert (code, err) == (
        1,
        [f"mt3lite: {run_folder}: another process works in this folder; wait for it, or name another"],
    )
    assert not list(run_folder.iterdir())


def children(process: subprocess.Popen) -> int:
    """Return how many processes a process has started that still are."""
    return len(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split())


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's /proc to see a process at work")
def test_ctrl_c_goes_to_workers_too_and_is_told_once(place, tmp_path):
    """A terminal sends it to the command and its worker processes alike, at any moment, also as they start."""
    line = json.loads((place / "data" / "manifest.jsonl").read_text().splitlines()[0])
    lines = [{**line, "id": str(number), "audio": str(place / "data/a.wav"), "midi": str(place / "data/a.mid")}
             for number in range(5000)]  # fmt: skip
    (tmp_path / "manifest.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines))
    process = start("data", "check", tmp_path, "--jobs", "2")
    while process.poll() is None and children(process) < 2:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (130, "mt3lite: interrupted\n")
