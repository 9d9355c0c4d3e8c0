"""Decoding steps in int8, for a CPU: a quarter of the bytes of float32 to read, at the price of other tokens.

Kernels, and the keys and values of attention, are stored as integers from -127 to 127 with scales of float32: one for
each column of a kernel, one for each key and each value. What is multiplied with them is rounded in the same way at
every step, a scale for each row. Sums of integers are exact. Norms, softmax, the residual stream and all of the encoder
stay in float32.

Axes: B rows, D inputs, N outputs, H heads, K head size, L cache length, W columns of a panel, see `panels.py`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mt3lite import panels

LARGEST = 127
WIDTHS = (128, panels.WIDTH)  # of a kernel's panels: by 128 columns int8 is read a little faster than by 64


class Rounded(NamedTuple):
    """Keys or values of a cache; what they stand for is integers * scale."""

    integers: jax.Array  # int8 [B, H, L, K]; keys may be in panels
    scale: jax.Array  # float32 [B, H, L, 1]

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the integers."""
        return self.integers.shape


def to_int8(x: jax.Array, axis: int = -1, library=jnp) -> Rounded:
    """Return x [..., D] as integers and scales of size 1 along the axis; the largest magnitude becomes 127."""
    x = x.astype(np.float32)
    scale = abs(x).max(axis=axis, keepdims=True) / np.float32(LARGEST)
    scale = library.where(scale > 0, scale, np.float32(1))
    return Rounded(library.round(x / scale).astype(np.int8), scale)


def prepare(kernel: np.ndarray) -> dict[str, np.ndarray]:
    """[D, N] -> kernel int8 [N/W, D, W] and scale float32 [N]; one panel where N does not make whole ones.

    In NumPy, for JAX would compile each small operation at every start of a program.
    """
    columns = kernel.shape[1]
    width = next((width for width in WIDTHS if columns % width == 0), columns)
    integers, scale = to_int8(np.asarray(kernel), axis=0, library=np)
    return {"kernel": panels.split(integers, width), "scale": scale[0]}


def product(x: jax.Array, kernel: jax.Array, scale: jax.Array) -> jax.Array:
    """Multiply [..., D] by what `prepare` returned -> float32 [..., N]."""
    rows = to_int8(x)
    return panels.product(rows.integers, kernel) * rows.scale * scale


def scores(queries: jax.Array, keys: Rounded) -> jax.Array:
    """Queries [B, H, 1, K], keys -> float32 [B, H, 1, L]."""
    rows = to_int8(queries)
    if keys.integers.ndim == 5:
        sums = panels.scores(rows.integers, keys.integers)
    else:
        sums = jnp.einsum("bhtk,bhlk->bhtl", rows.integers, keys.integers, preferred_element_type=jnp.int32)
    return sums * rows.scale * keys.scale.swapaxes(2, 3)


def mix(weights: jax.Array, values: Rounded) -> jax.Array:
    """Weights [B, H, 1, L], values -> float32 [B, H, 1, K]."""
    rows = to_int8(weights * values.scale.swapaxes(2, 3))
    return panels.mix(rows.integers, values.integers) * rows.scale
