"""Carried tokens: what a decoder is told at each place about the tokens so far.

A program, a velocity or a shift is in force until the next one, and a pitch sounds until it is ended; a small decoder
would need many steps of training to look that up among its tokens. So it is told, by one row of integers a place: the
last token of each range in `NetworkConfig.carried_ranges`, and which pitches of `NetworkConfig.pitch_range` sound.

Axes: B batch, T tokens, R carried ranges and pitches, N ranges or pitches.
"""

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

if TYPE_CHECKING:
    from mt3lite import network


def sequence(tokens: jax.Array, config: "network.NetworkConfig") -> jax.Array:
    """Return what the decoder is told at each place: tokens [B, T] -> int32 [B, T, R].

    A column for each of `config.carried_ranges` holds the last token of it so far as id - first + 1, or 0 for none yet;
    a column for each pitch of `config.pitch_range` whether it sounds, 0 or 1.
    """
    places = jnp.arange(tokens.shape[1])[:, None]

    def latest_of(inside: jax.Array) -> jax.Array:
        return jax.lax.cummax(jnp.where(inside, places, -1), axis=1)  # [B, T, N], -1 for none yet

    def at(values: jax.Array, latest: jax.Array) -> jax.Array:
        flat = jnp.take_along_axis(values, jnp.maximum(latest, 0).reshape(len(values), -1), axis=1)
        return flat.reshape(latest.shape)

    firsts, counts = (jnp.array([each[i] for each in config.carried_ranges], jnp.int32) for i in (0, 1))
    latest = latest_of((tokens[..., None] >= firsts) & (tokens[..., None] < firsts + counts))
    told = jnp.where(latest >= 0, at(tokens, latest) - firsts + 1, 0)
    first_pitch, num_pitches = config.pitch_range
    if not num_pitches:
        return told
    latest = latest_of(tokens[..., None] == first_pitch + jnp.arange(num_pitches))
    sounding = (latest >= 0) & at(_starts_notes(told), latest)
    return jnp.concatenate([told, sounding.astype(jnp.int32)], axis=-1)


def carry(carried: jax.Array, tokens: jax.Array, config: "network.NetworkConfig") -> jax.Array:
    """Return `carried` int32 [B, R] of `sequence` after one more token each, tokens [B]."""
    firsts, counts = (jnp.array([each[i] for each in config.carried_ranges], jnp.int32) for i in (0, 1))
    tokens = tokens[:, None]
    told, sounding = carried[:, : len(firsts)], carried[:, len(firsts) :]
    told = jnp.where((tokens >= firsts) & (tokens < firsts + counts), tokens - firsts + 1, told)
    first_pitch, num_pitches = config.pitch_range
    if num_pitches:
        said = tokens == first_pitch + jnp.arange(num_pitches)
        sounding = jnp.where(said, _starts_notes(told)[:, None], sounding)
    return jnp.concatenate([told, sounding], axis=-1)


def empty(config: "network.NetworkConfig", batch: int) -> jax.Array:
    """Return what `carry` starts from, int32 [B, R]."""
    return jnp.zeros((batch, len(config.carried_ranges) + config.pitch_range[1]), jnp.int32)


def _starts_notes(told: jax.Array) -> jax.Array:
    """Return whether a pitch token begins a note: told [..., 4] of shift, velocity, tie, program -> bool [...]."""
    tie_section_open, loud = told[..., 2] == 0, told[..., 1] > 1  # velocity bin 0, the end of a note, is told as 1
    return tie_section_open | loud
