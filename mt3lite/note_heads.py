"""Heads that tell position by position which notes the encoder hears: they begin, sound, end, and who plays them.

They learn from notes, fast, and make the encoder listen; `hearing` tells the decoder what they heard. Before them,
blocks listen around each pitch in time, and at the pitches that share its overtones.

Axes: B batch, P encoder positions, D emb_dim, C features of a pitch.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from mt3lite import layers
from mt3lite.frontend import NUM_PITCHES
from mt3lite.instruments import NUM_PROGRAMS, PROGRAMS_PER_FAMILY

NUM_FAMILIES = NUM_PROGRAMS // PROGRAMS_PER_FAMILY  # of General MIDI
NUM_DRUMS = 128
SPACINGS = (1, 2, 4, 8)  # of the positions that a `NoteBlock` listens to
# How far above and below a pitch, in semitones, it listens: at the next pitches, and where overtones are shared.
NEIGHBOURS = (-19, -12, -1, 1, 12, 19)


class NoteBlock(nn.Module):
    """A residual block over time and pitch, the same for all pitches: [B, P, 88, C] -> the same.

    Each pitch reads itself at five positions, `spacing` apart, and its `NEIGHBOURS` at its own position. At first, the
    block adds nothing.
    """

    spacing: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, features: jax.Array) -> jax.Array:
        """Apply the block."""
        positions, pitches, channels = features.shape[1:]
        normalised = layers.RMSNorm(self.dtype, name="norm")(features)
        late, high = 2 * self.spacing, max(NEIGHBOURS)
        # Padded apart, as the gradient of zeros at all four sides takes half as long again.
        in_time = jnp.pad(normalised, ((0, 0), (late, late), (0, 0), (0, 0)))
        in_pitch = jnp.pad(normalised, ((0, 0), (0, 0), (high, high), (0, 0)))
        neighbours = [in_time[:, i * self.spacing :][:, :positions] for i in range(5)]
        neighbours += [in_pitch[:, :, high + distance :][:, :, :pitches] for distance in NEIGHBOURS]
        around = self.param(
            "around", nn.initializers.normal(len(neighbours) ** -0.5), (len(neighbours), channels)
        ).astype(self.dtype)
        # A weight for each channel, then one product: far less work than a product over all that is heard.
        mixed = sum(each * weight for each, weight in zip(neighbours, around, strict=True))
        hidden = nn.relu(nn.Dense(2 * channels, dtype=self.dtype, name="wide")(mixed))
        return features + layers.dense(channels, self.dtype, "out", nn.initializers.zeros)(hidden)


class NoteHeads(nn.Module):
    """Logits of note activity from the encoder's output and, where there are any, the front end's pitch features."""

    channels: int = 48  # features of a pitch
    blocks: int = 0  # `NoteBlock`s that those go through, with `SPACINGS` in turn
    ends: bool = False  # whether it is told, too, which notes end
    unisons: bool = False  # and which ones begin together with the same note of another family
    dtype: jnp.dtype = jnp.float32  # of the blocks and what leads into them

    @nn.compact
    def __call__(self, encoded: jax.Array, pitch_features: jax.Array | None) -> dict[str, jax.Array]:
        """Encoded [B, P, D], pitch_features [B, P, 88, C] or None -> logits by name.

        "onset" and "frame" [B, P, 88], "drum" [B, P, 128], and with pitch features "family" [B, P, 88, 16]; besides,
        no logits but numbers about 0 to 1, the velocities / 127 of what begins there: "drum_velocity" [B, P, 128], and
        with pitch features "velocity" [B, P, 88]; with `ends` the logits "end", with `unisons` "unison" [B, P, 88].
        """
        rare = nn.initializers.constant(-4.0)  # notes are rare: start from there, not from one half
        medium = nn.initializers.constant(0.6)
        logits = {
            "onset": nn.Dense(NUM_PITCHES, bias_init=rare, name="onset")(encoded),
            "frame": nn.Dense(NUM_PITCHES, bias_init=rare, name="frame")(encoded),
            "drum": nn.Dense(NUM_DRUMS, bias_init=rare, name="drum")(encoded),
            "drum_velocity": nn.Dense(NUM_DRUMS, bias_init=medium, name="drum_velocity")(encoded),
        }
        if pitch_features is not None:
            # Which instruments are about, for all pitches, beside what each pitch sounds like.
            around = nn.Dense(self.channels, dtype=self.dtype, name="around")(encoded)[:, :, None]
            hidden = layers.dense(self.channels, self.dtype, "pitch_in")(pitch_features) + around
            for i in range(self.blocks):
                hidden = NoteBlock(SPACINGS[i % len(SPACINGS)], self.dtype, name=f"block_{i}")(hidden)
            hidden = nn.relu(hidden)
            by_pitch = nn.Dense(2 + NUM_FAMILIES + self.ends, name="pitch_out")(hidden)
            logits["onset"] += by_pitch[..., 0]
            logits["frame"] += by_pitch[..., 1]
            logits["family"] = by_pitch[..., 2 : 2 + NUM_FAMILIES]
            if self.ends:
                logits["end"] = by_pitch[..., -1]
            logits["velocity"] = nn.Dense(1, bias_init=medium, name="pitch_velocity")(hidden)[..., 0]
            if self.unisons:
                none = nn.initializers.zeros
                logits["unison"] = nn.Dense(1, kernel_init=none, bias_init=rare, name="pitch_unison")(hidden)[..., 0]
        return {name: head.astype(jnp.float32) for name, head in logits.items()}
