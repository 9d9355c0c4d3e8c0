"""``mt3lite convert``: a T5X checkpoint to a model folder, and back."""

import argparse

from mt3lite import config, reading, weights
from mt3lite.adapters import t5x_checkpoint


def run(arguments: argparse.Namespace) -> int:
    """Convert, print what came of it, and return the exit code.

    Raises:
        InputError: the source is not what it should be, or is damaged, or the output is there already.
    """
    t5x_checkpoint.check_new(arguments.out)
    if arguments.to_t5x:
        model = weights.load(arguments.source)
        t5x_checkpoint.save(arguments.out, model.params, step=arguments.step)
        print(f"T5X checkpoint: {arguments.out} ({model.config.name}, step {arguments.step})")
        return 0
    checkpoint = t5x_checkpoint.open_checkpoint(arguments.source)
    settings = _settings(arguments) or t5x_checkpoint.recognise(checkpoint)
    params = t5x_checkpoint.load(checkpoint, settings)
    origin = arguments.origin or f"converted from the T5X checkpoint {checkpoint.path.name}, step {checkpoint.step}"
    weights.save(arguments.out, settings, params, origin=origin, license=arguments.license or "not stated")
    print(f"model: {arguments.out} ({settings.name}, step {checkpoint.step}, {len(checkpoint.tensors)} tensors)")
    return 0


def _settings(arguments: argparse.Namespace) -> config.Config | None:
    """Read the settings that were given by ``--config``."""
    if arguments.config is None:
        return None
    text = reading.read_text(arguments.config, reading.MOST_SETTINGS_BYTES)
    return config.from_json(text, str(arguments.config))
