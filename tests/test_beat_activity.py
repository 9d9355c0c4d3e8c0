import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mt3lite import beat_activity, instruments, notes

NUM_FRAMES = 200


def random_weights(seed: int, channels: int = 6, blocks: int = 3) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = {
        "first": (5, beat_activity.NUM_FEATURES, channels),
        "first_bias": (channels,),
        "taps": (blocks, 5, channels, channels),
        "taps_bias": (blocks, channels),
        "mix": (blocks, channels, channels),
        "mix_bias": (blocks, channels),
        "last": (channels, 2),
        "last_bias": (2,),
    }
    return {name: rng.normal(0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}


def test_bundled_weights_are_those_of_a_network_of_these_features():
    bundled = beat_activity.weights()
    assert bundled.keys() == random_weights(0).keys()
    assert bundled["first"].shape[1] == beat_activity.NUM_FEATURES
    assert all(np.isfinite(array).all() for array in bundled.values())


def test_numpy_and_jax_say_the_same():
    weights = random_weights(1)
    features = np.random.default_rng(2).random((2, NUM_FRAMES, beat_activity.NUM_FEATURES), np.float32)
    ours = beat_activity.logits(weights, features)
    assert ours.shape == (2, NUM_FRAMES, 2)
    np.testing.assert_allclose(beat_activity.logits(weights, features, jnp), ours, atol=2e-4)


def test_later_notes_are_later_beats():
    weights = random_weights(3)
    features = np.random.default_rng(4).random((NUM_FRAMES, beat_activity.NUM_FEATURES), np.float32)
    late = np.roll(features, 30, axis=0)
    reach = 2 * (1 + 1 + 2 + 4)
    ours, theirs = beat_activity.logits(weights, features), beat_activity.logits(weights, late)
    np.testing.assert_allclose(theirs[30 + reach : -reach], ours[reach : -30 - reach], atol=1e-4)


def test_a_frame_sees_as_far_as_the_taps_reach():
    weights = random_weights(5)
    features = np.zeros((NUM_FRAMES, beat_activity.NUM_FEATURES), np.float32)
    silent = beat_activity.logits(weights, features)
    features[100, 0] = 1
    touched = np.flatnonzero((beat_activity.logits(weights, features) != silent).any(axis=1))
    reach = 2 * (1 + 1 + 2 + 4)
    assert (touched[0], touched[-1]) == (100 - reach, 100 + reach)


@pytest.mark.parametrize(("pitch", "is_drum", "column"), [(21, False, 0), (60, False, 4), (108, False, 9)])
def test_pitches_lie_in_bands(pitch, is_drum, column):
    found = beat_activity.features(notes.from_rows([(1.0, 1.5, pitch, 90, 0, is_drum)]), NUM_FRAMES)
    assert found.shape == (NUM_FRAMES, beat_activity.NUM_FEATURES) and found.dtype == np.float32
    expected = np.zeros_like(found)
    expected[50, column], expected[50, -1] = np.log(2), np.log(1.5)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_drums_have_columns_by_class_and_no_length():
    drums = [*(pitches[-1] for pitches in instruments.DRUM_CLASSES.values()), 54]
    found = beat_activity.features(notes.from_rows([(1.0, 9.0, pitch, 90, 0, True) for pitch in drums]), NUM_FRAMES)
    assert np.flatnonzero(found[50]).tolist() == list(range(10, 16))
    assert found[:, -1].max() == 0


def test_an_onset_between_frames_counts_for_both():
    found = np.expm1(beat_activity.features(notes.from_rows([(1.005, 1.105, 60, 90, 0, False)]), NUM_FRAMES))
    np.testing.assert_allclose(found[50:52, 4], [0.75, 0.25], atol=1e-5)
    np.testing.assert_allclose(found[50:52, -1], [0.075, 0.025], atol=1e-5)


@given(st.floats(-5, 10), st.integers(0, 300))
def test_what_is_outside_does_not_count(onset, num_frames):
    played = notes.from_rows([(onset, onset + 0.5, 60, 90, 0, False)])
    found = np.expm1(beat_activity.features(played, num_frames))
    assert found.shape == (num_frames, beat_activity.NUM_FEATURES)
    counted = found[:, 4].sum()
    if onset < 0 or onset * 50 >= num_frames:
        assert not found.any()
    elif onset * 50 < num_frames - 1:
        assert counted == pytest.approx(1, abs=1e-5)
    else:
        assert 0 <= counted <= 1 + 1e-5  # its second frame is beyond the end
