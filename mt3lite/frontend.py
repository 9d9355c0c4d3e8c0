"""From spectrogram frames to the encoder's input vectors, with one set of weights for all pitches.

A note looks the same at every pitch of a log-frequency spectrum: a fundamental and its harmonics at fixed distances.
`HarmonicFrontEnd` lays those harmonics side by side for each pitch and reads them with shared weights, so that what it
learns from a C4 it knows for every other note, and a small network needs few steps to find notes. The harmonic stacking
is that of Bittner et al., "A Lightweight Instrument-Agnostic Model for Polyphonic
Note Transcription", ICASSP 2022.

Axes: B batch, F frames, T positions (F / frames_per_position), S semitones of the spectrum, P pitches, C channels.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

LOWEST_PITCH = 21  # MIDI number of the first pitch (A0); bin 1 of a 3-bins-a-semitone spectrum is its centre
NUM_PITCHES = 88
HARMONICS = (0.5, 1, 2, 3, 4, 5, 6, 8)  # one sub-harmonic tells an octave error from a note
HARMONIC_SEMITONES = tuple(int(round(12 * np.log2(h))) for h in HARMONICS)
INPUT_MEAN, INPUT_SCALE = -1.0, 2.5  # natural-log magnitudes of music, brought to about zero mean and unit variance


def _windows(frames: jax.Array, stride: int, width: int) -> jax.Array:
    """Frames [B, F, N] -> [B, F / stride, width, N]: `width` neighbouring frames centred on each group of `stride`."""
    num_positions = frames.shape[1] // stride
    before = (width - stride) // 2
    padded = jnp.pad(frames, ((0, 0), (before, width - stride - before), (0, 0)), mode="edge")
    taps = [padded[:, i : i + (num_positions - 1) * stride + 1 : stride] for i in range(width)]
    return jnp.stack(taps, axis=2)


class TimeBlock(nn.Module):
    """A residual convolution over time, the same for all pitches: [B, T, P, C] -> the same."""

    width: int = 5  # positions
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, features: jax.Array) -> jax.Array:
        """Apply the block."""
        length, half = features.shape[1], self.width // 2
        padded = jnp.pad(features, ((0, 0), (half, half), (0, 0), (0, 0)))
        # One product over stacked shifts: on a CPU 3 times as fast as XLA's convolution with its gradient.
        stack = jnp.concatenate([padded[:, i : i + length] for i in range(self.width)], axis=-1)
        return features + nn.relu(nn.Dense(features.shape[-1], dtype=self.dtype, name="mix")(stack))


class HarmonicFrontEnd(nn.Module):
    """Log-frequency frames [B, F, bins] -> (vectors [B, T, emb_dim], pitch features [B, T, 88, channels])."""

    emb_dim: int
    channels: int
    bins_per_semitone: int
    frames_per_position: int
    num_blocks: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, frames: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Apply the front end."""
        normalised = ((frames - INPUT_MEAN) / INPUT_SCALE).astype(self.dtype)
        context = _windows(normalised, self.frames_per_position, self.frames_per_position + 2)  # [B, T, W, bins]

        pitch_features = self._pitch_features(context)  # [B, T, P, C]
        for i in range(self.num_blocks):
            pitch_features = TimeBlock(dtype=self.dtype, name=f"block_{i}")(pitch_features)
        narrow = nn.relu(nn.Dense(self.channels // 4, dtype=self.dtype, name="narrow")(pitch_features))
        by_pitch = narrow.reshape(*narrow.shape[:2], -1)  # [B, T, P * C / 4]

        # Drums and other sounds without a pitch: the whole spectrum at once.
        whole = context.reshape(*context.shape[:2], -1)  # [B, T, W * bins]
        whole = nn.relu(nn.Dense(self.emb_dim // 2, dtype=self.dtype, name="spectrum_in")(whole))
        vectors = nn.Dense(self.emb_dim, dtype=self.dtype, name="pitch_out")(by_pitch)
        return vectors + nn.Dense(self.emb_dim, dtype=self.dtype, name="spectrum_out")(whole), pitch_features

    def _pitch_features(self, context: jax.Array) -> jax.Array:
        """Time windows [B, T, W, bins] -> [B, T, P, C]: the neighbourhood of each harmonic, side by side."""
        batch, positions, width, bins = context.shape
        num_semitones = bins // self.bins_per_semitone
        semitones = context[..., : num_semitones * self.bins_per_semitone]
        semitones = semitones.reshape(batch, positions, width, num_semitones, self.bins_per_semitone)
        semitones = semitones.transpose(0, 1, 3, 2, 4).reshape(batch, positions, num_semitones, -1)  # [B, T, S, W * b]
        padded = jnp.pad(semitones, ((0, 0), (0, 0), (1, 1), (0, 0)))
        around = jnp.concatenate([padded[:, :, i : i + num_semitones] for i in range(3)], axis=-1)
        local = nn.relu(nn.Dense(self.channels // 2, dtype=self.dtype, name="local")(around))  # [B, T, S, C / 2]

        lowest, highest = min(HARMONIC_SEMITONES), max(HARMONIC_SEMITONES)
        missing = max(0, highest + NUM_PITCHES - num_semitones)
        padded = jnp.pad(local, ((0, 0), (0, 0), (-lowest, missing), (0, 0)))
        stack = [padded[:, :, offset - lowest : offset - lowest + NUM_PITCHES] for offset in HARMONIC_SEMITONES]
        return nn.Dense(self.channels, dtype=self.dtype, name="harmonics")(jnp.concatenate(stack, axis=-1))
