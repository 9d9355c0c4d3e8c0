"""The kit that takes training to a machine without network: what of it can be tried without one."""

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from importlib import metadata
from pathlib import Path

import pretty_midi
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement

from mt3lite import notes

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
def test_folders_keep_their_limit_and_the_order(sizes):
    """Each part is in the first folder that had room for it when its turn came."""
    groups = pack.divide(sizes, 100)
    order = list(sizes)
    assert sorted(name for group in groups for name in group) == sorted(sizes)
    assert all(group and sorted(group, key=order.index) == group for group in groups)
    for place, group in enumerate(groups):
        for name in group:
            before = order[: order.index(name)]
            held = [sum(sizes[each] for each in other if each in before) + sizes[name] for other in groups[: place + 1]]
            assert all(each > 100 for each in held[:-1]) and held[-1] <= 100


def test_a_file_larger_than_a_folder():
    with pytest.raises(SystemExit, match="FluidR3_GM.sf2: 148.4 MB do not fit into 44.0 MB"):
        pack.divide({"FluidR3_GM.sf2": 148398306}, 44_000_000)


def made_up_kit(folder: Path, soundfonts: list[list[str]]) -> Path:
    """Return a kit of made-up parts; no folder takes more than 1200 bytes, beside the lists."""
    parts = folder / "parts"
    parts.mkdir()
    sizes = {"site.tar.xz": 0, "a.sf3": 1190, "b.sf2": 500, "drums.sf2": 200}
    for name, size in sizes.items():
        (parts / name).write_bytes(bytes(size))
    with pack.packed(parts / "site.tar.xz") as tar:
        tar.addfile(tarfile.TarInfo("site/nothing.py"))
    pack.fill(folder / "kit", parts, list(sizes), soundfonts, 1200 + pack._ROOM)
    return folder / "kit"


LAYERED = [["b.sf2"], ["a.sf3", "drums.sf2"], ["drums.sf2"]]


def test_a_kit_says_which_soundfonts_are_whole_with_a_folder(tmp_path):
    """One in layers is, when the last of them has come; every file of a folder is summed up."""
    kit = made_up_kit(tmp_path, LAYERED)
    folders = [{path.name for path in (kit / number).iterdir()} - {pack.LIST, pack.SOUNDFONTS} for number in "12"]
    assert folders == [{"site.tar.xz", "b.sf2", "drums.sf2"}, {"a.sf3"}]
    assert (kit / "1" / "soundfonts.txt").read_text() == "b.sf2\ndrums.sf2\n"
    assert (kit / "2" / "soundfonts.txt").read_text() == "a.sf3:drums.sf2\n"
    for number, files in zip("12", folders, strict=True):
        summed = {line.split()[1] for line in (kit / number / "sha256.txt").read_text().splitlines()}
        assert summed == files | {pack.SOUNDFONTS}
        assert sum(path.stat().st_size for path in (kit / number).iterdir()) <= 1200 + pack._ROOM


# Stands in for Python: renders two pieces and begins a third, or learns 20 MB; both tell what they were told.
PYTHON_STUB = """#!/usr/bin/env bash
echo "$*" >> "$BOX/told"
case "$*" in
*"data synthesize"*)
  mkdir -p "$5"
  echo '{"id": "1", "audio": "1.flac", "midi": "1.mid"}' >> "$5/manifest.jsonl"
  echo '{"id": "2", "audio": "2.flac", "midi": "2.mid"}' >> "$5/manifest.jsonl"
  printf '{"id": "3", "au' >> "$5/manifest.jsonl" ;;
*"mt3lite train"*)
  mkdir -p "$BOX/run/model"
  echo 7,1.5 > "$BOX/run/curve.csv"
  head -c 20000000 /dev/urandom | tee "$BOX/run/model/model.safetensors" > "$BOX/run/copy"
  echo '{}' > "$BOX/run/model/config.json" ;;
*) exec "$REAL_PYTHON" "$@" ;;
esac
"""


@pytest.fixture
def box(tmp_path, monkeypatch):
    """Return the folder of a machine without network, where a stub stands in for Python."""
    (tmp_path / "python").write_text(PYTHON_STUB)
    (tmp_path / "python").chmod(0o755)
    for name, value in {"BOX": tmp_path / "box", "PYTHON": tmp_path / "python", "REAL_PYTHON": sys.executable}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "box"


def on_box(*arguments, **variables: str) -> subprocess.CompletedProcess:
    """Carry folders to the machine; return what is said there."""
    environment = os.environ | variables
    return subprocess.run(
        ["bash", FOLDER / "on_box.sh", "out", *arguments], env=environment, capture_output=True, text=True
    )


def wait_for_rendering(box: Path, number: int) -> str:
    """Wait until music is rendered, half a minute at most; return what was said about it."""
    pid = int((box / f"music-{number}.pid").read_text())
    for _ in range(300):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return (box / f"music-{number}.log").read_text()
        time.sleep(0.1)
    os.killpg(pid, signal.SIGTERM)
    pytest.fail("the music was not rendered in time")


def test_a_damaged_part_is_refused(tmp_path, box):
    """And nothing of its folder is taken."""
    kit = made_up_kit(tmp_path, LAYERED)
    (kit / "1" / "b.sf2").write_bytes(b"cut short")
    done = on_box("kit/1", LEG="0")
    assert (done.returncode, done.stdout) == (1, "b.sf2: FAILED\n")
    assert done.stderr.splitlines()[-1] == "on_box.sh: kit/1: damaged on the way"
    assert list(box.iterdir()) == [box / "kit"] and not any((box / "kit").iterdir())
    done = on_box(LEG="0")
    assert (done.returncode, done.stderr) == (2, "on_box.sh: no folder of the kit was named yet\n")


def test_each_folder_is_used_as_it_comes(tmp_path, box):
    """Its soundfonts play music of its own, with another seed; then all music that there is is trained on."""
    made_up_kit(tmp_path, LAYERED)
    done = on_box("kit/1", LEG="0", SEED="5", HOURS="2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].endswith("took kit/1; rendering with b.sf2 drums.sf2")
    assert (box / "site" / "nothing.py").exists()
    wait_for_rendering(box, 0)
    done = on_box(
        *("kit/2", "--", "--batch-size", "128", "--resident"), LEG="2", FEWEST="4", SEED="5", HOURS="2", INIT="mine"
    )
    assert done.returncode == 0, done.stderr
    wait_for_rendering(box, 1)

    rendered = [line for line in (box / "told").read_text().splitlines() if "data synthesize" in line]
    for number, (line, soundfonts) in enumerate(zip(rendered, ("b.sf2 drums.sf2", "a.sf3:drums.sf2"), strict=True)):
        played = " ".join(f"--soundfont {each}" for each in soundfonts.split())
        assert line.startswith(f"-m mt3lite data synthesize {box}/music-{number} --split train --hours 2")
        assert f" --seed {5 + number} " in line and line.endswith(f" --timbres 0.7 {played}")
    (trained,) = [line for line in (box / "told").read_text().splitlines() if "mt3lite train" in line]
    started = f"-m mt3lite train --data {box}/heard.jsonl --seed 5 --gin_file=gin/small.gin --init-from mine "
    assert trained.startswith(started)
    assert f" --batch-size 128 --resident --workdir {box}/run --minutes " in trained

    out = tmp_path / "out"
    with gzip.open(out / "heard.jsonl.gz", "rt") as file:
        heard = [json.loads(line) for line in file]
    assert heard[:2] == [{"id": f"music-0/{i}", "audio": f"music-0/{i}.flac", "midi": f"music-0/{i}.mid"} for i in "12"]
    assert [each["id"] for each in heard[2:]] == ["music-1/1", "music-1/2"]
    pieces = sorted((out / "model").glob("model.safetensors*"))
    assert [path.name for path in pieces] == ["model.safetensors.00", "model.safetensors.01"]
    assert b"".join(path.read_bytes() for path in pieces) == (box / "run" / "copy").read_bytes()
    assert (out / "curve.csv").read_text() == "7,1.5\n"
    assert "training for" in (out / "log").read_text()
    assert done.stdout.splitlines()[-1].endswith("brought home: out")


def test_some_music_is_held_out(tmp_path, box):
    """Rendered first, to be there when training begins; what is told of it comes home, too."""
    made_up_kit(tmp_path, LAYERED)
    done = on_box("kit/1", LEG="0", HELD_OUT="0.1", HOURS="2")
    assert done.returncode == 0, done.stderr
    wait_for_rendering(box, 0)
    rendered = [line for line in (box / "told").read_text().splitlines() if "data synthesize" in line]
    wanted = ["--split validation --hours 0.1 --seed 0", "--split train --hours 2 --seed 0"]
    assert [line.partition("music-0 ")[2].partition(" --jobs")[0] for line in rendered] == wanted
    (box / "run").mkdir()
    (box / "run" / "validation.csv").write_text("step\n")
    done = on_box(LEG="5", FEWEST="1", INIT="mine")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "validation.csv").read_text() == "step\n"


def test_what_kept_music_from_being_rendered_is_told(tmp_path, box):
    refuses = '#!/bin/sh\ncase "$*" in *synthesize*) echo b.sf2: program 0 plays noise >&2; exit 1 ;; esac\n'
    (tmp_path / "python").write_text(refuses + 'exec "$REAL_PYTHON" "$@"\n')
    made_up_kit(tmp_path, LAYERED)
    done = on_box("kit/1", LEG="5")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-2:] == ["b.sf2: program 0 plays noise", "on_box.sh: no music was rendered"]


def test_fewer_pieces_than_wanted_do_where_no_more_come(tmp_path, box):
    made_up_kit(tmp_path, LAYERED)
    done = on_box("kit/1", LEG="5", FEWEST="1000", INIT="mine")
    assert done.returncode == 0, done.stderr
    assert "on 2 pieces" in done.stdout


def test_a_folder_without_a_whole_soundfont_is_kept(tmp_path, box):
    made_up_kit(tmp_path, [["a.sf3", "b.sf2"]])
    done = on_box("kit/1", LEG="0")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].endswith("took kit/1; with it no soundfont is whole yet")
    done = on_box("kit/2", LEG="0")
    assert done.stdout.splitlines()[-1].endswith("took kit/2; rendering with a.sf3:b.sf2")
    wait_for_rendering(box, 1)


def test_music_is_rendered_from_a_kit(tmp_path, box):
    """With the libraries of this machine: real notes, a real soundfont."""
    pytest.importorskip("fluidsynth", reason="FluidSynth and pip install 'mt3lite[synth]'", exc_type=ImportError)
    parts, midi = tmp_path / "parts", tmp_path / "sources" / "pop-piano"
    midi.mkdir(parents=True)
    parts.mkdir()
    scale = [(0.25 * i, 0.25 * i + 0.2, 60 + i, 80, 0, False) for i in range(20)]
    for name in ("a.mid", "b.mid", "c.mid"):
        notes.write_midi(notes.from_rows(scale), midi / name)
    pack.pack_folder(midi.parent, "midi", parts / "midi.tar.xz")
    shutil.copy(Path(pretty_midi.__file__).parent / "TimGM6mb.sf2", parts / "small.sf2")
    pack.fill(tmp_path / "kit", parts, ["midi.tar.xz", "small.sf2"], [["small.sf2"]], 48_000_000)
    done = on_box("kit/1", LEG="0", HOURS="0.003", JOBS="1", PYTHON=sys.executable)
    assert done.returncode == 0, done.stderr
    said = wait_for_rendering(box, 0)
    rows = [json.loads(line) for line in (box / "music-0" / "manifest.jsonl").read_text().splitlines()]
    assert f"{box}/music-0: {len(rows)} pieces" in said and rows
    assert all(soundfile.info(box / "music-0" / row["audio"]).frames > 16000 for row in rows)


# Stands in for Python: a train.sh that is run with it tells what it would run.
TELLING = """#!/usr/bin/env bash
echo "$*" >> told
"""


def test_only_training_s_music_has_other_players_and_timbres(tmp_path, monkeypatch):
    """Or scores on the music held out could not be compared."""
    monkeypatch.chdir(tmp_path)
    Path("python").write_text(TELLING)
    Path("python").chmod(0o755)
    environment = os.environ | {"PYTHON": "./python", "TIMBRES": "0.4", "ANY": "0.6"}
    subprocess.run(["bash", FOLDER / "train.sh", "work", "midi", "a.sf2"], env=environment, check=True)
    rendered = [line for line in Path("told").read_text().splitlines() if "data synthesize" in line]
    wanted = {"train": ("0.6", "0.4"), "validation": ("0.25", "0")}
    assert [line.split()[6] for line in rendered] == list(wanted)
    for line, (players, timbres) in zip(rendered, wanted.values(), strict=True):
        assert f" --any-instrument {players} --timbres {timbres} --soundfont a.sf2" in line
