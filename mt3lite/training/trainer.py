"""Training, from top to bottom: batch, loss, gradient, update, metrics, checkpoint.

A run is its folder: ``config.json`` (the model), ``train.json`` (how it is trained), ``curve.csv`` (one row every few
steps) and ``checkpoints/`` (Orbax). Started again, it goes on from the last checkpoint with the batches that were next.
"""

import contextlib
import csv
import dataclasses
import functools
import json
import math
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mt3lite import config as config_module
from mt3lite import files, network, segments
from mt3lite.config import Config
from mt3lite.errors import InputError
from mt3lite.training import datasets, examples, loader, losses

CURVE_COLUMNS = (
    "step",
    "seconds",
    "loss",
    "token_loss",
    "auxiliary_loss",
    "token_accuracy",
    "learning_rate",
    "dropped",
)


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """How a model is trained."""

    num_steps: int = 10_000
    minutes: float | None = None  # stop after this time instead, and fit the schedule to it
    batch_size: int = 16
    learning_rate: float = 1.5e-3  # at the top of the schedule
    warmup_steps: int = 100
    final_fraction: float = 0.02  # of the learning rate, where the cosine ends
    weight_decay: float = 0.01
    max_gradient_norm: float = 1.0
    adam_b2: float = 0.98
    label_smoothing: float = 0.0
    z_loss: float = 1e-4
    auxiliary_weight: float = 0.2  # of the encoder's note-activity loss; 0 leaves it out
    listening_fraction: float = 0.2  # of the run, at its start: the encoder learns alone, by that loss
    reading_fraction: float = 0.3  # of the run, after that: the decoder learns to read an encoder that stays as it is
    average_decay: float = 0.999  # of the parameters' moving average, which is what is exported
    seed: int = 0
    log_every: int = 20  # steps
    checkpoint_minutes: float = 5.0


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class State:
    """What a step changes."""

    params: dict  # {"network": ..., "auxiliary": ...}
    optimizer: optax.OptState
    average: dict  # moving average of params["network"]
    step: jax.Array  # int32, steps done


def make_optimizer(config: TrainConfig) -> optax.GradientTransformation:
    """AdamW with clipped gradients; the learning rate is set from outside at each step, as minutes may rule it."""
    return optax.chain(
        optax.clip_by_global_norm(config.max_gradient_norm),
        optax.inject_hyperparams(optax.adamw)(
            learning_rate=config.learning_rate, b2=config.adam_b2, weight_decay=config.weight_decay
        ),
    )


def learning_rate(config: TrainConfig, step: int, progress: float) -> float:
    """Linear warm-up over steps, then a cosine down to `final_fraction` as `progress` goes from 0 to 1."""
    cosine = config.final_fraction + (1 - config.final_fraction) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    return config.learning_rate * cosine * min(1.0, (step + 1) / max(config.warmup_steps, 1))


def phase_of(config: TrainConfig, progress: float) -> str:
    """Return what learns at this fraction of the run: "encoder" (listening), "decoder" (reading), or "both"."""
    if progress < config.listening_fraction:
        return "encoder"
    return "decoder" if progress < config.listening_fraction + config.reading_fraction else "both"


def loss_and_metrics(params: dict, batch: dict, key: jax.Array, *, phase: str, config: Config, train: TrainConfig):
    """Return the scalar to minimise and the metrics of one batch.

    batch: "samples" float32 [B, num_samples], "tokens" int32 [B, T] (unless the encoder learns alone), "notes" int32
    [B, N, 5]. phase: see `phase_of`.
    """
    transformer = network.Transformer(config.network)
    frames = segments.compute_frames(batch["samples"], config.spectrogram, config.segments, jnp)
    apply = functools.partial(transformer.apply, {"params": params["network"]}, deterministic=False)
    encoder_key, decoder_key = jax.random.split(key)
    encoded, features = apply(frames, method="encode_with_features", rngs={"dropout": encoder_key})
    token_loss = accuracy = auxiliary = jnp.float32(0.0)
    if phase == "decoder":
        encoded = jax.lax.stop_gradient(encoded)
    if phase != "encoder":
        inputs = network.shift_right(batch["tokens"])
        logits = apply(encoded, inputs, method="decode", rngs={"dropout": decoder_key})
        weights = (batch["tokens"] > 0).astype(jnp.float32)
        total, _, correct, count = losses.cross_entropy(
            logits, batch["tokens"], weights, label_smoothing=train.label_smoothing, z_loss=train.z_loss
        )
        token_loss, accuracy = total / count, correct / count
    if train.auxiliary_weight and phase != "decoder":
        heads = losses.AuxiliaryHeads().apply({"params": params["auxiliary"]}, encoded, features)
        auxiliary = losses.auxiliary_loss(heads, batch["notes"])
    loss = token_loss + train.auxiliary_weight * auxiliary
    metrics = {"loss": loss, "token_loss": token_loss, "auxiliary_loss": auxiliary, "token_accuracy": accuracy}
    return loss, metrics


@functools.partial(jax.jit, static_argnames=("phase", "config", "train"), donate_argnums=0)
def train_step(state: State, batch: dict, rate: jax.Array, *, phase: str, config: Config, train: TrainConfig):
    """One update. Returns the new state and the metrics of the batch, all on the device."""
    key = jax.random.fold_in(jax.random.key(train.seed), state.step)
    gradient_of = jax.grad(functools.partial(loss_and_metrics, phase=phase, config=config, train=train), has_aux=True)
    gradients, metrics = gradient_of(state.params, batch, key)
    clip, adam = state.optimizer
    adam = adam._replace(hyperparams={**adam.hyperparams, "learning_rate": rate})
    updates, optimizer = make_optimizer(train).update(gradients, (clip, adam), state.params)
    params = optax.apply_updates(state.params, updates)
    # The average starts short, or the first random weights would stay in it for thousands of steps.
    decay = jnp.minimum(train.average_decay, (1.0 + state.step) / (10.0 + state.step))
    average = optax.incremental_update(params["network"], state.average, 1 - decay)
    return State(params, optimizer, average, state.step + 1), metrics


def initial_state(config: Config, train: TrainConfig, params: dict | None = None) -> State:
    """Return a fresh state: random parameters by the seed, or `params` of the network to go on from."""
    network_key, auxiliary_key = jax.random.split(jax.random.key(train.seed))
    transformer = network.Transformer(config.network)
    frames = jnp.zeros((1, config.segments.input_frames, config.spectrogram.num_bins))
    if params is None:
        params = transformer.init(network_key, frames, jnp.zeros((1, 2), jnp.int32))["params"]
    encoded, features = transformer.apply({"params": params}, frames, method="encode_with_features")
    auxiliary = losses.AuxiliaryHeads().init(auxiliary_key, encoded, features)["params"]
    both = {"network": jax.tree.map(jnp.asarray, params), "auxiliary": auxiliary}
    average = jax.tree.map(jnp.copy, both["network"])
    return State(both, make_optimizer(train).init(both), average, jnp.int32(0))


def _check_same_run(path: Path, text: str) -> None:
    """Keep settings beside the run; refuse to go on with others than it was begun with."""
    if path.exists() and path.read_text() != text:
        raise InputError(f"{path}: this run was begun with other settings; choose another folder or go on with those")
    with files.atomic_path(path) as temporary:
        temporary.write_text(text)


class _Checkpoints:
    """The run's checkpoints: its state and the seconds it has taken, saved while training goes on."""

    def __init__(self, folder: Path):
        import orbax.checkpoint as ocp

        self._args = ocp.args
        self._shape_of = ocp.utils.to_shape_dtype_struct
        options = ocp.CheckpointManagerOptions(max_to_keep=2, enable_async_checkpointing=True)
        self._manager = ocp.CheckpointManager((folder / "checkpoints").absolute(), options=options)

    def __enter__(self) -> "_Checkpoints":
        return self

    def __exit__(self, *_) -> None:
        self._manager.close()  # waits for what is being written

    def restore(self, state: State) -> tuple[State, float]:
        """Return the last saved state and its seconds, or `state` itself and 0."""
        step = self._manager.latest_step()
        if step is None:
            return state, 0.0
        args = self._args.Composite(
            state=self._args.StandardRestore(jax.tree.map(self._shape_of, state)), clock=self._args.JsonRestore()
        )
        restored = self._manager.restore(step, args=args)
        return restored.state, restored.clock["seconds"]

    def save(self, state: State, seconds: float) -> None:
        """Begin to save; a step that is saved already is left."""
        step = int(state.step)
        if self._manager.latest_step() != step:
            clock = self._args.JsonSave({"seconds": seconds})
            self._manager.save(step, args=self._args.Composite(state=self._args.StandardSave(state), clock=clock))


def fit(
    folder: Path,
    tracks: list[datasets.Track],
    config: Config,
    train: TrainConfig,
    *,
    augmentation: examples.AugmentConfig | None = None,
    initial_params: dict | None = None,
    report: Callable[[str], None] = print,
) -> dict:
    """Train, or go on training, in a folder; return the averaged parameters of the network.

    Args:
        folder: of the run; made if missing.
        tracks: to train on.
        config: of the model.
        train: how.
        augmentation: of the examples; None for none.
        initial_params: of the network, to fine-tune from; None starts from random ones.
        report: takes one line of progress at a time.

    Raises:
        InputError: the folder holds a run with other settings, or the loss is not a number any more.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _check_same_run(folder / "config.json", config_module.to_json(config))
    _check_same_run(folder / "train.json", json.dumps(dataclasses.asdict(train), indent=2))
    with _Checkpoints(folder) as checkpoints:
        state, seconds = checkpoints.restore(initial_state(config, train, initial_params))
        step = int(state.step)
        if step:
            report(f"going on from step {step}")
        batches = loader.batches(
            tracks, config, augmentation, batch_size=train.batch_size, seed=train.seed, start_step=step
        )
        with contextlib.closing(batches):
            state = _run(state, batches, seconds, folder, checkpoints, config, train, report)
    return jax.tree.map(np.asarray, state.average)


def _run(state, batches, seconds_before, folder, checkpoints, config, train, report) -> State:
    """Update until the steps or the minutes are over; keep the curve and the checkpoints."""
    start = last_save = time.monotonic()
    step, pending = int(state.step), []

    def seconds() -> float:
        return seconds_before + time.monotonic() - start

    for batch in batches:
        progress = seconds() / (60 * train.minutes) if train.minutes else step / train.num_steps
        if progress >= 1:
            break
        rate, phase = learning_rate(train, step, progress), phase_of(train, progress)
        arrays = {"samples": batch.samples, "notes": batch.notes}
        if phase != "encoder":  # whose program must not be compiled for each length of the tokens
            arrays["tokens"] = batch.tokens
        state, metrics = train_step(state, arrays, jnp.float32(rate), phase=phase, config=config, train=train)
        step += 1
        pending.append(metrics)
        if step % train.log_every == 0:
            row = _mean_row(pending, step, seconds(), rate, batch.dropped)
            pending = []
            _append_row(folder / "curve.csv", row)
            report(" ".join(f"{name} {value:.5g}" for name, value in zip(CURVE_COLUMNS, row, strict=True)))
        if time.monotonic() - last_save > 60 * train.checkpoint_minutes:
            checkpoints.save(state, seconds())
            last_save = time.monotonic()
    checkpoints.save(state, seconds())
    return state


def _mean_row(pending: list[dict], step: int, seconds: float, rate: float, dropped: int) -> list[float]:
    """Average the metrics of the last steps into one row of the curve; refuse a loss that is not a number."""
    means = jax.tree.map(lambda *values: float(np.mean(jax.device_get(values))), *pending)
    if not math.isfinite(means["loss"]):
        raise InputError(f"loss is {means['loss']} within steps {step - len(pending) + 1} to {step}; lower the rate")
    return [step, seconds, *(means[name] for name in CURVE_COLUMNS[2:6]), rate, dropped]


def _append_row(path: Path, row: list[float]) -> None:
    """Append a row to the curve, with a header in a new file."""
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(CURVE_COLUMNS)
        writer.writerow([f"{value:.6g}" for value in row])
