"""The script that makes soundfonts of recorded notes, on made-up notes."""

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

FOLDER = Path(__file__).parents[1] / "data" / "models" / "small"
sys.path.insert(0, str(FOLDER))
import recorded  # noqa: E402

sys.path.remove(str(FOLDER))

SCRIPT = FOLDER / "recorded.py"
RATE = 44100


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
    for key in (36, 38, 42, 46):
        write_note(tmp_path / "in" / "kit-0" / f"{key}v1.wav", 200.0, 0.0, 0.1)
        write_note(tmp_path / "in" / "kit-0" / f"{key}v2.wav", 800.0, 0.0, 0.9)
        write_note(tmp_path / "in" / "kit-25" / f"{key}v1.wav", 1500.0, 0.0, 0.9)
    return tmp_path


def run(*arguments):
    return subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True)


def note(path, pitch, kept, plucked=False, let_go=True):
    return recorded._note(path, pitch, plucked, let_go, kept)


def test_samples_begin_where_they_are_heard_and_are_equally_loud(folder):
    kept = recorded.Kept(rate=24000)
    violin = folder / "in" / "violin"
    late, faint = (note(violin / f"{name}.wav", key, kept).values for name, key in (("A4", 69), ("As5", 82)))
    assert late.dtype == faint.dtype == np.dtype("<i2")
    assert len(late) == pytest.approx(2 * kept.rate, abs=0.03 * kept.rate)
    middle = slice(kept.rate // 2, kept.rate)
    loud = [np.sqrt(np.mean((each[middle] / 32768) ** 2)) for each in (late, faint)]
    assert loud == pytest.approx([recorded._LOUD] * 2, rel=0.02)


@pytest.mark.parametrize("let_go", [False, True])
def test_a_steady_note_goes_on_in_a_loop(tmp_path, let_go):
    write_note(tmp_path / "A4.wav", 440.0, 0.0, 0.5)
    kept = recorded.Kept(rate=16000, longest_seconds=1.5)
    sample = note(tmp_path / "A4.wav", 69, kept, let_go=let_go)
    end = len(sample.values) - recorded._BEHIND
    assert end == pytest.approx(1.5 * 16000, abs=600)
    np.testing.assert_array_equal(sample.values[end:], sample.values[sample.loop :][: recorded._BEHIND])
    lasting = np.append(sample.values[:end], np.tile(sample.values[sample.loop : end], 8))[4000:].astype(float)
    # A sine all along: nothing is left when it is taken away, wherever the loop begins anew.
    phases = 2 * np.pi * 440 / 16000 * np.arange(len(lasting))
    bases = np.stack([np.sin(phases), np.cos(phases)], axis=1)
    pieces = [slice(i, i + 1600) for i in range(0, len(lasting) - 1600, 800)]
    for piece in pieces:
        left = lasting[piece] - bases[piece] @ np.linalg.lstsq(bases[piece], lasting[piece], rcond=None)[0]
        assert np.std(left) < 0.1 * np.std(lasting)


def test_a_note_that_rings_off_is_not_looped_and_what_was_let_go_is_left_out(tmp_path):
    kept, times = recorded.Kept(rate=16000, longest_seconds=3.0), np.arange(5 * RATE) / RATE
    tone = 0.5 * np.sin(2 * np.pi * 440 * times)
    soundfile.write(tmp_path / "rings.wav", tone * np.exp(-2 * times), RATE)
    soundfile.write(tmp_path / "let-go.wav", tone * np.exp(-20 * np.maximum(0, times - 1)), RATE)
    rings = note(tmp_path / "rings.wav", 69, kept, let_go=False)
    assert rings.loop is None
    assert len(rings.values) == pytest.approx(3 * 16000, abs=20)
    let_go = note(tmp_path / "let-go.wav", 69, kept)
    assert let_go.loop is not None
    assert len(let_go.values) == pytest.approx(16000, abs=1100)


def test_a_recording_longer_than_what_is_kept_fades(folder):
    kept = recorded.Kept(rate=16000, longest_seconds=1.5)
    sample = note(folder / "in" / "violin" / "A4.wav", 69, kept, plucked=True)
    samples = sample.values
    assert sample.loop is None
    assert len(samples) == pytest.approx(1.5 * 16000, abs=20)  # but for what tuning makes of it
    loud = [np.abs(samples[int(16000 * begin) :][:800]).max() for begin in (0.4, 1.0, 1.45)]
    assert loud[0] > 1.5 * loud[1] > 3 * loud[2]


@pytest.mark.parametrize("cents", [-180, 35, 147])
def test_a_note_that_is_out_of_tune_is_tuned(tmp_path, cents):
    write_note(tmp_path / "E4.wav", 440 * 2 ** (-5 / 12 + cents / 1200), 0.0, 0.5)
    samples = note(tmp_path / "E4.wav", 64, recorded.Kept(rate=24000)).values[:24000]
    peak = np.abs(np.fft.rfft(samples * np.hanning(24000), 1 << 18)).argmax() * 24000 / (1 << 18)
    assert 1200 * np.log2(peak / 440) == pytest.approx(-500, abs=4)


def test_a_note_with_another_name_is_left_as_it_sounds(tmp_path):
    write_note(tmp_path / "A4.wav", 440.0, 0.0, 0.5)
    kept = recorded.Kept(rate=24000)
    np.testing.assert_array_equal(
        note(tmp_path / "A4.wav", 64, kept).values, note(tmp_path / "A4.wav", 74, kept).values
    )


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
        assert "7 presets" in done.stdout  # a violin, a kit under five numbers, and another
        for key in (57, 69, 88):
            samples = render.render(notes.from_rows([(0.0, 0.5, key, 100, 40, False)]), out)[800:7200]
            peak = np.abs(np.fft.rfft(samples, 1 << 16)).argmax() * 16000 / (1 << 16)
            assert peak == pytest.approx(440 * 2 ** ((key - 69) / 12), rel=0.01)


def test_what_is_bowed_sounds_as_long_as_it_is_played_and_a_program_has_its_own_notes(folder):
    pytest.importorskip("fluidsynth", reason="install libfluidsynth3 and pip install 'mt3lite[synth]'")
    shutil.copytree(folder / "in" / "violin", folder / "in" / "piano")
    write_note(folder / "in" / "program-73" / "A4.wav", 880.0, 0.0, 0.5)  # an octave above what its name says
    assert run(folder / "in", folder / "out.sf2").returncode == 0
    loud, peaks = {}, {}
    for program in (0, 40, 73):
        samples = render.render(notes.from_rows([(0.0, 8.0, 69, 100, program, False)]), folder / "out.sf2")
        loud[program] = np.std(samples[7 * 16000 :][:8000]) / np.std(samples[16000:][:8000])
        peaks[program] = np.abs(np.fft.rfft(samples[:16000])).argmax()
    assert loud[0] < 0.01
    assert loud[40] == pytest.approx(1, abs=0.1)
    assert loud[73] == pytest.approx(1, abs=0.1)
    assert peaks == {0: pytest.approx(440, abs=3), 40: pytest.approx(440, abs=3), 73: pytest.approx(880, abs=3)}


def test_strokes_are_of_the_kit_and_as_hard_as_they_are_played(folder):
    pytest.importorskip("fluidsynth", reason="install libfluidsynth3 and pip install 'mt3lite[synth]'")
    assert run(folder / "in", folder / "out.sf2").returncode == 0
    for kit, velocity, frequency in ((0, 60, 200), (0, 100, 800), (40, 100, 800), (25, 60, 1500), (25, 100, 1500)):
        stroke = notes.from_rows([(0.0, 0.1, 38, velocity, 0, True)])
        config = render.RenderConfig(drum_kit=kit)
        samples = render.render(stroke, folder / "out.sf2", config)[400:3200]
        peak = np.abs(np.fft.rfft(samples, 1 << 16)).argmax() * 16000 / (1 << 16)
        assert peak == pytest.approx(frequency, rel=0.03)


def test_a_program_is_played_by_the_first_layer_that_has_it(folder):
    pytest.importorskip("fluidsynth", reason="install libfluidsynth3 and pip install 'mt3lite[synth]'")
    whole = Path(pretty_midi.__file__).parent / "TimGM6mb.sf2"
    for kit in ("kit-0", "kit-25"):
        shutil.rmtree(folder / "in" / kit)
    assert run(folder / "in", folder / "violin.sf2").returncode == 0
    layered = f"{folder / 'violin.sf2'}{os.pathsep}{whole}"
    render.check_soundfont(layered, range(128))
    for soundfont, row in ((folder / "violin.sf2", (0.0, 0.5, 69, 100, 40, False)),
                           (whole, (0.0, 0.5, 69, 100, 73, False)), (whole, (0.0, 0.1, 38, 100, 0, True))):  # fmt: skip
        played = notes.from_rows([row])
        np.testing.assert_array_equal(render.render(played, layered), render.render(played, soundfont))


def test_what_is_missing_is_left_out(folder):
    (folder / "in" / "cello").mkdir()  # without a note
    (folder / "in" / "kit-0" / "42v1.wav").unlink()
    done = run(folder / "in", folder / "out.sf2")
    assert (done.returncode, done.stderr) == (0, "")
    assert "7 presets" in done.stdout


def test_a_folder_without_instruments_is_refused_and_nothing_is_written(tmp_path):
    done = run(tmp_path, tmp_path / "out.sf2")
    assert done.returncode == 1
    assert "no notes in folders named as instruments: banjo, bass-electric" in done.stderr
    assert not list(tmp_path.iterdir())
