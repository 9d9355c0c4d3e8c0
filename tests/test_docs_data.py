"""The guide to data: its commands and its Python run as written, on two recordings."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mt3lite import cli, notes
from mt3lite.training import importers

GUIDE = Path(__file__).parent.parent / "docs" / "data.md"


def blocks(language):
    text = GUIDE.read_text(encoding="utf-8")
    return [match[1] for match in re.finditer(rf"^ *```{language}\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)]


def commands():
    return [
        shlex.split(line)[1:]
        for block in blocks("sh")
        for line in block.splitlines()
        if re.search("mt3lite (data|render)", line)
    ]


def test_the_guide_has_commands():
    assert len(commands()) >= 6 and len(blocks("python")) == 4


@pytest.mark.parametrize("command", commands(), ids=lambda command: " ".join(command[:3]))
def test_its_commands_are_understood(command):
    cli.make_parser().parse_args(command)


def test_it_tells_of_every_dataset():
    rows = re.findall(r"^\| `([a-z0-9-]+)` \|", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(importers.IMPORTERS) <= set(rows)


def test_from_recordings_to_batches(tmp_path, monkeypatch, capsys):
    for extra in ("grain", "matplotlib", "fluidsynth"):
        pytest.importorskip(extra, reason="pip install 'mt3lite[train,plot,synth]'", exc_type=ImportError)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recordings").mkdir()
    for name in ("waltz", "two-part"):
        samples = np.random.default_rng(0).normal(0, 0.1, (5 * 44100, 2))
        soundfile.write(f"recordings/{name}.wav", samples, 44100)
        rows = [(0.25 * i, 0.25 * i + 0.2, 60 + i, 90, 0, False) for i in range(20)]
        notes.write_midi(notes.from_rows(rows), f"recordings/{name}.mid")
    for command in commands():
        if "recordings" in command:
            assert cli.main(command) == 0, command
    assert (tmp_path / "example.png").exists() and (tmp_path / "example.wav").exists()
    capsys.readouterr()
    exec(compile(blocks("python")[0], "loader.py", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and all(re.fullmatch(r"samples \(4, 38368\) tokens \(4, \d+\)", line) for line in lines), (
        lines
    )
    exec(compile(blocks("python")[1], "workers.py", "exec"), {"__name__": "__main__"})
    assert re.fullmatch(r"tokens \(4, \d+\)\n", capsys.readouterr().out)


def test_the_section_on_seqio(tmp_path, monkeypatch, capsys):
    for library in ("seqio", "tensorflow_datasets"):
        pytest.importorskip(library, reason="pip install 'mt3lite[seqio]'", exc_type=ImportError)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recordings").mkdir()
    soundfile.write("recordings/waltz.wav", np.random.default_rng(0).normal(0, 0.1, 8 * 16000), 16000)
    notes.write_midi(
        notes.from_rows([(0.5 * i, 0.5 * i + 0.4, 60, 90, 0, False) for i in range(15)]), "recordings/waltz.mid"
    )
    assert cli.main(["data", "import", "folder", "recordings", "--split", "train"]) == 0
    capsys.readouterr()
    *_, tasks, prepared = blocks("python")
    exec(compile(tasks, "tasks.py", "exec"), {})
    names, *lines = capsys.readouterr().out.splitlines()
    assert "recordings_notes_ties_vb1_validation" in names.split()
    assert len(lines) == 3 and all(line.startswith("inputs (256, 512) targets (") for line in lines)
    exec(compile(prepared, "prepared.py", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2:] == ["tensorflow_datasets/recordings/1.0.0", "(4, 38368)"]
