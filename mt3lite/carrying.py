"""Carried tokens: what a decoder is told at each place about the tokens so far.

A program, a velocity or a shift is in force until the next one, and a pitch sounds until it is ended; a small decoder
would need many steps of training to look that up among its tokens. So it is told, by one row of integers a place: the
last token of each range in `NetworkConfig.carried_ranges`, and with which program each pitch of
`NetworkConfig.pitch_range` sounds. A network that hears (`hearing.py`) is also told which pitches and drums were
written since the last shift.

Axes: B batch, T tokens, R carried ranges and pitches, N ranges or pitches.
"""

from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp

if TYPE_CHECKING:
    from mt3lite import network


class Told(NamedTuple):
    """The columns of a network that hears, apart."""

    shift: jax.Array  # int32 [...]: steps; 0 for none yet
    velocity: jax.Array  # int32 [...]: bin; -1 for none yet
    in_ties: jax.Array  # bool [...]: the section of tied notes is open
    program: jax.Array  # int32 [...]; -1 for none yet
    sounding: jax.Array  # int32 [..., pitches]: 1 + the program that each pitch sounds with, 0 if it does not
    said_pitches: jax.Array  # int32 [..., pitches], 0 or 1, as the next
    said_drums: jax.Array  # int32 [..., drums]

    @classmethod
    def split(cls, carried: jax.Array, config: "network.NetworkConfig") -> "Told":
        """Take rows of `sequence` or `carry`, int32 [..., R], apart."""
        shift, velocity, tie, program = (carried[..., i] for i in range(4))
        num_pitches = config.pitch_range[1]
        sounding, said_pitches, said_drums = jnp.split(carried[..., 4:], [num_pitches, 2 * num_pitches], axis=-1)
        return cls(jnp.maximum(shift - 1, 0), velocity - 1, tie == 0, program - 1, sounding, said_pitches, said_drums)


def width(config: "network.NetworkConfig") -> int:
    """Return how many integers a place is told, R."""
    return len(config.carried_ranges) + config.pitch_range[1] + (_num_notes(config) if config.hearing else 0)


def _num_notes(config: "network.NetworkConfig") -> int:
    return config.pitch_range[1] + config.drum_range[1]


def _note_tokens(config: "network.NetworkConfig") -> jax.Array:
    """Return the ids of all pitch and drum tokens, int32 [pitches + drums]."""
    return jnp.concatenate([first + jnp.arange(count) for first, count in (config.pitch_range, config.drum_range)])


def _moves(tokens: jax.Array, config: "network.NetworkConfig") -> jax.Array:
    """Return which tokens begin a new step or section: shifts and tie tokens, bool."""
    shift, tie = config.carried_ranges[0], config.carried_ranges[2]
    return ((tokens >= shift[0]) & (tokens < sum(shift))) | ((tokens >= tie[0]) & (tokens < sum(tie)))


def sequence(tokens: jax.Array, config: "network.NetworkConfig") -> jax.Array:
    """Return what the decoder is told at each place: tokens [B, T] -> int32 [B, T, R].

    A column for each of `config.carried_ranges` holds the last token of it so far as id - first + 1, 0 for none yet; a
    column for each pitch of `config.pitch_range` the program that it sounds with, told in the same way (1 where none
    was named), 0 if it does not sound; and, for a network that hears, a column for each pitch and then each drum of
    `config.drum_range` whether it came after the last shift or tie token, 0 or 1.
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
    columns = [told, jnp.where(latest >= 0, at(_started(told), latest), 0)]
    if config.hearing:
        said = latest_of(tokens[..., None] == _note_tokens(config)) > latest_of(_moves(tokens, config)[..., None])
        columns.append(said.astype(jnp.int32))
    return jnp.concatenate(columns, axis=-1)


def carry(carried: jax.Array, tokens: jax.Array, config: "network.NetworkConfig") -> jax.Array:
    """Return `carried` int32 [B, R] of `sequence` after one more token each, tokens [B]."""
    firsts, counts = (jnp.array([each[i] for each in config.carried_ranges], jnp.int32) for i in (0, 1))
    tokens = tokens[:, None]
    told, sounding, said_now = jnp.split(carried, [len(firsts), len(firsts) + config.pitch_range[1]], axis=1)
    told = jnp.where((tokens >= firsts) & (tokens < firsts + counts), tokens - firsts + 1, told)
    first_pitch, num_pitches = config.pitch_range
    if num_pitches:
        said = tokens == first_pitch + jnp.arange(num_pitches)
        sounding = jnp.where(said, _started(told)[:, None], sounding)
    if config.hearing:
        said_now = jnp.where(_moves(tokens, config), 0, said_now | (tokens == _note_tokens(config)))
    return jnp.concatenate([told, sounding, said_now], axis=-1)


def empty(config: "network.NetworkConfig", batch: int) -> jax.Array:
    """Return what `carry` starts from, int32 [B, R]."""
    return jnp.zeros((batch, width(config)), jnp.int32)


def _started(told: jax.Array) -> jax.Array:
    """Return with which program a pitch token begins a note, 0 if it ends one: told [..., 4] -> int32 [...].

    The columns of told are shift, velocity, tie, program.
    """
    tie_section_open, loud = told[..., 2] == 0, told[..., 1] > 1  # velocity bin 0, the end of a note, is told as 1
    return jnp.where(tie_section_open | loud, jnp.maximum(told[..., 3], 1), 0)
