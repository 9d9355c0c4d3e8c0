"""Products of a decoding step on a CPU, over matrices that are stored as panels of 64 columns.

A step multiplies few rows by large matrices, so that its time is that of reading them. XLA's library for CPUs (YNNPACK)
reads a panel of 64 columns from beginning to end without packing it first, but a wide matrix in strips that jump from
row to row; and XLA's own product of a matrix with a single row is slower than the library's with two, of which one is
thrown away here. Measured in docs/speed.md; the sums are those of the plain products but for their order. int8 is
multiplied with int8 and summed in int32, see `rounding.py`.

Axes: B rows, D inputs, N outputs, H heads, K head size, L cache length, W = 64.
"""

import jax
import jax.numpy as jnp

WIDTH = 64


def fits(columns: int) -> bool:
    """Whether so many columns make whole panels."""
    return columns % WIDTH == 0


def split(kernel: jax.Array, width: int | None = None) -> jax.Array:
    """[D, N] -> [N/W, D, W], or panels of another width."""
    return kernel.reshape(len(kernel), -1, width or WIDTH).transpose(1, 0, 2)


def product(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Multiply [..., D] by a kernel of `split` -> [..., N]."""
    rows = x.reshape(1, -1, x.shape[-1])
    rows = jnp.broadcast_to(rows, (len(kernel), *rows.shape[1:]))
    by_panel = jax.lax.dot_general(
        rows, kernel.astype(x.dtype), (((2,), (1,)), ((0,), (0,))), preferred_element_type=_sums(x)
    )
    return by_panel.transpose(1, 0, 2).reshape(*x.shape[:-1], -1)


def split_keys(keys: jax.Array) -> jax.Array:
    """Keys of a cache [B, H, L, K] -> [B, H, L/W, K, W], or as they are where L does not make whole panels."""
    batch, heads, length, size = keys.shape
    if not fits(length):
        return keys
    return keys.reshape(batch, heads, length // WIDTH, WIDTH, size).swapaxes(3, 4)


def join_keys(keys: jax.Array) -> jax.Array:
    """Undo `split_keys`."""
    if keys.ndim == 4:
        return keys
    batch, heads, panels, size, _ = keys.shape
    return keys.swapaxes(3, 4).reshape(batch, heads, panels * WIDTH, size)


def write_key(keys: jax.Array, new: jax.Array, slot: jax.Array) -> jax.Array:
    """Put a key of each row, [B, H, 1, K], at a slot of split keys."""
    return jax.lax.dynamic_update_slice(keys, new.swapaxes(2, 3)[:, :, None], (0, 0, slot // WIDTH, 0, slot % WIDTH))


def scores(queries: jax.Array, keys: jax.Array) -> jax.Array:
    """Queries [B, H, 1, K], split keys -> [B, H, 1, L]."""
    batch, heads, panels, size, _ = keys.shape
    twice = jnp.broadcast_to(queries[:, :, None], (batch, heads, panels, 2, size))
    by_panel = jax.lax.dot_general(
        twice, keys, (((4,), (3,)), ((0, 1, 2), (0, 1, 2))), preferred_element_type=_sums(queries)
    )
    return by_panel[:, :, :, 0].reshape(batch, heads, 1, panels * WIDTH)


def mix(weights: jax.Array, values: jax.Array) -> jax.Array:
    """Weights [B, H, 1, L], values [B, H, L, K] -> [B, H, 1, K]."""
    twice = jnp.broadcast_to(weights, (*weights.shape[:2], 2, weights.shape[3]))
    return jnp.einsum("bhtl,bhlk->bhtk", twice, values, preferred_element_type=_sums(weights))[:, :, :1]


def _sums(x: jax.Array) -> jnp.dtype:
    """Return the type that products of x are summed in: int32 holds those of int8, 127 * 127 each."""
    return jnp.dtype(jnp.int32) if x.dtype == jnp.int8 else x.dtype
