from pathlib import Path

import numpy as np
import pretty_midi
import pytest

from mt3lite import notes, render
from mt3lite.errors import InputError
from mt3lite.timbre import Timbre

SOUNDFONT = Path(pretty_midi.__file__).parent / "TimGM6mb.sf2"
RATE = 16000
GUITAR, ORGAN, VIOLIN, SAXOPHONE = 24, 19, 40, 65


def played(program, pitch=69, **changes):
    """A note of a second and a half as a timbre has it, the drums' for program -1."""
    pytest.importorskip(
        "fluidsynth",
        reason="install libfluidsynth3 and pyfluidsynth (pip install mt3lite[synth])",
        exc_type=ImportError,
    )
    note = notes.from_rows([(0.0, 1.5, pitch, 90, max(program, 0), program < 0)])
    return render.render(note, SOUNDFONT, timbres={program: Timbre(**changes)} if changes else None)


def spectrum(samples):
    return np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 1 << 18))


def cents(samples, written_hz):
    """How far the fundamental of a note lies above what is written."""
    frequencies = np.arange((1 << 17) + 1) * RATE / (1 << 18)
    near = np.abs(frequencies / written_hz - 1) < 0.04
    return 1200 * np.log2(frequencies[near][spectrum(samples[3200:22400])[near].argmax()] / written_hz)


def centre_hz(samples):
    power = spectrum(samples) ** 2
    return (power * np.arange(len(power))).sum() / power.sum() * RATE / (1 << 18)


def level_db(samples):
    return 20 * np.log10(samples.std())


@pytest.mark.parametrize("displaced", [-7, -5, 5])
@pytest.mark.parametrize("program", [0, GUITAR, VIOLIN])
def test_another_keys_sample_sounds_at_the_written_pitch(program, displaced):
    plain, moved = played(program), played(program, displaced=displaced)
    assert cents(moved, 440) == pytest.approx(cents(plain, 440), abs=6)
    assert not np.array_equal(moved, plain)
    assert level_db(moved) == pytest.approx(level_db(plain), abs=6)


@pytest.mark.parametrize(("pitch", "displaced"), [(100, 40), (2, -9)])
def test_keys_stay_keys(pitch, displaced):
    within = 127 - pitch if displaced > 0 else -pitch
    np.testing.assert_array_equal(
        played(SAXOPHONE, pitch, displaced=displaced), played(SAXOPHONE, pitch, displaced=within)
    )
    assert np.abs(played(SAXOPHONE, pitch, displaced=displaced)).max() > 1e-3


def test_a_moved_key_is_let_go():
    samples = played(ORGAN, displaced=-7)
    assert samples[int(2.5 * RATE) :].std() < 0.01 * samples[:RATE].std()


def test_tuning_moves_the_pitch_and_drums_move_as_they_are_tuned():
    assert cents(played(VIOLIN, fine_tune_cents=20.0), 440) == pytest.approx(cents(played(VIOLIN), 440) + 20, abs=1)
    tom = 47
    up, plain, down = (centre_hz(played(-1, tom, **changes)) for changes in ({"displaced": 5}, {}, {"displaced": -5}))
    assert up > 1.2 * plain and down < plain / 1.2


def test_a_filter_dulls_but_a_note_stays_audible():
    dull = played(VIOLIN, filter_cents=-3000.0)
    assert centre_hz(dull) < 0.9 * centre_hz(played(VIOLIN))
    for program in (GUITAR, VIOLIN, 73, 9):
        for pitch in (60, 84, 96):
            muffled = played(program, pitch, filter_cents=-9000.0)
            assert level_db(muffled) > level_db(played(program, pitch)) - 15, (program, pitch)
    assert not np.array_equal(played(VIOLIN, filter_q_db=6.0), played(VIOLIN))


def test_a_shorter_attack_is_lengthened_and_a_longer_one_left_alone():
    def seconds_to_half(samples):
        return np.argmax(np.abs(samples) > 0.5 * np.abs(samples[:8000]).max()) / RATE

    plain, slower = played(GUITAR), played(GUITAR, attack_seconds=0.1)
    assert 0.01 < seconds_to_half(slower) - seconds_to_half(plain) < 0.1
    np.testing.assert_array_equal(played(49, attack_seconds=0.03), played(49))


def test_every_voice_of_a_chord_is_changed():
    chord = notes.from_rows([(0.0, 1.0, pitch, 90, GUITAR, False) for pitch in (60, 64, 67)])
    alone = [render.render(note[None], SOUNDFONT, timbres={GUITAR: Timbre(attack_seconds=0.1)}) for note in chord]
    together = render.render(chord, SOUNDFONT, timbres={GUITAR: Timbre(attack_seconds=0.1)})
    np.testing.assert_allclose(together, sum(alone), atol=1e-4)


def test_release_and_decay_change_how_a_note_ends():
    end = slice(int(1.55 * RATE), int(1.9 * RATE))
    assert level_db(played(48, release_cents=1200.0)[end]) > level_db(played(48)[end]) + 3
    ring = slice(int(0.7 * RATE), int(1.4 * RATE))
    assert level_db(played(GUITAR, decay_cents=-1200.0)[ring]) < level_db(played(GUITAR)[ring]) - 3


def test_vibrato_sways_the_pitch_and_tremolo_the_loudness():
    def narrowness(samples):
        near = spectrum(samples[3200:22400])[int(430 / RATE * (1 << 18)) : int(450 / RATE * (1 << 18))]
        return near.max() / near.sum()

    assert narrowness(played(ORGAN, vibrato_cents=25.0)) < 0.8 * narrowness(played(ORGAN))

    def sways(**changes):
        """Cycles in 1.2 seconds, and decibels from the softest to the loudest."""
        levels = 20 * np.log10(played(ORGAN, **changes)[4800:24000].reshape(-1, 160).std(axis=1))
        return np.abs(np.fft.rfft(levels - levels.mean())).argmax(), np.ptp(levels)

    _, steady_db = sways()
    for hz in (5.0, 7.5):
        cycles, swaying_db = sways(tremolo_db=3.0, sway_hz=hz)
        assert cycles == pytest.approx(1.2 * hz, abs=1) and swaying_db > steady_db + 1.5


def test_no_change_is_the_same_to_the_bit_and_goes_to_its_program_alone():
    np.testing.assert_array_equal(played(VIOLIN, displaced=0), played(VIOLIN))
    note = notes.from_rows([(0.0, 1.0, 60, 90, VIOLIN, False)])
    others = {GUITAR: Timbre(displaced=3), -1: Timbre(displaced=3)}
    np.testing.assert_array_equal(render.render(note, SOUNDFONT, timbres=others), render.render(note, SOUNDFONT))


def test_changed_sounds_repeat_to_the_bit():
    changes = {"displaced": 4, "filter_cents": -900.0, "attack_seconds": 0.02, "vibrato_cents": 9.0, "tremolo_db": 1.0}
    np.testing.assert_array_equal(played(VIOLIN, **changes), played(VIOLIN, **changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"filter_cents": 1.0}, r"filter_cents=1\.0.*: filter_cents must be 0 or below"),
        ({"filter_q_db": -1.0}, "filter_q_db and attack_seconds 0 or above"),
        ({"attack_seconds": -0.1}, "filter_q_db and attack_seconds 0 or above"),
        ({"sway_hz": 0.0}, "sway_hz above 0"),
        ({"decay_cents": float("nan")}, "wanted finite numbers"),
    ],
)
def test_bad_timbres(changes, message):
    with pytest.raises(InputError, match=message):
        Timbre(**changes)
