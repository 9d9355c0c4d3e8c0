"""Blocks over time and pitch behind the encoder, and the heads that they are in."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mt3lite import note_heads
from mt3lite.frontend import NUM_PITCHES

POSITIONS, CHANNELS = 40, 8
HIGHEST = NUM_PITCHES - 1


def random_like(shapes, seed: int = 0):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: rng.normal(0, 0.5, leaf.shape).astype(np.float32), shapes)


def block_and_params(spacing: int) -> tuple[note_heads.NoteBlock, dict]:
    """Return a block and random parameters of it, none of which is zero."""
    block = note_heads.NoteBlock(spacing)
    features = jnp.zeros((1, POSITIONS, NUM_PITCHES, CHANNELS))
    return block, random_like(jax.eval_shape(block.init, jax.random.key(0), features))


@pytest.fixture(scope="module")
def features():
    shape = 1, POSITIONS, NUM_PITCHES, CHANNELS
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


def test_a_block_adds_nothing_at_first(features):
    block = note_heads.NoteBlock(2)
    np.testing.assert_array_equal(block.apply(block.init(jax.random.key(0), features), features), features)


@pytest.mark.parametrize("spacing", note_heads.SPACINGS)
@pytest.mark.parametrize("place", [(20, 40), (0, 0), (POSITIONS - 1, HIGHEST), (5, 10)])
def test_what_a_place_depends_on(features, spacing, place):
    """On five positions of the same pitch, and on its neighbours at its own; beyond the edges is nothing."""
    block, params = block_and_params(spacing)
    gradient = jax.grad(lambda array: block.apply(params, array)[0, *place].sum())(features)
    position, pitch = place
    wanted = {(position + i * spacing, pitch) for i in (-2, -1, 0, 1, 2)}
    wanted |= {(position, pitch + distance) for distance in (-19, -12, -1, 1, 12, 19)}
    wanted = {(at, row) for at, row in wanted if 0 <= at < POSITIONS and 0 <= row <= HIGHEST}
    assert {tuple(each) for each in np.argwhere(np.abs(gradient[0]).max(axis=-1) > 0).tolist()} == wanted


@pytest.mark.parametrize("axis, margin", [(1, 2 * 4), (2, 19)])
def test_all_pitches_and_positions_are_treated_alike(features, axis, margin):
    """What is moved comes out moved, where no edge is near."""
    block, params = block_and_params(4)
    moved = block.apply(params, np.roll(features, 3, axis))
    wanted = np.roll(block.apply(params, features), 3, axis)
    inner = [slice(None)] * 4
    inner[axis] = slice(margin + 3, features.shape[axis] - margin)
    np.testing.assert_allclose(moved[tuple(inner)], wanted[tuple(inner)], rtol=1e-5, atol=1e-5)
    assert np.abs(moved - wanted).max() > 0.1  # at the edges it does not


# --- the heads ---


def heard(heads: note_heads.NoteHeads, params: dict, seed: int = 2, pitched: bool = True) -> dict[str, jax.Array]:
    rng = np.random.default_rng(seed)
    encoded = rng.normal(size=(2, POSITIONS, 16)).astype(np.float32)
    by_pitch = rng.normal(size=(2, POSITIONS, NUM_PITCHES, 6)).astype(np.float32)
    return heads.apply({"params": params}, encoded, by_pitch if pitched else None)


def heads_params(heads: note_heads.NoteHeads, pitched: bool = True) -> dict:
    encoded = jnp.zeros((1, POSITIONS, 16))
    by_pitch = jnp.zeros((1, POSITIONS, NUM_PITCHES, 6)) if pitched else None
    return random_like(jax.eval_shape(heads.init, jax.random.key(0), encoded, by_pitch)["params"])


def test_ends_are_heard_beside_the_rest():
    """One more output; all others are what they are without it."""
    told = note_heads.NoteHeads(channels=8, blocks=2, ends=True)
    params = heads_params(told)
    logits = heard(told, params)
    assert logits["end"].shape == logits["onset"].shape == (2, POSITIONS, NUM_PITCHES)
    assert logits["family"].shape == (2, POSITIONS, NUM_PITCHES, note_heads.NUM_FAMILIES)
    params["pitch_out"] = {name: array[..., :-1] for name, array in params["pitch_out"].items()}
    without = heard(note_heads.NoteHeads(channels=8, blocks=2), params)
    assert set(logits) - set(without) == {"end"}
    for name, array in without.items():
        np.testing.assert_allclose(array, logits[name], rtol=1e-5, atol=1e-5)


def test_unisons_are_told_by_a_head_of_their_own():
    """All others are what they are without it, and at first it says that there are none."""
    told = note_heads.NoteHeads(channels=8, ends=True, unisons=True)
    params = heads_params(told)
    logits = heard(told, params)
    assert logits["unison"].shape == logits["onset"].shape
    assert np.std(logits["unison"]) > 0
    del params["pitch_unison"]
    without = heard(note_heads.NoteHeads(channels=8, ends=True), params)
    assert set(logits) - set(without) == {"unison"}
    for name, array in without.items():
        np.testing.assert_array_equal(array, logits[name])
    first = told.init(jax.random.key(0), jnp.zeros((1, 4, 16)), jnp.ones((1, 4, NUM_PITCHES, 6)))["params"]
    assert not np.any(first["pitch_unison"]["kernel"])
    assert np.all(first["pitch_unison"]["bias"] < -3)


def test_nothing_tells_ends_without_a_front_end_that_knows_pitches():
    heads = note_heads.NoteHeads(ends=True)
    assert "end" not in heard(heads, heads_params(heads, pitched=False), pitched=False)


def test_blocks_take_their_spacings_in_turn():
    """A sixth one begins again, and a logit hears as far as all of them together reach."""
    heads = note_heads.NoteHeads(channels=4, blocks=6)
    params = heads_params(heads)
    assert {f"block_{i}" for i in range(6)} < set(params)
    encoded = jnp.zeros((1, 80, 16))
    by_pitch = np.random.default_rng(3).normal(size=(1, 80, NUM_PITCHES, 6)).astype(np.float32)

    @jax.grad
    def gradient(array):
        return heads.apply({"params": params}, encoded, array)["frame"][0, 40, 40]

    reach = 2 * (sum(note_heads.SPACINGS) + sum(note_heads.SPACINGS[:2]))
    positions = np.unique(np.argwhere(np.abs(gradient(by_pitch)[0]).max(axis=-1) > 0)[:, 0])
    assert (positions.min(), positions.max()) == (40 - reach, 40 + reach)


def test_half_precision_is_for_the_blocks_alone():
    """Logits are float32, near those of float32."""
    settings = {"channels": 8, "blocks": 2, "ends": True}
    params = heads_params(note_heads.NoteHeads(**settings))
    exact = heard(note_heads.NoteHeads(**settings), params)
    rounded = heard(note_heads.NoteHeads(**settings, dtype=jnp.bfloat16), params)
    for name, array in rounded.items():
        assert array.dtype == jnp.float32
        assert np.abs(array - exact[name]).mean() < 0.05 * np.abs(exact[name]).mean()
