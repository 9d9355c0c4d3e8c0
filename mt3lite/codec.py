"""Notes to tokens and back, one segment of audio at a time.

A segment's target says, in this order,

    [tie section] event event ... EOS

- The *tie section* lists what sounds on from before the segment: for each note ``program pitch``, and then ``tie``.
- An event is ``shift program velocity pitch`` for the start of a note, the same with velocity 0 for its end, and
  ``shift velocity drum`` for a drum, which has no end. A shift counts steps from the *segment's* start. It is left out
  where time has not moved on, and program and velocity where they are those last said in this segment.

A note that is open in one segment and missing in the next one's tie section ended at the boundary. Time is counted in
integer steps throughout; seconds become steps once, in ``_events``, and steps become seconds once, in
``SegmentDecoder.finish``.

The design is that of MT3 (Gardner et al. 2022, "MT3: Multi-Task Multitrack Music Transcription"). Where its released
code does something else than this text says, ``CodecConfig.compatibility`` chooses.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from mt3lite import instruments, notes
from mt3lite.errors import InputError
from mt3lite.vocabulary import EOS, Event, Vocabulary, bin_to_velocity, velocity_to_bin

EVENTS = ("notes_with_ties", "notes", "onsets")
COMPATIBILITIES = ("none", "mt3")

ONSET_ONLY_VELOCITY = 100  # also what a decoder assumes before the first velocity token
NEVER = np.iinfo(np.int64).max  # a step after all others


@dataclass(frozen=True)
class CodecConfig:
    """How notes are told in tokens. Raises ``InputError`` for a value that is not among the choices."""

    events: str = "notes_with_ties"  # "notes_with_ties", "notes" (no tie sections), "onsets" (nothing but shift, pitch)
    granularity: str = "full"  # how finely programs are told apart, see ``instruments.map_program``
    # "none": as this module's text says. Notes that overlap at one pitch and program are cut where the next one starts.
    # "mt3": as the released MT3 does, to the token. Overlaps stay and confuse; events within a step keep the order of
    # their unrounded times; a note that ends in the segment's first step is tied; after the last event of a piece all
    # tie sections repeat the notes which that event ended; with ties a piece without notes is refused.
    compatibility: str = "none"

    def __post_init__(self) -> None:
        choices = {"events": EVENTS, "granularity": instruments.GRANULARITIES, "compatibility": COMPATIBILITIES}
        for field, allowed in choices.items():
            if getattr(self, field) not in allowed:
                raise InputError(f"unknown {field} {getattr(self, field)!r}; choose one of: {', '.join(allowed)}")


def encode(
    piece: np.ndarray,
    first_frame: int,
    num_frames: int | None,
    *,
    frames_per_second: Fraction,
    vocabulary: Vocabulary,
    config: CodecConfig,
) -> np.ndarray:
    """Return the target tokens of one segment: int32 [num_tokens], EOS at the end.

    Args:
        piece: notes array, times in seconds from frame 0. For a crop, those of ``notes.crop`` are enough.
        first_frame: of the segment.
        num_frames: length of the segment; None takes in all that is left of the piece.
        frames_per_second: of the spectrogram.
        vocabulary: the ids.
        config: what is told.

    Raises:
        InputError: for a note that ``notes.validate`` refuses; for no notes where ``CodecConfig`` says so.
    """
    events = _events(piece, vocabulary, config)
    first_step = _step_of_frame(first_frame, frames_per_second, vocabulary)
    if num_frames is None:
        end_step = NEVER
    else:
        end_step = _step_of_frame(first_frame + num_frames, frames_per_second, vocabulary)
    return _segment_tokens(events, first_step, end_step, vocabulary, config)


def encode_piece(
    piece: np.ndarray,
    num_frames: int,
    segment_frames: int,
    *,
    frames_per_second: Fraction,
    vocabulary: Vocabulary,
    config: CodecConfig,
) -> list[np.ndarray]:
    """Return the targets of a piece's consecutive segments, each as ``encode`` gives it.

    num_frames is the length of the whole piece; the last segment is as short as that makes it. With
    compatibility "mt3" the last segment takes in all events after the end of the audio.
    """
    events = _events(piece, vocabulary, config)
    first_frames = range(0, num_frames, segment_frames)
    steps = [_step_of_frame(frame, frames_per_second, vocabulary) for frame in (*first_frames, num_frames)]
    if config.compatibility == "mt3":
        steps[-1] = NEVER
    return [
        _segment_tokens(events, first_step, end_step, vocabulary, config)
        for first_step, end_step in zip(steps[:-1], steps[1:], strict=True)
    ]


def segment_start_step(
    first_frame: int,
    *,
    frames_per_second: Fraction,
    vocabulary: Vocabulary,
    config: CodecConfig,
    precision: type[np.floating] = np.float64,
) -> int:
    """Return the step at which the shifts of the segment that begins with ``first_frame`` start to count.

    That is the step that contains the frame's time. With compatibility "mt3" it comes from floating-point arithmetic
    as in the released code, which lands one step early at some segments: float64 as in its notebook, float32 as in its
    evaluation.
    """
    if config.compatibility == "none":
        return _step_of_frame(first_frame, frames_per_second, vocabulary)
    steps_per_second = vocabulary.config.steps_per_second
    start_seconds = precision(first_frame / float(frames_per_second))
    start_seconds -= start_seconds % precision(1 / steps_per_second)
    return round(float(start_seconds) * steps_per_second)


def _step_of_frame(frame: int, frames_per_second: Fraction, vocabulary: Vocabulary) -> int:
    """Return the last step that is not after the frame's time."""
    return frame * vocabulary.config.steps_per_second * frames_per_second.denominator // frames_per_second.numerator


# --- notes to tokens ---


@dataclass(frozen=True)
class _Events:
    """The starts and ends of notes of a whole piece, in the order in which they are told. Arrays int64 [num_events]."""

    step: np.ndarray  # ascending
    is_onset: np.ndarray  # bool
    sounds_until: np.ndarray  # step of the next event of the same pitch and program; for ends and drums their own step
    pitch_id: np.ndarray  # token id of the pitch or drum
    velocity_id: np.ndarray  # token id, 0 where no velocity is told
    program_id: np.ndarray  # token id, 0 where no program is told
    tie_order: np.ndarray  # rank within a tie section: by program, then by pitch


def _events(piece: np.ndarray, vocabulary: Vocabulary, config: CodecConfig) -> _Events:
    """Return the events of the notes.

    In order of time; at one time ends come before starts, drums last, and the rest goes by program and pitch.
    """
    notes.validate(piece)
    piece = _prepare(piece, vocabulary.config.steps_per_second, config)
    piece = piece[np.lexsort((piece["pitch"], piece["program"], piece["is_drum"]))]
    with_end = piece[:0] if config.events == "onsets" else piece[~piece["is_drum"]]
    seconds = np.concatenate([with_end["offset"], piece["onset"]])
    order = np.argsort(seconds, kind="stable")
    step = np.rint(seconds[order] * vocabulary.config.steps_per_second).astype(np.int64)
    is_onset = order >= len(with_end)

    piece = np.concatenate([with_end, piece])[order]
    program, pitch, is_drum = piece["program"], piece["pitch"], piece["is_drum"]
    key = (is_drum * 128 + program) * 128 + pitch
    velocity_bin = velocity_to_bin(piece["velocity"], vocabulary.config.num_velocity_bins) * is_onset
    velocity_id = vocabulary.first_id("velocity") + velocity_bin
    program_id = vocabulary.first_id("program") + instruments.map_program(program, config.granularity)
    first_pitch_id = np.where(is_drum, vocabulary.first_id("drum"), vocabulary.first_id("pitch"))
    return _Events(
        step=step,
        is_onset=is_onset,
        sounds_until=np.where(is_onset & ~is_drum, _next_step_of_same_key(step, key), step),
        pitch_id=first_pitch_id + pitch,
        velocity_id=velocity_id * (config.events != "onsets"),
        program_id=program_id * (~is_drum & (config.granularity != "flat") & (config.events != "onsets")),
        tie_order=key,
    )


def _prepare(piece: np.ndarray, steps_per_second: int, config: CodecConfig) -> np.ndarray:
    """Return the notes that are to be told, times still in seconds.

    Compatibility "none": times are rounded to steps, a note lasts at least one, and where two have the same pitch and
    mapped program the earlier ends at the start of the later; of those that start together the longest remains (the
    loudest of the longest).
    """
    if config.events == "onsets":
        # Only the pitch is told: what else a note is must not influence the order.
        piece = piece.copy()
        piece["is_drum"] = False
        piece["program"] = 0
    if config.compatibility == "mt3":
        if config.events == "notes_with_ties" and not len(piece):
            raise InputError('a piece without notes cannot be encoded with ties and compatibility "mt3"')
        return piece
    piece = piece[np.lexsort((piece["velocity"], piece["offset"]))]
    piece["program"] = instruments.map_program(piece["program"], config.granularity) * ~piece["is_drum"]
    onset_step = np.rint(piece["onset"] * steps_per_second)
    offset_step = np.maximum(np.rint(piece["offset"] * steps_per_second), onset_step + 1)
    piece["onset"] = onset_step / steps_per_second
    piece["offset"] = offset_step / steps_per_second
    return notes.trim_overlaps(piece)


def _next_step_of_same_key(step: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Return for each event the step of the next one with the same key, ``NEVER`` where there is none."""
    by_key = np.argsort(key, kind="stable")
    next_step = np.full(len(step), NEVER)
    same = key[by_key[:-1]] == key[by_key[1:]]
    next_step[by_key[:-1][same]] = step[by_key[1:][same]]
    return next_step


def _segment_tokens(
    events: _Events, first_step: int, end_step: int, vocabulary: Vocabulary, config: CodecConfig
) -> np.ndarray:
    """Return the tokens of the events with first_step <= step < end_step, with the tie section before them."""
    tokens: list[int] = []
    program_id = velocity_id = 0  # those last written
    first, end = np.searchsorted(events.step, (first_step, end_step)).tolist()
    if config.events == "notes_with_ties":
        tied = _tied(events, first_step, config)
        for next_program_id, pitch_id in zip(
            events.program_id[tied].tolist(), events.pitch_id[tied].tolist(), strict=True
        ):
            if next_program_id != program_id:
                tokens.append(next_program_id)
                program_id = next_program_id
            tokens.append(pitch_id)
        tokens.append(vocabulary.first_id("tie"))
        if config.compatibility == "none":
            # What ends with the boundary is told by its absence from the tie section. Ends are first within a step.
            first += np.count_nonzero(~events.is_onset[first:end] & (events.step[first:end] == first_step))

    shift_id, max_shift = vocabulary.first_id("shift"), vocabulary.config.max_shift_steps
    columns = (events.step, events.program_id, events.velocity_id, events.pitch_id)
    rows = zip(*(column[first:end].tolist() for column in columns), strict=True)
    current_step = first_step
    for step, next_program_id, next_velocity_id, pitch_id in rows:
        if step != current_step:
            num_long, rest = divmod(step - first_step, max_shift)
            tokens += [shift_id + max_shift] * num_long
            tokens += [shift_id + rest] * (rest > 0)
            current_step = step
        if next_program_id not in (0, program_id):
            tokens.append(next_program_id)
            program_id = next_program_id
        if next_velocity_id not in (0, velocity_id):
            tokens.append(next_velocity_id)
            velocity_id = next_velocity_id
        tokens.append(pitch_id)
    return np.array([*tokens, EOS], np.int32)


def _tied(events: _Events, first_step: int, config: CodecConfig) -> np.ndarray:
    """Return the indices of the onsets whose notes sound on into the segment, by program and pitch."""
    if config.compatibility == "mt3":
        state_step = min(first_step, events.step[-1])
        is_tied = (events.step < state_step) & (events.sounds_until >= state_step)
    else:
        is_tied = (events.step < first_step) & (events.sounds_until > first_step)
    tied = np.flatnonzero(is_tied)
    return tied[np.argsort(events.tie_order[tied])]


# --- tokens to notes ---


class SegmentDecoder:
    """Puts the tokens of a file's successive segments together to notes.

    Accepts any integers: an event that makes no sense where it stands is skipped and counted. One of them has effects:
    with compatibility "none", a tie that names another program than its note's lets the note sound on.
    """

    def __init__(self, vocabulary: Vocabulary, config: CodecConfig):
        self.invalid_events = 0  # tokens so far that stand for nothing or contradict what was said before
        self.dropped_events = 0  # tokens so far at and after a shift beyond its segment's end
        self._vocabulary = vocabulary
        self._config = config
        self._handlers = {
            "pitch": self._pitch,
            "velocity": self._velocity,
            "tie": self._tie,
            "program": self._program,
            "drum": self._drum,
        }
        self._rows: list[tuple] = []  # finished notes as rows of a notes array, with steps in place of seconds
        self._open: dict[tuple[int, int], tuple[int, int]] = {}  # (pitch, program) -> (onset step, velocity)
        self._tied: set[tuple[int, int]] = set()  # those of the open notes which this segment's tie section named
        self._in_tie_section = False
        self._step = 0  # of the last event
        self._end_step = 0  # of the last segment
        self._current_velocity = ONSET_ONLY_VELOCITY
        self._current_program = 0

    def decode(self, token_ids: np.ndarray | Sequence[int], *, start_step: int, end_step: int | None) -> None:
        """Take in one segment, which must not start before the last one did.

        Args:
            token_ids: int [num_tokens]; what follows the first EOS is ignored.
            start_step: where the segment's shifts start to count, see ``segment_start_step``.
            end_step: start step of the next segment; a shift beyond it drops the rest. None or 0: no limit.
        """
        self._in_tie_section = self._config.events == "notes_with_ties"
        self._tied.clear()
        self._end_step = end_step or 0
        # Integers beyond int64 stay what they are: as an array of numbers they would become floats.
        ids = token_ids.tolist() if isinstance(token_ids, np.ndarray) else [int(each) for each in token_ids]
        if EOS in ids:
            ids = ids[: ids.index(EOS)]
        step = start_step
        shift_sum = 0  # of consecutive shifts: several make one longer than the longest
        for index, token_id in enumerate(ids):
            event = self._vocabulary.event(token_id)
            if event is None:
                self.invalid_events += 1
            elif event.type == "shift":
                shift_sum += event.value
                step = start_step + shift_sum
                if end_step and step > end_step:
                    self.dropped_events += len(ids) - index
                    break
            else:
                shift_sum = 0
                self.invalid_events += not self._handle(event, step)

    def finish(self) -> np.ndarray:
        """Return the notes so far in the order in which they ended, a drum's end being its onset.

        Notes still open end with the last event, or with the last segment where its end is known; with compatibility
        "mt3" always with the last event. A note lasts at least one step; a drum one step.
        """
        last_step = max([self._step, *(onset_step + 1 for onset_step, _ in self._open.values())])
        if self._config.compatibility == "none":
            last_step = max(last_step, self._end_step)
        still_open = [
            (onset_step, last_step, pitch, velocity, program, False)
            for (pitch, program), (onset_step, velocity) in self._open.items()
        ]
        result = notes.from_rows(self._rows + still_open)
        result["onset"] /= self._vocabulary.config.steps_per_second
        result["offset"] /= self._vocabulary.config.steps_per_second
        return result

    def _handle(self, event: Event, step: int) -> bool:
        """Act on an event other than a shift; return whether it made sense."""
        if self._config.events == "onsets":
            if event.type == "pitch":
                self._rows.append((step, step + 1, event.value, ONSET_ONLY_VELOCITY, 0, False))
            return event.type == "pitch"
        if step < self._step:
            return False
        self._step = step
        return self._handlers[event.type](event.value)

    def _pitch(self, pitch: int) -> bool:
        key = (pitch, self._current_program)
        is_open = key in self._open
        if self._in_tie_section:
            is_new = is_open and key not in self._tied
            self._tied |= {key} if is_new else set()
            if not is_open and self._config.compatibility == "none":
                self._tie_another_program(pitch)
            return is_new
        if is_open:
            self._end(key)
        if self._current_velocity > 0:
            self._open[key] = (self._step, self._current_velocity)
            return True
        return is_open

    def _tie_another_program(self, pitch: int) -> None:
        """Let a note sound on whose pitch is tied under another program; it has that one from now on."""
        others = [key for key in self._open if key[0] == pitch and key not in self._tied]
        if others:
            key = (pitch, self._current_program)
            self._open[key] = self._open.pop(others[0])
            self._tied.add(key)

    def _velocity(self, velocity_bin: int) -> bool:
        self._current_velocity = bin_to_velocity(velocity_bin, self._vocabulary.config.num_velocity_bins)
        return True

    def _program(self, program: int) -> bool:
        self._current_program = program
        return True

    def _tie(self, _: int) -> bool:
        if not self._in_tie_section:
            return False
        for key in [key for key in self._open if key not in self._tied]:
            self._end(key)
        self._in_tie_section = False
        return True

    def _drum(self, pitch: int) -> bool:
        if self._current_velocity == 0:
            return False
        self._rows.append((self._step, self._step + 1, pitch, self._current_velocity, 0, True))
        return True

    def _end(self, key: tuple[int, int]) -> None:
        pitch, program = key
        onset_step, velocity = self._open.pop(key)
        self._rows.append((onset_step, max(self._step, onset_step + 1), pitch, velocity, program, False))
