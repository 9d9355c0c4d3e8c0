"""``mt3lite train``: a dataset folder to a model folder."""

import argparse

import jax
import numpy as np

from mt3lite import config, weights
from mt3lite.training import datasets, examples, trainer


def run(arguments: argparse.Namespace) -> int:
    """Train, or go on training, and write the averaged weights to ``model/`` in the run's folder; return the exit code.

    Raises:
        InputError: a bad dataset or model folder, a run with other settings in the folder, a loss that is no number.
    """
    model = weights.load(arguments.init_from) if arguments.init_from else None
    settings = model.config if model else config.preset(arguments.preset)
    tracks = datasets.of_split(datasets.read_manifest(arguments.data), arguments.split)
    given = {
        "num_steps": arguments.steps,
        "minutes": arguments.minutes,
        "batch_size": arguments.batch_size,
        "learning_rate": arguments.learning_rate,
        "seed": arguments.seed,
        "listening_fraction": 0.0 if model else None,  # a trained model listens and reads already
        "reading_fraction": 0.0 if model else None,
    }
    train = trainer.TrainConfig(**{name: value for name, value in given.items() if value is not None})
    params = trainer.fit(
        arguments.workdir,
        tracks,
        settings,
        train,
        augmentation=None if arguments.no_augmentation else examples.AugmentConfig(),
        initial_params=model.params if model else None,
    )
    folder = arguments.workdir / "model"
    half = jax.tree.map(lambda array: array.astype(np.float16), params)  # half the file, the same notes
    weights.save(folder, settings, half, origin=arguments.origin, license=arguments.license)
    print(f"model: {folder}")
    return 0
