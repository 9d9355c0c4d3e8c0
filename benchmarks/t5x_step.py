"""One training step of t5x's trainer over our network, for `train.py` to time. It needs t5x (docs/t5x.md)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from mt3lite import network, segments
from mt3lite.config import Config

RATE = 1e-3


def t5x_step(settings: Config, batch: dict[str, np.ndarray]) -> Callable[[], object]:
    """Return a step with Adafactor over "samples" float32 [B, num_samples] and "tokens" int32 [B, T].

    The spectrogram is computed before, as t5x's input pipeline does. Each call returns what to wait for.
    """
    from t5x import adafactor, partitioning, trainer, utils

    from mt3lite.adapters import t5x_model

    optimizer = adafactor.Adafactor(decay_rate=0.8, step_offset=0, logical_factor_rules=t5x_model.factor_rules())
    model = t5x_model.Model(settings, optimizer, z_loss=1e-4)
    tokens = batch["tokens"]
    frames = segments.compute_frames(batch["samples"], settings.spectrogram, settings.segments)
    features = {
        "encoder_input_tokens": np.asarray(frames),
        "decoder_target_tokens": tokens,
        "decoder_input_tokens": np.asarray(network.shift_right(jnp.asarray(tokens))),
        "decoder_loss_weights": (tokens > 0).astype(np.int32),
    }
    partitioner = partitioning.PjitPartitioner(num_partitions=1, logical_axis_rules=t5x_model.axis_rules())
    initializer = utils.TrainStateInitializer(
        optimizer_def=model.optimizer_def,
        init_fn=model.get_initial_variables,
        input_shapes={name: array.shape for name, array in features.items()},
        input_types={name: array.dtype for name, array in features.items()},
        partitioner=partitioner,
    )
    launched = trainer.Trainer(
        model=model,
        train_state=initializer.from_scratch(jax.random.PRNGKey(0)),
        partitioner=partitioner,
        eval_names=[],
        summary_dir=None,
        train_state_axes=initializer.train_state_axes,
        rng=jax.random.PRNGKey(1),
        learning_rate_fn=lambda step: RATE,
        num_microbatches=None,
    )

    def step() -> object:
        launched.train(iter([features]), 1).result()
        return launched.train_state.params

    return step
