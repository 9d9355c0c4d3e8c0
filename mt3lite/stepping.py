"""Caches and parameters as decoding steps want them: in panels (`panels.py`) and, if need be, of int8 (`rounding.py`).

`Transformer.step` takes them as it takes plain ones; what comes of it is the same, int8 apart.
"""

import jax.numpy as jnp
import numpy as np

from mt3lite import network, panels, rounding

PRECISIONS = FLOAT32, INT8 = "float32", "int8"  # of decoding steps; int8 is for CPUs


def empty_cache(config: network.NetworkConfig, batch: int, length: int) -> network.Cache:
    """Return zero self-attention caches for `batch` rows of at most `length` tokens."""
    shape = (batch, config.num_heads, length, config.head_dim)
    zeros = jnp.zeros(shape, jnp.dtype(config.dtype))
    return [(zeros, zeros) for _ in range(config.num_decoder_layers)]


def in_panels(cache: network.Cache) -> network.Cache:
    """Return caches with their keys in panels, as far as they make whole ones."""
    return _with_keys(panels.split_keys, cache)


def out_of_panels(cache: network.Cache) -> network.Cache:
    """Undo `in_panels`."""
    return _with_keys(panels.join_keys, cache)


def _with_keys(lay_out, cache: network.Cache) -> network.Cache:
    def changed(keys):
        return keys._replace(integers=lay_out(keys.integers)) if isinstance(keys, rounding.Rounded) else lay_out(keys)

    return [(changed(keys), values) for keys, values in cache]


def rounded(cache: network.Cache) -> network.Cache:
    """Return caches of int8, of those of float32 that are not in panels."""
    return [(rounding.to_int8(keys), rounding.to_int8(values)) for keys, values in cache]


def params_for_steps(params: dict, precision: str = FLOAT32) -> dict:
    """Return parameters whose kernels that every decoding step reads are in panels; for `step` and what comes before.

    Those which the encoded audio alone goes through stay: many rows at a time want them whole. In int8 the
    others are rounded, see `rounding.py`.
    """

    def lay_out(path: tuple[str, ...], node):
        if not isinstance(node, dict):
            return node
        once = path[-2:] in (("encoder_decoder_attention", "key"), ("encoder_decoder_attention", "value"))
        if path[0] == "decoder" and "kernel" in node and not once:
            return _for_steps(node["kernel"], precision)
        return {name: lay_out((*path, name), child) for name, child in node.items()}

    return {name: lay_out((name,), node) for name, node in params.items()}


def _for_steps(kernel: np.ndarray, precision: str) -> dict[str, np.ndarray]:
    """Return the parameters of a product without a bias, as decoding steps want them."""
    if precision == INT8:
        return rounding.prepare(kernel)
    return {"kernel": panels.split(kernel) if panels.fits(kernel.shape[1]) else kernel}
