import dataclasses
import functools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from mt3lite import carrying, config, frontend, layers, network, stepping
from mt3lite.errors import InputError
from mt3lite.training import losses

GOLDEN = Path(__file__).parent / "golden" / "network"
GOLDEN_CONFIG = network.NetworkConfig(
    emb_dim=64, num_heads=4, head_dim=16, num_encoder_layers=2, num_decoder_layers=2, mlp_dim=128
)
# All that the ancestor's network has not.
OWN_CONFIG = network.NetworkConfig(
    input_depth=294,
    vocab_size=128,
    emb_dim=32,
    num_heads=2,
    head_dim=8,
    num_encoder_layers=1,
    num_decoder_layers=2,
    mlp_dim=32,
    front_end="harmonic",
    front_end_channels=8,
    front_end_blocks=1,
    frames_per_position=2,
    carried_ranges=((3, 30), (33, 5), (38, 1), (39, 8)),  # shift, velocity, tie, program
    pitch_range=(47, 20),
    shift_positions=(2.0, 0.5),
    time_windows=True,
)
# With the vocabulary that hints are for.
HEARING_CONFIG = config.preset("tiny").network
# Quick to compile: one layer a stack, nothing carried.
PLAIN_CONFIG = dataclasses.replace(OWN_CONFIG, num_decoder_layers=1, front_end="linear", frames_per_position=1)
PLAIN_CONFIG = dataclasses.replace(PLAIN_CONFIG, carried_ranges=(), pitch_range=(0, 0), time_windows=False)


def random_params(net_config, seed=0):
    """Return parameters of about unit gain, without the cost of compiling the initialisers."""
    rng = np.random.default_rng(seed)

    def draw(shape):
        return (rng.normal(0, max(shape[0], 4) ** -0.5, shape) + (len(shape) == 1)).astype(np.float32)

    return jax.tree.map(lambda leaf: draw(leaf.shape), network.parameter_shapes(net_config))


def own_inputs(seed=1, num_frames=16, vocab_size=70):
    """Return frames [2, num_frames, 294] of a plausible loudness and tokens [2, 12] of which some are carried."""
    rng = np.random.default_rng(seed)
    frames = rng.normal(-1, 2.5, (2, num_frames, 294)).astype(np.float32)
    return frames, rng.integers(0, vocab_size, (2, 12)).astype(np.int32)


@functools.partial(jax.jit, static_argnums=0)
def forward(net_config, params, frames, tokens):
    """Return the encoder's output and the logits, in one compiled program for each network."""
    transformer = network.Transformer(net_config)
    encoded = transformer.apply({"params": params}, frames, method="encode")
    return encoded, transformer.apply({"params": params}, encoded, tokens, method="decode")


def close(actual, expected, tolerance):
    """Whether the greatest difference is within `tolerance` of the greatest value."""
    return np.abs(np.asarray(actual) - expected).max() <= tolerance * np.abs(expected).max()


# --- the ancestor's numbers ---


@pytest.fixture(scope="module")
def golden():
    """Parameters and inputs and outputs of the reference network."""
    with np.load(GOLDEN / "tiny_params.npz") as file:
        params = traverse_util.unflatten_dict({tuple(name.split("/")): file[name] for name in file.files})
    with np.load(GOLDEN / "tiny_io.npz") as file:
        return params, {name: file[name] for name in file.files}


def test_golden_encoder_output_and_logits(golden):
    params, io = golden
    encoded, logits = forward(GOLDEN_CONFIG, params, io["encoder_input_tokens"], io["decoder_input_tokens"])
    assert close(encoded.vectors, io["encoder_output"], 1e-5)
    real = io["decoder_target_tokens"] > 0  # at padding the ancestor's masks make it attend to everything alike
    assert close(logits[real], io["logits"][real], 1e-5)


def test_golden_loss_and_gradients(golden):
    params, io = golden
    weights = (io["decoder_target_tokens"] > 0).astype(np.float32)

    @jax.jit
    @jax.value_and_grad
    def loss(params):
        logits = network.Transformer(GOLDEN_CONFIG).apply(
            {"params": params}, io["encoder_input_tokens"], io["decoder_input_tokens"]
        )
        return losses.cross_entropy(logits, io["decoder_target_tokens"], weights, z_loss=1e-4)[0]

    value, gradients = loss(params)
    assert value == pytest.approx(io["train_loss"], rel=1e-5)
    gradients = traverse_util.flatten_dict(gradients, sep="/")
    assert set(gradients) == set(io["grad_names"].tolist())
    for name, l2, total in zip(io["grad_names"].tolist(), io["grad_l2"], io["grad_sum"], strict=True):
        gradient = np.asarray(gradients[name], np.float64)
        assert np.linalg.norm(gradient) == pytest.approx(l2, rel=1e-4), name
        assert gradient.sum() == pytest.approx(total, rel=1e-4, abs=1e-4 * l2), name
    whole = [name for name in io if name.startswith("grad:")]
    assert whole
    for name in whole:
        assert close(gradients[name.removeprefix("grad:")], io[name], 1e-4), name


def test_golden_initialisers(golden):
    expected = json.loads((GOLDEN / "tiny_config.json").read_text())
    params, io = golden
    init = jax.jit(network.Transformer(GOLDEN_CONFIG).init)
    made = init(jax.random.PRNGKey(expected["init_seed"]), io["encoder_input_tokens"], io["decoder_input_tokens"])
    made = traverse_util.flatten_dict(made["params"], sep="/")
    statistics = expected["initialiser_mean_std_before_modification"]
    assert set(made) == set(statistics)
    for name, (mean, std) in statistics.items():
        assert float(jnp.mean(made[name])) == pytest.approx(mean, abs=1e-6), name
        assert float(jnp.std(made[name])) == pytest.approx(std, rel=1e-5), name
    # These kernels were stored as the initialisers made them, so that every number of them can be compared.
    for name in expected["kernels_kept_at_full_float32_precision"]:
        stored = traverse_util.flatten_dict(params, sep="/")[name]
        np.testing.assert_allclose(made[name], stored, rtol=1e-5, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("dim", [64, 512])
def test_golden_position_table(golden, dim):
    _, io = golden
    rows = network.position_table(2048, dim)[io["position_rows"]]
    np.testing.assert_allclose(rows, io[f"position_table_rows_dim{dim}"], atol=2e-6)


@pytest.mark.parametrize(("name", "count"), [("mt3", 45_896_704), ("ismir2021", 46_027_776)])
def test_full_size_parameters(name, count):
    models = json.loads((GOLDEN / "full_size_parameters.json").read_text())["models"]
    (model,) = [model for model in models if model["name"] == name]
    shapes = traverse_util.flatten_dict(network.parameter_shapes(config.preset(name).network), sep="/")
    assert {path: list(leaf.shape) for path, leaf in shapes.items()} == {
        path: parameter["shape"] for path, parameter in model["parameters"].items()
    }
    assert all(leaf.dtype == jnp.float32 for leaf in shapes.values())
    assert sum(leaf.size for leaf in shapes.values()) == model["n_parameters"] == count


# --- one network, called in several ways ---


@pytest.mark.parametrize("net_config", [OWN_CONFIG, PLAIN_CONFIG, HEARING_CONFIG], ids=["own", "plain", "hearing"])
def test_steps_give_the_logits_of_the_whole_sequence(net_config):
    frames, tokens = own_inputs(num_frames=48, vocab_size=net_config.vocab_size if net_config.hearing else 70)
    params, transformer = random_params(net_config), network.Transformer(net_config)

    @jax.jit
    def step(tokens, position, carried, self_cache, memory):
        carried = carrying.carry(carried, tokens, net_config)
        filled = jnp.arange(self_cache[0][0].shape[2]) <= position
        place = network.Place(jnp.broadcast_to(position, tokens.shape), position, filled[None])
        arguments = (tokens, place, carried, self_cache, memory)
        return carried, *transformer.apply({"params": params}, *arguments, method="step")

    encoded, expected = forward(net_config, params, frames, tokens)
    memory = transformer.apply({"params": params}, encoded, method="memory")
    self_cache = stepping.empty_cache(net_config, len(tokens), 20)
    carried = carrying.empty(net_config, len(tokens))
    for position in range(tokens.shape[1]):
        carried, logits, self_cache = step(tokens[:, position], jnp.int32(position), carried, self_cache, memory)
        assert close(logits, expected[:, position], 1e-5), position
    assert all(not np.asarray(cache[:, :, tokens.shape[1] :]).any() for cache in jax.tree.leaves(self_cache))


def test_the_call_is_encoding_and_decoding():
    frames, tokens = own_inputs()
    params = random_params(PLAIN_CONFIG)
    logits = jax.jit(network.Transformer(PLAIN_CONFIG).apply)({"params": params}, frames, tokens)
    assert close(logits, forward(PLAIN_CONFIG, params, frames, tokens)[1], 1e-6)


def test_later_tokens_do_not_change_earlier_logits():
    frames, tokens = own_inputs()
    params = random_params(OWN_CONFIG)
    changed = tokens.copy()
    changed[:, 7:] = 5
    before, after = (forward(OWN_CONFIG, params, frames, each)[1] for each in (tokens, changed))
    np.testing.assert_array_equal(before[:, :7], after[:, :7])
    assert not np.allclose(before[:, 7:], after[:, 7:])


def test_bfloat16_is_close_to_float32():
    frames, tokens = own_inputs()
    params = random_params(OWN_CONFIG)
    half = dataclasses.replace(OWN_CONFIG, dtype="bfloat16")
    assert network.parameter_shapes(half) == network.parameter_shapes(OWN_CONFIG)  # float32 parameters in both
    exact, rough = (forward(net_config, params, frames, tokens)[1] for net_config in (OWN_CONFIG, half))
    assert rough.dtype == jnp.float32
    assert close(rough, exact, 0.05)
    assert not close(rough, exact, 1e-5)  # it was computed in bfloat16


def test_dropout_needs_and_uses_its_random_numbers():
    frames, tokens = own_inputs()
    params, transformer = random_params(PLAIN_CONFIG), network.Transformer(PLAIN_CONFIG)

    @jax.jit
    def run(key):
        return transformer.apply({"params": params}, frames, tokens, deterministic=False, rngs={"dropout": key})

    first, again, other = (run(jax.random.key(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


# --- carried tokens ---


def check_carried(tokens, expected, net_config):
    """The columns `expected` begin with, for the whole sequence and token by token."""
    width = len(expected[0])
    np.testing.assert_array_equal(carrying.sequence(np.array([tokens]), net_config)[0, :, :width], expected)
    carried = carrying.empty(net_config, 1)
    for token, row in zip(tokens, expected, strict=True):
        carried = carrying.carry(carried, np.array([token]), net_config)
        assert carried[0, :width].tolist() == row


def test_carried_tokens():
    tokens = [0, 5, 33, 1, 3, 46, 67, 38]
    expected = [[0, 0, 0, 0], [3, 0, 0, 0], [3, 1, 0, 0], [3, 1, 0, 0], [1, 1, 0, 0], [1, 1, 0, 8], [1, 1, 0, 8]]
    check_carried(tokens, [*expected, [1, 1, 1, 8]], OWN_CONFIG)


def test_carried_pitches_are_those_that_sound():
    """A pitch is tied, another starts, the first ends, and the second starts again."""
    tied, other, tie, velocity_0, velocity_3 = 47, 49, 38, 33, 36
    tokens = [tied, tie, velocity_3, other, velocity_0, tied, other, velocity_3, other]
    sounding = [(1, 0), (1, 0), (1, 0), (1, 1), (1, 1), (0, 1), (0, 0), (0, 0), (0, 1)]
    columns = carrying.sequence(np.array([tokens]), OWN_CONFIG)[0, :, 4:]
    np.testing.assert_array_equal(columns[:, [0, 2]], sounding)
    np.testing.assert_array_equal(columns.sum(axis=1), np.sum(sounding, axis=1))
    check_carried(tokens, carrying.sequence(np.array([tokens]), OWN_CONFIG)[0].tolist(), OWN_CONFIG)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"carried_ranges": (), "pitch_range": (0, 0)}, "time_windows: needs the shifts"),
        ({"carried_ranges": ((3, 30),)}, "pitch_range: needs shift, velocity, tie and program"),
        ({"dtype": "float64"}, "dtype: 'float64' is not one of float32, bfloat16"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(OWN_CONFIG, **changes)


def test_a_window_is_highest_ahead_of_where_the_decoder_stands():
    """Before training the first head looks 0.75 positions ahead, with a width of 1.5."""
    window = layers.TimeWindow(num_heads=4)
    stand = jnp.array([[4.0, 10.25]])
    bias = window.apply(window.init(jax.random.key(0), stand, 20), stand, 20)
    assert bias.shape == (1, 4, 2, 20)
    assert bias[0, 0].argmax(axis=-1).tolist() == [5, 11]
    np.testing.assert_allclose(bias[0, 0, 0, 4], -0.5 * (0.75 / 1.5) ** 2, rtol=1e-6)


def test_carried_shift_starts_at_the_position_it_points_to():
    frames, tokens = own_inputs()

    @jax.jit  # computes the one table only
    def table_of(key):
        params = network.Transformer(OWN_CONFIG).init(key, frames, tokens)["params"]
        return params["decoder"]["carried_embedders_0"]["embedding"]

    table = table_of(jax.random.key(0))
    positions = network.position_table(2048, OWN_CONFIG.emb_dim)
    for shift, position in ((0, 2), (2, 3), (28, 16)):
        np.testing.assert_allclose(table[1 + shift], np.sqrt(2) * positions[position], atol=1e-6)


# --- the harmonic front end ---


def test_pitch_features_move_with_the_spectrum():
    net = OWN_CONFIG
    frames, _ = own_inputs()
    params = random_params(net)
    run = jax.jit(
        lambda frames: network.Transformer(net).apply({"params": params}, frames, method="encode").pitch_features
    )
    moved = np.roll(frames, net.bins_per_semitone, axis=-1)
    here, there = np.asarray(run(frames)), np.asarray(run(moved))
    assert here.shape == (2, 8, frontend.NUM_PITCHES, net.front_end_channels)
    # Near the edges the neighbours of a harmonic, or the harmonic itself, lie outside the spectrum.
    lowest = 2 - min(frontend.HARMONIC_SEMITONES)
    highest = net.input_depth // net.bins_per_semitone - 3 - max(frontend.HARMONIC_SEMITONES)
    assert highest - lowest > 30
    np.testing.assert_allclose(there[:, :, lowest + 1 : highest + 1], here[:, :, lowest:highest], rtol=1e-4, atol=1e-5)
    assert not np.allclose(there[:, :, lowest:highest], here[:, :, lowest:highest], atol=1e-2)


def test_a_linear_front_end_has_no_pitch_features():
    transformer = network.Transformer(PLAIN_CONFIG)
    frames, _ = own_inputs()
    encoded = jax.eval_shape(lambda: transformer.init_with_output(jax.random.key(0), frames, method="encode")[0])
    assert encoded.vectors.shape == (2, 16, 32) and encoded.pitch_features is None and encoded.heads is None


@pytest.mark.parametrize("field", ["front_end", "dtype"])
def test_refuses_unknown_choices(field):
    with pytest.raises(InputError, match=f"network.{field}: 'none'"):
        network.NetworkConfig(**{field: "none"})
