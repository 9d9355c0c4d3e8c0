"""Which device holds which part of parameters and batches: one rule for one device, for many, and for many processes.

The devices are a mesh with two axes. Along "data" each has other examples of the batch; along "model" each has other
parts of the large parameters. What an axis of a parameter means is told by its name, as t5x does it, and what is split
over which axis of the mesh by `RULES`.
"""

import re

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as Spec

from mt3lite.errors import InputError

# Ends of parameter names, and what their axes mean; parameters of other names are whole on every device.
LOGICAL_AXES = (
    (r"(token_embedder|carried_embedders_\d+)/embedding", ("vocab", "embed")),
    (r"logits_dense/kernel", ("embed", "vocab")),
    (r"continuous_inputs_projection/kernel", ("vocab", "embed")),
    (r"attention/(query|key|value)/kernel", ("embed", "joined_kv")),
    (r"attention/out/kernel", ("joined_kv", "embed")),
    (r"mlp/wi_\d/kernel", ("embed", "mlp")),
    (r"mlp/wo/kernel", ("mlp", "embed")),
    (r"(norm|norm_\d)/scale", ("embed",)),
)
RULES = {"vocab": "model", "joined_kv": "model", "mlp": "model", "embed": None}  # logical axis -> axis of the mesh


def make_mesh(model_devices: int = 1) -> Mesh:
    """Return the mesh of all devices of all processes, [data, model], `model_devices` of them along the second axis.

    Raises:
        InputError: the devices do not fall into groups of that size.
    """
    devices = np.array(jax.devices())
    if len(devices) % model_devices:
        raise InputError(f"{len(devices)} devices do not fall into groups of {model_devices}")
    return Mesh(devices.reshape(-1, model_devices), ("data", "model"))


def logical_axes(name: str) -> tuple[str, ...] | None:
    """Return what the axes of a parameter mean, by its path "decoder/layers_0/mlp/wo/kernel"; None: not known."""
    return next((axes for pattern, axes in LOGICAL_AXES if re.search(f"{pattern}$", name)), None)


def of_tree(tree, mesh: Mesh):
    """Return a tree of `NamedSharding` for parameters, or for what is kept beside them under the same names.

    An axis that its devices cannot share out evenly stays whole, as do the statistics of an optimizer that have another
    shape than their parameter.
    """

    def of_leaf(path, leaf) -> NamedSharding:
        axes = logical_axes(jax.tree_util.keystr(path, simple=True, separator="/"))
        if axes is None or len(axes) != leaf.ndim:
            return NamedSharding(mesh, Spec())
        split = [RULES[axis] for axis in axes]
        fits = [name and size % mesh.shape[name] == 0 for name, size in zip(split, leaf.shape, strict=True)]
        return NamedSharding(mesh, Spec(*(name if fit else None for name, fit in zip(split, fits, strict=True))))

    return jax.tree_util.tree_map_with_path(of_leaf, tree)


def place_batch(arrays: dict[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
    """Put this process's examples [n, ...] on its devices: arrays [n * number of processes, ...] split along "data".

    Raises:
        InputError: the devices cannot share them out evenly.
    """
    total, devices = len(next(iter(arrays.values()))) * jax.process_count(), mesh.shape["data"]
    if total % devices:
        raise InputError(f"a batch of {total} examples cannot be shared out evenly among {devices} devices")
    split = NamedSharding(mesh, Spec("data"))
    return {name: jax.make_array_from_process_local_data(split, array) for name, array in arrays.items()}


def to_host(tree):
    """Return a tree of whole NumPy arrays; every process has to ask, and gets it."""
    if jax.process_count() == 1:
        return jax.tree.map(np.asarray, tree)
    return multihost_utils.process_allgather(tree, tiled=True)


def largest(values: list[float]) -> list[float]:
    """Return for each value the largest that any process has; every process has to ask."""
    if jax.process_count() == 1:
        return values
    return multihost_utils.process_allgather(np.array(values, np.float32)).max(axis=0).tolist()
