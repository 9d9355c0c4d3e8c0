"""Tokens from a network: greedy decoding with caches, and the grammar that keeps it to tokens which mean notes.

`generate` is all that most callers need. It is two compiled programs, which can be called and timed apart:

    encode           frames -> keys and values of the encoded audio, for every decoder layer
    generate_from    those -> tokens; one loop on the device, which ends when every row has ended

Each is compiled once for each shape of its arguments and each value of its static ones (network, grammar,
`max_tokens`): give batches of one size.

Axes: B batch, F frames, T = max_tokens, V token ids, S program slots of the grammar.
"""

import functools
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mt3lite import carrying, hearing, instruments, network, stepping, vocabulary
from mt3lite.codec import CodecConfig
from mt3lite.errors import InputError

FIRST_CACHE_LENGTH, CACHE_GROWTH = 128, 4  # tokens, and a factor; see `_cache_lengths`
NUM_PITCHES = 128
SILENT, EARLIER = -2, -1  # in `GrammarState.since`
# Kinds of tokens. OTHER: PAD, EOS and ids without an event.
OTHER, SHIFT, PITCH, VELOCITY, TIE, PROGRAM, DRUM = range(7)
_KINDS = {"shift": SHIFT, "pitch": PITCH, "velocity": VELOCITY, "tie": TIE, "program": PROGRAM, "drum": DRUM}
_PROGRAMS_PER_SLOT = {"full": 1, "midi_class": instruments.PROGRAMS_PER_FAMILY, "flat": instruments.NUM_PROGRAMS}


class GrammarState(NamedTuple):
    """What the tokens of each row have said so far; every array has a first axis of B rows."""

    in_ties: jax.Array  # bool: the section of tied notes is still open
    step: jax.Array  # int32: time of the last event, steps from the start of the segment
    shifted: jax.Array  # int32: sum of the shifts since the last other token, 0 if that came last
    program: jax.Array  # int32: slot of the program in force, -1 none yet
    velocity: jax.Array  # int32: velocity bin in force, -1 none yet
    new_program: jax.Array  # bool: a program was named and its pitch has not come yet
    new_velocity: jax.Array  # bool: a velocity was named and its pitch or drum has not come yet
    # int32 [B, S + 1, 128]: the step at which a note that sounds has started (0 if it is tied), SILENT, or EARLIER if
    # an earlier segment may have started it. The last slot is the drums: the step of their last stroke.
    since: jax.Array

    @property
    def now(self) -> jax.Array:
        """The step of the event that comes next, if no shift comes before it."""
        return jnp.maximum(self.step, self.shifted)


@dataclass(frozen=True)
class Grammar:
    """Which token may follow, by the order in which `codec.encode` writes them.

    In the section of tied notes: program, then its pitches, each once; the tie token at any time. After it: time goes
    forward only; program, velocity, pitch in this order, of which program and velocity are left out while they stay
    the same; a note ends only if it sounds (without ties: unless it has ended in this segment); a shift, program or
    velocity is followed by the note it belongs to. Compatibility "none" writes no note twice in a step, nor its start
    and its end. Some token is allowed in every state.

    `init`, `mask` and `update` are pure JAX; each row of a batch is on its own.

    Raises:
        InputError: nothing is left to transcribe, or programs are chosen of a model that does not name them.
    """

    vocabulary: vocabulary.Vocabulary
    codec_config: CodecConfig
    segment_steps: int  # latest step of an event
    programs: frozenset[int] | None = None  # those that may be written, mapped to the model's granularity; None: all
    drums: bool = True  # whether drums may be written
    complete: bool = False  # whether nothing else plays, see `hearing.only`

    def __post_init__(self):
        if self.programs is not None and not self.programs and not self.drums:
            raise InputError("instruments: neither programs nor drums are chosen; there is nothing to transcribe")
        if self.programs and not self._names_programs:
            raise InputError("instruments: this model does not tell programs apart, so none can be chosen")

    @property
    def _names_programs(self) -> bool:
        return self.codec_config.events != "onsets" and self.codec_config.granularity != "flat"

    @property
    def _programs_per_slot(self) -> int:
        return _PROGRAMS_PER_SLOT[self.codec_config.granularity if self._names_programs else "flat"]

    @functools.cached_property
    def _tables(self) -> tuple[np.ndarray, np.ndarray]:
        """Kind and value of each token id, int32 [V] each."""
        kinds, values = np.zeros((2, self.vocabulary.num_embeddings), np.int32)
        for block in self.vocabulary.ranges:
            ids = self.vocabulary.token_range(block.type)
            kinds[ids.start : ids.stop] = _KINDS[block.type]
            values[ids.start : ids.stop] = np.arange(block.min_value, block.max_value + 1)
        return kinds, values

    @functools.cached_property
    def _allowed_programs(self) -> np.ndarray:
        """Programs that may be written at all, bool [128]."""
        allowed = np.zeros(instruments.NUM_PROGRAMS, bool)
        if self._names_programs:
            chosen = range(instruments.NUM_PROGRAMS) if self.programs is None else self.programs
            allowed[[instruments.map_program(program, self.codec_config.granularity) for program in chosen]] = True
        return allowed

    def init(self, batch: int) -> GrammarState:
        """Return the state of `batch` rows without a token."""
        events = self.codec_config.events
        implied_program = not self._names_programs and self.programs is None
        num_slots = instruments.NUM_PROGRAMS // self._programs_per_slot
        return GrammarState(
            in_ties=jnp.full(batch, events == "notes_with_ties"),
            step=jnp.zeros(batch, jnp.int32),
            shifted=jnp.zeros(batch, jnp.int32),
            program=jnp.full(batch, 0 if implied_program else -1, jnp.int32),
            velocity=jnp.full(batch, 1 if events == "onsets" else -1, jnp.int32),
            new_program=jnp.zeros(batch, bool),
            new_velocity=jnp.zeros(batch, bool),
            # Without ties a segment cannot know what sounds when it starts: any note may end, once.
            since=jnp.full((batch, num_slots + 1, NUM_PITCHES), EARLIER if events == "notes" else SILENT, jnp.int32),
        )

    def mask(self, state: GrammarState) -> jax.Array:
        """Return which tokens may come next, bool [B, V]."""
        column = jax.tree.map(lambda x: x[:, None], state._replace(since=None))
        since = jnp.take_along_axis(state.since, jnp.maximum(column.program, 0)[..., None], axis=1)[:, 0]  # [B, 128]
        can_end = since != SILENT
        if self.codec_config.compatibility == "none":
            can_end &= since < column.now
        body = ~column.in_ties
        # A time that takes several shifts is not told in full before it is later than the last event's.
        timed = body & ((column.shifted == 0) | (column.shifted > column.step))
        waiting = column.new_program | column.new_velocity
        loud = timed & (column.velocity > 0)
        pitches = (loud & self._startable(since, column)) | (timed & (column.velocity == 0) & can_end)
        drums = self.drums and self.codec_config.events != "onsets"
        allowed = {
            "shift": body & ~waiting & self._shifts(column),
            "pitch": (column.program >= 0) & jnp.where(body, pitches, since == SILENT),
            "velocity": timed & ~column.new_velocity & self._velocities(column, can_end),
            "tie": column.in_ties,
            "program": (timed | column.in_ties) & ~waiting & self._programs(column),
            "drum": loud & ~column.new_program & self._startable(state.since[:, -1], column) & drums,
        }
        return self._row(allowed, body & ~waiting & (column.shifted == 0))

    def _row(self, allowed: dict[str, jax.Array], end: jax.Array) -> jax.Array:
        """Put the columns of each event type (or one for all its ids) and of EOS in their places: bool [B, V]."""
        columns = [(1, False), (1, end), (1, False)]  # PAD, EOS, UNK
        for block in self.vocabulary.ranges:
            columns.append((len(self.vocabulary.token_range(block.type)), allowed[block.type]))
        columns.append((self.vocabulary.num_embeddings - self.vocabulary.num_tokens, False))
        return jnp.concatenate([jnp.broadcast_to(value, (len(end), width)) for width, value in columns], axis=1)

    def _startable(self, since: jax.Array, column: GrammarState) -> jax.Array:
        """Return the pitches that have not started in this very step, bool [B, 128]; all, if all have."""
        if self.codec_config.compatibility != "none":
            return jnp.ones_like(since, bool)
        new = since != column.now
        return new | ~new.any(axis=1, keepdims=True)

    def _shifts(self, column: GrammarState) -> jax.Array:
        """Return the shifts that lead forward within the segment, bool [B, max_shift_steps + 1]."""
        longest = self.vocabulary.config.max_shift_steps
        values = jnp.arange(longest + 1)
        step = column.shifted + values
        # Only the longest shift is followed by another: 2500 steps are written 1000, 1000, 500.
        onward = (values == longest) & (column.step < self.segment_steps)
        first_or_after_longest = column.shifted % longest == 0
        return first_or_after_longest & (values > 0) & (step <= self.segment_steps) & ((step > column.step) | onward)

    def _velocities(self, column: GrammarState, can_end: jax.Array) -> jax.Array:
        """Return the velocity bins that change something and that some note can follow, bool [B, bins + 1]."""
        bins = jnp.arange(self.vocabulary.config.num_velocity_bins + 1)
        if self.codec_config.events == "onsets":
            return bins < 0
        any_can_start = (column.program >= 0) | (~column.new_program & self.drums)
        any_can_end = (column.program >= 0) & can_end.any(axis=1, keepdims=True)
        return (bins != column.velocity) & jnp.where(bins > 0, any_can_start, any_can_end)

    def _programs(self, column: GrammarState) -> jax.Array:
        """Return the programs that may be written and are not in force already, bool [B, 128]."""
        slots = np.arange(instruments.NUM_PROGRAMS) // self._programs_per_slot
        return self._allowed_programs & (slots != column.program)

    def choose(self, state: GrammarState, logits: jax.Array) -> jax.Array:
        """Return the likeliest next token of each row among those allowed, int32 [B], for logits [B, V]."""
        return jnp.where(self.mask(state), logits, -jnp.inf).argmax(axis=-1)

    def update(self, state: GrammarState, tokens: jax.Array) -> GrammarState:
        """Return the state after one more token of each row, int32 [B]; ids without an event change nothing."""
        kinds, values = (jnp.asarray(table)[tokens] for table in self._tables)
        is_shift, is_velocity, is_program = kinds == SHIFT, kinds == VELOCITY, kinds == PROGRAM
        is_drum, is_event = kinds == DRUM, kinds != OTHER
        is_pitch = (kinds == PITCH) & (state.program >= 0)
        is_note = is_pitch | is_drum
        drum_slot = state.since.shape[1] - 1
        slot = jnp.where(is_pitch, state.program, jnp.where(is_drum, drum_slot, drum_slot + 1))  # too high: not written
        since = jnp.where(state.in_ties | (state.velocity > 0), state.now, SILENT)
        return GrammarState(
            in_ties=state.in_ties & (kinds != TIE),
            step=jnp.where(is_event & ~is_shift, state.now, state.step),
            shifted=jnp.where(is_shift, state.shifted + values, jnp.where(is_event, 0, state.shifted)),
            program=jnp.where(is_program, values // self._programs_per_slot, state.program),
            velocity=jnp.where(is_velocity, values, state.velocity),
            new_program=(state.new_program | is_program) & ~is_note & (kinds != TIE),
            new_velocity=(state.new_velocity | is_velocity) & ~is_note,
            since=state.since.at[jnp.arange(len(tokens)), slot, values].set(since, mode="drop"),
        )


@functools.partial(jax.jit, static_argnums=0, static_argnames="grammar")
def encode(
    transformer: network.Transformer, params: dict, frames: jax.Array, *, grammar: Grammar | None = None
) -> network.Memory:
    """Encode a batch: frames float32 [B, F, input_depth] -> what every decoding step reads of it."""
    encoded = transformer.apply({"params": params}, frames, method="encode")
    memory = transformer.apply({"params": params}, encoded, method="memory")
    if grammar is None or memory.heard is None or (grammar.programs is None and grammar.drums):
        return memory
    families = grammar.programs and frozenset(
        program // instruments.PROGRAMS_PER_FAMILY for program in grammar.programs
    )
    heard = hearing.only(memory.heard, families, grammar.drums, complete=grammar.complete)
    return memory._replace(heard=heard)


class _Loop(NamedTuple):
    """What a decoding step passes to the next."""

    position: jax.Array  # int32 scalar: tokens so far
    token: jax.Array  # int32 [B]: the last one
    ended: jax.Array  # bool [B]
    carried: jax.Array  # int32 [B, R], see carrying.carry
    tokens: jax.Array  # int32 [B, T]
    self_cache: network.Cache
    grammar_state: GrammarState | None


@functools.partial(jax.jit, static_argnums=0, static_argnames=("max_tokens", "grammar"))
def generate_from(
    transformer: network.Transformer,
    params: dict,
    memory: network.Memory,
    *,
    max_tokens: int,
    grammar: Grammar | None = None,
) -> jax.Array:
    """Decode a batch that `encode` has encoded; arguments and result as `generate`."""
    batch = memory.cross_cache[0][0].shape[0]
    lengths = _cache_lengths(max_tokens)
    loop = _Loop(
        position=jnp.int32(0),
        token=jnp.full(batch, vocabulary.PAD, jnp.int32),  # stands for the beginning
        ended=jnp.zeros(batch, bool),
        carried=carrying.empty(transformer.config, batch),
        tokens=jnp.full((batch, max_tokens), vocabulary.PAD, jnp.int32),
        self_cache=stepping.empty_cache(transformer.config, batch, lengths[0]),
        grammar_state=grammar.init(batch) if grammar else None,
    )
    step = functools.partial(_step, transformer, params, memory, grammar)
    for length in lengths:
        room = length - loop.self_cache[0][0].shape[2]
        padding = ((0, 0), (0, 0), (0, room), (0, 0))
        loop = loop._replace(self_cache=jax.tree.map(functools.partial(jnp.pad, pad_width=padding), loop.self_cache))
        loop = jax.lax.while_loop(functools.partial(_goes_on, length), step, loop)
    return loop.tokens


def _step(transformer: network.Transformer, params: dict, memory: network.Memory, grammar, loop: _Loop) -> _Loop:
    """Add one token to every row."""
    positions = jnp.broadcast_to(loop.position, loop.token.shape)
    filled = jnp.arange(loop.self_cache[0][0].shape[2]) <= loop.position
    place = network.Place(positions, loop.position, filled[None])
    logits, self_cache = transformer.apply(
        {"params": params}, loop.token, place, loop.carried, loop.self_cache, memory, method="step"
    )
    choice = grammar.choose(loop.grammar_state, logits) if grammar else logits.argmax(axis=-1)
    token = jnp.where(loop.ended, vocabulary.PAD, choice.astype(jnp.int32))
    return _Loop(
        position=loop.position + 1,
        token=token,
        ended=loop.ended | (token == vocabulary.EOS),
        carried=carrying.carry(loop.carried, token, transformer.config),
        tokens=jax.lax.dynamic_update_slice_in_dim(loop.tokens, token[:, None], loop.position, axis=1),
        self_cache=self_cache,
        grammar_state=grammar.update(loop.grammar_state, token) if grammar else None,
    )


def _goes_on(length: int, loop: _Loop) -> jax.Array:
    return (loop.position < length) & ~loop.ended.all()


def _cache_lengths(max_tokens: int) -> list[int]:
    """Return the lengths that the self-attention caches grow through, the last one `max_tokens`.

    Every step attends to its whole cache, and most segments need a small part of `max_tokens`. Each length is a loop to
    compile, so there are few.
    """
    lengths = [min(FIRST_CACHE_LENGTH, max_tokens)]
    while lengths[-1] < max_tokens:
        lengths.append(min(CACHE_GROWTH * lengths[-1], max_tokens))
    return lengths


def generate(
    transformer: network.Transformer,
    params: dict,
    frames: jax.Array,
    *,
    max_tokens: int,
    grammar: Grammar | None = None,
) -> jax.Array:
    """Return the likeliest next token at each step, until each row has ended: int32 [B, max_tokens].

    Args:
        transformer: the network; static, as are `max_tokens` and `grammar`.
        params: its parameters.
        frames: float32 [B, F, input_depth].
        max_tokens: longest row; a row without EOS was cut there.
        grammar: allows some tokens at each step; None: all.

    Rows have EOS where they end and PAD after it; the beginning token is not among them.
    """
    memory = encode(transformer, params, frames, grammar=grammar)
    return generate_from(transformer, params, memory, max_tokens=max_tokens, grammar=grammar)
