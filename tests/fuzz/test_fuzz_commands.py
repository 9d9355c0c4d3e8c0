"""The command line: any arguments, on files good and bad, end with 0, 1 or 2 and never in a traceback."""

import json
import os
import shutil

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from surviving import bounded, fuzz, note, nothing_half_written

from mt3lite import cli, files, notes
from mt3lite.errors import InputError
from mt3lite.training import datasets, forecast, trainer

PIECE = notes.from_rows([(0.1 * i, 0.1 * i + 0.08, 60 + i, 90, 0, False) for i in range(5)])
STRANGE_NAMES = (
    "ünï cödé 音.wav",
    "$x_{1$.wav",
    "-dash.wav",
    "\x1b[31mred.wav",
    os.fsdecode(b"not-\xff-text.wav"),
    "n" * 245 + ".wav",
)


@pytest.fixture(scope="module")
def place(tmp_path_factory, tiny_folder, compilation_cache):
    """A folder with recordings, notes, a dataset, a model, and what is none of these."""
    folder = tmp_path_factory.mktemp("place")
    sound = np.random.default_rng(0).normal(0, 0.1, 8000)
    for name in ("good.wav", "sub/deep.flac", *STRANGE_NAMES):
        (folder / name).parent.mkdir(exist_ok=True)
        with (folder / name).open("wb") as file:  # of a name that is no text libsndfile cannot be told
            soundfile.write(file, sound, 16000, format="FLAC" if name.endswith("flac") else "WAV")
    (folder / "bad.wav").write_bytes(b"RIFF\xff\xff\xff\xffWAVEfmt ")
    (folder / "empty.mp3").touch()
    (folder / "loop.wav").symlink_to("loop.wav")
    (folder / "dangling.mid").symlink_to("nowhere.mid")
    notes.write_midi(PIECE, folder / "good.mid")
    (folder / "bad.mid").write_bytes(b"MThd\0\0\0\6")
    (folder / "notes.json").write_text(json.dumps({"notes": [{"onset_seconds": 0, "offset_seconds": 1, "pitch": 60}]}))
    (folder / "bad.json").write_text("[" * 10_000)
    shutil.copytree(tiny_folder, folder / "model")
    tracks = [
        datasets.Track(split, split, folder / "good.wav", folder / "good.mid")
        for split in ("train", "validation", "test")
    ]
    (folder / "data").mkdir()
    datasets.write_manifest(tracks, folder / "data")
    return folder


PATHS = st.sampled_from(
    ["good.wav", "bad.wav", "empty.mp3", "sub", ".", "good.mid", "bad.mid", "notes.json", "bad.json", "nowhere.wav"]
    + ["data", "data/manifest.jsonl", "model", "model/config.json", "loop.wav", "dangling.mid", "", "/dev/null"]
    + ["/proc/self/mem", "x" * 300, "x/" * 3000, "~", *STRANGE_NAMES]
)
OUTPUTS = st.sampled_from(
    ["out.mid", "out.json", "out.csv", "out.wav", "out.png", "out.html", "new", "new/deep", "out", "", "."]
    + ["good.wav", "good.mid", "bad.wav/x.mid", "/proc/x.mid", "y" * 250 + ".mid", "y" * 300 + ".mid", "nowhere/x.csv"]
)
NUMBERS = st.one_of(
    st.sampled_from(["0", "1", "2", "-1", "1e3", "nan", "inf", "-inf", "1e400", "9" * 30, "9" * 5000, "", "x", "0.5"]),
    st.integers(-3, 300).map(str),
)
WORDS = st.sampled_from(
    ["", "piano", "bass,drums", "kazoo", "mid", "mid,csv", "json", "xml", "train", "test", "full", "mt3"]
)
WORDS |= st.sampled_from(["small", "tiny", "none", "mt3", "a" * 5000, "\u2028", "folder", "maestro", "urmp"])
FLAGS = ("--quiet", "--verbose", "--overwrite", "--plot", "--convert", "--skip-faulty", "--augment", "--stems", "--")
FLAGS += ("--dry-run", "--no-augmentation", "--to-t5x", "--freeze-encoder", "--rematerialise", "--resident", "--help")
FLAGS += ("--nonsense",)
# Left out: --coordinator, which waits for others; --jobs and --workers, which start processes; --sonify, which plays.
OF_COMMANDS = {
    "transcribe": {
        "--output-dir": OUTPUTS,
        "-o": OUTPUTS,
        "--format": WORDS,
        "--instruments": WORDS,
        "--ensemble": WORDS,
        "--batch-size": st.sampled_from(["0", "2", "2", "-1", "9" * 30, "x"]),
        "--soundfont": PATHS,
    },
    "evaluate": {
        "--split": WORDS,
        "--workdir": OUTPUTS,
        "--json": OUTPUTS,
        "--csv": OUTPUTS,
        "--html": OUTPUTS,
        "--granularity": WORDS,
        "--compatibility": WORDS,
    },
    "data check": {"--sample-rate": NUMBERS},
    "data import": {"--out": OUTPUTS, "--split": WORDS},
    "data show": {
        "--index": NUMBERS,
        "--split": WORDS,
        "--seed": NUMBERS,
        "--preset": WORDS,
        "--plot": OUTPUTS,
        "--soundfont": PATHS,
    },
    "data synthesize": {
        "--midi": PATHS,
        "--license": WORDS,
        "--soundfont": PATHS,
        "--hours": NUMBERS,
        "--invented": NUMBERS,
        "--timbres": NUMBERS,
        "--seed": NUMBERS,
    },
    "convert": {"--step": NUMBERS, "--config": PATHS, "--origin": WORDS},
    "render": {"--soundfont": PATHS, "--rate": NUMBERS},
    "train": {
        "--data": PATHS,
        "--workdir": OUTPUTS,
        "--split": WORDS,
        "--preset": WORDS,
        "--init-from": PATHS,
        "--gin_file": PATHS,
        "--gin.PRESET": WORDS,
        "--steps": NUMBERS,
        "--minutes": NUMBERS,
        "--batch-size": NUMBERS,
        "--seed": NUMBERS,
        "--optimizer": WORDS,
        "--learning-rate": NUMBERS,
        "--listening": NUMBERS,
        "--accumulate": NUMBERS,
        "--model-devices": NUMBERS,
        "--evaluate-every": NUMBERS,
        "--keep-checkpoints": NUMBERS,
    },
}
POSITIONAL = {
    "transcribe": [PATHS],
    "evaluate": [PATHS, PATHS],
    "data check": [PATHS],
    "data import": [WORDS, PATHS],
    "data show": [PATHS],
    "data synthesize": [OUTPUTS],
    "convert": [PATHS, OUTPUTS],
    "render": [PATHS, OUTPUTS],
    "train": [],
}


@st.composite
def command_lines(draw, command: str) -> list[str]:
    """Draw what somebody could type: mostly the right number of things, of the right kind half of the time."""
    line = [draw(each) for each in POSITIONAL[command]]
    line = line[: len(line) - draw(st.sampled_from([0, 0, 0, 0, 1]))]
    options = draw(st.lists(st.sampled_from([*OF_COMMANDS[command], *FLAGS]), max_size=4, unique=True))
    if command == "train":
        options = [*{"--data", *(["--workdir"] if draw(st.booleans()) else []), *options}]
    for option in options:
        line.append(option)
        if option in OF_COMMANDS[command]:
            value = draw(OF_COMMANDS[command][option])
            line = [*line[:-1], f"{option}={value}"] if option.startswith("--") else [*line, value]
    return [*command.split(), *line]


def no_training(folder, tracks, config, train, **_):
    """Stand in for training, which would take seconds at every line; it is beaten elsewhere."""
    files.make_folder(folder)
    trainer._check_same_run(folder / "config.json", "{}")
    raise trainer.Terminated("not trained")


def no_forecast(*_):
    """Stand in for the updates of a dry run."""
    raise InputError("not trained")


@pytest.mark.parametrize("command", POSITIONAL)
def test_any_arguments(place, tmp_path, monkeypatch, capfd, command):
    monkeypatch.setattr(trainer, "fit", no_training)
    monkeypatch.setattr(forecast, "forecast", no_forecast)
    monkeypatch.setattr("mt3lite.arguments.evaluate.DEFAULT_MODEL", str(place / "model"))
    cases = {"transcribe": 25, "evaluate": 40, "data show": 20}.get(command, 40)

    @fuzz(cases)
    @given(command_lines(command))
    def shown(line):
        shutil.rmtree(tmp_path / "here", ignore_errors=True)
        shutil.copytree(place, tmp_path / "here", symlinks=True)
        monkeypatch.chdir(tmp_path / "here")
        if command == "transcribe":
            line = [*line, "--model", str(place / "model")]
        capfd.readouterr()
        with bounded(f"command lines: {command}"):
            code = run(line)
        captured = capfd.readouterr()
        assert code in (0, 1, 2, 143), line
        for text in (captured.out, captured.err):
            assert "Traceback" not in text and "Warning" not in text, (line, text)
        if code == 1:
            assert all(each.startswith(("mt3lite: ", "  ")) for each in captured.err.splitlines()), (line, captured.err)
            assert captured.err.startswith("mt3lite: "), line
        nothing_half_written(tmp_path / "here")
        note(f"command lines: {command}", {0: "done", 1: "refused", 2: "wrong usage", 143: "would train"}[code])

    shown()


def run(line: list[str]) -> int:
    try:
        return cli.main(line)
    except SystemExit as stop:
        return stop.code
