"""Where a recording's A4 is, and that notes are then heard as if it were at 440 Hz."""

import dataclasses

import numpy as np
import pytest
import soundfile

from mt3lite import audio, config, incoming, notes, spectrogram, stopwatch, transcriber, tuning
from mt3lite.commands import sonify
from mt3lite.errors import InputError

RATE = 16000
TINY = config.preset("tiny")


def played(a4_hz: float, seconds: float = 4.0, seed: int = 0) -> np.ndarray:
    """Return broken chords of decaying notes with six overtones each."""
    rng, samples = np.random.default_rng(seed), np.zeros(round(seconds * RATE), np.float32)
    for onset in np.arange(0, len(samples) - RATE // 2, RATE // 4):
        frequency = a4_hz * 2 ** (rng.integers(-24, 15) / 12)
        time = np.arange(min(RATE, len(samples) - onset)) / RATE
        phases = rng.uniform(0, 2 * np.pi, 7)
        tone = sum(np.sin(2 * np.pi * k * frequency * time + phases[k]) / k for k in range(1, 7))
        samples[onset : onset + len(time)] += (0.1 * tone * np.exp(-3 * time)).astype(np.float32)
    return samples


def cents(a4_hz: float) -> float:
    return 1200 * np.log2(a4_hz / 440)


@pytest.mark.parametrize("off", [-45, -32, -20, 15, 30, 42])
@pytest.mark.parametrize("rate", [16000, 22050])
def test_it_is_found_within_five_cents(off, rate):
    samples = played(440 * 2 ** (off / 1200) * RATE / rate)  # the same samples at another rate are of another pitch
    assert cents(tuning.estimate(samples, rate)) == pytest.approx(off, abs=5)


@pytest.mark.parametrize("off", [-6, 0, 6])
def test_what_is_nearly_in_tune_is_taken_for_that(off):
    assert tuning.estimate(played(440 * 2 ** (off / 1200)), RATE) == 440


def test_a_semitone_off_is_in_tune():
    assert tuning.estimate(played(440 * 2 ** (-1 / 12)), RATE) == 440


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(0, np.float32),
        np.zeros(100, np.float32),
        np.zeros(5 * RATE, np.float32),
        np.full(5 * RATE, 0.5, np.float32),
        np.random.default_rng(0).normal(0, 0.1, 5 * RATE).astype(np.float32),
        1e-7 * played(430),
    ],
    ids=["none", "few", "silence", "constant", "noise", "faint"],
)
def test_what_tells_nothing_is_taken_for_in_tune(samples):
    assert tuning.estimate(samples, RATE) == 440


def test_a_rate_too_low_for_notes_tells_nothing():
    assert tuning.estimate(played(430), 100) == tuning.estimate(played(430), 3000) == 440


def test_moved_filters_see_what_those_at_440_see_of_music_in_tune():
    moved = tuning.tuned(TINY.spectrogram, 427.5)
    true, untuned, tuned = (
        spectrogram.compute(played(a4), settings)
        for a4, settings in ((440, TINY.spectrogram), (427.5, TINY.spectrogram), (427.5, moved))
    )
    loud = true > true.max() - 4
    assert np.abs(tuned - true)[loud].mean() < 0.1 < 0.3 < np.abs(untuned - true)[loud].mean()


def test_what_cannot_be_tuned_is_an_error():
    assert tuning.tuned(config.preset("mt3").spectrogram, 440) == config.preset("mt3").spectrogram
    with pytest.raises(InputError, match="442 Hz: this model's filters, in mel, stay"):
        tuning.tuned(config.preset("mt3").spectrogram, 442)
    for beyond in (0, -1, 500, np.nan, np.inf):
        with pytest.raises(InputError, match="min_frequency_hz"):
            tuning.tuned(TINY.spectrogram, beyond)


def frames_of(recording, settings=TINY, tuning_hz=None) -> tuple[np.ndarray, float]:
    sound = incoming.Sound(recording, RATE)
    frames = [each for each, _ in incoming.segments_ahead(sound, settings, stopwatch.Stopwatch(), tuning_hz)]
    return np.stack(frames), sound.tuning_hz


def test_a_recording_is_listened_to_first(tmp_path):
    samples = played(430, 12.0)
    frames, found = frames_of(samples)
    assert cents(found) == pytest.approx(cents(430), abs=5)
    np.testing.assert_array_equal(frames, frames_of(samples, tuning_hz=found)[0])
    assert not np.array_equal(frames, frames_of(samples, tuning_hz=440.0)[0])
    # A file comes in many blocks, and all of it goes on from where it was listened to.
    audio.write_wav(tmp_path / "a.wav", samples, RATE)
    of_file, found_in_file = frames_of(tmp_path / "a.wav")
    assert found_in_file == found
    np.testing.assert_array_equal(of_file, frames_of(audio.load(tmp_path / "a.wav", RATE), tuning_hz=found)[0])


def test_only_the_beginning_is_listened_to(monkeypatch):
    monkeypatch.setattr(tuning, "LISTENED_SECONDS", 6)
    first, last = played(440, 8.0), played(430, 30.0)
    whole = np.concatenate([first, last])
    assert frames_of(whole)[1] == 440 and frames_of(last)[1] < 435
    blocks = iter(np.split(whole, 19))
    monkeypatch.setattr(audio, "stream", lambda path, rate: blocks)
    assert frames_of("a.wav")[1] == 440 and next(blocks, None) is None


def test_the_ancestor_hears_as_it_did():
    frames, found = frames_of(played(430), config.preset("mt3"))
    assert found == 440
    np.testing.assert_array_equal(frames, frames_of(played(430), config.preset("mt3"), 440.0)[0])


def test_filters_that_cannot_be_moved_up_stay():
    high = dataclasses.replace(TINY.spectrogram, sample_rate=15600)
    settings = dataclasses.replace(TINY, spectrogram=high)
    samples = played(452 * RATE / 15600)
    sound = incoming.Sound(samples, 15600)
    assert tuning.estimate(samples, 15600) > 450
    assert len(list(incoming.segments_ahead(sound, settings, stopwatch.Stopwatch()))) == 2
    assert sound.tuning_hz == 440


def test_a_transcription_tells_it(tiny_folder):
    loaded = transcriber.load(tiny_folder)
    samples = played(430)
    found = loaded.transcribe(samples)
    assert cents(found.tuning_hz) == pytest.approx(cents(430), abs=5)
    assert loaded.transcribe(samples, tuning_hz=415.0).tuning_hz == 415
    assert loaded.transcribe(played(440)).tuning_hz == 440
    with pytest.raises(InputError, match="min_frequency_hz"):
        loaded.transcribe(samples, tuning_hz=600.0)


def test_notes_are_heard_as_high_as_the_recording(tmp_path):
    try:
        soundfont = sonify.check_installed(None)
    except InputError as error:
        pytest.skip(str(error))
    audio.write_wav(tmp_path / "a.wav", played(430), RATE)
    scale = notes.from_rows([(1.0 + i / 2, 1.4 + i / 2, 60 + i, 100, 0, False) for i in range(8)])
    sonify.write(scale, tmp_path / "a.wav", tmp_path / "both.wav", soundfont, 430.0)
    sound, rate = soundfile.read(tmp_path / "both.wav", dtype="float32")
    right = sound[:, 1]
    assert cents(tuning.estimate(right, rate)) == pytest.approx(cents(430), abs=6)
    assert np.argmax(np.abs(right) > 0.1) == pytest.approx(1.0 * rate, abs=0.05 * rate)


def test_the_bundled_model_finds_notes_a_quarter_tone_flat():
    loaded = transcriber.load("small")
    in_tune = loaded.transcribe(played(440, 8.0)).notes
    flat = played(428.5, 8.0)
    listening, deaf = loaded.transcribe(flat).notes, loaded.transcribe(flat, tuning_hz=440.0).notes
    assert _same(listening, in_tune) > 0.85 > 0.75 > _same(deaf, in_tune)


def _same(found: np.ndarray, wanted: np.ndarray) -> float:
    """Return the share of notes that are as wanted in pitch and, to 50 ms, onset."""
    near = np.abs(found["onset"][:, None] - wanted["onset"]) < 0.05
    return float((near & (found["pitch"][:, None] == wanted["pitch"])).any(axis=0).mean())
