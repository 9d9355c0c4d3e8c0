"""The script that makes soundfonts of recorded notes, on made-up notes."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pretty_midi
import pytest
import soundfile

from mt3lite import notes, render

SCRIPT = Path(__file__).parents[1] / "data" / "models" / "small" / "recorded.py"
RATE = 44100


def load_script():
    spec = importlib.util.spec_from_file_location("recorded", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


recorded = load_script()


def write_note(path, frequency, silence_seconds, level):
    times = np.arange(2 * RATE) / RATE
    sound = level * np.sin(2 * np.pi * frequency * times)
    path.parent.mkdir(exist_ok=True, parents=True)
    soundfile.write(path, np.concatenate([np.zeros(int(silence_seconds * RATE)), sound]), RATE)


@pytest.fixture
def folder(tmp_path):
    write_note(tmp_path / "in" / "violin" / "A4.wav", 440.0, 0.3, 0.5)
    write_note(tmp_path / "in" / "violin" / "As5.wav", 932.33, 0.0, 0.02)
    write_note(tmp_path / "in" / "violin" / "notes.txt.wav", 100.0, 0.0, 0.5)  # no note's name
    for stroke in {stroke for kit in recorded.KITS.values() for stroke in kit.values()}:
        write_note(tmp_path / "in" / "drums" / f"{stroke}.flac", 200.0, 0.0, 0.9)
    return tmp_path


def run(*arguments):
    return subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True)


def test_samples_begin_where_they_are_heard_and_are_equally_loud(folder):
    kept = recorded.Kept(rate=24000)
    late, faint = (recorded._note(folder / "in" / "violin" / f"{name}.wav", False, kept) for name in ("A4", "As5"))
    assert late.dtype == faint.dtype == np.dtype("<i2")
    assert len(late) == pytest.approx(2 * kept.rate, abs=0.03 * kept.rate)
    middle = slice(kept.rate // 2, kept.rate)
    loud = [np.sqrt(np.mean((each[middle] / 32768) ** 2)) for each in (late, faint)]
    assert loud == pytest.approx([recorded._LOUD] * 2, rel=0.02)


def test_a_recording_longer_than_what_is_kept_fades(folder):
    kept = recorded.Kept(rate=16000, longest_seconds=1.5)
    samples = recorded._note(folder / "in" / "violin" / "A4.wav", False, kept)
    assert len(samples) == 1.5 * 16000
    loud = [np.abs(samples[int(16000 * begin) :][:800]).max() for begin in (0.4, 1.0, 1.45)]
    assert loud[0] > 1.5 * loud[1] > 3 * loud[2]


@pytest.mark.parametrize("options", [["--rate", "4000"], ["--longest", "0.5"], ["--longest", "nan"]])
def test_what_no_soundfont_can_keep_is_refused(folder, options):
    done = run(folder / "in", folder / "out.sf2", *options)
    assert done.returncode == 2
    assert f"{options[0]} {options[1]}: " in done.stderr
    assert not (folder / "out.sf2").exists()


def test_every_key_of_an_instrument_sounds_at_its_pitch_and_displaced_too(folder):
    pytest.importorskip("fluidsynth", reason="install libfluidsynth3 and pip install 'mt3lite[synth]'")
    for options in ([], ["--displaced", "12"], ["--rate", "16000", "--longest", "1.5"]):
        out = folder / "out.sf2"
        done = run(folder / "in", out, *options)
        assert (done.returncode, done.stderr) == (0, "")
        assert "6 presets" in done.stdout  # a violin and five kits
        for key in (57, 69, 88):
            samples = render.render(notes.from_rows([(0.0, 0.5, key, 100, 40, False)]), out)[800:7200]
            peak = np.abs(np.fft.rfft(samples, 1 << 16)).argmax() * 16000 / (1 << 16)
            assert peak == pytest.approx(440 * 2 ** ((key - 69) / 12), rel=0.01)
        assert np.abs(render.render(notes.from_rows([(0.0, 0.1, 38, 100, 0, True)]), out)).max() > 0.01


def test_a_program_is_played_by_the_first_layer_that_has_it(folder):
    pytest.importorskip("fluidsynth", reason="install libfluidsynth3 and pip install 'mt3lite[synth]'")
    whole = Path(pretty_midi.__file__).parent / "TimGM6mb.sf2"
    shutil.rmtree(folder / "in" / "drums")
    assert run(folder / "in", folder / "violin.sf2").returncode == 0
    layered = f"{folder / 'violin.sf2'}{os.pathsep}{whole}"
    render.check_soundfont(layered, range(128))
    for soundfont, row in ((folder / "violin.sf2", (0.0, 0.5, 69, 100, 40, False)),
                           (whole, (0.0, 0.5, 69, 100, 73, False)), (whole, (0.0, 0.1, 38, 100, 0, True))):  # fmt: skip
        played = notes.from_rows([row])
        np.testing.assert_array_equal(render.render(played, layered), render.render(played, soundfont))


def test_what_is_missing_is_left_out(folder):
    (folder / "in" / "cello").mkdir()  # without a note
    (folder / "in" / "drums" / "drum_cowbell.flac").unlink()
    done = run(folder / "in", folder / "out.sf2")
    assert (done.returncode, done.stderr) == (0, "")
    assert "6 presets" in done.stdout


def test_a_folder_without_instruments_is_refused_and_nothing_is_written(tmp_path):
    done = run(tmp_path, tmp_path / "out.sf2")
    assert done.returncode == 1
    assert "no notes in folders named as instruments: bass-electric, bassoon" in done.stderr
    assert not list(tmp_path.iterdir())
