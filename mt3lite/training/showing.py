"""What one training example asks of the network: its tokens as notes, to be seen and heard beside its sound."""

import dataclasses
import os

import numpy as np

from mt3lite import codec, plot, segments, spectrogram
from mt3lite.config import Config
from mt3lite.training.examples import Example
from mt3lite.vocabulary import EOS, Vocabulary, velocity_to_bin


def wanted_notes(tokens: np.ndarray, config: Config) -> np.ndarray:
    """Return the notes that a segment's tokens stand for, times in seconds from the segment's start.

    Notes of the tie section began at a time that the tokens do not tell: their onset is negative, their velocity that
    which a decoder assumes (`codec.ONSET_ONLY_VELOCITY`). What sounds on beyond the segment ends with it.

    Args:
        tokens: int [num_tokens], as `codec.encode` makes them.
        config: of the model.
    """
    vocabulary = Vocabulary(config.vocabulary)
    # Compatibility "mt3" would end with the last event what sounds on.
    decoder = codec.SegmentDecoder(vocabulary, dataclasses.replace(config.codec, compatibility="none"))
    steps = config.segment_steps
    # A decoder only ties what is open, so a segment before this one opens what the tie section names.
    decoder.decode(_opening(tokens, config, vocabulary), start_step=0, end_step=steps)
    decoder.decode(tokens, start_step=steps, end_step=2 * steps)
    wanted = decoder.finish()
    for field in ("onset", "offset"):
        wanted[field] -= steps / config.vocabulary.steps_per_second
    return wanted


def _opening(tokens: np.ndarray, config: Config, vocabulary: Vocabulary) -> list[int]:
    """Return tokens of a segment that opens the notes of another segment's tie section and nothing else."""
    if config.codec.events != "notes_with_ties":
        return [EOS]
    velocity = velocity_to_bin(codec.ONSET_ONLY_VELOCITY, config.vocabulary.num_velocity_bins)
    opening = [vocabulary.first_id("tie"), vocabulary.token_id("velocity", velocity)]
    for token in tokens.tolist():
        event = vocabulary.event(token)
        if event is None or event.type == "tie":
            break
        opening.append(token)
    return [*opening, EOS]


def new_samples(example: Example, config: Config) -> np.ndarray:
    """Return the sound of the segment itself, without the context around it: float32 [num_samples]."""
    start, _ = segments.sample_span(0, config.spectrogram, config.segments)
    return example.samples[-start : -start + config.segments.num_frames * config.spectrogram.hop_samples]


def write_picture(example: Example, config: Config, path: str | os.PathLike, *, title: str) -> None:
    """Draw what the network sees of an example, and over it what it is asked for, into a PNG file.

    Raises:
        InputError: matplotlib is not installed, or the file cannot be written.
    """
    frames = segments.compute_frames(example.samples, config.spectrogram, config.segments)
    hop, rate = config.spectrogram.hop_samples, config.spectrogram.sample_rate
    middle = config.spectrogram.first_sample + config.spectrogram.fft_size // 2
    plot.write_notes_over_spectrogram(
        frames,
        wanted_notes(example.tokens, config),
        path,
        frame_seconds=((np.arange(len(frames)) - config.segments.context_frames) * hop + middle) / rate,
        bin_pitches=69 + 12 * np.log2(spectrogram.bin_frequencies(config.spectrogram) / 440),
        segment_seconds=config.segments.num_frames * hop / rate,
        title=title,
        granularity=config.codec.granularity,
    )
