"""The loader, on a corpus of sine tones: the same batches whatever the workers, from any batch on."""

import dataclasses
import json
import multiprocessing
import os
import shutil
import signal

import numpy as np
import pytest
import tones

from mt3lite import config
from mt3lite.errors import InputError
from mt3lite.training import examples, loader, losses

TINY = config.preset("tiny")
ALTERED = examples.AugmentConfig()


@pytest.fixture(scope="module")
def tracks(tmp_path_factory):
    return tones.two_tracks(tmp_path_factory.mktemp("corpus"))


def take(tracks, number, settings=TINY, **arguments):
    made = loader.batches(tracks, settings, ALTERED, **{"batch_size": 2, "seed": 3, **arguments})
    taken = [next(made) for _ in range(number)]
    made.close()
    return taken


def assert_same(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert one.dropped == other.dropped
        for name in ("samples", "tokens", "notes"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def rows(batches):
    """Return the examples of batches as a set, whatever their order and padding."""
    return {
        (samples.tobytes(), tuple(np.trim_zeros(tokens)), table.tobytes())
        for batch in batches
        for samples, tokens, table in zip(batch.samples, batch.tokens, batch.notes, strict=True)
    }


def test_a_pool_holds_the_examples_of_a_plain_loop(tracks):
    made = take(tracks, loader.POOL_BATCHES)
    plain = [examples.at(i, tracks, TINY, ALTERED, seed=3) for i in range(2 * loader.POOL_BATCHES)]
    assert rows(made) == {(e.samples.tobytes(), tuple(e.tokens), e.notes.tobytes()) for e in plain}
    assert made[0].samples.dtype == np.float32 and made[0].tokens.dtype == made[0].notes.dtype == np.int32
    assert made[0].notes.shape == (2, examples.MAX_NOTES, losses.NUM_COLUMNS)


def test_worker_processes_change_nothing(tracks):
    assert_same(take(tracks, 3, start_step=7), take(tracks, 3, workers=2, start_step=7))


def test_batches_are_the_same_from_any_step(tracks):
    """Going on from step 11 gives what the twelfth batch was; another seed gives another."""
    whole = take(tracks, 12)
    assert_same(take(tracks, 1, start_step=11), whole[11:])
    assert rows(take(tracks, 8, seed=4)).isdisjoint(rows(whole))


def test_a_state_restored_goes_on_in_the_middle_of_a_pool(tracks):
    made = loader.batches(tracks, TINY, ALTERED, batch_size=2, seed=3)
    [next(made) for _ in range(5)]
    state = made.get_state()
    assert json.loads(state)["next_batch"] == 5
    following = [next(made) for _ in range(5)]
    made.set_state(state)
    assert_same([next(made) for _ in range(5)], following)
    made.close()
    other = loader.batches(tracks, TINY, ALTERED, batch_size=2, seed=3, workers=1)
    other.set_state(state)
    assert_same([next(other) for _ in range(5)], following)
    other.close()
    assert json.loads(other.get_state())["next_batch"] == 10


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (b"\x80\x04", "not the state of a loader"),
        (b"[1]", "not the state of a loader"),
        (b'{"seed": 3}', "not the state of a loader"),
        (b'{"next_batch": 1, "seed": 4}', "state is of a loader with {'seed': 4}"),
    ],
)
def test_another_state_is_refused(tracks, state, message):
    made = loader.batches(tracks, TINY, ALTERED, batch_size=2, seed=3)
    with pytest.raises(InputError, match=message):
        made.set_state(state)


def test_processes_share_the_examples_out(tracks):
    """Two processes with half the batch have, together, what one has."""
    halves = [take(tracks, 8, batch_size=1, shard=loader.Shard(i, 2)) for i in range(2)]
    assert rows(halves[0]).isdisjoint(rows(halves[1]))
    assert rows(halves[0] + halves[1]) == rows(take(tracks, 8))
    with pytest.raises(InputError, match="process 2 of 2"):
        loader.Shard(2, 2)


def test_too_long_a_target_is_dropped_and_counted(tracks):
    """A limit of 9 tokens leaves the sparse crops."""
    short = dataclasses.replace(TINY, segments=dataclasses.replace(TINY.segments, max_tokens=9))
    made = take(tracks, 8, short)
    assert all((batch.tokens != 0).sum(axis=1).max() <= 9 for batch in made)
    dropped = sum(examples.at(i, tracks, short, ALTERED, seed=3).dropped for i in range(16))
    assert {batch.dropped for batch in made} == {dropped} and dropped > 0


def test_targets_that_never_fit_are_told(tracks):
    short = dataclasses.replace(TINY, segments=dataclasses.replace(TINY.segments, max_tokens=1))
    with pytest.raises(InputError, match="draws in a row have more than 1 tokens"):
        take(tracks, 1, short)


def test_a_recording_that_vanishes_is_named(tracks, tmp_path):
    audio = shutil.copy(tracks[0].audio, tmp_path / "gone.wav")
    for workers in (0, 1):
        made = loader.batches(
            [dataclasses.replace(tracks[0], audio=audio)], TINY, ALTERED, batch_size=2, seed=3, workers=workers
        )
        audio.unlink(missing_ok=True)
        with pytest.raises(InputError) as caught:
            next(made)
        assert str(caught.value).endswith("gone.wav: cannot be read as audio: there is no such file")
        made.close()


def test_a_worker_that_is_killed_is_told(tracks):
    made = loader.batches(tracks, TINY, ALTERED, batch_size=2, seed=3, workers=1)
    next(made)
    (worker,) = multiprocessing.active_children()
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(InputError, match="worker process that makes examples was ended from outside, before batch"):
        for _ in range(100):  # some are made already
            next(made)
    plain = take(tracks, 1, start_step=json.loads(made.get_state())["next_batch"])
    assert_same([next(made)], plain)  # with a new worker
    made.close()
