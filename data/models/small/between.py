"""Makes a model that lies between two of the same settings: weights whose share is of the second.

    data/models/small/between.py MODEL OTHER SHARE OUT

What a model unlearns while it learns new sounds is mostly kept by the mean, and so is most of what it learns (Wortsman
et al., "Robust Fine-Tuning of Zero-Shot Models", CVPR 2022). OUT has 16-bit floats, and MODEL's origin and licence.
"""

import argparse
import sys

import jax
import numpy as np

from mt3lite import weights
from mt3lite.errors import InputError


def main() -> None:
    """Read the command line, write the model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("model", "other", "share", "out"):
        parser.add_argument(name, type=float if name == "share" else str)
    arguments = parser.parse_args()
    if not 0 <= arguments.share <= 1:
        parser.error(f"SHARE {arguments.share:g}: 0 to 1 is wanted")
    try:
        model, other = weights.load(arguments.model), weights.load(arguments.other)
        if model.config != other.config:
            sys.exit(f"between.py: {arguments.other}: has other settings than {arguments.model}")
        params = jax.tree.map(
            lambda first, second: ((1 - arguments.share) * first + arguments.share * second).astype(np.float16),
            *(jax.tree.map(np.float32, each.params) for each in (model, other)),
        )
        weights.save(arguments.out, model.config, params, origin=model.origin, license=model.license)
    except InputError as error:
        sys.exit(f"between.py: {error}")


if __name__ == "__main__":
    main()
