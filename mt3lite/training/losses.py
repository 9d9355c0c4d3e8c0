"""What training minimises: token cross-entropy as t5x computes it, and note activity on the encoder.

The auxiliary heads are used in training only: they ask the encoder, position by position, which notes begin and sound
there. That teaches a small network to hear before its decoder can tell it anything of use.

Axes: B batch, T tokens, V vocabulary, P encoder positions, N notes of an example, C front-end channels, D emb_dim.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from mt3lite.frontend import LOWEST_PITCH, NUM_PITCHES

NUM_FAMILIES = 16  # General MIDI families
NUM_DRUMS = 128
# A note is one onset but sounds for many positions: unweighted, the encoder learns what sounds and not when it began.
ONSET_WEIGHT = 5.0
# Columns of an example's note table, int32 [N, 5]; onset and offset in encoder positions, unused rows have onset -1.
ONSET, OFFSET, PITCH, FAMILY, IS_DRUM = range(5)


def cross_entropy(logits, targets, weights, *, label_smoothing: float = 0.0, z_loss: float = 0.0):
    """Return (loss, z-loss part, number of correct tokens, weight sum), each a float32 scalar summed over tokens.

    logits float32 [B, T, V], targets int32 [B, T], weights float32 [B, T]. The constant entropy of the smoothed target
    is subtracted, and `z_loss` * log(Z)^2 is part of the loss (t5x.losses.compute_weighted_cross_entropy).
    """
    vocab_size = logits.shape[-1]
    confidence, other = 1.0 - label_smoothing, label_smoothing / (vocab_size - 1)
    constant = -(confidence * np.log(confidence) + (vocab_size - 1) * other * np.log(other + 1e-20))
    log_z = jax.nn.logsumexp(logits, axis=-1)
    log_target = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0] - log_z
    per_token = -(confidence - other) * log_target - constant
    if label_smoothing:
        per_token -= other * (logits.sum(axis=-1) - vocab_size * log_z)
    per_token_z = z_loss * jnp.square(log_z)
    correct = (logits.argmax(axis=-1) == targets).astype(jnp.float32)
    z_total = (per_token_z * weights).sum()
    return (per_token * weights).sum() + z_total, z_total, (correct * weights).sum(), weights.sum()


def note_activity(notes: jax.Array, num_positions: int) -> dict[str, jax.Array]:
    """Spread note tables int32 [B, N, 5] over encoder positions: 0/1 float32 targets for the auxiliary heads.

    Returns "onset" and "frame" [B, P, 88], "family" [B, P, 88, 16] (onsets by instrument family), "drum" [B, P, 128].
    """
    row = jnp.broadcast_to(jnp.arange(notes.shape[0])[:, None], notes.shape[:2])
    pitch = notes[..., PITCH] - LOWEST_PITCH
    drum = notes[..., IS_DRUM] > 0
    pitched = (notes[..., ONSET] > -(10**6)) & ~drum & (pitch >= 0) & (pitch < NUM_PITCHES)
    nowhere = num_positions + 1  # scatters out of range are dropped
    begins = jnp.where(pitched & (notes[..., ONSET] >= 0), notes[..., ONSET], nowhere)
    shape = (notes.shape[0], num_positions, NUM_PITCHES)
    zeros = jnp.zeros(shape, jnp.float32)
    onset = zeros.at[row, begins, pitch].max(1.0, mode="drop")
    family = jnp.zeros((*shape, NUM_FAMILIES), jnp.float32)
    family = family.at[row, begins, pitch, notes[..., FAMILY]].max(1.0, mode="drop")
    # A running sum of +1 at onsets and -1 at offsets counts the notes that sound.
    sounding = zeros.at[row, jnp.where(pitched, jnp.maximum(notes[..., ONSET], 0), nowhere), pitch].add(
        1.0, mode="drop"
    )
    ends = jnp.where(pitched, jnp.maximum(notes[..., OFFSET], jnp.maximum(notes[..., ONSET], 0) + 1), nowhere)
    sounding = sounding.at[row, ends, pitch].add(-1.0, mode="drop")
    frame = (jnp.cumsum(sounding, axis=1) > 0.5).astype(jnp.float32)
    hits = jnp.where(drum & (notes[..., ONSET] >= 0), notes[..., ONSET], nowhere)
    drums = jnp.zeros((notes.shape[0], num_positions, NUM_DRUMS), jnp.float32)
    drums = drums.at[row, hits, notes[..., PITCH]].max(1.0, mode="drop")
    return {"onset": onset, "frame": frame, "family": family, "drum": drums}


class AuxiliaryHeads(nn.Module):
    """Logits of note activity from the encoder output, and from the front end's pitch features where there are any."""

    @nn.compact
    def __call__(self, encoded: jax.Array, pitch_features: jax.Array | None) -> dict[str, jax.Array]:
        """Encoded [B, P, D], pitch_features [B, P, 88, C] or None -> logits by name, shaped as `note_activity`'s."""
        rare = nn.initializers.constant(-4.0)  # notes are rare: start from there, not from one half
        logits = {
            "onset": nn.Dense(NUM_PITCHES, bias_init=rare, name="onset")(encoded),
            "frame": nn.Dense(NUM_PITCHES, bias_init=rare, name="frame")(encoded),
            "drum": nn.Dense(NUM_DRUMS, bias_init=rare, name="drum")(encoded),
        }
        if pitch_features is not None:
            by_pitch = nn.Dense(2 + NUM_FAMILIES, bias_init=rare, name="pitch")(pitch_features)
            logits["early_onset"], logits["early_frame"] = by_pitch[..., 0], by_pitch[..., 1]
            logits["family"] = by_pitch[..., 2:]
        return logits


def auxiliary_loss(logits: dict[str, jax.Array], notes: jax.Array) -> jax.Array:
    """Binary cross-entropy of the heads' logits, summed over pitches and heads, mean over positions; a scalar.

    Heads that tell onsets count `ONSET_WEIGHT` times.
    """
    positions = logits["onset"].shape[1]
    targets = note_activity(notes, positions)
    total = 0.0
    for name, head in logits.items():
        target = targets[name.removeprefix("early_")]
        losses = jnp.maximum(head, 0) - head * target + jnp.log1p(jnp.exp(-jnp.abs(head)))
        weight = 1.0 if name.endswith("frame") else ONSET_WEIGHT
        total += weight * losses.sum() / (head.shape[0] * positions)
    return total
