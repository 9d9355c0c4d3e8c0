import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mt3lite import beat_activity, instruments, notes
from mt3lite.beat_activity import NUM_FEATURES

NUM_FRAMES = 200
LENGTH = 16  # the column of lengths of all notes; those by pitch class follow


def random_weights(seed: int, num_features: int = NUM_FEATURES) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    channels, blocks = 6, 3
    shapes = {
        "first": (5, num_features, channels),
        "first_bias": (channels,),
        "taps": (blocks, 5, channels, channels),
        "taps_bias": (blocks, channels),
        "mix": (blocks, channels, channels),
        "mix_bias": (blocks, channels),
        "last": (channels, 1),
        "last_bias": (1,),
    }
    return {name: rng.normal(0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.mark.parametrize(("network", "num_features"), [("beats", NUM_FEATURES), ("bars", 4 * NUM_FEATURES)])
def test_bundled_weights_are_those_of_a_network_of_these_features(network, num_features):
    bundled = beat_activity.weights()[network]
    assert bundled.keys() == random_weights(0).keys()
    assert bundled["first"].shape[1] == num_features
    assert all(np.isfinite(array).all() for array in bundled.values())


def test_numpy_and_jax_say_the_same():
    weights = random_weights(1)
    features = np.random.default_rng(2).random((2, NUM_FRAMES, NUM_FEATURES), np.float32)
    ours = beat_activity.logits(weights, features)
    assert ours.shape == (2, NUM_FRAMES)
    np.testing.assert_allclose(beat_activity.logits(weights, features, jnp), ours, atol=2e-4)


def test_later_notes_are_later_beats():
    weights = random_weights(3)
    features = np.random.default_rng(4).random((NUM_FRAMES, NUM_FEATURES), np.float32)
    late = np.roll(features, 30, axis=0)
    reach = 2 * (1 + 1 + 2 + 4)
    ours, theirs = beat_activity.logits(weights, features), beat_activity.logits(weights, late)
    np.testing.assert_allclose(theirs[30 + reach : -reach], ours[reach : -30 - reach], atol=1e-4)


def test_a_frame_sees_as_far_as_the_taps_reach():
    weights = random_weights(5)
    features = np.zeros((NUM_FRAMES, NUM_FEATURES), np.float32)
    silent = beat_activity.logits(weights, features)
    features[100, 0] = 1
    touched = np.flatnonzero(beat_activity.logits(weights, features) != silent)
    reach = 2 * (1 + 1 + 2 + 4)
    assert (touched[0], touched[-1]) == (100 - reach, 100 + reach)


@pytest.mark.parametrize(("pitch", "is_drum", "column"), [(21, False, 0), (60, False, 4), (108, False, 9)])
def test_pitches_lie_in_bands(pitch, is_drum, column):
    found = beat_activity.of_frames(notes.from_rows([(1.0, 1.5, pitch, 90, 0, is_drum)]), NUM_FRAMES)
    assert found.shape == (NUM_FRAMES, NUM_FEATURES) and found.dtype == np.float32
    expected = np.zeros_like(found)
    expected[50, column] = np.log(2)
    expected[50, [LENGTH, LENGTH + 1 + pitch % 12]] = np.log(1.5)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_drums_have_columns_by_class_and_no_length():
    drums = [*(pitches[-1] for pitches in instruments.DRUM_CLASSES.values()), 54]
    found = beat_activity.of_frames(notes.from_rows([(1.0, 9.0, pitch, 90, 0, True) for pitch in drums]), NUM_FRAMES)
    assert np.flatnonzero(found[50]).tolist() == list(range(10, 16))
    assert found[:, LENGTH:].max() == 0


def test_an_onset_between_frames_counts_for_both():
    found = np.expm1(beat_activity.of_frames(notes.from_rows([(1.005, 1.105, 60, 90, 0, False)]), NUM_FRAMES))
    np.testing.assert_allclose(found[50:52, 4], [0.75, 0.25], atol=1e-5)
    np.testing.assert_allclose(found[50:52, LENGTH], [0.075, 0.025], atol=1e-5)


@given(st.floats(-5, 10), st.integers(0, 300))
def test_what_is_outside_does_not_count(onset, num_frames):
    played = notes.from_rows([(onset, onset + 0.5, 60, 90, 0, False)])
    found = np.expm1(beat_activity.of_frames(played, num_frames))
    assert found.shape == (num_frames, NUM_FEATURES)
    counted = found[:, 4].sum()
    if onset < 0 or onset * 50 >= num_frames:
        assert not found.any()
    elif onset * 50 < num_frames - 1:
        assert counted == pytest.approx(1, abs=1e-5)
    else:
        assert 0 <= counted <= 1 + 1e-5  # its second frame is beyond the end


def test_beats_are_seen_in_quarters_whatever_the_tempo():
    beats = np.array([1.0, 1.5, 2.0, 3.0, 4.0])  # it halves
    played = notes.from_rows(
        [(at, at + 0.1, 36, 90, 0, True) for at in (0.4, 0.75, 1.0, 1.25, 2.25, 4.0, 4.9, 5.0)]  # first, last: outside
    )
    found = np.expm1(beat_activity.of_beats(played, beats))
    assert found.shape == (5, 4 * NUM_FEATURES)
    kicks = found[:, 10::NUM_FEATURES]
    np.testing.assert_allclose(kicks, [[1, 0, 1, 0], [0] * 4, [0, 1, 0, 0], [0] * 4, [1, 0, 0, 0.4]], atol=1e-5)


@given(st.floats(0.3, 3.0), st.integers(2, 40))
def test_a_bar_has_the_same_shape_at_every_tempo(factor, number):
    beats = 0.5 * np.arange(number)
    rng = np.random.default_rng(number)
    onsets = np.sort(rng.uniform(-0.4, beats[-1] + 0.4, 30))
    played, stretched = (
        notes.from_rows((float(at), float(at) + 0.1, 38, 90, 0, True) for at in onsets * by) for by in (1, factor)
    )
    ours, theirs = beat_activity.of_beats(played, beats), beat_activity.of_beats(stretched, factor * beats)
    np.testing.assert_allclose(theirs, ours, atol=1e-4)
