"""The notebooks in colab/, run from top to bottom; what Colab alone has is played by small fakes."""

import ast
import dataclasses
import importlib
import os
import re
import shutil
import stat
import sys
import zipfile
from pathlib import Path

import jax
import numpy as np
import pretty_midi
import pytest

import mt3lite
from mt3lite import config, network, notes, weights

nbformat = pytest.importorskip("nbformat", reason="pip install 'mt3lite[dev]'", exc_type=ImportError)
nbclient = pytest.importorskip("nbclient", reason="pip install 'mt3lite[dev]'", exc_type=ImportError)
pytest.importorskip("ipykernel", reason="pip install 'mt3lite[dev]'", exc_type=ImportError)

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "colab").glob("*.ipynb"))
MOST_LINES = 14  # of a cell
# Takes the place of google.colab: a file is uploaded, and what is downloaded is written down.
COLAB = """
import pathlib, sys, types

files = types.SimpleNamespace(
    upload=lambda: {"song.flac": pathlib.Path("song.flac").read_bytes()},
    download=lambda path: pathlib.Path("downloaded.txt").write_text(path),
)
sys.modules["google.colab"] = types.SimpleNamespace(files=files, output=None)  # JAX asks for output
"""


def read(path: Path):
    return nbformat.read(path, as_version=4)


def code(cell) -> ast.Module:
    """Return a cell's Python, without the lines that IPython gives to the shell."""
    lines = [re.sub(r"^(\s*)[!%].*", r"\1pass", line) for line in cell.source.splitlines()]
    return ast.parse("\n".join(lines))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_as_it_should_be(path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    for before, cell in zip([None, *notebook.cells], notebook.cells, strict=False):
        assert len(cell.source.splitlines()) <= MOST_LINES and cell.source.strip()
        if cell.cell_type == "code":
            assert before.cell_type == "markdown"
            assert (cell.outputs, cell.execution_count) == ([], None)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_only_public_names_are_used(path):
    modules, used = {"mt3lite": mt3lite}, []
    for cell in read(path).cells:
        for node in ast.walk(code(cell)) if cell.cell_type == "code" else ():
            if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "mt3lite":
                assert node.module == "mt3lite"
                modules |= {alias.name: importlib.import_module(f"mt3lite.{alias.name}") for alias in node.names}
            if isinstance(node, ast.Attribute):
                assert not node.attr.startswith("_")
                used.append((ast.unparse(node.value), node.attr))
    documented = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert all(f"::: mt3lite.{name}\n" in documented for name in modules if name != "mt3lite")
    assert len([hasattr(modules[name], attribute) for name, attribute in used if name in modules]) >= 3
    for name, attribute in used:
        assert name not in modules or hasattr(modules[name], attribute)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Make an empty working folder, and commands that are ours: pip and apt-get only write down what they are told."""
    programs, work = tmp_path / "bin", tmp_path / "work"
    programs.mkdir()
    work.mkdir()
    scripts = {
        "python": f'exec "{sys.executable}" "$@"',
        "mt3lite": f'exec "{sys.executable}" -m mt3lite "$@"',
        "pip": f'echo pip "$@" >> "{tmp_path}/asked.txt"',
        "apt-get": f'echo apt-get "$@" >> "{tmp_path}/asked.txt"',
    }
    for name, line in scripts.items():
        (programs / name).write_text(f"#!/bin/sh\n{line}\n")
        (programs / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    return work


def run(name: str, work: Path, *, first: str = "", **parameters) -> list:
    """Run a notebook with `first` before it and other parameters; return its cells, after looking for errors."""
    notebook = read(ROOT / "colab" / name)
    (place,) = (i for i, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", ()))
    values = "\n".join(f"{key} = {value!r}" for key, value in parameters.items())
    assert set(parameters) <= {node.targets[0].id for node in code(notebook.cells[place]).body}
    notebook.cells.insert(place + 1, nbformat.v4.new_code_cell(values))
    notebook.cells.insert(0, nbformat.v4.new_code_cell(first))
    client = nbclient.NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(work)}}
    )
    client.execute()
    printed = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", ()))
    assert not re.search(r"^(mt3lite: |Traceback|usage: |.*not found)", printed, re.MULTILINE), printed
    return notebook.cells


def outputs_of(cells: list, beginning: str) -> list:
    """Return the outputs of the one cell whose code begins so."""
    (cell,) = (cell for cell in cells if cell.cell_type == "code" and cell.source.startswith(beginning))
    return cell.outputs


def printed_by(cells: list, beginning: str) -> str:
    """Return what that cell printed, which may come in several parts."""
    return "".join(output.get("text", "") for output in outputs_of(cells, beginning))


def needs_sound() -> None:
    pytest.importorskip("fluidsynth", reason="pip install 'mt3lite[synth]' and libfluidsynth", exc_type=ImportError)
    pytest.importorskip("matplotlib", reason="pip install 'mt3lite[plot]'", exc_type=ImportError)


def test_transcribing_an_upload_as_on_colab(machine):
    needs_sound()
    shutil.copy(mt3lite.example_clip(), machine / "song.flac")
    cells = run("transcribe.ipynb", machine, first=COLAB)
    assert printed_by(cells, "import mt3lite") == "to be transcribed: song.flac\n"
    assert "notes in 31.0 s" in printed_by(cells, "transcriber")
    (shown,) = outputs_of(cells, "found")
    assert all(part in shown.data["text/html"] for part in ("<img ", "<audio ", "<td", "Piano"))
    assert re.match(r"\d+ beats a minute, \d in a bar\nwritten: song.mid\n", printed_by(cells, "from pathlib"))
    assert len(notes.read_midi(machine / "song.mid")) > 50
    assert pretty_midi.PrettyMIDI(str(machine / "song.mid")).get_tempo_changes()[1].tolist() != [120]
    assert (machine / "downloaded.txt").read_text() == "song.mid"
    asked = (machine.parent / "asked.txt").read_text().splitlines()  # pip was not
    assert asked == ["apt-get install --quiet --yes libfluidsynth3 fluid-soundfont-gm"]


def test_without_mt3lite_one_line_installs_it(machine):
    notebook = read(ROOT / "colab" / "transcribe.ipynb")
    (line,) = (cell.source for cell in notebook.cells if "pip install" in cell.source and cell.cell_type == "code")
    script = line.removeprefix("!").replace("$MT3LITE", "mt3lite[plot]").replace("import mt3lite", "import no_mt3lite")
    assert os.system(script) == 0  # noqa: S605
    assert (machine.parent / "asked.txt").read_text() == "pip install --quiet mt3lite[plot]\n"


def test_training(machine):
    needs_sound()
    pytest.importorskip("optax", reason="pip install 'mt3lite[train]'", exc_type=ImportError)
    start = config.preset("tiny")
    start = dataclasses.replace(start, segments=dataclasses.replace(start.segments, max_tokens=128))
    rng = np.random.default_rng(0)
    shapes = network.parameter_shapes(start.network)
    params = jax.tree.map(lambda leaf: rng.normal(0, 0.1, leaf.shape).astype(np.float16), shapes)
    weights.save(machine / "start", start, params, origin="random numbers", license="CC0-1.0")

    cells = run("train.ipynb", machine, MINUTES=0.05, HOURS_OF_MUSIC=0.01, START="start", LOG_EVERY=1)
    assert "image/png" in outputs_of(cells, "import csv")[-1].data
    scores = printed_by(cells, "from pathlib")
    assert re.search(r"^start: \d+ notes, onset F1 ", scores) and "run/model: " in scores
    assert "image/png" in outputs_of(cells, "from mt3lite import plot")[-1].data
    assert set(zipfile.ZipFile(machine / "model.zip").namelist()) == {"config.json", "model.safetensors"}
    assert weights.load(machine / "run" / "model").config.network == start.network
    assert "notes</b> in 31.0 s" in cells[-1].outputs[-1].data["text/html"]
    assert not (machine.parent / "asked.txt").exists()
