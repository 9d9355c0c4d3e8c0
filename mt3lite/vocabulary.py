"""Which integer means what: the network's token ids, the events they stand for, and the sizes that follow.

A token id is one of

    0 PAD, 1 EOS, 2 UNK | shift | pitch | velocity | tie | program | drum | 100 unused ids | up to a multiple of 128

This order and these numbers are those of MT3 (Gardner et al. 2022, "MT3: Multi-Task Multitrack Music Transcription"),
so that its checkpoints fit. Nothing here knows of time or of notes: what a shift does is told in ``codec``.
"""

import functools
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from mt3lite.errors import InputError

PAD = 0
EOS = 1
UNK = 2
NUM_SPECIAL = 3
NUM_EXTRA_IDS = 100  # T5's sentinel ids, never used here but counted in the width of the released checkpoints
EMBEDDING_MULTIPLE = 128  # the width of the logits is rounded up to this

# What ``Vocabulary.decode_codes`` gives in place of a code.
DECODED_EOS = -1
DECODED_INVALID = -2

MAX_VELOCITY = 127  # MIDI
Whole = TypeVar("Whole", int, np.ndarray)  # a whole number, or an array of them
MOST_STEPS = 100_000  # a second, or of a shift


@dataclass(frozen=True)
class VocabularyConfig:
    """The three numbers that fix a vocabulary. Raises ``InputError`` for values that make none."""

    steps_per_second: int = 100  # resolution of time
    max_shift_steps: int = 1000  # longest single shift, in steps
    num_velocity_bins: int = 1  # loudness levels besides "off"; 1: on or off, 127: every MIDI velocity

    def __post_init__(self) -> None:
        for field in ("steps_per_second", "max_shift_steps", "num_velocity_bins"):
            if not 1 <= getattr(self, field) <= MOST_STEPS:
                raise InputError(f"{field} must be at least 1, not {getattr(self, field)}, and at most {MOST_STEPS}")
        if self.num_velocity_bins > MAX_VELOCITY:
            raise InputError(f"num_velocity_bins must be at most {MAX_VELOCITY}, not {self.num_velocity_bins}")


@dataclass(frozen=True)
class Event:
    """What one token says."""

    type: str  # "shift", "pitch", "velocity", "tie", "program" or "drum"
    value: int


@dataclass(frozen=True)
class EventRange:
    """A block of consecutive token ids: ``first_id`` stands for ``min_value``."""

    type: str
    min_value: int
    max_value: int  # inclusive
    first_id: int  # token id


@dataclass(frozen=True)
class Vocabulary:
    """The token ids of a ``VocabularyConfig``. Equal configs make equal, hashable vocabularies.

    >>> vocabulary = Vocabulary(VocabularyConfig(num_velocity_bins=1))
    >>> vocabulary.token_id("pitch", 60), vocabulary.event(1064), vocabulary.num_embeddings
    (1064, Event(type='pitch', value=60), 1536)
    """

    config: VocabularyConfig = VocabularyConfig()

    @functools.cached_property
    def ranges(self) -> tuple[EventRange, ...]:
        """The blocks of event ids, in order of id."""
        last_values = {
            "shift": self.config.max_shift_steps,
            "pitch": 127,
            "velocity": self.config.num_velocity_bins,
            "tie": 0,
            "program": 127,
            "drum": 127,
        }
        ranges = []
        first_id = NUM_SPECIAL
        for event_type, last_value in last_values.items():
            ranges.append(EventRange(event_type, 0, last_value, first_id))
            first_id += last_value + 1
        return tuple(ranges)

    @functools.cached_property
    def num_codes(self) -> int:
        """Number of ids that stand for an event."""
        return sum(block.max_value - block.min_value + 1 for block in self.ranges)

    @property
    def num_tokens(self) -> int:
        """Number of meaningful ids: special ids and events."""
        return NUM_SPECIAL + self.num_codes

    @property
    def num_embeddings(self) -> int:
        """Width of the network's token table and logits."""
        used = self.num_tokens + NUM_EXTRA_IDS
        return -(-used // EMBEDDING_MULTIPLE) * EMBEDDING_MULTIPLE

    @functools.cached_property
    def _range_of_type(self) -> dict[str, EventRange]:
        return {block.type: block for block in self.ranges}

    @functools.cached_property
    def _events(self) -> tuple[Event, ...]:
        """The event of each code (token id - NUM_SPECIAL)."""
        return tuple(
            Event(block.type, value) for block in self.ranges for value in range(block.min_value, block.max_value + 1)
        )

    def first_id(self, event_type: str) -> int:
        """Return the token id of the type's smallest value. Raises ``ValueError`` for an unknown type."""
        return self._block(event_type).first_id

    def token_range(self, event_type: str) -> range:
        """Return all token ids of the type. Raises ``ValueError`` for an unknown type."""
        block = self._block(event_type)
        return range(block.first_id, block.first_id + block.max_value - block.min_value + 1)

    def token_id(self, event_type: str, value: int) -> int:
        """Return the token id of an event. Raises ``ValueError`` for an unknown type or a value out of its range."""
        block = self._block(event_type)
        if not block.min_value <= value <= block.max_value:
            raise ValueError(
                f"Event value {value} is not within valid range [{block.min_value}, {block.max_value}] "
                f"for type {event_type}"
            )
        return block.first_id + value - block.min_value

    def event(self, token_id: int) -> Event | None:
        """Return the event of a token id, or None for special, unused and impossible ids."""
        return self._events[token_id - NUM_SPECIAL] if NUM_SPECIAL <= token_id < self.num_tokens else None

    def decode_codes(self, token_ids: np.ndarray) -> np.ndarray:
        """Return the code (token id - 3) of each token id, as the ancestor's vocabulary decodes a batch.

        token_ids: int [..., n]. Returns int32 [..., n]: ``DECODED_EOS`` from the first EOS on, ``DECODED_INVALID`` for
        ids that stand for no event.
        """
        token_ids = np.asarray(token_ids)
        is_event = (token_ids >= NUM_SPECIAL) & (token_ids < self.num_tokens)
        codes = np.where(is_event, token_ids - NUM_SPECIAL, DECODED_INVALID)
        ended = np.maximum.accumulate(token_ids == EOS, axis=-1)
        return np.where(ended, DECODED_EOS, codes).astype(np.int32)

    def describe(self, token_id: int) -> str:
        """Return a word or two for a token id, for people: "shift 3", "EOS", "unused 1400"."""
        event = self.event(token_id)
        if event is not None:
            return "tie" if event.type == "tie" else f"{event.type} {event.value}"
        return {PAD: "PAD", EOS: "EOS", UNK: "UNK"}.get(token_id, f"unused {token_id}")

    def _block(self, event_type: str) -> EventRange:
        if event_type not in self._range_of_type:
            raise ValueError(f"Unknown event type: {event_type}")
        return self._range_of_type[event_type]


def velocity_to_bin(velocity: Whole, num_bins: int) -> Whole:
    """Return the bin (0..num_bins) of a MIDI velocity (0..127), an int or an int array: 0 for 0, else rounded up.

    >>> velocity_to_bin(64, 127), velocity_to_bin(1, 1), velocity_to_bin(0, 1)
    (64, 1, 0)
    """
    return -(-num_bins * velocity // MAX_VELOCITY)


def bin_to_velocity(velocity_bin: Whole, num_bins: int) -> Whole:
    """Return the MIDI velocity of a bin, an int or an int array: the loudest velocity of the bin, 0 for bin 0."""
    return MAX_VELOCITY * velocity_bin // num_bins
