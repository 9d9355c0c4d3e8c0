"""What training minimises: token cross-entropy as t5x computes it, and note activity on the encoder.

The second asks the encoder, position by position, which notes begin and sound there (`note_heads.NoteHeads`). That
teaches a small network to hear before its decoder can tell it anything of use.

Axes: B batch, T tokens, V vocabulary, P encoder positions, N notes of an example.
"""

import jax
import jax.numpy as jnp
import numpy as np

from mt3lite import vocabulary
from mt3lite.frontend import LOWEST_PITCH, NUM_PITCHES
from mt3lite.note_heads import NUM_DRUMS, NUM_FAMILIES

# A note is one onset but sounds for many positions: unweighted, the encoder learns what sounds and not when it began.
ONSET_WEIGHT = 5.0
VELOCITY_WEIGHT = 40.0  # of the squared error of a velocity between 0 and 1, where something begins
# Columns of an example's note table, int32 [N, NUM_COLUMNS]; onset and offset in encoder positions, see `UNUSED`.
ONSET, OFFSET, PITCH, FAMILY, IS_DRUM, VELOCITY = range(6)
NUM_COLUMNS = 6
UNUSED = -(10**9)  # onset of a row without a note


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
    """Spread note tables int32 [B, N, NUM_COLUMNS] over encoder positions: float32 targets for the heads, 0 to 1.

    Returns "onset", "frame" and "end" [B, P, 88], "unison" [B, P, 88] (two families begin the note, a position apart at
    most), "family" [B, P, 88, 16] (what sounds, by instrument family), "drum" [B, P, 128]; and with the velocity / 127
    of what begins, 0 where nothing does, "velocity" and "drum_velocity".
    """
    row = jnp.broadcast_to(jnp.arange(notes.shape[0])[:, None], notes.shape[:2])
    pitch = notes[..., PITCH] - LOWEST_PITCH
    is_drum = notes[..., IS_DRUM] > 0
    pitched = (notes[..., ONSET] > UNUSED) & ~is_drum & (pitch >= 0) & (pitch < NUM_PITCHES)
    nowhere = num_positions + 1  # scatters out of range are dropped
    begins = jnp.where(pitched & (notes[..., ONSET] >= 0), notes[..., ONSET], nowhere)
    shape = (notes.shape[0], num_positions, NUM_PITCHES)
    zeros = jnp.zeros(shape, jnp.float32)
    families = jnp.zeros((*shape, NUM_FAMILIES), jnp.float32)
    begun = families.at[row, begins, pitch, notes[..., FAMILY]].max(1.0, mode="drop")
    onset = begun.max(axis=-1)
    # Players are seldom together to the hundredth of a second: those of the positions before and after count, too.
    beside = jnp.pad(begun, ((0, 0), (1, 1), (0, 0), (0, 0)))
    together = jnp.maximum(jnp.maximum(beside[:, :-2], begun), beside[:, 2:])
    unison = onset * (together.sum(axis=-1) > 1.5)
    loud = notes[..., VELOCITY] / vocabulary.MAX_VELOCITY
    velocity = zeros.at[row, begins, pitch].max(loud, mode="drop")
    # A running sum of +1 at onsets and -1 at offsets counts the notes that sound.
    starts = jnp.where(pitched, jnp.maximum(notes[..., ONSET], 0), nowhere)
    ends = jnp.where(pitched, jnp.maximum(notes[..., OFFSET], jnp.maximum(notes[..., ONSET], 0) + 1), nowhere)
    end = zeros.at[row, ends, pitch].max(1.0, mode="drop")
    changes = families.at[row, starts, pitch, notes[..., FAMILY]].add(1.0, mode="drop")
    changes = changes.at[row, ends, pitch, notes[..., FAMILY]].add(-1.0, mode="drop")
    family = (jnp.cumsum(changes, axis=1) > 0.5).astype(jnp.float32)
    frame = family.max(axis=-1)
    hits = jnp.where(is_drum & (notes[..., ONSET] >= 0), notes[..., ONSET], nowhere)
    still = jnp.zeros((notes.shape[0], num_positions, NUM_DRUMS), jnp.float32)
    drum = still.at[row, hits, notes[..., PITCH]].max(1.0, mode="drop")
    drum_velocity = still.at[row, hits, notes[..., PITCH]].max(loud, mode="drop")
    return {
        "onset": onset,
        "frame": frame,
        "end": end,
        "unison": unison,
        "family": family,
        "drum": drum,
        "velocity": velocity,
        "drum_velocity": drum_velocity,
    }


def auxiliary_loss(logits: dict[str, jax.Array], notes: jax.Array) -> jax.Array:
    """Return the loss of `note_heads.NoteHeads`' logits, summed over pitches and heads, mean over positions; a scalar.

    Binary cross-entropy of what begins, sounds, ends (where that is told) and is struck; where a note sounds, the
    cross-entropy of its instrument family; where one begins, whether another family begins it, too, where that is told,
    and the squared error of its velocity. Onsets, ends and unisons count `ONSET_WEIGHT` times.
    """
    batch, positions, _ = logits["onset"].shape
    targets = note_activity(notes, positions)

    def binary(name: str, where: jax.Array | float = 1.0) -> jax.Array:
        head, target = logits[name], targets[name]
        return (where * (jnp.maximum(head, 0) - head * target + jnp.log1p(jnp.exp(-jnp.abs(head))))).sum()

    def velocity_error(name: str, where: str) -> jax.Array:
        return (targets[where] * jnp.square(logits[name] - targets[name])).sum()

    total = ONSET_WEIGHT * (binary("onset") + binary("drum")) + binary("frame")
    total += VELOCITY_WEIGHT * velocity_error("drum_velocity", "drum")
    if "end" in logits:
        total += ONSET_WEIGHT * binary("end")
    if "unison" in logits:
        total += ONSET_WEIGHT * binary("unison", where=targets["onset"])
    if "family" in logits:
        total += VELOCITY_WEIGHT * velocity_error("velocity", "onset")
        players = jnp.maximum(targets["family"].sum(axis=-1), 1.0)  # of the same pitch at the same time
        entropy = -(targets["family"] * jax.nn.log_softmax(logits["family"])).sum(axis=-1) / players
        total += ((1.0 + (ONSET_WEIGHT - 1.0) * targets["onset"]) * entropy).sum()
    return total / (batch * positions)
