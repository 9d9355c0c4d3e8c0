"""Decoding in int8: products within what rounding allows, logits near those of float32, and lanes as alone."""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_networks import MAX_TOKENS, NETWORKS, OWN, make, random_params, segments

from mt3lite import (
    carrying,
    cli,
    decoding,
    lanes,
    network,
    note_files,
    panels,
    rounding,
    stepping,
    stopwatch,
    transcriber,
    vocabulary,
)
from mt3lite.arguments import types
from mt3lite.errors import InputError

CLIP = Path(__file__).parent.parent / "data" / "demo" / "clip.flac"


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    """Return random numbers of very different sizes."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=shape) * np.exp(rng.normal(size=shape))).astype(np.float32)


def allowed(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return how far a product of rounded x [..., T, D] and y [..., D, N] may be from that of x and y.

    With x = a (q + e), y = b (r + f) and e, f at most a half, x y - a b q r = x b f + y a e - a b e f.
    """
    a = np.abs(x).max(axis=-1, keepdims=True) / 127
    b = np.abs(y).max(axis=-2, keepdims=True) / 127
    terms = np.abs(x).sum(axis=-1, keepdims=True) * b / 2 + a * np.abs(y).sum(axis=-2, keepdims=True) / 2
    return terms + a * b * x.shape[-1] / 4 + 1e-5 * np.abs(x @ y)


@pytest.mark.parametrize("columns", [256, 192, 24])  # panels of 128, of 64, and one of what there is
def test_a_product_is_as_near_as_rounding_allows(columns):
    x, kernel = numbers(5, 96), numbers(96, columns, seed=1)
    x[2] = 0
    ours = np.asarray(rounding.product(jnp.asarray(x), **rounding.prepare(kernel)))
    off = np.abs(ours - x @ kernel)
    assert ours.dtype == np.float32
    assert (off <= allowed(x, kernel)).all()
    assert off.max() > 1e-3, "nothing was rounded"
    assert not ours[2].any()


@pytest.mark.parametrize("length", [128, 24])  # keys in panels, and not
def test_attention_is_as_near_as_rounding_allows(length):
    queries, keys, values = numbers(2, 3, 1, 16), numbers(2, 3, length, 16, seed=1), numbers(2, 3, length, 16, seed=2)
    weights = np.asarray(jax.nn.softmax(numbers(2, 3, 1, length, seed=3)))
    ((rounded_keys, rounded_values),) = stepping.in_panels(stepping.rounded([(keys, values)]))
    assert rounded_keys.integers.ndim == (5 if length == 128 else 4)
    transposed = keys.swapaxes(2, 3)
    off = np.abs(np.asarray(rounding.scores(queries, rounded_keys)) - queries @ transposed)
    assert (off <= allowed(queries, transposed)).all()
    assert off.max() > 1e-3, "nothing was rounded"
    # A value's scale is its own: it goes into the weights.
    largest = np.abs(values).max(axis=3, keepdims=True)
    off = np.abs(np.asarray(rounding.mix(weights, rounded_values)) - weights @ values)
    assert (off <= allowed(weights * largest.swapaxes(2, 3), values / largest * np.ones_like(values))).all()
    assert off.max() > 1e-4, "nothing was rounded"


def step_logits(net: network.NetworkConfig, params: dict, tokens: np.ndarray, in_int8: bool) -> np.ndarray:
    """Return the logits of steps over given tokens [B, T]: [T, B, V]."""
    transformer = network.Transformer(net)
    memory = decoding.encode(transformer, params, segments(0, len(tokens)))
    cache = stepping.empty_cache(net, *tokens.shape)
    if in_int8:
        params = stepping.params_for_steps(params, stepping.INT8)
        memory = memory._replace(cross_cache=stepping.rounded(memory.cross_cache))
        cache = stepping.rounded(cache)
    apply = jax.jit(functools.partial(transformer.apply, {"params": params}, method="step"))
    carried, found = carrying.empty(net, len(tokens)), []
    for position, token in enumerate(tokens.T):
        filled = np.arange(tokens.shape[1]) <= position
        place = network.Place(np.full(len(tokens), position), np.int32(position), filled[None])
        logits, cache = apply(token, place, carried, cache, memory)
        carried = carrying.carry(carried, token, net)
        found.append(np.asarray(logits))
    return np.stack(found)


@pytest.mark.parametrize("net_name", NETWORKS)
def test_logits_are_near_those_of_float32(net_name):
    params = random_params(NETWORKS[net_name], 0, 1.0)
    tokens = np.random.default_rng(0).integers(3, OWN.network.vocab_size, (3, 12)).astype(np.int32)
    exact, ours = (step_logits(NETWORKS[net_name], params, tokens, in_int8) for in_int8 in (False, True))
    off = np.sqrt(np.mean((ours - exact) ** 2)) / exact.std()
    assert 1e-4 < off < 0.08


@pytest.mark.parametrize(
    ("net_name", "with_grammar", "num_lanes", "in_panels"),
    [("own", True, 3, True), ("plain", False, 5, False)],
)
def test_lanes_give_the_tokens_of_the_plain_loop_in_int8(net_name, with_grammar, num_lanes, in_panels, monkeypatch):
    monkeypatch.setattr(lanes, "FIRST_RING", 8)
    monkeypatch.setattr(panels, "WIDTH", 8)
    params = random_params(NETWORKS[net_name], 4, 6.0)
    for_steps = stepping.params_for_steps(params, stepping.INT8)
    search, programs = make(
        net_name, with_grammar, num_lanes, 2, for_steps, in_panels=in_panels, precision=stepping.INT8
    )
    frames = segments(4, 14)
    came = dict(lanes.Pool(programs, for_steps, stopwatch.Stopwatch()).decode(enumerate(frames)))
    assert programs.blank().self_cache[0][1].integers.dtype == np.int8
    # The plain loop with caches of int8.
    memory = decoding.encode(search.transformer, for_steps, frames)
    memory = memory._replace(cross_cache=stepping.rounded(memory.cross_cache))
    empty_cache = stepping.empty_cache
    monkeypatch.setattr(stepping, "empty_cache", lambda *sizes: stepping.rounded(empty_cache(*sizes)))
    expected = decoding.generate_from(
        search.transformer, for_steps, memory, max_tokens=MAX_TOKENS, grammar=search.grammar
    )
    np.testing.assert_array_equal(np.stack([came[key].tokens for key in range(len(frames))]), expected)
    lengths = set((np.asarray(expected) != vocabulary.PAD).sum(axis=1).tolist())
    assert len(lengths) > 3, f"segments of lengths {lengths} alone do not test refilling"


def test_rings_of_int8_grow_and_shrink_with_their_scales():
    search = lanes.Search(network.Transformer(NETWORKS["plain"]), None, 256, in_panels=True, precision=stepping.INT8)
    cache = [(numbers(2, 2, 128, 8), numbers(2, 2, 128, 8, seed=1))]
    before = stepping.rounded(cache)
    slot, longer = lanes.resize(search, np.int32(5), search.laid_out(cache), 256)
    assert int(slot) == 128
    for old, new in zip(before[0], stepping.out_of_panels(longer)[0], strict=True):
        for was, now in zip(old, new, strict=True):
            np.testing.assert_array_equal(now[:, :, :128], np.roll(was, -5, axis=2))


def test_what_cannot_be_is_refused(tiny_folder, monkeypatch):
    with pytest.raises(InputError, match="precision 'int4' is not one of float32, int8"):
        transcriber.load(tiny_folder, precision="int4")
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    with pytest.raises(InputError, match="precision int8 is for CPUs, and this is a gpu; leave it out"):
        transcriber.load(tiny_folder, precision="int8")


def test_programs_of_another_precision_are_not_taken(tiny_folder, tmp_path):
    rng = np.random.default_rng(0)
    samples = rng.normal(0, 0.1, 4 * 16000).astype(np.float32)
    counts, found = [], {}
    for precision in stepping.PRECISIONS:
        loaded = transcriber.load(tiny_folder, program_folder=tmp_path, precision=precision)
        found[precision] = loaded.transcribe(samples).notes
        counts.append(len(list(tmp_path.iterdir())))
        assert loaded.with_params(loaded.model.params).precision == precision
    assert counts[1] == 2 * counts[0]
    again = transcriber.load(tiny_folder, program_folder=tmp_path, precision="int8").transcribe(samples).notes
    np.testing.assert_array_equal(again, found["int8"])


def test_from_the_command_line(tmp_path, compilation_cache, capsys):
    assert types.PRECISIONS == stepping.PRECISIONS
    target = tmp_path / "clip.mid"
    assert cli.main(["transcribe", str(CLIP), "-o", str(target), "--precision", "int8"]) == 0
    assert len(note_files.read(target)) > 100
    with pytest.raises(SystemExit) as exit_:
        cli.main(["transcribe", str(CLIP), "--precision", "int4"])
    assert exit_.value.code == 2
    assert "invalid choice: 'int4'" in capsys.readouterr().err
