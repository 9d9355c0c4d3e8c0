"""One update, on a small network of the ancestor's kind, whose programs compile quickly."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mt3lite import config, segments
from mt3lite.training import examples, losses, sharding, update
from mt3lite.training.settings import TrainConfig

MT3 = config.preset("mt3")
SMALL = dataclasses.replace(
    MT3,
    segments=dataclasses.replace(MT3.segments, num_frames=32),
    network=dataclasses.replace(
        MT3.network,
        emb_dim=32,
        num_heads=2,
        head_dim=16,
        num_encoder_layers=1,
        num_decoder_layers=1,
        mlp_dim=64,
        dropout_rate=0.0,
    ),
)
MESH = sharding.make_mesh()
PLAIN = TrainConfig(optimizer="adafactor", weight_decay=0.0)


@pytest.fixture(scope="module")
def batch():
    """Noise, random tokens of two lengths, and a note in each row's table."""
    rng = np.random.default_rng(0)
    start, stop = segments.sample_span(0, SMALL.spectrogram, SMALL.segments)
    tokens = rng.integers(3, 1300, (4, 16)).astype(np.int32)
    tokens[1:, 10:] = 0
    notes = np.zeros((4, examples.MAX_NOTES, losses.NUM_COLUMNS), np.int32)
    notes[..., losses.ONSET] = losses.UNUSED
    notes[:, 0] = [[2 + row, 9, 60 + row, 3, 0, 90] for row in range(4)]
    return {"samples": rng.normal(0, 0.1, (4, stop - start)).astype(np.float32), "tokens": tokens, "notes": notes}


@pytest.fixture(scope="module")
def fresh():
    """The state before the first update, as NumPy arrays."""
    return jax.tree.map(np.asarray, update.initial_state(SMALL, PLAIN, MESH))


def _after(fresh, batch, train: TrainConfig) -> tuple[update.State, dict[str, float]]:
    state = jax.device_put(fresh, sharding.of_tree(fresh, MESH))
    placed = sharding.place_batch(batch, MESH)
    state, metrics = update.train_step(
        state, placed, jnp.float32(1e-3), phase="both", config=SMALL, train=train, mesh=MESH
    )
    return state, dict(zip(update.METRICS, np.asarray(metrics).tolist(), strict=True))


@pytest.fixture(scope="module")
def plain(fresh, batch):
    """The state and metrics after an update without any savings."""
    return _after(fresh, batch, PLAIN)


def test_metrics(plain, batch):
    """Tokens are counted without padding; a fresh network knows nothing; all is finite."""
    _, metrics = plain
    assert metrics["tokens"] == (batch["tokens"] > 0).sum()
    assert metrics["token_loss"] > np.log(1000) and metrics["token_accuracy"] < 0.1
    assert metrics["loss"] == pytest.approx(metrics["token_loss"] + 0.2 * metrics["auxiliary_loss"], rel=1e-5)
    assert metrics["gradient_norm"] > 0


def test_saving_memory_changes_nothing(fresh, plain, batch):
    """Two parts one after the other, with layers computed again: the same metrics and parameters up to rounding."""
    state, metrics = _after(fresh, batch, dataclasses.replace(PLAIN, accumulate=2, rematerialise=True))
    assert metrics == pytest.approx(plain[1], rel=1e-4)
    jax.tree.map(
        lambda start, ours, whole: np.testing.assert_allclose(ours - start, whole - start, atol=2e-5),
        *(fresh.params, state.params, plain[0].params),
    )


def test_bfloat16_computes_about_the_same(fresh, plain, batch):
    """The loss differs by what eight bits make of it; what is kept stays float32."""
    state, metrics = _after(fresh, batch, dataclasses.replace(PLAIN, dtype="bfloat16"))
    assert metrics["token_loss"] == pytest.approx(plain[1]["token_loss"], rel=0.02)
    assert metrics["token_loss"] != plain[1]["token_loss"]
    assert {leaf.dtype for leaf in jax.tree.leaves(state.params)} == {jnp.dtype("float32")}


def test_the_average_follows_the_parameters(fresh, plain):
    """After the first update it is nine parts the new parameters, one part the old."""
    after = plain[0]
    expected = jax.tree.map(lambda old, new: 0.1 * old + 0.9 * new, fresh.params["network"], after.params["network"])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), after.average, expected)


def test_a_number_that_is_none_is_seen(plain):
    """One nan among all parameters."""
    state = plain[0]
    assert update.all_finite(state)
    spoilt = jax.tree.map(lambda leaf: leaf, state.average)
    spoilt["decoder"]["decoder_norm"]["scale"] = spoilt["decoder"]["decoder_norm"]["scale"].at[3].set(jnp.nan)
    assert not update.all_finite(dataclasses.replace(state, average=spoilt))
