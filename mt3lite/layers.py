"""The layers that the network is made of: norm, product, attention, time window, gated feed-forward block.

They are those of T5.1.1 as the ancestor (magenta/mt3) uses them; see `network.py`, whose axes these are.
"""

from typing import TYPE_CHECKING

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from mt3lite import panels, rounding

if TYPE_CHECKING:
    from mt3lite import network


class RMSNorm(nn.Module):
    """x / rms(x) * scale over the last axis, computed in float32, epsilon 1e-6."""

    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Apply the norm."""
        x = x.astype(jnp.float32)
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],))
        return (x * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + 1e-6) * scale).astype(self.dtype)


class _Dense(nn.Dense):
    """A product whose kernel may come in panels, of float32 or of int8."""

    def __call__(self, x: jax.Array) -> jax.Array:
        """[..., D] -> [..., N]."""
        kernel = self.get_variable("params", "kernel")
        if kernel is not None and kernel.dtype == jnp.int8:
            return rounding.product(x, kernel, self.get_variable("params", "scale")).astype(self.dtype)
        if kernel is not None and kernel.ndim == 3:
            return panels.product(x.astype(self.dtype), kernel)
        return super().__call__(x)


def dense(features: int, dtype: jnp.dtype, name: str | None, kernel_init=None) -> nn.Dense:
    """Return a product without a bias; without an initialiser, a truncated normal of variance 1 / D."""
    kernel_init = kernel_init or nn.initializers.variance_scaling(1.0, "fan_in", "truncated_normal")
    return _Dense(features, use_bias=False, dtype=dtype, kernel_init=kernel_init, name=name)


def _query_init(head_dim: int):
    """Return the initialiser that folds the usual 1/sqrt(head_dim) of the attention scores into the query kernel."""
    init = nn.initializers.variance_scaling(1.0, "fan_in", "normal")
    return lambda *args: init(*args) / np.sqrt(head_dim).astype(np.float32)


def _scores(queries: jax.Array, keys: jax.Array | rounding.Rounded) -> jax.Array:
    """Queries [B, H, T, K], keys as `Attention.attend` takes them -> [B, H, T, L]."""
    if isinstance(keys, rounding.Rounded):
        return rounding.scores(queries, keys)
    return panels.scores(queries, keys) if keys.ndim == 5 else jnp.einsum("bhtk,bhlk->bhtl", queries, keys)


class Attention(nn.Module):
    """Multi-head attention without biases; its three steps can be called apart, for cached decoding."""

    config: "network.NetworkConfig"

    def setup(self):
        cfg = self.config
        dtype, width = jnp.dtype(cfg.dtype), cfg.num_heads * cfg.head_dim
        init = nn.initializers.variance_scaling(1.0, "fan_in", "normal")
        self.query = dense(width, dtype, None, _query_init(cfg.head_dim))
        self.key = dense(width, dtype, None, init)
        self.value = dense(width, dtype, None, init)
        self.out = dense(cfg.emb_dim, dtype, None, init)
        self.dropout = nn.Dropout(cfg.dropout_rate, broadcast_dims=(-2,))  # the same keys dropped for all queries

    def _heads(self, x: jax.Array) -> jax.Array:
        return x.reshape(*x.shape[:2], self.config.num_heads, self.config.head_dim).transpose(0, 2, 1, 3)

    def queries(self, x: jax.Array) -> jax.Array:
        """[B, T, D] -> [B, H, T, K]."""
        return self._heads(self.query(x))

    def keys_values(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """[B, L, D] -> two [B, H, L, K]."""
        return self._heads(self.key(x)), self._heads(self.value(x))

    def attend(self, queries, keys, values, mask=None, bias=None, deterministic=True) -> jax.Array:
        """[B, H, T, K] and keys, values [B, H, L, K], mask and bias broadcastable to [B, H, T, L] -> [B, T, D].

        The keys may be those of `panels.split_keys`, and both may be `rounding.Rounded`; then T must be 1.
        """
        scores = _scores(queries, keys).astype(jnp.float32)
        if bias is not None:
            scores += bias
        if mask is not None:
            scores = jnp.where(mask, scores, -1e10)
        weights = self.dropout(jax.nn.softmax(scores).astype(queries.dtype), deterministic=deterministic)
        if isinstance(values, rounding.Rounded):
            mixed = rounding.mix(weights, values)
        else:
            mixed = panels.mix(weights, values) if keys.ndim == 5 else jnp.einsum("bhtl,bhlk->bhtk", weights, values)
        return self.out(mixed.swapaxes(1, 2).reshape(len(mixed), mixed.shape[2], -1))

    def __call__(self, x: jax.Array, memory: jax.Array, mask=None, bias=None, deterministic=True) -> jax.Array:
        """Attend from x [B, T, D] to memory [B, L, D] -> [B, T, D]."""
        keys, values = self.keys_values(memory)
        return self.attend(self.queries(x), keys, values, mask, bias, deterministic)


class TimeWindow(nn.Module):
    """A soft window on the audio for each head: a Gaussian around where the decoder stands, with learned width.

    The score of position p gets -((p - stand - offset) / width)^2 / 2. Heads begin with widths from one position to
    many, looking ahead by half their width, as the next event lies ahead.
    """

    num_heads: int

    @nn.compact
    def __call__(self, stand: jax.Array, num_positions: int) -> jax.Array:
        """Positions [B, T] that the decoder stands at -> bias float32 [B, H, T, P]."""
        widths = np.geomspace(1.5, 64.0, self.num_heads, dtype=np.float32)
        offset = self.param("offset", lambda key: jnp.asarray(widths / 2))[:, None, None]
        log_width = self.param("log_width", lambda key: jnp.log(widths))[:, None, None]
        distance = jnp.arange(num_positions) - stand[:, None, :, None] - offset
        return -0.5 * jnp.square(distance / jnp.exp(log_width))


class MLP(nn.Module):
    """Gated feed-forward block: gelu(x W0) * (x W1), dropout, then W."""

    config: "network.NetworkConfig"

    @nn.compact
    def __call__(self, x: jax.Array, deterministic: bool = True) -> jax.Array:
        """[B, T, D] -> [B, T, D]."""
        dtype = jnp.dtype(self.config.dtype)
        gate = nn.gelu(dense(self.config.mlp_dim, dtype, "wi_0")(x))
        hidden = gate * dense(self.config.mlp_dim, dtype, "wi_1")(x)
        hidden = nn.Dropout(self.config.dropout_rate, broadcast_dims=(-2,))(hidden, deterministic=deterministic)
        return dense(self.config.emb_dim, dtype, "wo")(hidden)
