"""Crews give the tokens of the plain loop, whatever the network, the segments, the lanes and the crews."""

import functools
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_networks import MAX_TOKENS, NETWORKS, make, plain, random_params, segments

from mt3lite import crews, lanes, panels, stepping, stopwatch, vocabulary

# Network, grammar, lanes of a crew, crews, segments encoded together, whether in panels.
CASES = [
    ("own", True, 2, 2, 2, True),
    ("plain", False, 3, 2, 2, True),
    ("plain", True, 1, 3, 1, False),
    ("own", False, 4, 1, 3, False),
]


@pytest.fixture(autouse=True, scope="module")
def short_rings_and_narrow_panels():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lanes, "FIRST_RING", 8)
        patch.setattr(panels, "WIDTH", 8)
        yield


@functools.cache
def crew_of(case):
    net_name, with_grammar, num_lanes, num_crews, encode_batch, in_panels = case
    params = random_params(NETWORKS[net_name], 0, 1.0)
    params = stepping.params_for_steps(params) if in_panels else params
    search, programs = make(net_name, with_grammar, num_lanes, encode_batch, params, in_panels=in_panels)
    return search, crews.Crews(programs, num_crews)


def decode(case, params, frames_by_key):
    search, crew = crew_of(case)
    params = stepping.params_for_steps(params) if search.in_panels else params
    return crew.decode(params, frames_by_key, stopwatch.Stopwatch())


@settings(max_examples=15)
@given(case=st.sampled_from(CASES), seed=st.integers(0, 10_000), end_bias=st.floats(1.0, 9.0), count=st.integers(0, 18))
def test_tokens_are_those_of_the_plain_loop(case, seed, end_bias, count):
    params = random_params(NETWORKS[case[0]], seed, end_bias)
    frames = segments(seed, max(count, 1))
    expected = plain(crew_of(case)[0], params, frames)[:count]
    came = list(decode(case, params, enumerate(frames[:count])))
    assert sorted(key for key, _ in came) == list(range(count))
    for key, decoded in came:
        np.testing.assert_array_equal(decoded.tokens, expected[key])


def test_lengths_differ_enough_to_test_refilling():
    search, _ = crew_of(CASES[1])
    params = random_params(NETWORKS["plain"], 4, 6.0)
    lengths = (plain(search, params, segments(4, 17)) != vocabulary.PAD).sum(axis=1)
    assert len(set(lengths.tolist())) > 3
    assert lengths.max() == MAX_TOKENS


def test_the_stream_is_read_by_the_caller_and_a_little_ahead():
    params = random_params(NETWORKS["plain"], 1, 6.0)
    readers, frames = [], segments(0, 40)

    def stream():
        for key in range(40):
            readers.append(threading.current_thread())
            yield key, frames[key]

    decoded = decode(CASES[1], params, stream())
    next(decoded)
    assert set(readers) == {threading.current_thread()}
    assert len(readers) <= 2 * (3 + 2) + 1
    decoded.close()
    assert len(readers) < 40


def test_what_goes_wrong_in_a_crew_or_in_the_stream_comes_out():
    params = random_params(NETWORKS["plain"], 1, 6.0)
    with pytest.raises(ValueError, match="shape"):
        list(decode(CASES[1], params, [(0, np.zeros((3, 3), np.float32)), (1, segments(0, 1)[0])]))

    def broken():
        yield 0, segments(0, 1)[0]
        raise RuntimeError("the stream broke")

    with pytest.raises(RuntimeError, match="the stream broke"):
        list(decode(CASES[1], params, broken()))


def test_the_watch_counts_what_the_crews_did():
    _, crew = crew_of(CASES[2])
    params = random_params(NETWORKS["plain"], 1, 6.0)
    watch = stopwatch.Stopwatch()
    list(crew.decode(params, enumerate(segments(0, 6)), watch))
    assert watch.seconds["decode"] > 0
    assert watch.seconds["encode"] > 0


def test_shares(monkeypatch):
    monkeypatch.setattr(crews.os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    assert crews.share(8) == (2, 4)
    assert crews.share(1) == (1, 1)
    assert crews.share(5) == (2, 3)
    monkeypatch.setattr(crews.os, "sched_getaffinity", lambda _: {0}, raising=False)
    assert crews.share(8) == (1, 8)
