import dataclasses
import functools
import tracemalloc
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mt3lite import segments, spectrogram
from mt3lite.errors import InputError
from mt3lite.segments import SegmentConfig
from mt3lite.spectrogram import SpectrogramConfig

GOLDEN = Path(__file__).parent / "golden" / "spectrogram"
CASES = sorted(path.stem.removeprefix("case_") for path in GOLDEN.glob("case_*.npz"))
LAYOUTS = {"mt3": SegmentConfig(), "ismir2021": SegmentConfig(num_frames=512)}

SMALL = SpectrogramConfig(hop_samples=12, fft_size=32, num_bins=6)
CENTERED = dataclasses.replace(SMALL, centered=True)
ZEROS = SegmentConfig(num_frames=5)
AUDIO = SegmentConfig(num_frames=5, context_frames=2, edges="audio")


def noise(num_samples, seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal(num_samples)).astype(np.float32)


def cut(samples, spectrogram_config, config, *, blocks=None, batch_segments=3):
    """All segments of a recording as one Segments, and the sizes of the batches."""
    batches = list(
        segments.iter_segments(blocks or [samples], spectrogram_config, config, batch_segments=batch_segments)
    )
    fields = [field.name for field in dataclasses.fields(segments.Segments)]
    joined = {name: np.concatenate([getattr(batch, name) for batch in batches]) for name in fields}
    return segments.Segments(**joined), [len(batch.frames) for batch in batches]


def span_samples(samples, start, stop):
    """Samples start to stop of a recording, with zeros where there are none."""
    around = np.pad(samples, (max(0, -start), max(0, stop - len(samples))))
    return around[start + max(0, -start) : stop + max(0, -start)]


def test_all_golden_cases_are_here():
    assert len(CASES) == 12


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", CASES)
def test_segments_are_the_ancestors(case, layout):
    golden = np.load(GOLDEN / f"case_{case}.npz")
    ours, _ = cut(golden["audio"], SpectrogramConfig(), LAYOUTS[layout], batch_segments=2)
    assert ours.frames.dtype == np.float32 and ours.first_frame.dtype == np.int64 and ours.num_valid.dtype == np.int32
    np.testing.assert_array_equal(ours.num_valid, golden[f"{layout}_segment_lengths"])
    np.testing.assert_allclose(ours.first_frame / 125, golden[f"{layout}_segment_first_frame_time"], rtol=0, atol=1e-9)
    for frames, num_valid in zip(ours.frames, ours.num_valid, strict=True):
        assert not frames[num_valid:].any(), "padded rows are 0.0"
    if f"{layout}_logmel" in golden:
        got, wanted = ours.frames, golden[f"{layout}_logmel"]
    else:
        segment, frame = golden[f"{layout}_rows"].T
        got, wanted = ours.frames[segment, frame], golden[f"{layout}_logmel_rows"]
    assert got.shape == wanted.shape
    magnitude_difference = np.abs(np.exp(got) - np.exp(wanted))
    # Cells that hold nothing but the rounding of the FFT differ by much in the log, and by nothing beside the peak.
    agree = (np.abs(got - wanted) <= 2e-3) | (magnitude_difference <= 1e-6 * np.exp(wanted.max()))
    assert agree.all(), f"{np.count_nonzero(~agree)} cells differ"


def test_sample_span():
    frames = SpectrogramConfig()
    assert segments.sample_span(0, frames, SegmentConfig()) == (0, 32768)
    assert segments.sample_span(256, frames, SegmentConfig()) == (32768, 65536)
    own = SpectrogramConfig(hop_samples=160, centered=True)
    cut_own = SegmentConfig(num_frames=200, context_frames=16, edges="audio")
    start, stop = segments.sample_span(200, own, cut_own)
    assert start == 200 * 160 - 16 * 160 - 1024
    assert stop - start == (cut_own.input_frames - 1) * 160 + 2048 and cut_own.input_frames == 232
    assert segments.sample_span(0, own, cut_own)[0] < 0


@pytest.mark.parametrize("config", [ZEROS, AUDIO], ids=["zeros", "audio"])
@pytest.mark.parametrize("frames", [SMALL, CENTERED], ids=["left", "centered"])
@settings(max_examples=25)
@given(
    num_samples=st.integers(0, 700),
    batch_segments=st.integers(1, 4),
    cuts=st.lists(st.integers(0, 700), max_size=12),
)
def test_blocks_make_no_difference(config, frames, num_samples, batch_segments, cuts):
    samples = noise(num_samples)
    blocks = np.split(samples, sorted(min(at, num_samples) for at in cuts))
    whole = list(segments.iter_segments([samples], frames, config, batch_segments=batch_segments))
    in_blocks = list(segments.iter_segments(iter(blocks), frames, config, batch_segments=batch_segments))
    assert len(whole) == len(in_blocks)
    for one, other in zip(whole, in_blocks, strict=True):
        np.testing.assert_array_equal(one.frames, other.frames)
        np.testing.assert_array_equal(one.first_frame, other.first_frame)
        np.testing.assert_array_equal(one.num_valid, other.num_valid)


@pytest.mark.parametrize("config", [ZEROS, AUDIO], ids=["zeros", "audio"])
@pytest.mark.parametrize("frames", [SMALL, CENTERED], ids=["left", "centered"])
@pytest.mark.parametrize("num_samples", [1, 60, 301])
def test_a_segment_is_the_frames_of_its_span(config, frames, num_samples):
    """What training computes from a crop is what transcription computes from the recording."""
    samples = noise(num_samples)
    traced = jax.jit(functools.partial(segments.compute_frames, spectrogram_config=frames, config=config, xp=jnp))
    ours, _ = cut(samples, frames, config)
    for segment, first_frame, num_valid in zip(ours.frames, ours.first_frame, ours.num_valid, strict=True):
        start, stop = segments.sample_span(int(first_frame), frames, config)
        crop = span_samples(samples, start, stop)
        wanted = segments.compute_frames(crop, frames, config)
        assert wanted.shape == (config.input_frames, frames.num_bins)
        if config.edges == "zeros":
            wanted[num_valid:] = 0.0
        np.testing.assert_allclose(segment, wanted, rtol=0, atol=1e-5)
        np.testing.assert_allclose(traced(crop)[:num_valid], wanted[:num_valid], rtol=0, atol=1e-4)


def test_audio_edges_are_one_spectrogram_cut_up():
    samples = noise(1000)
    ours, _ = cut(samples, CENTERED, AUDIO)
    joined = spectrogram.compute(np.pad(samples, (16 + 2 * 12, 400)), CENTERED)  # half a window, two frames of context
    for segment, first_frame in zip(ours.frames, ours.first_frame, strict=True):
        np.testing.assert_allclose(segment, joined[first_frame : first_frame + 9], rtol=0, atol=1e-5)


def test_zero_edges_hide_the_neighbouring_segments():
    samples = noise(180)
    changed = samples.copy()
    changed[:60] = changed[120:] = 0.5
    ours, theirs = cut(samples, SMALL, ZEROS)[0], cut(changed, SMALL, ZEROS)[0]
    np.testing.assert_array_equal(ours.frames[1], theirs.frames[1])
    assert not np.array_equal(ours.frames[0], theirs.frames[0])


def test_a_click_is_in_the_frame_that_its_time_says():
    config = SpectrogramConfig(hop_samples=160, centered=True)
    samples = np.zeros(16000, np.float32)
    samples[160 * 37] = 1.0
    ours, _ = cut(samples, config, SegmentConfig(num_frames=20, context_frames=4, edges="audio"))
    assert ours.frames[1, :, 200].argmax() == 4 + 37 - 20
    assert ours.first_frame.tolist() == [0, 20, 40, 60, 80]


@pytest.mark.parametrize(
    "config, num_samples, num_valid",
    [
        (ZEROS, 0, [1]),
        (ZEROS, 11, [1]),
        (ZEROS, 12, [2]),
        (ZEROS, 59, [5]),
        (ZEROS, 60, [5, 1]),  # as the ancestor: a whole frame more
        (AUDIO, 1, [1]),
        (AUDIO, 12, [1]),
        (AUDIO, 13, [2]),
        (AUDIO, 60, [5]),
        (AUDIO, 61, [5, 1]),
    ],
)
def test_number_of_segments_and_frames(config, num_samples, num_valid):
    ours, _ = cut(noise(num_samples), SMALL, config)
    assert ours.num_valid.tolist() == num_valid
    assert ours.first_frame.tolist() == [5 * i for i in range(len(num_valid))]
    assert segments.num_recording_frames(num_samples, SMALL, config) == sum(num_valid)


def test_no_samples_no_segments_with_audio_edges():
    assert list(segments.iter_segments([], SMALL, AUDIO, batch_segments=2)) == []
    assert list(segments.iter_segments([noise(0)], SMALL, AUDIO, batch_segments=2)) == []


@pytest.mark.parametrize("config", [ZEROS, AUDIO], ids=["zeros", "audio"])
def test_batches_are_full_but_for_the_last(config):
    assert cut(noise(60 * 8 - 5), SMALL, config, batch_segments=3)[1] == [3, 3, 2]


@pytest.mark.parametrize("config", [ZEROS, AUDIO], ids=["zeros", "audio"])
def test_memory_does_not_grow_with_the_recording(config):
    def peak_bytes(num_blocks):
        block = noise(16000)
        blocks = (block for _ in range(num_blocks))
        frames = SpectrogramConfig(hop_samples=800, fft_size=1024, num_bins=8)
        tracemalloc.start()
        count = sum(len(each.frames) for each in segments.iter_segments(blocks, frames, config, batch_segments=20))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert count >= num_blocks * 4
        return peak

    peak_bytes(30)  # fills the caches
    ten_minutes = 600 * 16000 * 4
    assert peak_bytes(600) < 1.2 * peak_bytes(60) < ten_minutes / 10


@pytest.mark.parametrize(
    "values, message",
    [
        ({"num_frames": 0}, r"segments\.num_frames: 0 is not from 1 to 65536"),
        ({"context_frames": -1}, r"segments\.context_frames: -1 is not from 0 to 65536"),
        ({"max_tokens": 0}, r"segments\.max_tokens: 0 is not from 1 to 65536"),
        ({"edges": "mirror"}, r"segments\.edges: 'mirror' is not one of zeros, audio"),
        ({"context_frames": 3}, r'segments\.context_frames: 3 frames of context need edges "audio"'),
    ],
)
def test_settings_that_cannot_work_are_refused(values, message):
    with pytest.raises(InputError, match=message):
        SegmentConfig(**values)
