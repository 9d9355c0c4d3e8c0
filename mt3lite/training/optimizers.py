"""From gradients to a step: AdamW or Adafactor, and the learning rate over a run."""

import math

import jax
import optax

from mt3lite.training.settings import TrainConfig


def make(config: TrainConfig) -> optax.GradientTransformation:
    """Return what turns gradients into directions; `descend` goes along them.

    The learning rate is not part of it, since it depends on the clock in a run that is told its minutes.

    Adafactor is that of t5x as the ancestor sets it (Shazeer and Stern, 2018): decay 1 - step^-0.8, factored where both
    dimensions are 128 or more, updates clipped to a root mean square of 1 and scaled by that of the parameter. For
    parameters of at most two dimensions, as ours, t5x applies that rule of sizes and no other.
    """
    clip = [optax.clip_by_global_norm(config.max_gradient_norm)] if config.max_gradient_norm else []
    if config.optimizer == "adafactor":
        # optax's own ends with a factor of -1, as the others' does inside their learning rates.
        scale = [optax.adafactor(learning_rate=None, min_dim_size_to_factor=128, decay_rate=0.8), optax.scale(-1.0)]
    else:
        scale = [optax.scale_by_adam(b2=config.adam_b2)]
    decay = [optax.add_decayed_weights(config.weight_decay)] if config.weight_decay else []
    return optax.chain(*clip, *scale, *decay)


def descend(params: dict, directions: dict, rate: jax.Array) -> dict:
    """Return parameters - rate * directions."""
    return jax.tree.map(lambda parameter, direction: parameter - rate * direction, params, directions)


def learning_rate(config: TrainConfig, step: int, progress: float) -> float:
    """Return the rate of a step: a linear warm-up over `warmup_steps`, times what the schedule says.

    "constant": 1. "cosine": from 1 down to `final_fraction` as `progress` goes from 0 to 1. "rsqrt": falling with the
    square root of the step, from 1 at the end of the warm-up (t5x's `rsqrt_decay`, but for its scale).

    Args:
        config: of the run.
        step: steps done before.
        progress: part of the run that is done, of its steps or of its minutes.
    """
    warmup = max(config.warmup_steps, 1)
    factor = 1.0
    if config.schedule == "cosine":
        cosine = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
        factor = config.final_fraction + (1 - config.final_fraction) * cosine
    elif config.schedule == "rsqrt":
        factor = math.sqrt(warmup / max(step + 1, warmup))
    return config.learning_rate * factor * min(1.0, (step + 1) / warmup)
