"""From a recording to its notes: the stops of the line, called in their order."""

import collections
import dataclasses
import functools
import itertools
import math
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import numpy as np

from mt3lite import (
    agreement,
    beats,
    codec,
    crews,
    decoding,
    incoming,
    instruments,
    kept_programs,
    lanes,
    network,
    notes,
    stepping,
    stopwatch,
    tuning,
    vocabulary,
    weights,
)
from mt3lite.config import Config
from mt3lite.errors import InputError
from mt3lite.incoming import Recording

if TYPE_CHECKING:
    import note_seq

DEFAULT_MODEL = "small"
# Segments decoded together. On a CPU a token of a row costs about the same in batches of 4 and of 32, while more lanes
# have less to do for a short recording. Accelerators need many to be kept busy.
CPU_LANES, ACCELERATOR_LANES = 8, 128
# Segments encoded together: on a CPU what two need stays in its cache (`small`: 5 ms a segment, with eight 20 ms).
CPU_ENCODE, ACCELERATOR_ENCODE = 2, 32


@dataclass(frozen=True)
class Transcription:
    """What a recording was found to hold, and what it took."""

    notes: np.ndarray  # of notes.NOTE_DTYPE, by onset
    duration_seconds: float  # of the recording
    num_segments: int  # that it was cut into
    silent_segments: int  # of those: digital silence, not shown to the network
    invalid_events: int  # tokens skipped because they made no sense where they stood
    dropped_events: int  # tokens skipped because they came after a time beyond their segment
    timings: dict[str, float]  # seconds in each stop: read, spectrogram, compile, encode, decode, assemble
    granularity: str = "full"  # how finely the model tells instruments, one of instruments.GRANULARITIES
    tuning_hz: float = tuning.A4_HZ  # of the recording: where its A4 was taken to be

    @functools.cached_property
    def note_sequence(self) -> "note_seq.NoteSequence":
        """The notes as the ecosystem's type."""
        return notes.to_note_sequence(self.notes)

    @functools.cached_property
    def beats(self) -> beats.Beats:
        """Where the beats and the bars are, by the notes."""
        return beats.track(self.notes)

    def _repr_html_(self) -> str:
        """Show itself in a notebook: a piano roll, a player, a table of instruments."""
        from mt3lite import display  # here, as only notebooks need it

        return display.to_html(self.notes, duration_seconds=self.duration_seconds, granularity=self.granularity)


class Transcriber:
    """A loaded model, ready for any number of recordings; `load` makes one.

    Its programs are compiled when they are first needed, and again only for another batch size or choice of
    instruments; recordings of any length share them.

    Attributes:
        model: the settings, weights, origin and licence.
        precision: of decoding.
    """

    def __init__(self, model: weights.Model, *, program_folder: Path | None = None, precision: str = stepping.FLOAT32):
        """Take a model and how to run it.

        Args:
            model: the settings and weights.
            program_folder: in which compiled programs are kept for later runs; None: they are not kept.
            precision: of decoding, one of `stepping.PRECISIONS`; "int8" is faster for large models on a CPU, and finds
                slightly other notes.

        Raises:
            InputError: no such precision, or not on this device.
        """
        _check_precision(precision)
        self.model = model
        self.precision = precision
        self._vocabulary = vocabulary.Vocabulary(model.config.vocabulary)
        self._in_panels = jax.default_backend() == "cpu"
        params = stepping.params_for_steps(model.params, precision) if self._in_panels else model.params
        self._params = jax.device_put(params)
        self._program_folder = program_folder
        self._crews: dict[tuple, crews.Crews] = {}  # by lanes and choice of instruments
        # What a segment without notes is told as; the codec refuses to tell that to the ancestor.
        ties = [self._vocabulary.first_id("tie")] if model.config.codec.events == "notes_with_ties" else []
        self._silence = lanes.Decoded(np.array([*ties, vocabulary.EOS], np.int32), None)

    def with_params(self, params: dict) -> "Transcriber":
        """Return a transcriber for other weights of the same network, which uses the programs compiled for this one."""
        model = dataclasses.replace(self.model, params=params)
        other = Transcriber(model, program_folder=self._program_folder, precision=self.precision)
        other._crews = self._crews
        return other

    def prepare(self, *, only: instruments.InstrumentSet | None = None, batch_size: int | None = None) -> None:
        """Begin to load or compile, beside other work, what `transcribe` with these arguments needs."""
        self._crews_for(only, batch_size).programs.prepare()

    def transcribe(
        self,
        recording: Recording,
        *,
        only: instruments.InstrumentSet | None = None,
        batch_size: int | None = None,
        tuning_hz: float | None = None,
        progress: Callable[[float, float], None] | None = None,
    ) -> Transcription:
        """Return the notes of a recording.

        Args:
            recording: an audio file; or float32 [num_samples], mono, -1 to 1, at the sample rate of
                `model.config.spectrogram`.
            only: the instruments to look for, or those that there are, see `instruments.parse`; None for all.
            batch_size: segments decoded together; None for what suits the device.
            tuning_hz: the frequency of A4 in the recording; None to listen for it, up to half a semitone from 440 Hz.
            progress: called as the work goes on with the seconds done and the seconds in all.

        Raises:
            InputError: the recording cannot be read or holds no samples; the batch size is not positive; the model does
                not tell the instruments apart; its spectrogram cannot be tuned so.
        """
        expected = functools.cache(
            lambda: incoming.expected_seconds(recording, self.model.config.spectrogram.sample_rate)
        )
        told = (lambda done: progress(done, expected())) if progress else None
        (result,) = self.transcribe_all(
            [recording], only=only, batch_size=batch_size, tuning_hz=tuning_hz, progress=told
        )
        if isinstance(result, InputError):
            raise result
        return result

    def transcribe_all(
        self,
        recordings: Iterable[Recording],
        *,
        only: instruments.InstrumentSet | None = None,
        batch_size: int | None = None,
        tuning_hz: float | None = None,
        jobs: int = 1,
        progress: Callable[[float], None] | None = None,
    ) -> Iterator[Transcription | InputError]:
        """Yield the notes of each recording, in their order; or the error of one that cannot be read.

        Segments of several recordings are decoded together, so that many short ones take no longer than a long one.

        Args:
            recordings: as for `transcribe`.
            only: as for `transcribe`.
            batch_size: as for `transcribe`.
            tuning_hz: as for `transcribe`, of all of them.
            jobs: recordings that are read at a time, beside the decoding.
            progress: called as the work goes on with the seconds done of all recordings.

        Raises:
            InputError: as `transcribe`, for what does not concern one recording.
        """
        crew, watch = self._crews_for(only, batch_size), stopwatch.Stopwatch()
        tasks: collections.deque[_Task] = collections.deque()  # begun, and not yet yielded
        yielded_seconds = 0.0

        def finished() -> Iterator[Transcription | InputError]:
            nonlocal yielded_seconds
            while tasks:
                with watch.measure("assemble"):
                    tasks[0].assemble()  # it may be all silent, so that no token of it comes
                if progress:
                    progress(yielded_seconds + sum(task.done_seconds for task in tasks))
                if not tasks[0].is_done:
                    return
                yielded_seconds += tasks[0].done_seconds
                yield tasks.popleft().result(watch)

        if tuning_hz is not None:
            tuning.tuned(self.model.config.spectrogram, tuning_hz)  # it raises, before the first recording is read
        begin = functools.partial(_Task, self.model.config, self._vocabulary, only=only, tuning_hz=tuning_hz)
        for (task, segment), decoded in self._decode(self._segments(map(begin, recordings), jobs, tasks), crew, watch):
            task.decoded[segment] = decoded
            with watch.measure("assemble"):
                task.assemble()
            yield from finished()
        yield from finished()

    def _crews_for(self, only: instruments.InstrumentSet | None, batch_size: int | None) -> crews.Crews:
        """Return those that decode, for a choice of instruments and a number of segments together."""
        if batch_size is not None and batch_size < 1:
            raise InputError(f"batch size {batch_size}: a batch holds at least one segment")
        config, on_cpu = self.model.config, jax.default_backend() == "cpu"
        num_crews, num_lanes = crews.share(batch_size or (CPU_LANES if on_cpu else ACCELERATOR_LANES))
        grammar = self._grammar(only)
        key = num_crews, num_lanes, grammar
        if key not in self._crews:
            encode_batch = min(num_lanes, CPU_ENCODE if on_cpu else ACCELERATOR_ENCODE)
            transformer = network.Transformer(config.network)
            search = lanes.Search(
                transformer,
                grammar,
                config.segments.max_tokens,
                in_single_beam=grammar is None,  # the ancestor's presets, as the ancestor decodes
                in_panels=self._in_panels,
                precision=self.precision,
            )
            kept = None
            if self._program_folder:
                parameters = sorted((path, leaf.shape, str(leaf.dtype)) for path, leaf in _leaves(self.model.params))
                made_from = [str(each) for each in (config, only, num_lanes, encode_batch, parameters, self.precision)]
                kept = kept_programs.Folder(self._program_folder, made_from)
                if not kept.holds(lanes.FIRST_PROGRAM):
                    weights.check(self.model)  # programs are made for parameters that have been checked
            programs = lanes.Programs(
                search,
                self._params,
                (config.segments.input_frames, config.spectrogram.num_bins),
                num_lanes=num_lanes,
                encode_batch=encode_batch,
                kept=kept,
            )
            self._crews[key] = crews.Crews(programs, num_crews)
        return self._crews[key]

    def _grammar(self, only: instruments.InstrumentSet | None) -> decoding.Grammar | None:
        """Return the grammar for a choice of instruments; without one, the ancestor's presets have none."""
        config = self.model.config
        if only is None and config.codec.compatibility == "mt3":
            return None
        chosen = (None, True) if only is None else (only.programs, only.drums, only.complete)
        return decoding.Grammar(self._vocabulary, config.codec, config.segment_steps, *chosen)

    def _decode(
        self, segments_: Iterator[tuple[tuple, np.ndarray]], crew: crews.Crews, watch: stopwatch.Stopwatch
    ) -> Iterator[tuple[tuple, lanes.Decoded]]:
        """Yield key of segments (key, frames) and what came of them, in the order in which they end."""
        return crew.decode(self._params, segments_, watch)

    def _segments(
        self, begun: Iterator["_Task"], jobs: int, tasks: "collections.deque[_Task]"
    ) -> Iterator[tuple[tuple, np.ndarray]]:
        """Yield ((task, segment), frames) of all segments that are not silent, and put their tasks into `tasks`."""
        coming: collections.deque[_Task] = collections.deque()
        while True:
            coming.extend(itertools.islice(begun, max(0, jobs - len(coming))))
            if not coming:
                return
            task = coming.popleft()
            tasks.append(task)
            for frames, is_silent in task.read():
                if is_silent:
                    task.decoded[task.num_segments - 1] = self._silence
                else:
                    yield (task, task.num_segments - 1), frames


class _Task:
    """A recording on its way: read ahead in a thread, its segments' tokens gathered and turned into notes in order."""

    def __init__(
        self,
        config: Config,
        words: vocabulary.Vocabulary,
        recording: Recording,
        *,
        only: instruments.InstrumentSet | None,
        tuning_hz: float | None,
    ):
        self.num_segments = self._silent_segments = 0
        self.decoded: dict[int, lanes.Decoded] = {}  # segments not yet assembled
        self.done_seconds = 0.0
        self._config, self._vocabulary, self._only = config, words, only
        self._decoder = codec.SegmentDecoder(words, config.codec)
        self._opinions = agreement.Opinions(config.network.shift_positions)
        self._assembled = 0
        self._read_to_end = False
        self._error: InputError | None = None
        self._watch = stopwatch.Stopwatch()
        self._sound = incoming.Sound(recording, config.spectrogram.sample_rate)
        self._segments = incoming.segments_ahead(self._sound, config, self._watch, tuning_hz)

    def read(self) -> Iterator[tuple[np.ndarray, bool]]:
        """Yield the frames of each segment, and whether it is silent; stop at an error, which `result` returns."""
        try:
            for frames, is_silent in self._segments:
                self.num_segments += 1
                self._silent_segments += is_silent
                yield frames, is_silent
            self._read_to_end = True
        except InputError as error:
            self._error = error

    @property
    def is_done(self) -> bool:
        """Whether there is a result."""
        return self._error is not None or (self._read_to_end and self._assembled == self.num_segments)

    def assemble(self) -> None:
        """Turn into notes what has been decoded without a gap; the last segment only when it is known to be that."""
        config, frames_per_second = self._config, self._config.spectrogram.frames_per_second
        while self._assembled in self.decoded and (self._read_to_end or self._assembled + 1 < self.num_segments):
            first_frame = self._assembled * config.segments.num_frames
            is_last = self._read_to_end and self._assembled + 1 == self.num_segments
            end_step = self._end_step() if is_last else self._start_step(first_frame + config.segments.num_frames)
            decoded, start_step = self.decoded.pop(self._assembled), self._start_step(first_frame)
            self._decoder.decode(decoded.tokens, start_step=start_step, end_step=end_step)
            if end_step is None:
                end_step = start_step + config.segment_steps
            self._opinions.add(start_step, end_step, decoded.begun)
            self._assembled += 1
            end_seconds = float(self._assembled * config.segments.num_frames / frames_per_second)
            self.done_seconds = min(end_seconds, self._sound.seconds)

    def _start_step(self, first_frame: int) -> int:
        config = self._config
        return codec.segment_start_step(
            first_frame,
            frames_per_second=config.spectrogram.frames_per_second,
            vocabulary=self._vocabulary,
            config=config.codec,
        )

    def _end_step(self) -> int | None:
        """Return the step that the recording ends at; None for the ancestor, which sets its last segment no limit."""
        config = self._config
        steps = Fraction(self._sound.num_samples * config.vocabulary.steps_per_second, config.spectrogram.sample_rate)
        return None if config.codec.compatibility == "mt3" else math.ceil(steps)

    def result(self, watch: stopwatch.Stopwatch) -> Transcription | InputError:
        """Return what was found, with the time that `watch` has counted since it was last asked."""
        if self._error is not None:
            return self._error
        with watch.measure("assemble"):
            transcribed = agreement.agreed(
                self._decoder.finish(),
                self._opinions,
                self._config.vocabulary.steps_per_second,
                families_told=self._config.codec.granularity == "midi_class",
                among=self._only.families if self._only else None,
            )
            if self._only is not None:
                pitched = ~transcribed["is_drum"]
                transcribed["program"][pitched] = self._only.name_programs(transcribed["program"][pitched])
            transcribed = notes.sort(transcribed)
        self._watch.add(watch.take())
        return Transcription(
            notes=transcribed,
            duration_seconds=self._sound.seconds,
            num_segments=self.num_segments,
            silent_segments=self._silent_segments,
            invalid_events=self._decoder.invalid_events,
            dropped_events=self._decoder.dropped_events,
            timings=self._watch.seconds,
            granularity=self._config.codec.granularity,
            tuning_hz=self._sound.tuning_hz,
        )


def _leaves(tree: dict, path: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """Yield the path and array of each parameter."""
    for name, node in tree.items():
        yield from _leaves(node, f"{path}{name}/") if isinstance(node, dict) else [(path + name, node)]


def _check_precision(precision: str) -> None:
    if precision not in stepping.PRECISIONS:
        raise InputError(f"precision {precision!r} is not one of {', '.join(stepping.PRECISIONS)}")
    device = jax.default_backend()
    if precision == stepping.INT8 and device != "cpu":
        raise InputError(f"precision int8 is for CPUs, and this is a {device}; leave it out")


def load(
    name_or_folder: str | os.PathLike = DEFAULT_MODEL,
    *,
    program_folder: Path | None = None,
    precision: str = stepping.FLOAT32,
) -> Transcriber:
    """Return a transcriber with a bundled model, or that of a model folder; raises as `weights.load` and `Transcriber`.

    With a `program_folder`, compiled programs are kept there for later runs; then weights that do not fit the model's
    settings are noticed by `Transcriber.prepare`, when its programs are not there yet.
    """
    _check_precision(precision)  # before the weights are read
    model = weights.load(name_or_folder) if program_folder is None else weights.read(name_or_folder)
    return Transcriber(model, program_folder=program_folder, precision=precision)


def transcribe(
    recording: str | os.PathLike | np.ndarray, model: str | os.PathLike = DEFAULT_MODEL
) -> "note_seq.NoteSequence":
    """Return the notes of one recording; for several, `load` once and call `Transcriber.transcribe`."""
    return load(model).transcribe(recording).note_sequence
