import collections
import os
from pathlib import Path

import numpy as np
import pretty_midi
import pytest

from mt3lite import notes, render
from mt3lite.errors import InputError

pytest.importorskip(
    "fluidsynth",
    reason="install libfluidsynth3 and pyfluidsynth (pip install mt3lite[synth])",
    exc_type=ImportError,
)
SOUNDFONT = Path(pretty_midi.__file__).parent / "TimGM6mb.sf2"
RATE = 16000


def level(samples, start_seconds, end_seconds):
    return float(np.sqrt(np.mean(samples[int(start_seconds * RATE) : int(end_seconds * RATE)] ** 2)))


def strongest_frequency(samples):
    return np.argmax(np.abs(np.fft.rfft(samples * np.hanning(len(samples))))) * RATE / len(samples)


def test_a_note_sounds_at_its_time_and_pitch():
    samples = render.render(notes.from_rows([(1.0, 2.0, 69, 100, 73, False)]), SOUNDFONT)
    assert samples.dtype == np.float32
    assert samples.shape == (int(3.5 * RATE),)
    assert np.abs(samples[: int(0.998 * RATE)]).max() < 1e-4
    first_sound = np.argmax(np.abs(samples) > 0.02 * np.abs(samples).max()) / RATE
    assert 1.0 <= first_sound < 1.02
    assert strongest_frequency(samples[int(1.2 * RATE) : int(1.9 * RATE)]) == pytest.approx(440, abs=4)
    assert level(samples, 3.0, 3.5) < 0.01 * level(samples, 1.2, 1.9)


def test_same_arguments_give_the_same_samples_and_order_does_not_matter():
    some = notes.from_rows([(0.1 * i, 0.1 * i + 0.3, 50 + i, 90, 5 * i, i % 4 == 0) for i in range(12)])
    config = render.RenderConfig(reverb=0.5, chorus=0.5)
    first = render.render(some, SOUNDFONT, config)
    np.testing.assert_array_equal(first, render.render(some[::-1], SOUNDFONT, config))


def test_velocity_and_volume_change_the_level():
    def played(velocity, volumes_db=None):
        samples = render.render(notes.from_rows([(0, 1, 60, velocity, 19, False)]), SOUNDFONT, volumes_db=volumes_db)
        return level(samples, 0.2, 0.9)

    assert played(110) > 1.5 * played(50)
    assert 20 * np.log10(played(80, {19: -6.0}) / played(80)) == pytest.approx(-6.0, abs=0.3)
    assert 20 * np.log10(played(80, {19: 6.0}) / played(80)) == pytest.approx(6.0, abs=0.3)


def test_each_of_forty_programs_sounds():
    programs = np.arange(0, 80, 2)
    some = notes.from_rows([(0.5 * i, 0.5 * i + 0.4, 60, 100, int(p), False) for i, p in enumerate(programs)])
    samples = render.render(some, SOUNDFONT)
    assert all(level(samples, 0.5 * i, 0.5 * i + 0.4) > 1e-3 for i in range(len(programs)))


def test_programs_do_not_end_each_others_notes():
    alone = render.render(notes.from_rows([(0, 2, 60, 100, 16, False)]), SOUNDFONT)
    both = render.render(notes.from_rows([(0, 2, 60, 100, 16, False), (0, 0.5, 60, 100, 0, False)]), SOUNDFONT)
    assert level(both, 1.5, 1.9) > 0.8 * level(alone, 1.5, 1.9)


def test_a_struck_key_sounds_on_past_the_end_of_its_former_note():
    overlapping = [(0.0, 1.0, 60, 100, 16, False), (0.5, 3.0, 60, 100, 16, False)]
    samples = render.render(notes.from_rows(overlapping), SOUNDFONT)
    assert level(samples, 1.5, 2.5) > 0.5 * level(samples, 0.6, 0.9)


def test_drums_ring_however_short_they_are_written():
    short, long = (
        render.render(notes.from_rows([(0, seconds, 49, 100, 0, True)]), SOUNDFONT) for seconds in (0.01, 1.0)
    )
    np.testing.assert_array_equal(short[:RATE], long[:RATE])
    assert level(short, 0.3, 0.6) > 1e-3


def test_an_unknown_drum_kit_falls_back_to_the_standard_kit():
    drums = notes.from_rows([(0, 0.1, 38, 100, 0, True)])
    expected = render.render(drums, SOUNDFONT)
    np.testing.assert_array_equal(render.render(drums, SOUNDFONT, render.RenderConfig(drum_kit=117)), expected)


def test_reverb_rings_after_the_note_and_chorus_changes_it():
    note = notes.from_rows([(0, 0.5, 60, 100, 16, False)])
    dry, wet, moving = (
        render.render(note, SOUNDFONT, config)
        for config in (render.RenderConfig(), render.RenderConfig(reverb=0.8), render.RenderConfig(chorus=0.8))
    )
    assert level(wet, 0.9, 1.4) > 10 * level(dry, 0.9, 1.4)
    assert not np.array_equal(moving, dry)


def test_nothing_above_half_the_rate_folds_back():
    # Sample rate 16000: the closed hi-hat has most of its energy above 8 kHz. A render at 48 kHz tells how much of it
    # lies below 7 kHz; folded energy would add to it.
    hat = notes.from_rows([(0, 0.1, 42, 100, 0, True)])

    def energy_below_7_khz(rate):
        samples = render.render(hat, SOUNDFONT, render.RenderConfig(sample_rate=rate))
        spectrum = np.abs(np.fft.rfft(samples)) ** 2 / rate**2
        return spectrum[: int(7000 * len(samples) / rate)].sum()

    assert energy_below_7_khz(16000) == pytest.approx(energy_below_7_khz(48000), rel=0.15)


@pytest.mark.parametrize("rate", [2000, 44100, 96000])
def test_other_sample_rates(rate):
    note = notes.from_rows([(0.0, 1.0, 69, 100, 73, False)])
    samples = render.render(note, SOUNDFONT, render.RenderConfig(sample_rate=rate))
    assert len(samples) == pytest.approx(2.5 * rate, abs=1)
    sounding = samples[: int(0.9 * rate)]
    loudest = np.argmax(np.abs(np.fft.rfft(sounding * np.hanning(len(sounding)))))
    assert loudest * rate / len(sounding) == pytest.approx(440, abs=4)


def test_loud_music_is_turned_down_to_full_scale():
    chord = notes.from_rows([(0, 1, pitch, 127, 16, False) for pitch in range(40, 80)])
    samples = render.render(chord, SOUNDFONT, render.RenderConfig(gain=5.0))
    assert np.abs(samples).max() == pytest.approx(1.0)


def test_no_notes_give_silence():
    samples = render.render(notes.empty(), SOUNDFONT, render.RenderConfig(tail_seconds=0.25))
    assert samples.shape == (4000,)
    assert not samples.any()


def test_missing_soundfont():
    with pytest.raises(InputError, match=r"nowhere\.sf2: no such soundfont; give the path"):
        render.render(notes.empty(), "nowhere.sf2")


def test_file_that_is_no_soundfont(tmp_path):
    path = tmp_path / "text.sf2"
    path.write_text("not a soundfont")
    with pytest.raises(InputError, match=r"text\.sf2: FluidSynth cannot read this soundfont"):
        render.render(notes.empty(), path)


def test_layers_are_named_by_their_files():
    assert render.name(SOUNDFONT) == "TimGM6mb.sf2"
    assert render.name(os.pathsep.join(("there/a.sf2", "b.sf3"))) == "a.sf2 over b.sf3"


def test_a_missing_layer_is_named_alone(tmp_path):
    with pytest.raises(InputError, match=r"^\S*none\.sf2: no such soundfont"):
        render.check_soundfont(f"{SOUNDFONT}{os.pathsep}{tmp_path / 'none.sf2'}", range(128))


def test_missing_fluidsynth_names_the_cure(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "fluidsynth", None)
    with pytest.raises(InputError, match=r"pip install 'mt3lite\[synth\]'"):
        render.render(notes.empty(), SOUNDFONT)


def test_samples_kept_from_piece_to_piece_change_nothing_and_are_bounded(monkeypatch):
    monkeypatch.setattr(render, "_keepers", collections.OrderedDict())
    monkeypatch.setattr(render, "_KEPT_PRESETS", 2)
    pieces = [notes.from_rows([(0, 0.2, 60, 100, program, False)]) for program in (0, 16, 24, 0)]
    first, *_, again = (render.render(piece, SOUNDFONT) for piece in pieces)
    np.testing.assert_array_equal(first, again)
    (keeper,) = render._keepers.values()
    assert list(keeper._pinned) == [(0, 24), (0, 0)]


def test_parts_are_as_long_as_the_whole_and_sum_up_to_it():
    rows = [(0.0, 1.0, 60, 100, 0, False), (0.5, 2.0, 64, 100, 40, False), (0.2, 0.3, 38, 100, 0, True)]
    config = render.RenderConfig(reverb=0.5, chorus=0.5, gain=2.0)
    parts = render.render_parts([notes.from_rows([row]) for row in rows], SOUNDFONT, config, volumes_db={40: -3.0})
    whole = render.render(notes.from_rows(rows), SOUNDFONT, config, volumes_db={40: -3.0})
    assert parts.shape == (3, len(whole)) and parts.dtype == np.float32
    np.testing.assert_allclose(parts.sum(axis=0) / np.abs(parts.sum(axis=0)).max(), whole / whole.max(), atol=0.02)
    assert np.abs(parts).max() <= 1 and np.abs(parts.sum(axis=0)).max() <= 1 + 1e-6


def test_a_soundfont_that_lacks_instruments_is_refused(monkeypatch):
    render.check_soundfont(SOUNDFONT, range(128))
    has_preset = render._Synth.has_preset
    monkeypatch.setattr(
        render._Synth, "has_preset", lambda self, bank, p: p not in (3, 7) and has_preset(self, bank, p)
    )
    with pytest.raises(InputError, match=r"TimGM6mb\.sf2: the soundfont lacks the General MIDI programs 3, 7$"):
        render.check_soundfont(SOUNDFONT, range(128))
