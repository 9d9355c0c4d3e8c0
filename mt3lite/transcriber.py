"""From a recording to its notes: the stops of the line, called in their order."""

import dataclasses
import functools
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import jax
import numpy as np

from mt3lite import audio, codec, decoding, instruments, network, notes, segments, stopwatch, vocabulary, weights
from mt3lite.config import Config
from mt3lite.errors import InputError

if TYPE_CHECKING:
    import note_seq

DEFAULT_MODEL = "small"
# Segments decoded together. On a CPU a token of a row costs about the same in batches of 4 and of 32 (`small`: 0.2 ms),
# while a larger batch waits longer for its longest row and has more to fill up for a short recording. Accelerators
# gain from larger ones.
BATCH_SEGMENTS = 8


@dataclass(frozen=True)
class Transcription:
    """What a recording was found to hold, and what it took."""

    notes: np.ndarray  # of notes.NOTE_DTYPE, by onset
    duration_seconds: float  # of the recording
    num_segments: int
    silent_segments: int  # of those: digital silence, not shown to the network
    invalid_events: int  # tokens skipped because they made no sense where they stood
    dropped_events: int  # tokens skipped because they came after a time beyond their segment
    timings: dict[str, float]  # seconds in each stop: read, spectrogram, compile, encode, decode, assemble

    @functools.cached_property
    def note_sequence(self) -> "note_seq.NoteSequence":
        """The notes as the ecosystem's type."""
        return notes.to_note_sequence(self.notes)


class Transcriber:
    """A loaded model, ready for any number of recordings; `load` makes one.

    Every batch is filled up to the batch size, so that one compiled program serves all recordings. It is compiled when
    the first batch comes, and again only for another batch size or choice of instruments.

    Attributes:
        model: the settings, weights, origin and licence.
    """

    def __init__(self, model: weights.Model):
        self.model = model
        self._vocabulary = vocabulary.Vocabulary(model.config.vocabulary)
        self._network = network.Transformer(model.config.network)
        self._params = jax.device_put(model.params)
        self._programs: dict[tuple, tuple[Callable, Callable]] = {}  # by batch size and grammar: encode, decode
        # What a segment without notes is told as; the codec refuses to tell that to the ancestor.
        ties = [self._vocabulary.first_id("tie")] if model.config.codec.events == "notes_with_ties" else []
        self._silence = np.array([*ties, vocabulary.EOS], np.int32)

    def with_params(self, params: dict) -> "Transcriber":
        """Return a transcriber for other weights of the same network, which uses the programs compiled for this one."""
        other = Transcriber(dataclasses.replace(self.model, params=params))
        other._programs = self._programs
        return other

    def transcribe(
        self,
        recording: str | os.PathLike | np.ndarray,
        *,
        only: instruments.InstrumentSet | None = None,
        batch_size: int = BATCH_SEGMENTS,
        progress: Callable[[float, float], None] | None = None,
    ) -> Transcription:
        """Return the notes of a recording.

        Args:
            recording: an audio file; or float32 [num_samples], mono, -1 to 1, at the sample rate of
                `model.config.spectrogram`.
            only: the instruments to look for, see `instruments.parse`; None for all.
            batch_size: segments that go through the network together, see `BATCH_SEGMENTS`.
            progress: called after each batch with the seconds done and the seconds in all.

        Raises:
            InputError: the recording cannot be read or holds no samples; the batch size is not positive; the model does
                not tell the instruments apart.
        """
        if batch_size < 1:
            raise InputError(f"batch size {batch_size}: a batch holds at least one segment")
        config, watch = self.model.config, stopwatch.Stopwatch()
        grammar = self._grammar(only)
        sound = _Sound(recording, config.spectrogram.sample_rate)
        batches = segments.iter_segments(
            watch.measure_each("read", sound), config.spectrogram, config.segments, batch_segments=batch_size
        )
        decoder = codec.SegmentDecoder(self._vocabulary, config.codec)
        num_segments = silent_segments = 0
        for batch, is_last in _mark_last(watch.measure_each("spectrogram", batches)):
            silent = _silent_rows(batch, config)
            tokens = self._tokens(batch.frames, silent, batch_size, grammar, watch)
            with watch.measure("assemble"):
                self._assemble(decoder, tokens, batch.first_frame, sound.num_samples if is_last else None)
            num_segments += len(silent)
            silent_segments += int(silent.sum())
            if progress:
                end_frame = int(batch.first_frame[-1]) + config.segments.num_frames
                end_seconds = float(end_frame / config.spectrogram.frames_per_second)
                progress(min(end_seconds, sound.seconds), sound.expected_seconds)
        with watch.measure("assemble"):
            transcribed = notes.sort(decoder.finish())
        return Transcription(
            notes=transcribed,
            duration_seconds=sound.seconds,
            num_segments=num_segments,
            silent_segments=silent_segments,
            invalid_events=decoder.invalid_events,
            dropped_events=decoder.dropped_events,
            timings=watch.seconds,
        )

    def _grammar(self, only: instruments.InstrumentSet | None) -> decoding.Grammar | None:
        """Return the grammar for a choice of instruments; without one, the ancestor's presets have none."""
        config = self.model.config
        if only is None and config.codec.compatibility == "mt3":
            return None
        programs, drums = (None, True) if only is None else (only.programs, only.drums)
        return decoding.Grammar(self._vocabulary, config.codec, config.segment_steps, programs, drums)

    def _tokens(
        self,
        frames: np.ndarray,
        silent: np.ndarray,
        batch_size: int,
        grammar: decoding.Grammar | None,
        watch: stopwatch.Stopwatch,
    ) -> np.ndarray:
        """Return int32 [n, max_tokens] for frames [n, input_frames, bins], skipping those in silent, bool [n]."""
        tokens = np.full((len(frames), self.model.config.segments.max_tokens), vocabulary.PAD, np.int32)
        tokens[silent, : len(self._silence)] = self._silence
        (heard,) = np.nonzero(~silent)
        if len(heard):
            # Rows that only fill the batch repeat its first: they end when that does, and so cost no step of decoding.
            rows = np.concatenate([heard, np.full(batch_size - len(heard), heard[0])])
            encode, decode = self._programs_for(batch_size, grammar, watch)
            with watch.measure("encode"):
                encoded = _wait(encode(self._params, frames[rows]))
            with watch.measure("decode"):
                tokens[heard] = np.asarray(_wait(decode(self._params, encoded)))[: len(heard)]
        return tokens

    def _programs_for(
        self, batch_size: int, grammar: decoding.Grammar | None, watch: stopwatch.Stopwatch
    ) -> tuple[Callable, Callable]:
        """Return the compiled programs, compiled ahead of their first call so that the time it takes can be told."""
        key = batch_size, grammar
        if key not in self._programs:
            config = self.model.config
            shape = batch_size, config.segments.input_frames, config.spectrogram.num_bins
            frames = jax.ShapeDtypeStruct(shape, np.float32)
            with watch.measure("compile"):
                encode = decoding.encode.lower(self._network, self._params, frames)
                decode = decoding.generate_from.lower(
                    self._network, self._params, encode.out_info, max_tokens=config.segments.max_tokens, grammar=grammar
                )
                self._programs[key] = encode.compile(), decode.compile()
        return self._programs[key]

    def _assemble(
        self, decoder: codec.SegmentDecoder, tokens: np.ndarray, first_frames: np.ndarray, num_samples: int | None
    ) -> None:
        """Hand consecutive segments to the decoder; `num_samples` of the recording where the last one ends it."""
        config = self.model.config
        frames_per_second = config.spectrogram.frames_per_second

        def start_step(first_frame: int) -> int:
            return codec.segment_start_step(
                first_frame, frames_per_second=frames_per_second, vocabulary=self._vocabulary, config=config.codec
            )

        following = [*first_frames[1:].tolist(), int(first_frames[-1]) + config.segments.num_frames]
        end_steps: list[int | None] = [start_step(frame) for frame in following]
        if num_samples is not None:  # the ancestor sets its last segment no limit
            steps = Fraction(num_samples * config.vocabulary.steps_per_second, config.spectrogram.sample_rate)
            end_steps[-1] = None if config.codec.compatibility == "mt3" else math.ceil(steps)
        for row, first_frame, end_step in zip(tokens, first_frames.tolist(), end_steps, strict=True):
            decoder.decode(row, start_step=start_step(first_frame), end_step=end_step)


class _Sound:
    """A recording, block by block, whether file or array; counts the samples that have gone by."""

    def __init__(self, recording: str | os.PathLike | np.ndarray, sample_rate: int):
        self.num_samples = 0
        self._recording = _checked(recording) if isinstance(recording, np.ndarray) else recording
        self._sample_rate = sample_rate

    def __iter__(self) -> Iterator[np.ndarray]:
        is_array = isinstance(self._recording, np.ndarray)
        for block in [self._recording] if is_array else audio.stream(self._recording, self._sample_rate):
            self.num_samples += len(block)
            yield block

    @property
    def seconds(self) -> float:
        """How much has gone by."""
        return self.num_samples / self._sample_rate

    @functools.cached_property
    def expected_seconds(self) -> float:
        """How long the whole is, as far as a file's header tells."""
        if isinstance(self._recording, np.ndarray):
            return len(self._recording) / self._sample_rate
        return audio.info(self._recording).duration_seconds


def _checked(samples: np.ndarray) -> np.ndarray:
    """Return samples given as an array, refusing what a file could not have been decoded to."""
    if samples.dtype != np.float32 or samples.ndim != 1:
        raise InputError(f"samples: {samples.dtype} {list(samples.shape)}; wanted float32 [num_samples], mono")
    if not len(samples):
        raise InputError("samples: there are none")
    if not np.isfinite(samples).all():
        raise InputError("samples: some are not finite numbers")
    return samples


def _silent_rows(batch: segments.Segments, config: Config) -> np.ndarray:
    """Return which segments are digital silence, bool [n]: every frame within the recording is at the log's floor."""
    num_frames = batch.num_valid + 2 * config.segments.context_frames
    inside = np.arange(config.segments.input_frames) < num_frames[:, None]
    loudest = batch.frames.max(axis=2, where=inside[:, :, None], initial=-np.inf).max(axis=1)
    return loudest <= np.log(np.float32(config.spectrogram.log_floor))


def _wait(computed):
    """Return arrays once they are computed. Unlike `jax.block_until_ready`, this lets Ctrl-C through meanwhile."""
    for array in jax.tree.leaves(computed):
        while not array.is_ready():
            time.sleep(0.001)
    return computed


def _mark_last(items: Iterable[segments.Segments]) -> Iterator[tuple[segments.Segments, bool]]:
    """Yield each item with whether it is the last."""
    iterator = iter(items)
    current = next(iterator, None)
    while current is not None:
        following = next(iterator, None)
        yield current, following is None
        current = following


def load(name_or_folder: str | os.PathLike = DEFAULT_MODEL) -> Transcriber:
    """Return a transcriber with a bundled model, or that of a model folder; raises as `weights.load`."""
    return Transcriber(weights.load(name_or_folder))


def transcribe(
    recording: str | os.PathLike | np.ndarray, model: str | os.PathLike = DEFAULT_MODEL
) -> "note_seq.NoteSequence":
    """Return the notes of one recording; for several, `load` once and call `Transcriber.transcribe`."""
    return load(model).transcribe(recording).note_sequence
