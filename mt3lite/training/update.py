"""One update: batch, loss, gradient, step. Pure functions, compiled for whatever devices the arrays are on."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as Spec

from mt3lite import network, note_heads, segments
from mt3lite.config import Config
from mt3lite.training import losses, optimizers, sharding
from mt3lite.training.settings import TrainConfig

# What an update tells, in this order: "tokens" is a sum, the others are means over the batch.
METRICS = ("loss", "token_loss", "auxiliary_loss", "token_accuracy", "gradient_norm", "tokens")


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class State:
    """What an update changes."""

    params: dict  # {"network": ..., "auxiliary": ...}
    optimizer: optax.OptState
    average: dict  # moving average of params["network"]
    step: jax.Array  # int32, updates done


def initial_state(config: Config, train: TrainConfig, mesh: Mesh, params: dict | None = None) -> State:
    """Return a fresh state: random parameters by the seed, or `params` of the network to go on from."""

    def make(params: dict | None) -> State:
        network_key, auxiliary_key = jax.random.split(jax.random.key(train.seed))
        transformer = network.Transformer(config.network)
        frames = jnp.zeros((1, config.segments.input_frames, config.spectrogram.num_bins))
        if params is None:
            params = transformer.init(network_key, frames, jnp.zeros((1, 2), jnp.int32))["params"]
        encoded, auxiliary = transformer.apply({"params": params}, frames, method="encode"), {}
        if encoded.heads is None:
            heads = note_heads.NoteHeads()
            auxiliary = heads.init(auxiliary_key, encoded.vectors, encoded.pitch_features)["params"]
        both = {"network": params, "auxiliary": auxiliary}
        return State(both, optimizers.make(train).init(both), jax.tree.map(jnp.copy, params), jnp.int32(0))

    shardings = sharding.of_tree(jax.eval_shape(make, params), mesh)
    return jax.jit(make, out_shardings=shardings)(params)


def loss_and_metrics(
    params: dict,
    batch: dict,
    num_tokens: jax.Array,
    key: jax.Array | None,
    *,
    phase: str,
    config: Config,
    train: TrainConfig,
):
    """Return the scalar to minimise and (loss, token loss, auxiliary loss, accuracy) of a batch or of a part of one.

    Args:
        params: {"network": ..., "auxiliary": ...}.
        batch: "samples" float32 [B, num_samples], "tokens" int32 [B, T] (unless the encoder learns alone), "notes"
            int32 [B, N, 5].
        num_tokens: in the whole batch; the token loss is the sum over this part divided by it.
        key: of the dropout; None for none.
        phase: what learns: "encoder", "decoder" or "both".
        config: of the model.
        train: how it is trained.
    """
    computing = dataclasses.replace(config.network, dtype=train.dtype)
    transformer = network.Transformer(computing, rematerialise=train.rematerialise)
    frames = segments.compute_frames(batch["samples"], config.spectrogram, config.segments, jnp)
    apply = functools.partial(transformer.apply, {"params": params["network"]}, deterministic=key is None)
    keys = [{}, {}] if key is None else [{"dropout": each} for each in jax.random.split(key)]
    encoded = apply(frames, method="encode", rngs=keys[0])
    token_loss = accuracy = auxiliary = jnp.float32(0.0)
    if phase == "decoder":
        encoded = jax.lax.stop_gradient(encoded)
    if phase != "encoder":
        inputs = network.shift_right(batch["tokens"])
        logits = apply(encoded, inputs, method="decode", rngs=keys[1])
        weights = (batch["tokens"] > 0).astype(jnp.float32)
        total, _, correct, _ = losses.cross_entropy(
            logits, batch["tokens"], weights, label_smoothing=train.label_smoothing, z_loss=train.z_loss
        )
        token_loss, accuracy = total / num_tokens, correct / num_tokens
    if train.auxiliary_weight and phase != "decoder":
        heads = encoded.heads
        if heads is None:  # a network that does not hear by itself has heads for training only
            apply_heads = functools.partial(note_heads.NoteHeads().apply, {"params": params["auxiliary"]})
            heads = apply_heads(encoded.vectors, encoded.pitch_features)
        auxiliary = losses.auxiliary_loss(heads, batch["notes"]) / train.accumulate
    loss = token_loss + train.auxiliary_weight * auxiliary
    return loss, jnp.stack([loss, token_loss, auxiliary, accuracy])


def _gradients(params: dict, batch: dict, key: jax.Array, num_tokens: jax.Array, mesh: Mesh, loss, parts: int):
    """Return the gradients of a batch and its metrics, computed in `parts` one after the other."""
    gradient_of = jax.grad(loss, has_aux=True)
    if parts == 1:
        return gradient_of(params, batch, num_tokens, key)
    split = NamedSharding(mesh, Spec(None, "data"))

    def cut(array: jax.Array) -> jax.Array:
        """[B, ...] -> [parts, B / parts, ...], every device keeping the examples it has."""
        array = array.reshape(-1, parts, *array.shape[1:]).swapaxes(0, 1)
        return jax.lax.with_sharding_constraint(array, split)

    def add(sums, part):
        part_key, part_batch = part
        return jax.tree.map(jnp.add, sums, gradient_of(params, part_batch, num_tokens, part_key)), None

    zeros = jax.tree.map(jnp.zeros_like, params), jnp.zeros(4)
    return jax.lax.scan(add, zeros, (jax.random.split(key, parts), jax.tree.map(cut, batch)))[0]


def num_targets(batch: dict) -> jax.Array:
    """Return how many tokens the targets of a batch have, float32 []; 0 where the encoder learns alone."""
    return (batch["tokens"] > 0).sum().astype(jnp.float32) if "tokens" in batch else jnp.float32(0.0)


@functools.partial(jax.jit, static_argnames=("phase", "config", "train", "mesh"), donate_argnums=0)
def train_step(
    state: State, batch: dict, rate: jax.Array, *, phase: str, config: Config, train: TrainConfig, mesh: Mesh
) -> tuple[State, jax.Array]:
    """One update.

    Args:
        state: given up to the new one.
        batch: see `loss_and_metrics`, on the devices by `sharding.place_batch`.
        rate: the learning rate, float32.
        phase: what learns; static, as are the following.
        config: of the model.
        train: how.
        mesh: of the devices.

    Returns:
        The new state, and float32 [len(METRICS)].
    """
    key = jax.random.fold_in(jax.random.key(train.seed), state.step)
    num_tokens = num_targets(batch)
    loss = functools.partial(loss_and_metrics, phase=phase, config=config, train=train)
    gradients, means = _gradients(state.params, batch, key, num_tokens, mesh, loss, train.accumulate)
    directions, optimizer = optimizers.make(train).update(gradients, state.optimizer, state.params)
    params = optimizers.descend(state.params, directions, rate)
    # Without this, weight decay and old momentum would still move what is not to learn.
    if phase == "encoder":
        params["network"] |= {"decoder": state.params["network"]["decoder"]}
    elif phase == "decoder":
        params["network"] |= {"encoder": state.params["network"]["encoder"]}
        params["auxiliary"] = state.params["auxiliary"]
    # The average starts short, or the first random weights would stay in it for thousands of steps.
    decay = jnp.minimum(train.average_decay, (1.0 + state.step) / (10.0 + state.step))
    average = optax.incremental_update(params["network"], state.average, 1 - decay)
    new = State(params, optimizer, average, state.step + 1)
    new = jax.lax.with_sharding_constraint(new, sharding.of_tree(new, mesh))
    metrics = jnp.concatenate([means, jnp.stack([_length(gradients), num_tokens])])
    return new, jax.lax.with_sharding_constraint(metrics, NamedSharding(mesh, Spec()))


@functools.partial(jax.jit, static_argnames=("phase", "config", "train"))
def held_out_loss(params: dict, batch: dict, *, phase: str, config: Config, train: TrainConfig) -> jax.Array:
    """Return the loss of a whole batch that nothing is learnt from, float32 []; arguments as of `loss_and_metrics`."""
    train = dataclasses.replace(train, accumulate=1)
    return loss_and_metrics(params, batch, num_targets(batch), None, phase=phase, config=config, train=train)[0]


@jax.jit
def all_finite(state: State) -> jax.Array:
    """Return whether every parameter is a number, bool scalar."""
    return jnp.isfinite(_length((state.params, state.average)))


def _length(tree) -> jax.Array:
    """Return the Euclidean norm of all numbers in a tree together."""
    return jnp.sqrt(sum(jnp.square(leaf).sum() for leaf in jax.tree.leaves(tree)))
