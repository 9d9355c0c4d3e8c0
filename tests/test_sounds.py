"""The scripts that lay out recorded notes and strokes and make voices, on made-up sources."""

import subprocess
import sys
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile

FOLDER = Path(__file__).parents[1] / "data" / "models" / "small"
sys.path.insert(0, str(FOLDER))
import gather  # noqa: E402
import recorded  # noqa: E402
import voices  # noqa: E402

sys.path.remove(str(FOLDER))


def run(script, *arguments):
    return subprocess.run([sys.executable, FOLDER / script, *map(str, arguments)], capture_output=True, text=True)


def write(path, samples, rate=22050):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate)


def test_notes_are_found_by_number_and_by_name_in_english_and_german(tmp_path):
    iowa = tmp_path / "in" / gather._IOWA
    for name in ("trumpet/trumpet-ff-cis5", "trumpet/trumpet-ff-h4", "violin/a-note-69", "violin/e-note-69"):
        write(iowa / f"{name}.flac", np.zeros(100))
    write(tmp_path / "in" / gather._GENERAL / "VS_PizzStr_C3.wav", np.zeros(100))  # an octave below its name
    done = run("gather.py", tmp_path / "in", tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
    assert "no notes of viola; going on without it" in done.stdout
    found = {path.relative_to(tmp_path / "out").as_posix(): path.resolve().name for path in tmp_path.rglob("out/*/*/*")}
    assert found == {
        "iowa/trumpet/C#5.flac": "trumpet-ff-cis5.flac",
        "iowa/trumpet/B4.flac": "trumpet-ff-h4.flac",
        "iowa/violin/A4.flac": "a-note-69.flac",
        "iowa/pizzicato/C4.wav": "VS_PizzStr_C3.wav",
    }
    assert recorded._recorded(tmp_path / "out" / "iowa" / "trumpet").keys() == {71, 73}


def test_instruments_have_the_names_that_programs_are_played_with():
    played = {name for choices in recorded.PROGRAMS.values() for players in choices for name, _ in players}
    gathered = {instrument for _, instrument, *_ in gather.NOTES}
    assert gathered | set(voices.INSTRUMENTS) <= played
    assert played - gathered - set(voices.INSTRUMENTS) == {"organ", "harmonium", "xylophone"}  # of tonejs-instruments


def stroke(level, seconds=0.4, before=0.1):
    times = np.arange(int(seconds * 22050)) / 22050
    return np.concatenate([np.zeros(int(before * 22050)), level * np.sin(2 * np.pi * 300 * times) * np.exp(-9 * times)])


def test_a_kit_has_layers_by_loudness_that_begin_at_once(tmp_path):
    folder = tmp_path / "in" / "freepats+muldjordkit" / "samples"
    for take, level in enumerate((0.5, 0.05, 0.2, 0.8, 0.1, 0.3)):
        write(folder / "Snare1" / f"{take}.flac", stroke(level))
    write(folder / "HihatClosed" / "1.flac", stroke(0.02))
    done = run("kits.py", tmp_path / "in", tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
    kit = tmp_path / "out" / "muldjord" / "kit-0"
    assert sorted(path.name for path in kit.iterdir()) == ["38v1.wav", "38v2.wav", "38v3.wav", "42v1.wav"]
    peaks = {}
    for path in kit.iterdir():
        samples, rate = soundfile.read(path)
        peaks[path.stem] = np.abs(samples).max()
        assert np.argmax(np.abs(samples) > 0.5 * peaks[path.stem]) < 0.004 * rate
    # Of three shares of six strokes the louder ones; the kit as a whole is as loud as a snare is to be.
    assert [peaks[f"38v{layer}"] for layer in (1, 2, 3)] == pytest.approx([0.1125, 0.3375, 0.9], rel=0.05)
    assert peaks["42v1"] == pytest.approx(0.08, rel=0.05)


def test_without_strokes_there_are_no_kits_and_other_kits_are_not_added_to(tmp_path):
    done = run("kits.py", tmp_path, tmp_path / "out")
    assert done.returncode == 1
    assert "no strokes in folders named as" in done.stderr
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    assert run("kits.py", tmp_path, tmp_path / "out").returncode == 2


def note(name, seed, pitch, seconds=1.0):
    rng = np.random.default_rng(seed)
    instrument = voices.drawn(voices.INSTRUMENTS[name][2], rng)
    times = np.arange(int(seconds * 22050)) / 22050
    played = voices.Note(440 * 2 ** ((pitch - 69) / 12), 22050, times, rng)
    return voices._finished(instrument.play(played), 22050)


@pytest.mark.parametrize("name", voices.INSTRUMENTS)
def test_voices_sound_at_once_and_at_their_pitch(name):
    low, high, _ = voices.INSTRUMENTS[name]
    pitch = (low + high) // 2
    samples = note(name, 5, pitch)
    assert np.isfinite(samples).all()
    assert np.abs(samples).max() == pytest.approx(0.9, abs=0.01)
    loud = librosa.feature.rms(y=samples[:22050], frame_length=1024, hop_length=256)[0]
    assert loud[: int(0.15 * 22050) // 256].max() > 0.25 * loud.max()
    if name != "tubular-bells":  # whose pitch no partial has
        spectrum = np.abs(np.fft.rfft(samples[:22050] * np.hanning(len(samples[:22050])), 1 << 17))
        hz = np.fft.rfftfreq(1 << 17, 1 / 22050)
        peaks = np.flatnonzero((spectrum[1:-1] > spectrum[:-2]) & (spectrum[1:-1] > spectrum[2:])) + 1
        strong = hz[peaks[spectrum[peaks] > 0.1 * spectrum.max()]]
        fundamental = 440 * 2 ** ((pitch - 69) / 12)
        assert min(abs(1200 * np.log2(strong / (fundamental * n))).min() for n in (1, 2, 3)) < 25


def test_seeds_differ_and_repeat():
    same, again, other = note("organ-drawbar", 1, 60), note("organ-drawbar", 1, 60), note("organ-drawbar", 2, 60)
    np.testing.assert_array_equal(same, again)
    assert len(same) != len(other) or not np.allclose(same, other)


def test_a_bank_of_voices_has_a_file_for_each_note(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(voices, "INSTRUMENTS", {"harp": voices.INSTRUMENTS["harp"]})
    monkeypatch.setattr(sys, "argv", ["voices.py", str(tmp_path), "--seed", "3"])
    voices.main()
    assert len(recorded._recorded(tmp_path / "harp")) == 18
    assert "1 instruments" in capsys.readouterr().out


@pytest.mark.parametrize("options", [["--seed", "-1"], ["--seed", "1", "--rate", "8000"]])
def test_voices_refuse_what_they_cannot_play(tmp_path, options):
    done = run("voices.py", tmp_path / "out", *options)
    assert done.returncode == 2
    assert f"{options[-2]} {options[-1]}: " in done.stderr
    assert not (tmp_path / "out").exists()
