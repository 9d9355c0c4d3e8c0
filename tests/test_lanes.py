"""Lanes give the tokens of the plain loop, whatever their number, the lengths of the segments, and the rings."""

import os
import subprocess
import sys

import jax
import numpy as np
import pytest
from random_networks import MAX_TOKENS, NETWORKS, PLAIN, make, plain, random_params, segments

from mt3lite import kept_programs, lanes, network, panels, stepping, stopwatch, vocabulary


@pytest.fixture(autouse=True)
def short_rings(monkeypatch):
    monkeypatch.setattr(lanes, "FIRST_RING", 8)


@pytest.mark.parametrize(
    ("net_name", "with_grammar", "num_lanes", "encode_batch"),
    [("own", True, 3, 2), ("plain", True, 1, 1), ("plain", False, 5, 3)],
)
def test_tokens_are_those_of_the_plain_loop(net_name, with_grammar, num_lanes, encode_batch):
    params = random_params(NETWORKS[net_name], 0, 1.0)
    search, programs = make(net_name, with_grammar, num_lanes, encode_batch, params)
    lengths = set()
    for seed, end_bias, count in ((2, 3.0, 14), (3, 8.0, 1), (4, 6.0, 17)):
        params = random_params(NETWORKS[net_name], seed, end_bias)
        frames = segments(seed, count)
        expected = plain(search, params, frames)
        pool = lanes.Pool(programs, params, stopwatch.Stopwatch())
        came = dict(pool.decode(enumerate(frames)))
        np.testing.assert_array_equal(np.stack([came[key].tokens for key in range(count)]), expected)
        lengths |= set((expected != vocabulary.PAD).sum(axis=1).tolist())
    assert max(lengths) == MAX_TOKENS, "no segment was cut"
    assert len(lengths) > 3, f"segments of lengths {lengths} alone do not test refilling"


@pytest.mark.parametrize("in_panels", [False, True])
def test_rings_grow_and_shrink_without_losing_a_token(in_panels, monkeypatch):
    monkeypatch.setattr(panels, "WIDTH", 4)
    net = PLAIN
    search = lanes.Search(network.Transformer(net), None, 16, in_panels=in_panels)
    rng = np.random.default_rng(0)
    rings = [(rng.normal(size=(2, net.num_heads, 8, 4)).astype(np.float32),) * 2]
    slot = 3  # the last 8 tokens, oldest first, are in slots 3..7, 0..2
    newest_first = [2, 1, 0, 7, 6, 5, 4, 3]
    for length in (4, 8, 16):
        new_slot, resized = lanes.resize(search, np.int32(slot), search.laid_out(rings), length)
        assert resized[0][0].ndim == 4 + in_panels
        kept = min(length, 8)
        for keys_or_values in stepping.out_of_panels(resized)[0]:
            for age in range(kept):
                place = (int(new_slot) - 1 - age) % length
                np.testing.assert_array_equal(keys_or_values[:, :, place], rings[0][0][:, :, newest_first[age]])


def test_segments_are_taken_when_they_are_needed():
    params = random_params(PLAIN, 1, 6.0)
    _, programs = make("plain", False, 2, 2, params)
    taken = []
    pool = lanes.Pool(programs, params, stopwatch.Stopwatch())
    stream = pool.decode((taken.append(key) or (key, frames) for key, frames in enumerate(segments(0, 40))))
    next(stream)
    assert len(taken) <= 6  # two in lanes, and at most two batches ahead


def test_the_order_of_the_longest_and_the_shortest_does_not_matter():
    params = random_params(PLAIN, 5, 3.0)
    search, programs = make("plain", False, 3, 2, params)
    frames = segments(5, 12)
    expected = plain(search, params, frames)
    order = np.argsort((expected != vocabulary.PAD).sum(axis=1))
    for keys in (order, order[::-1]):
        pool = lanes.Pool(programs, params, stopwatch.Stopwatch())
        for key, decoded in pool.decode((int(key), frames[key]) for key in keys):
            np.testing.assert_array_equal(decoded.tokens, expected[key])


def test_kept_programs_are_read_by_the_next_run(tmp_path, monkeypatch):
    params, frames = random_params(PLAIN, 1, 3.0), segments(1, 5)
    kept = kept_programs.Folder(tmp_path, ["setting"])
    results = []
    for _ in range(2):
        _, programs = make("plain", False, 2, 2, params, kept)
        results.append(dict(lanes.Pool(programs, params, stopwatch.Stopwatch()).decode(enumerate(frames))))
        monkeypatch.setattr(lanes.Programs, "_lower", lambda *_: pytest.fail("compiled again"))
    assert {key: decoded.tokens.tolist() for key, decoded in results[0].items()} == {
        key: decoded.tokens.tolist() for key, decoded in results[1].items()
    }


def test_what_is_damaged_or_of_another_setting_is_not_read(tmp_path):
    compiled = jax.jit(lambda x: x + 1).lower(np.float32(1)).compile()
    kept = kept_programs.Folder(tmp_path, ["one"])
    kept.write(("run", 8), compiled)
    assert kept.read(("run", 8))(np.float32(1)) == 2
    assert kept.read(("run", 16)) is None
    assert kept_programs.Folder(tmp_path, ["other"]).read(("run", 8)) is None
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    assert kept.read(("run", 8)) is None
    kept_programs.Folder(tmp_path / "file", ["one"])
    (tmp_path / "file").write_text("in the way")
    kept_programs.Folder(tmp_path / "file", ["one"]).write(("run", 8), compiled)  # no place: not kept, no error


USES_BOTH_CACHES = """
import jax, sys
from pathlib import Path
from mt3lite import kept_programs
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
function = jax.jit(lambda x: (jax.numpy.sin(x) @ x).sum())
program = kept_programs.Folder(Path(sys.argv[1]), []).program(["sum"], lambda: function.lower(jax.numpy.eye(8)))
print(float(program(jax.numpy.eye(8))))
"""


def test_what_jax_s_own_cache_gave_is_not_kept(tmp_path):
    """Written out again, it could not be run. Runs two and three find the program of the first in JAX's cache."""
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "jax"), "JAX_PLATFORMS": "cpu"}
    for folder, num_kept in (("first", 1), ("second", 0), ("second", 0), ("first", 1)):
        command = [sys.executable, "-c", USES_BOTH_CACHES, str(tmp_path / folder)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert float(done.stdout) == pytest.approx(8 * np.sin(1))
        assert len([*(tmp_path / folder).glob(f"*{kept_programs.SUFFIX}")]) == num_kept


def test_what_others_could_have_written_is_not_read(tmp_path):
    """Reading a program unpickles it, and it is machine code."""
    compiled = jax.jit(lambda x: x + 1).lower(np.float32(1)).compile()
    kept = kept_programs.Folder(tmp_path / "programs", ["one"])
    kept.write(("run",), compiled)
    (path,) = (tmp_path / "programs").iterdir()
    for place in (path, path.parent):
        before = place.stat().st_mode
        place.chmod(before | 0o002)
        assert kept.read(("run",)) is None
        place.chmod(before)
    assert kept.read(("run",)) is not None


def test_ring_lengths():
    assert lanes.ring_lengths(48) == [8, 16, 32, 48]
    assert lanes.ring_lengths(5) == [5]
