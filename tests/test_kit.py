"""The kit that takes training to a machine without network: what of it can be tried without one."""

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement

FOLDER = Path(__file__).parent.parent / "data" / "models" / "small"
sys.path.insert(0, str(FOLDER))
import pack  # noqa: E402

sys.path.remove(str(FOLDER))

# Hides the packages that it is told of, and then imports what rendering, training and scoring do.
IMPORT_ALL = """
import importlib.abc, sys
hidden = set(sys.argv[1:])

class Hiding(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hiding())
import fluidsynth, soxr
import mt3lite.commands.data_synthesize, mt3lite.commands.evaluate, mt3lite.commands.train
from mt3lite import notes, transcriber
from mt3lite.training import evaluation
notes.import_note_seq()
"""


def needed(name: str, extras: tuple[str, ...] = ()) -> set[str]:
    """Return the names of all packages that a package needs, those installed here."""
    found: set[str] = set()
    waiting = [(name, extra) for extra in ("", *extras)]
    seen = set(waiting)
    while waiting:
        package, extra = waiting.pop()
        try:
            lines = metadata.requires(package) or []
        except metadata.PackageNotFoundError:  # of another system or Python
            continue
        found.add(pack.canonical(package))
        for requirement in map(Requirement, lines):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                new = {(requirement.name, each) for each in ("", *requirement.extras)} - seen
                seen |= new
                waiting += new
    return found


@pytest.mark.parametrize("name", ["train.sh", "render.sh", "on_box.sh"])
def test_scripts_are_bash(name):
    """They can be read, and without arguments tell how they are used, up to the end of their opening comment."""
    subprocess.run(["bash", "-n", FOLDER / name], check=True)
    told = subprocess.run(["bash", FOLDER / name], capture_output=True, text=True)
    comment = [line[2:] for line in (FOLDER / name).read_text().partition("\nset -")[0].splitlines()[1:]]
    assert told.returncode == 2
    assert told.stderr.splitlines() == comment


def test_what_is_imported_is_there_or_packed():
    """Nothing that rendering, training and scoring import is from a package that the kit does not think of."""
    pytest.importorskip("fluidsynth", reason="FluidSynth and pip install 'mt3lite[synth]'", exc_type=ImportError)
    known = pack.there() | needed("mt3lite", ("train", "synth")) | {"setuptools"}  # which hooks every interpreter
    assert {"jax", "note-seq", "soundfile", "mir-eval", "grain", "pyfluidsynth"} <= known
    packages = metadata.packages_distributions()
    hidden = [name for name, owners in packages.items() if not known & {pack.canonical(each) for each in owners}]
    assert "pytest" in hidden
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    ended = subprocess.run([sys.executable, "-c", IMPORT_ALL, *hidden], capture_output=True, text=True, env=environment)
    assert ended.returncode == 0, ended.stderr


def test_what_is_there_is_not_packed():
    report = {
        "install": [
            {"metadata": {"name": "mt3lite", "version": "1"}, "download_info": {"url": "file:///a", "dir_info": {}}},
            {"metadata": {"name": "Jinja2", "version": "3"}, "download_info": {"url": "https://a"}},
            {"metadata": {"name": "mir_eval", "version": "0.8"}, "download_info": {"url": "https://a"}},
        ]
    }
    assert pack.lacking(report, {"jinja2"}) == ["mir_eval==0.8"]
    assert {"jax", "numpy", "orbax-checkpoint"} <= pack.there()
    assert not {"grain", "note-seq", "soundfile", "pyfluidsynth"} & pack.there()


@given(st.dictionaries(st.text(min_size=1), st.integers(0, 100), max_size=30))
def test_folders_keep_their_limit(sizes):
    groups = pack.divide(sizes, 100)
    assert sorted(name for group in groups for name in group) == sorted(sizes)
    assert all(sum(sizes[name] for name in group) <= 100 for group in groups)
    assert sum(sizes.values()) >= 50 * (len(groups) - 1)  # or two of them would have gone into one


def test_a_file_larger_than_a_folder():
    with pytest.raises(SystemExit, match="FluidR3_GM.sf2: 148.4 MB do not fit into 44.0 MB"):
        pack.divide({"FluidR3_GM.sf2": 148398306}, 44_000_000)


@pytest.fixture
def kit(tmp_path):
    """Two folders of made-up parts."""
    parts = tmp_path / "parts"
    parts.mkdir()
    for name, size in (("a.sf3", 900), ("b.whl", 500), ("midi.tar.xz", 400)):
        (parts / name).write_bytes(bytes(size))
    pack.fill(tmp_path / "kit", parts, 1200)
    return tmp_path / "kit"


def take(kit: Path, number: int) -> str:
    """Carry one folder to the machine; return what is said there."""
    run = ["bash", FOLDER / "on_box.sh", kit.parent / "out", kit / str(number)]
    environment = os.environ | {"BOX": str(kit.parent / "box")}
    done = subprocess.run(run, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1].partition(": ")[2]


def test_a_kit_is_kept_until_it_is_whole(kit):
    assert [sorted(path.name for path in (kit / name).iterdir()) for name in "12"] == [
        ["a.sf3", "sha256.txt"],
        ["b.whl", "midi.tar.xz", "sha256.txt"],
    ]
    assert all(sum(path.stat().st_size for path in folder.iterdir()) <= 1200 for folder in kit.iterdir())
    assert take(kit, 1) == "2 parts not here yet, or damaged: b.whl midi.tar.xz"
    (kit / "2" / "b.whl").write_bytes(b"cut short")
    assert take(kit, 2) == "1 parts not here yet, or damaged: b.whl"
