"""Examples, on a corpus of sine tones: what they tell, and what each change does to their sound."""

import dataclasses

import numpy as np
import pytest
import soundfile
import soxr
import tones

from mt3lite import codec, config, notes, segments, vocabulary
from mt3lite.training import datasets, examples, losses

TINY = config.preset("tiny")
RATE = TINY.spectrogram.sample_rate


@pytest.fixture(scope="module")
def tracks(tmp_path_factory):
    return tones.two_tracks(tmp_path_factory.mktemp("corpus"))


def test_read_span_is_zero_outside_the_file(tracks):
    """Samples before the start and after the end are zeros, the others the file's."""
    whole, _ = soundfile.read(tracks[0].audio, dtype="float32")
    span = examples.read_span(tracks[0].audio, -100, len(whole) + 50, RATE)
    assert not span[:100].any() and not span[-50:].any()
    np.testing.assert_array_equal(span[100:-50], whole)


@pytest.mark.parametrize("file_rate", [44100, 48000, 8000])
def test_read_span_of_another_rate_is_the_conversion_of_the_whole(tmp_path, file_rate):
    noise = np.random.default_rng(0).normal(0, 0.1, (3 * file_rate, 2)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", noise, file_rate, subtype="FLOAT")
    whole = soxr.resample(noise.mean(axis=1), file_rate, RATE, quality="HQ")
    for start, stop in ((100, 20_000), (7_001, 7_002), (16_000, 47_900)):
        span = examples.read_span(tmp_path / "a.wav", start, stop, RATE)
        assert span.dtype == np.float32
        np.testing.assert_allclose(span, whole[start:stop], atol=1e-6)
    outside = examples.read_span(tmp_path / "a.wav", -3_000, 0, RATE)
    assert outside.shape == (3_000,) and np.abs(outside[:-500]).max() < 1e-4


def test_a_crop_of_a_track_of_stems_is_their_sum(tracks, tmp_path):
    half = tmp_path / "half.wav"
    soundfile.write(half, 0.5 * soundfile.read(tracks[0].audio)[0], RATE, subtype="FLOAT")
    stems = (datasets.Stem(tracks[0].audio), datasets.Stem(half))
    summed = dataclasses.replace(tracks[0], audio=None, stems=stems)
    settings = config.preset("tiny")
    samples, played = examples.crop(tracks[0], settings, np.random.default_rng(5))
    both, same = examples.crop(summed, settings, np.random.default_rng(5))
    assert np.abs(samples).max() > 0.01
    np.testing.assert_allclose(both, 1.5 * samples, atol=1e-4)
    assert (same == played).all()


def test_an_example_tells_its_notes(tracks):
    """Without augmentation the tokens decode to the notes of the crop, rounded to steps."""
    rng = np.random.default_rng(5)
    for _ in range(20):
        example = examples.make(tracks, TINY, None, rng)
        start, stop = segments.sample_span(0, TINY.spectrogram, TINY.segments)
        assert example.samples.shape == (stop - start,) and example.samples.dtype == np.float32
        words = vocabulary.Vocabulary(TINY.vocabulary)
        decoder = codec.SegmentDecoder(words, TINY.codec)
        decoder.decode(example.tokens, start_step=0, end_step=TINY.segment_steps)
        new = decoder.finish()
        inside = example.notes[:, losses.ONSET] > examples.UNUSED
        assert (new["onset"] >= 0).all()
        assert set(new["pitch"]) <= set(example.notes[inside, losses.PITCH])


def test_note_table_counts_in_positions():
    """A note 0.3 s after the segment's start lies 14 + 30 frames into the input, 3 frames a position."""
    table = examples.note_table(notes.from_rows([(0.3, 0.6, 60, 80, 40, False)]), TINY)
    assert table[0].tolist() == [(14 + 30) // 3, (14 + 60) // 3, 60, 5, 0]
    assert (table[1:, losses.ONSET] == examples.UNUSED).all()


def test_augmentation_keeps_silence_quiet():
    """A crop without sound stays one."""
    rng = np.random.default_rng(0)
    for _ in range(10):
        changed = examples.augment(np.zeros(4000, np.float32), RATE, examples.AugmentConfig(), rng)
        assert np.abs(changed).max() < 1e-2
