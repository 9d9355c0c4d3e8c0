"""The script that plays a dataset once more with FreePats."""

import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tones import RATE, tone_track

from mt3lite import notes
from mt3lite.training import datasets

SCRIPT = Path(__file__).parents[1] / "data" / "models" / "small" / "freepats.py"
PATCHES = Path("/etc/timidity/freepats.cfg")


def run(*arguments):
    return subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True)


@pytest.fixture
def dataset(tmp_path):
    """A piano's notes, some of a harp, and a piece of an instrument that the patches of these tests lack."""
    rows = [(0.5 + 0.5 * i, 0.9 + 0.5 * i, 60 + i, 80, 46 * (i % 2), False) for i in range(6)]
    folder = tmp_path / "rendered"
    folder.mkdir()
    tracks = [
        tone_track(folder, "a", [*rows, (1.0, 1.05, 38, 90, 0, True)]),
        tone_track(folder, "b", [(0.1, 1.0, 48, 64, 120, False)]),
    ]
    datasets.write_manifest(tracks, folder)
    return folder


@pytest.mark.parametrize("program, player", [(0, 0), (5, 0), (40, 40), (44, 44), (46, 40), (41, 44), (120, None)])
def test_who_plays_in_place_of_one(program, player):
    assert runpy.run_path(str(SCRIPT))["stand_in"](program, [0, 40, 44]) == player


def test_a_family_without_patches_is_left_out_and_others_stand_in(dataset, tmp_path):
    if not shutil.which("timidity"):
        pytest.skip("needs TiMidity: apt-get install timidity freepats")
    if not PATCHES.is_file():
        pytest.skip(f"needs {PATCHES}: apt-get install freepats")
    patches = tmp_path / "some.cfg"
    # The piano's and the violin's, so that the violin stands in for the harp.
    lines = PATCHES.read_text().splitlines()
    wanted = [line for line in lines if not line.strip()[:1].isdigit() or line.split()[0] in ("0", "40")]
    patches.write_text("\n".join(["dir /usr/share/midi/freepats", *wanted]) + "\n")
    done = run(dataset, tmp_path / "out", "--patches", patches)
    assert (done.returncode, done.stderr) == (0, "b is left out: no patches for it\n")
    (track,) = datasets.read_manifest(tmp_path / "out")
    played = notes.read_midi(track.midi)
    assert sorted(set(played["program"][~played["is_drum"]].tolist())) == [0, 40] and played["is_drum"].sum() == 1
    samples, rate = soundfile.read(track.audio)
    assert rate == RATE and len(samples) == pytest.approx(track.duration_seconds * RATE, abs=1)
    assert np.abs(samples).max() == pytest.approx(0.7, abs=0.001)
    assert not samples[: int(0.45 * RATE)].any() and np.abs(samples[int(0.5 * RATE) : RATE]).max() > 0.05


def test_no_patches_are_one_line(dataset, tmp_path):
    done = run(dataset, tmp_path / "out", "--patches", tmp_path / "none.cfg")
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "none.cfg" in done.stderr
    assert not (tmp_path / "out").exists()
