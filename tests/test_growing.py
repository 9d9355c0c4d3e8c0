"""A larger network that goes on from a smaller one."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mt3lite import config as config_module
from mt3lite import network
from mt3lite.errors import InputError
from mt3lite.training import growing

TINY = config_module.preset("tiny")


def larger(**changes):
    return dataclasses.replace(TINY, name="larger", network=dataclasses.replace(TINY.network, **changes))


@pytest.fixture(scope="module")
def params():
    """Weights none of which is zero, or a reader of new channels that was left as it came would not show."""
    shapes = network.parameter_shapes(TINY.network)
    leaves, tree = jax.tree.flatten(shapes)
    rng = np.random.default_rng(0)
    return tree.unflatten([rng.normal(0, 0.1, leaf.shape).astype(np.float32) for leaf in leaves])


def test_a_larger_network_begins_as_the_same_function(params):
    new = larger(
        num_encoder_layers=3,
        num_decoder_layers=2,
        front_end_channels=12,
        note_channels=64,
        note_blocks=2,
        note_ends=True,
        note_unisons=True,
    )
    grown = growing.grow(params, TINY, new, seed=1)
    assert jax.tree.map(jnp.shape, grown) == jax.tree.map(
        lambda leaf: leaf.shape, network.parameter_shapes(new.network)
    )
    rng = np.random.default_rng(2)
    frames = rng.normal(size=(2, TINY.segments.input_frames, TINY.spectrogram.num_bins)).astype(np.float32)
    tokens = rng.integers(3, 600, (2, 12))
    before = jax.jit(network.Transformer(TINY.network).apply)({"params": params}, frames, tokens)
    after = jax.jit(network.Transformer(new.network).apply)({"params": grown}, frames, tokens)
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-4)


def test_what_is_new_can_learn(params):
    """Weights of new layers and channels have gradients, at once or as soon as what reads them has moved."""
    new = larger(num_encoder_layers=2, front_end_channels=12)
    grown = growing.grow(params, TINY, new, seed=1)
    frames = np.random.default_rng(2).normal(size=(1, 30, TINY.spectrogram.num_bins)).astype(np.float32)

    def loss(params):
        encoded = network.Transformer(new.network).apply({"params": params}, frames, method="encode")
        return (encoded.vectors**2).sum() + (encoded.heads["onset"] ** 2).sum()

    gradients = jax.jit(jax.grad(loss))(grown)["encoder"]
    assert np.abs(gradients["layers_1"]["mlp"]["wo"]["kernel"]).max() > 0
    assert np.abs(gradients["heads"]["pitch_in"]["kernel"][8:]).max() > 0  # what reads the new channels


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"front_end_channels": 4}, "front_end_channels: 4 is less than the 8"),
        ({"mlp_dim": 128}, "only if that differs in num_encoder_layers, .*, note_unisons alone"),
    ],
)
def test_a_network_that_is_no_larger_one_is_refused(params, changes, message):
    with pytest.raises(InputError, match=message):
        growing.grow(params, TINY, larger(**changes), seed=0)


def test_note_blocks_grow_in_number_alone(params):
    """Their norms are over all channels, so that more of these would change what they do."""
    some = larger(note_channels=16, note_blocks=1)
    shapes = network.parameter_shapes(some.network)
    known = jax.tree.map(lambda leaf: np.full(leaf.shape, 0.1, np.float32), shapes)
    with pytest.raises(InputError, match="note_channels: cannot grow where there are note_blocks"):
        growing.grow(known, some, larger(note_channels=24, note_blocks=1), seed=0)
    with pytest.raises(InputError, match="note_blocks: 0 is less than the 1"):
        growing.grow(known, some, larger(note_channels=16), seed=0)

    more = larger(note_channels=16, note_blocks=2)
    grown = growing.grow(known, some, more, seed=0)
    frames = np.random.default_rng(2).normal(size=(1, 30, TINY.spectrogram.num_bins)).astype(np.float32)
    before, after = (
        network.Transformer(each.network).apply({"params": weights}, frames, method="encode").heads
        for each, weights in ((some, known), (more, grown))
    )
    for name, array in before.items():
        np.testing.assert_allclose(after[name], array, rtol=1e-4, atol=1e-4)
