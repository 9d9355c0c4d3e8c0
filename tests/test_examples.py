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
        inside = example.notes[:, losses.ONSET] > losses.UNUSED
        assert (new["onset"] >= 0).all()
        assert set(new["pitch"]) <= set(example.notes[inside, losses.PITCH])


def test_note_table_counts_in_positions():
    """A note 0.3 s after the segment's start lies 14 + 30 frames into the input, 3 frames a position."""
    table = examples.note_table(notes.from_rows([(0.3, 0.6, 60, 80, 40, False)]), TINY)
    assert table[0].tolist() == [(14 + 30) // 3, (14 + 60) // 3, 60, 5, 0, 80]
    assert (table[1:, losses.ONSET] == losses.UNUSED).all()


def test_augmentation_keeps_silence_quiet():
    """A crop without sound stays one."""
    rng = np.random.default_rng(0)
    for _ in range(10):
        changed = examples.augment(np.zeros(4000, np.float32), RATE, examples.AugmentConfig(), rng)
        assert np.abs(changed).max() < 1e-2


def loudest_hz(samples):
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 1 << 18))
    return np.argmax(spectrum) * RATE / (1 << 18)


def hertz(pitch):
    return 440 * 2 ** ((pitch - 69) / 12)


def level_at(samples, frequency_hz):
    """Amplitude of a sine in samples."""
    window = np.hanning(len(samples)) * 2 / len(samples)
    turning = np.exp(-2j * np.pi * frequency_hz * np.arange(len(samples)) / RATE)
    return 2 * np.abs(np.sum(samples * window * turning))


def only(**chances):
    """Everything off but what is named."""
    off = {field.name: 0.0 for field in dataclasses.fields(examples.AugmentConfig) if field.name.endswith("_chance")}
    return examples.AugmentConfig(**{**off, **chances})


@pytest.mark.parametrize("speed", [2 ** (-3 / 12), 2 ** (0.2 / 12), 1.5])
@pytest.mark.parametrize("file_rate", [16000, 44100])
def test_read_span_plays_faster_and_higher(tmp_path, speed, file_rate):
    """A tone of 300 Hz with a click 1 s in: its pitch goes up by the speed, and the click comes the sooner."""
    samples = 0.1 * np.sin(2 * np.pi * 300 * np.arange(3 * file_rate) / file_rate)
    samples[file_rate : file_rate + 8] += 0.8
    soundfile.write(tmp_path / "a.wav", samples, file_rate)
    span = examples.read_span(tmp_path / "a.wav", 3000, 25_000, RATE, speed=speed)
    assert span.shape == (22_000,)
    at = RATE / speed - 3000
    assert np.argmax(np.abs(span)) == pytest.approx(at + 4 * RATE / file_rate / speed, abs=6)
    after = span[int(at) + 500 : int(at) + 8000]
    assert loudest_hz(after) == pytest.approx(300 * speed, rel=2e-3)


def test_a_shifted_crop_sounds_at_the_pitch_of_its_notes(tmp_path):
    rows = [(2.0 * i, 2.0 * i + 1.9, 57 + 2 * i, 80, 0, False) for i in range(4)] + [(0.0, 8.0, 38, 80, 0, True)]
    track = tones.tone_track(tmp_path, "a", rows[:4])
    notes.write_midi(notes.from_rows(rows), track.midi)
    shifts = only(shift_chance=1.0)
    seen = set()
    for seed in range(12):
        samples, played = examples.crop(track, TINY, np.random.default_rng(seed), shifts)
        pitched = played[~played["is_drum"]]
        assert set(played["pitch"][played["is_drum"]]) == {38}
        note = pitched[np.argmax(np.minimum(pitched["offset"], 2.0) - np.maximum(pitched["onset"], 0))]
        context = TINY.segments.context_frames * TINY.spectrogram.hop_samples
        first, last = (int(np.clip(note[key], 0, 2) * RATE) + context for key in ("onset", "offset"))
        semitones_off = 12 * np.log2(loudest_hz(samples[first + 400 : last - 400]) / hertz(note["pitch"]))
        assert abs(semitones_off) < 0.25  # detuned by at most 0.2
        seen.add(int(note["pitch"]) % 2)
        # A note of 1.9 s lasts as much shorter as it is higher.
        speed = 1.9 / (note["offset"] - note["onset"])
        assert abs(round(12 * np.log2(speed)) - 12 * np.log2(speed)) < 0.21
        assert abs(round(12 * np.log2(speed))) <= 3
    assert seen == {0, 1}  # written pitches are odd


def test_no_shift_leaves_the_pitches_of_midi(tmp_path):
    track = tones.tone_track(tmp_path, "a", [(0.0, 4.0, 1, 80, 0, False), (0.0, 4.0, 127, 80, 0, False)])
    for seed in range(20):
        _, played = examples.crop(track, TINY, np.random.default_rng(seed), only(shift_chance=1.0))
        assert played["pitch"].min() in (0, 1) and played["pitch"].max() in (126, 127)


@pytest.fixture(scope="module")
def stemmed(tmp_path_factory):
    """One track of three stems, each a tone of its own throughout."""
    folder = tmp_path_factory.mktemp("stems")
    rows = [(0.0, 6.0, pitch, 80, program, False) for pitch, program in ((50, 0), (60, 32), (70, 40))]
    parts = [tones.tone_track(folder, str(row[4]), [row]) for row in rows]
    notes.write_midi(notes.from_rows(rows), folder / "all.mid")
    stems = tuple(datasets.Stem(p.audio, p.midi, row[4]) for p, row in zip(parts, rows, strict=True))
    return datasets.Track("s", "train", None, folder / "all.mid", parts[0].duration_seconds, stems=stems)


def test_stems_that_are_left_out_are_neither_heard_nor_told(stemmed):
    kept = set()
    for seed in range(24):
        samples, played = examples.crop(stemmed, TINY, np.random.default_rng(seed), only(stem_chance=1.0))
        kept.add(frozenset(played["pitch"].tolist()))
        loudest = max(level_at(samples, hertz(pitch)) for pitch in (50, 60, 70))
        for pitch in (50, 60, 70):
            assert (level_at(samples, hertz(pitch)) > 0.1 * loudest) == (pitch in played["pitch"])
    assert len(kept) == 7 and frozenset() not in kept
    _, played = examples.crop(stemmed, TINY, np.random.default_rng(0), only())
    assert len(played) == 3


def test_a_mix_of_several_tracks_has_the_sound_and_the_notes_of_all(tmp_path):
    tracks = [
        tones.tone_track(tmp_path, str(pitch), [(0.0, 3.0, pitch, 80, 0, False)]) for pitch in (40, 50, 60, 70, 80)
    ]
    mixed = dataclasses.replace(only(mix_chance=1.0), most_mixed=4, mix_gain_db=(-6.0, -6.0), level_db=(0.0, 0.0))
    counts = set()
    for seed in range(12):
        example = examples.make(tracks, TINY, mixed, np.random.default_rng(seed))
        pitches = sorted(set(example.notes[example.notes[:, losses.ONSET] > losses.UNUSED, losses.PITCH]))
        levels = {pitch: level_at(example.samples, hertz(pitch)) for pitch in (40, 50, 60, 70, 80)}
        loudest = max(levels.values())
        assert pitches == [pitch for pitch in levels if levels[pitch] > 0.01 * loudest]
        counts.add(len(pitches))
    assert counts >= {2, 3, 4} and max(counts) == 4


def test_the_gain_of_a_mix_is_the_second_tracks(tmp_path):
    first, second = (
        (tones.tone_track(tmp_path, name, [(0.0, 5.0, pitch, 80, 0, False)])) for name, pitch in (("a", 50), ("b", 75))
    )
    parts = [(examples.read_span(t.audio, 0, RATE, RATE), notes.read_midi(t.midi)) for t in (first, second)]
    samples, played = examples.mix(parts, [1.0, 0.5])
    assert level_at(samples, hertz(75)) == pytest.approx(0.5 * level_at(samples, hertz(50)), rel=0.02)
    assert played["pitch"].tolist() == [50, 75]


def heard(augmentation, samples, seed=0):
    return examples.augment(samples, RATE, augmentation, np.random.default_rng(seed))


def test_each_augmentation_is_switched_by_its_chance():
    """With level 0 dB and all off the sound stays; each chance alone changes it in its own way."""
    level = {"level_db": (0.0, 0.0)}
    noise = np.random.default_rng(1).normal(0, 0.1, 2 * RATE).astype(np.float32)
    noise /= np.abs(noise).max()
    silent_end = noise.copy()
    silent_end[RATE:] = 0
    np.testing.assert_allclose(heard(only(**level), noise), noise, atol=1e-6)

    def energy(samples, low_hz, high_hz):
        power = np.abs(np.fft.rfft(samples)) ** 2
        return power[int(low_hz * len(samples) / RATE) : int(high_hz * len(samples) / RATE)].sum()

    dull = heard(only(low_pass_chance=1.0, low_pass_hz=(4000.0, 4000.0), **level), noise)
    assert energy(dull, 4500, 8000) < 1e-3 * energy(noise, 4500, 8000)
    wet = heard(only(reverb_chance=1.0, reverb_seconds=(1.0, 1.0), **level), silent_end)
    assert np.abs(wet[RATE + 100 : RATE + 8000]).max() > 0.01
    hissing = heard(only(noise_chance=1.0, noise_db=(-40.0, -40.0), **level), silent_end)
    assert 20 * np.log10(hissing[RATE:].std()) == pytest.approx(-40, abs=0.5)
    coloured = heard(only(equaliser_chance=1.0, **level), noise, seed=3)
    change_db = [10 * np.log10(energy(coloured, *band) / energy(noise, *band)) for band in ((20, 80), (5000, 7900))]
    assert abs(change_db[0] - change_db[1]) > 2


def test_the_peak_of_an_example_lies_in_the_range_of_levels():
    sound = 0.3 * np.sin(np.arange(8000) / 10).astype(np.float32)
    peaks_db = [20 * np.log10(np.abs(heard(only(level_db=(-20.0, 0.0)), sound, seed)).max()) for seed in range(30)]
    assert -20.1 < min(peaks_db) < -15 and -5 < max(peaks_db) < 0.1
