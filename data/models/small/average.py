"""Writes the model of a run that has not ended: the averaged weights of its newest checkpoint, as 16-bit floats.

    JAX_PLATFORMS=cpu python data/models/small/average.py RUN MODEL ORIGIN LICENSE

A run that ends writes RUN/model itself. The checkpoint is read whole, whatever device it was made on.
"""

import json
import sys
import types
from pathlib import Path

import jax
import numpy as np

from mt3lite import config, weights
from mt3lite.training import checkpoints, sharding, update
from mt3lite.training.settings import TrainConfig


def main(run: str, model: str, origin: str, license: str) -> int:
    """Write the model folder; return the exit code."""
    settings = config.from_json((Path(run) / "config.json").read_text(), run)
    train = TrainConfig(**json.loads((Path(run) / "train.json").read_text()))
    state = update.initial_state(settings, train, sharding.make_mesh(train.model_devices))
    no_batches = types.SimpleNamespace(get_state=bytes, set_state=lambda state: None)  # nothing will be trained on
    with checkpoints.Checkpoints(Path(run) / "checkpoints", train.keep_checkpoints) as saved:
        print(saved.newest())
        state, _ = saved.restore(state, no_batches)
    if not state.step:
        sys.exit(f"average.py: {run}: has no checkpoint")
    half = jax.tree.map(lambda array: np.asarray(array, np.float16), state.average)
    weights.save(model, settings, half, origin=origin, license=license)
    print(f"model: {model}, of step {int(state.step)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
