"""Makes a model that lies between two of the same settings: weights whose share is of the second.

    data/models/small/between.py MODEL OTHER SHARE OUT

What a model unlearns while it learns new sounds is mostly kept by the mean, and so is most of what it learns (Wortsman
et al., "Robust Fine-Tuning of Zero-Shot Models", CVPR 2022). OUT has 16-bit floats, and MODEL's origin and licence. A
head that only OTHER has is taken as it is there.
"""

import argparse
import dataclasses
import sys

import numpy as np
from flax import traverse_util

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
        first, second = (traverse_util.flatten_dict(each.params) for each in (model, other))
        alike = first.keys() <= second.keys() and all(first[path].shape == second[path].shape for path in first)
        if not alike or dataclasses.replace(model.config, network=other.config.network) != other.config:
            sys.exit(f"between.py: {arguments.other}: has other settings than {arguments.model}")
        mixed = {}
        for path, array in second.items():
            own = np.float32(first.get(path, array))
            mixed[path] = (own + arguments.share * (np.float32(array) - own)).astype(np.float16)
        params = traverse_util.unflatten_dict(mixed)
        weights.save(arguments.out, other.config, params, origin=model.origin, license=model.license)
    except InputError as error:
        sys.exit(f"between.py: {error}")


if __name__ == "__main__":
    main()
