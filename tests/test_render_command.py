"""``mt3lite render``, by its command line."""

from pathlib import Path

import numpy as np
import pretty_midi
import pytest
import soundfile

from mt3lite import cli, notes

pytest.importorskip(
    "fluidsynth",
    reason="install libfluidsynth3 and pyfluidsynth (pip install mt3lite[synth])",
    exc_type=ImportError,
)
SOUNDFONT = Path(pretty_midi.__file__).parent / "TimGM6mb.sf2"


@pytest.fixture
def folder(tmp_path):
    notes.write_midi(notes.from_rows([(0.5, 1.5, 69, 100, 73, False)]), tmp_path / "a.mid")
    pretty_midi.PrettyMIDI().write(str(tmp_path / "empty.mid"))
    notes.write_midi(notes.from_rows([(0.5, 20_000.0, 69, 100, 73, False)]), tmp_path / "long.mid")
    (tmp_path / "text.sf2").write_text("no soundfont")
    (tmp_path / "text.mid").write_text("no MIDI")
    (tmp_path / "old.wav").write_text("here before")
    return tmp_path


def run(folder, midi, wav, *more, soundfont=SOUNDFONT):
    return cli.main(["render", str(folder / midi), str(folder / wav), "--soundfont", str(soundfont), *more])


def test_a_midi_file_is_played(folder, capsys):
    assert run(folder, "a.mid", "a.wav", "--rate", "16000") == 0
    samples, rate = soundfile.read(folder / "a.wav")
    assert rate == 16000 and samples.shape == (48000,)
    spectrum = np.abs(np.fft.rfft(samples[9600:22400]))
    assert np.argmax(spectrum) * 16000 / 12800 == pytest.approx(440, abs=4)
    assert "a.wav: 3.0 s, 1 notes, TimGM6mb.sf2" in capsys.readouterr().out


def test_what_exists_is_replaced_only_when_told(folder, capsys):
    assert run(folder, "a.mid", "old.wav") == 1
    assert "old.wav: exists already; give --overwrite" in capsys.readouterr().err
    assert (folder / "old.wav").read_text() == "here before"
    assert run(folder, "a.mid", "old.wav", "--overwrite") == 0
    assert soundfile.info(folder / "old.wav").samplerate == 44100


@pytest.mark.parametrize(
    ("midi", "wav", "soundfont", "message"),
    [
        ("nowhere.mid", "b.wav", SOUNDFONT, "nowhere.mid: no such file"),
        ("text.mid", "b.wav", SOUNDFONT, "text.mid: not a readable MIDI file"),
        ("empty.mid", "b.wav", SOUNDFONT, "empty.mid: there are no notes in it"),
        ("long.mid", "b.wav", SOUNDFONT, "long.mid: lasts 5.6 hours; 3 are most"),
        ("a.mid", "b.wav", "text.sf2", "text.sf2: FluidSynth cannot read this soundfont"),
        ("a.mid", "b.wav", "nowhere.sf2", "nowhere.sf2: no such soundfont"),
        ("a.mid", "missing/b.wav", SOUNDFONT, "missing/b.wav: cannot be written: there is no folder"),
    ],
)
def test_bad_input_is_one_clear_line(folder, capsys, midi, wav, soundfont, message):
    assert run(folder, midi, wav, soundfont=folder / soundfont) == 1
    said = capsys.readouterr()
    assert message in said.err and said.err.count("\n") == 1 and said.out == ""
    assert not (folder / "b.wav").exists()


@pytest.mark.parametrize(
    ("wav", "more", "message"),
    [("b.mp3", [], "give it the suffix .wav"), ("b.wav", ["--rate", "9"], "--rate 9: from 2000 to 192000 Hz")],
)
def test_wrong_usage(folder, capsys, wav, more, message):
    with pytest.raises(SystemExit, match="2"):
        run(folder, "a.mid", wav, *more)
    assert message in capsys.readouterr().err
