"""Beam search with a single beam, as the ancestor decodes: not greedy, for it may end a row where EOS was but second.

At each step the two likeliest tokens are looked at. If EOS is one of them, the row ended there is kept if it scores
better than the one kept so far, and the search goes on with the other token, until nothing that may still come can
score better. A row scores its log chance over ((5 + length) / 6) ^ 0.6, EOS counted (Wu et al., "Google's Neural
Machine Translation System", 2016; `t5x.decoding.beam_search` with one beam). A row for which EOS was never among the
two is what the search went on with.

Axes: B rows, V token ids.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mt3lite import vocabulary

ALPHA = 0.6


class Beam(NamedTuple):
    """What a row has come to."""

    chance: jax.Array  # float32 [B]: log chance of the tokens so far
    score: jax.Array  # float32 [B]: of the row that is kept; -inf for none
    kept: jax.Array  # int32 [B]: tokens of the row that is kept, EOS among them; 0 for none


def begin(batch: int) -> Beam:
    """Return the beams of rows without a token."""
    return Beam(jnp.zeros(batch), jnp.full(batch, -jnp.inf), jnp.zeros(batch, jnp.int32))


def extend(beam: Beam, logits: jax.Array, length: jax.Array, max_tokens: int) -> tuple[jax.Array, Beam, jax.Array]:
    """Return the tokens to go on with int32 [B], the beams with them, and which rows are over, bool [B].

    Args:
        beam: of the tokens so far.
        logits: float32 [B, V].
        length: int32 [B], tokens so far.
        max_tokens: longest row.
    """
    chances = jax.nn.log_softmax(logits)
    end = logits[:, vocabulary.EOS, None]
    likelier = (logits > end).sum(axis=1) + (logits[:, : vocabulary.EOS] == end).sum(axis=1)  # of equals, the first
    score = jnp.where(likelier < 2, (beam.chance + chances[:, vocabulary.EOS]) / _penalty(length + 1), -jnp.inf)
    better = score > beam.score
    tokens = logits.at[:, vocabulary.EOS].set(-jnp.inf).argmax(axis=1)
    beam = Beam(
        chance=beam.chance + jnp.take_along_axis(chances, tokens[:, None], axis=1)[:, 0],
        score=jnp.where(better, score, beam.score),
        kept=jnp.where(better, length + 1, beam.kept),
    )
    return tokens.astype(jnp.int32), beam, beam.score > beam.chance / _penalty(max_tokens + 1)


def _penalty(length) -> jax.Array:
    return ((5.0 + length) / 6.0) ** ALPHA


def result(tokens: np.ndarray, kept: int) -> np.ndarray:
    """Return a row's tokens int32 [T] with EOS where the kept one ends and PAD after it; as they are where none is."""
    if not kept:
        return tokens
    ended = np.where(np.arange(len(tokens)) < kept - 1, tokens, vocabulary.PAD)
    ended[kept - 1] = vocabulary.EOS
    return ended
