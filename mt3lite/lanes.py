"""Many segments through one decoder: a lane takes the next segment the moment its own has ended.

The plain loop of `decoding.generate_from` lets every row of a batch wait for the longest. Here each lane stands at a
place of its own, so that all of them work until nothing is left; the tokens are the same.

The self-attention caches are rings: every step writes one slot, the same for all lanes, and a lane reads as many slots
back as it has tokens. They grow and shrink with the longest lane, for a step reads all of them. The loop runs on the
device and comes back when lanes have ended or the ring is full, never for a single step.

Four kinds of programs, each compiled once for a network, a grammar, a number of lanes and a ring:

    encode   frames of some segments -> what decoding reads of them
    admit    put those into lanes that are free
    run      decode until some lanes have ended, or one fills the ring
    resize   a ring -> a longer or shorter one

Axes: B lanes, L length of the rings, T = max_tokens, E segments encoded together, F frames.
"""

import collections
import concurrent.futures
import functools
import itertools
import threading
import time
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from mt3lite import carrying, decoding, hearing, kept_programs, network, single_beam, stepping, stopwatch, vocabulary

FIRST_RING, RING_GROWTH = 256, 2  # tokens, and a factor: most segments fit the first; each length is a program to load
LANES_A_REFILL = 16  # while segments wait, the loop comes back when this part of the lanes, or one, has ended
FIRST_PROGRAM = ("encode",)
Key = TypeVar("Key", bound=Hashable)  # by which a segment is known


class Decoded(NamedTuple):
    """What came of a segment."""

    tokens: np.ndarray  # int32 [max_tokens]
    begun: hearing.Begun | None  # of a network that hears


class Lanes(NamedTuple):
    """What a step passes to the next."""

    slot: jax.Array  # int32 scalar: of the rings, to be written next
    active: jax.Array  # bool [B]: has a segment that has not ended
    length: jax.Array  # int32 [B]: tokens so far
    token: jax.Array  # int32 [B]: the last one
    tokens: jax.Array  # int32 [B, T]: PAD after the last
    carried: jax.Array  # int32 [B, R], see carrying.carry
    grammar_state: decoding.GrammarState | None
    beam: single_beam.Beam | None
    self_cache: network.Cache | None  # the rings
    memory: network.Memory  # of the encoded segments


@dataclass(frozen=True)
class Search:
    """What the programs depend on besides the sizes of their arguments."""

    transformer: network.Transformer
    grammar: decoding.Grammar | None
    max_tokens: int
    in_single_beam: bool = False  # instead of greedily; without a grammar
    in_panels: bool = False  # for a CPU, see `panels.py`; the parameters are then those of `stepping.params_for_steps`
    precision: str = stepping.FLOAT32  # of decoding steps; for parameters of that precision, see `rounding.py`

    def blank(self, num_lanes: int, memory: network.Memory, ring: int) -> Lanes:
        """Return the shapes of `num_lanes` lanes with rings of that length, for what `encode` returns."""

        def build(memory: network.Memory) -> Lanes:
            zeros = jnp.zeros(num_lanes, jnp.int32)
            return Lanes(
                slot=jnp.int32(0),
                active=jnp.zeros(num_lanes, bool),
                length=zeros,
                token=zeros,
                tokens=jnp.zeros((num_lanes, self.max_tokens), jnp.int32),
                carried=carrying.empty(self.transformer.config, num_lanes),
                grammar_state=self.grammar.init(num_lanes) if self.grammar else None,
                beam=single_beam.begin(num_lanes) if self.in_single_beam else None,
                self_cache=self.laid_out(stepping.empty_cache(self.transformer.config, num_lanes, ring)),
                memory=jax.tree.map(lambda leaf: jnp.zeros((num_lanes, *leaf.shape[1:]), leaf.dtype), memory),
            )

        return jax.eval_shape(build, memory)

    def laid_out(self, cache: network.Cache) -> network.Cache:
        """Return caches of float32 as decoding steps want them."""
        return self.arranged(stepping.rounded(cache) if self.precision == stepping.INT8 else cache)

    def arranged(self, cache: network.Cache) -> network.Cache:
        """Return caches of either precision in panels, where steps want those."""
        return stepping.in_panels(cache) if self.in_panels else cache


def ring_lengths(max_tokens: int) -> list[int]:
    """Return the lengths that the rings may have, the last one `max_tokens`."""
    lengths = [min(FIRST_RING, max_tokens)]
    while lengths[-1] < max_tokens:
        lengths.append(min(RING_GROWTH * lengths[-1], max_tokens))
    return lengths


def ring_of(lanes: Lanes) -> int:
    """Return the length of the rings."""
    return lanes.self_cache[0][1].shape[2]


@functools.partial(jax.jit, static_argnums=0)
def encode(search: Search, params: dict, frames: jax.Array) -> network.Memory:
    """Encode segments, frames float32 [E, F, input_depth]."""
    memory = decoding.encode(search.transformer, params, frames, grammar=search.grammar)
    return memory._replace(cross_cache=search.laid_out(memory.cross_cache))


@functools.partial(jax.jit, static_argnums=0, donate_argnums=1)
def admit(search: Search, lanes: Lanes, memory: network.Memory, source: jax.Array) -> Lanes:
    """Begin segments: lane b takes row source[b] of what `encode` returned, or goes on as it is where that is -1.

    The rings are left out, None in `lanes`: nothing in them counts for a lane that begins.
    """
    begins = source >= 0
    num_lanes = len(source)

    def choose(new: jax.Array, old: jax.Array) -> jax.Array:
        return jnp.where(begins.reshape(num_lanes, *[1] * (old.ndim - 1)), new, old)

    return Lanes(
        slot=lanes.slot,
        active=lanes.active | begins,
        length=choose(jnp.zeros_like(lanes.length), lanes.length),
        token=choose(jnp.full_like(lanes.token, vocabulary.PAD), lanes.token),  # stands for the beginning
        tokens=choose(jnp.full_like(lanes.tokens, vocabulary.PAD), lanes.tokens),
        carried=choose(carrying.empty(search.transformer.config, num_lanes), lanes.carried),
        grammar_state=jax.tree.map(choose, search.grammar.init(num_lanes), lanes.grammar_state)
        if search.grammar
        else None,
        beam=jax.tree.map(choose, single_beam.begin(num_lanes), lanes.beam) if search.in_single_beam else None,
        self_cache=None,
        memory=jax.tree.map(lambda new, old: choose(new[jnp.maximum(source, 0)], old), memory, lanes.memory),
    )


@functools.partial(jax.jit, static_argnums=0, donate_argnums=2)
def run(search: Search, params: dict, lanes: Lanes, stop_idle: jax.Array) -> Lanes:
    """Decode until `stop_idle` lanes (int32 scalar) are without a segment, or one needs more than its ring has."""
    ring = ring_of(lanes)

    def goes_on(lanes: Lanes) -> jax.Array:
        longest = jnp.where(lanes.active, lanes.length, 0).max()
        return ((~lanes.active).sum() < stop_idle) & (longest < ring)

    return jax.lax.while_loop(goes_on, functools.partial(_step, search, params), lanes)


def _step(search: Search, params: dict, lanes: Lanes) -> Lanes:
    """Add one token to every active lane."""
    ring = ring_of(lanes)
    ages = (lanes.slot - jnp.arange(ring)) % ring  # 0 for the slot of this step
    place = network.Place(lanes.length, lanes.slot, ages <= lanes.length[:, None])
    logits, self_cache = search.transformer.apply(
        {"params": params}, lanes.token, place, lanes.carried, lanes.self_cache, lanes.memory, method="step"
    )
    grammar = search.grammar
    beam = None
    if search.in_single_beam:
        choice, beam, over = single_beam.extend(lanes.beam, logits, lanes.length, search.max_tokens)
    else:
        choice = grammar.choose(lanes.grammar_state, logits) if grammar else logits.argmax(axis=-1)
        over = choice == vocabulary.EOS
    token = jnp.where(lanes.active, choice.astype(jnp.int32), vocabulary.PAD)
    length = lanes.length + lanes.active
    written = (jnp.arange(search.max_tokens) == lanes.length[:, None]) & lanes.active[:, None]
    return Lanes(
        slot=(lanes.slot + 1) % ring,
        active=lanes.active & ~over & (length < search.max_tokens),
        length=length,
        token=token,
        tokens=jnp.where(written, token[:, None], lanes.tokens),
        carried=carrying.carry(lanes.carried, token, search.transformer.config),
        grammar_state=grammar.update(lanes.grammar_state, token) if grammar else None,
        beam=beam,
        self_cache=self_cache,
        memory=lanes.memory,
    )


@functools.partial(jax.jit, static_argnums=(0, 3))
def resize(search: Search, slot: jax.Array, rings: network.Cache, length: int) -> tuple[jax.Array, network.Cache]:
    """Return the slot and rings of another length, of which a shorter one must have a slot for every token."""
    ring = rings[0][1].shape[2]
    kept = min(ring, length)

    def resized(cache: jax.Array) -> jax.Array:
        oldest_first = jax.lax.dynamic_slice_in_dim(jnp.concatenate([cache, cache], axis=2), slot, ring, axis=2)
        return jnp.pad(oldest_first[:, :, ring - kept :], ((0, 0), (0, 0), (0, length - kept), (0, 0)))

    return jnp.int32(kept % length), search.arranged(jax.tree.map(resized, stepping.out_of_panels(rings)))


class Programs:
    """The compiled programs, each compiled or found in a folder of kept ones when it is first asked for.

    Attributes:
        num_lanes: segments decoded together.
        encode_batch: segments encoded together.
        rings: the lengths that the rings may have.
    """

    def __init__(
        self,
        search: Search,
        params: dict,
        input_shape: tuple[int, int],
        *,
        num_lanes: int,
        encode_batch: int,
        kept: kept_programs.Folder | None = None,
    ):
        """Take what to compile, the parameters as it wants them, and the shape [F, input_depth] of a segment."""
        self.num_lanes, self.encode_batch, self.rings = num_lanes, encode_batch, ring_lengths(search.max_tokens)
        self._search = search
        self._params = params
        self._frames = jax.ShapeDtypeStruct((encode_batch, *input_shape), np.float32)
        self._kept = kept
        self._workers = concurrent.futures.ThreadPoolExecutor(2, "compile")
        self._lock = threading.Lock()  # several pools may ask for one program
        self._compiled: dict[tuple, concurrent.futures.Future] = {}

    def prepare(self) -> None:
        """Begin, beside other work, to get ready what every recording needs."""
        for name in (FIRST_PROGRAM, ("run", self.rings[0]), ("admit",)):
            self._begin(*name)

    def __call__(self, name: str, *lengths: int) -> jax.stages.Compiled:
        """Return a program: "encode", "admit", "run" with a ring, or "resize" from a ring to another."""
        return self._begin(name, *lengths).result()

    def blank(self) -> Lanes:
        """Return lanes without a segment, with the shortest rings."""
        (_, lanes, _), _ = self("run", self.rings[0]).args_info
        return jax.tree.map(lambda leaf: jax.device_put(np.zeros(leaf.shape, leaf.dtype)), lanes)

    def _begin(self, *name) -> concurrent.futures.Future:
        with self._lock:
            if name not in self._compiled:
                self._compiled[name] = self._workers.submit(self._make, *name)
            return self._compiled[name]

    def _make(self, *name) -> jax.stages.Compiled:
        lower = functools.partial(self._lower, *name)
        return self._kept.program(name, lower) if self._kept else lower().compile()

    def _lower(self, name: str, *lengths: int) -> jax.stages.Lowered:
        search, scalar = self._search, jax.ShapeDtypeStruct((), np.int32)
        if name == "encode":
            return encode.lower(search, self._params, self._frames)
        memory = jax.eval_shape(functools.partial(encode, search), self._params, self._frames)
        lanes = search.blank(self.num_lanes, memory, lengths[0] if lengths else self.rings[0])
        if name == "admit":
            source = jax.ShapeDtypeStruct((self.num_lanes,), np.int32)
            return admit.lower(search, lanes._replace(self_cache=None), memory, source)
        if name == "run":
            return run.lower(search, self._params, lanes, scalar)
        return resize.lower(search, scalar, lanes.self_cache, lengths[1])


class Pool:
    """Lanes at work on a stream of segments.

    >>> pool = Pool(programs, params)                                        # doctest: +SKIP
    >>> for key, decoded in pool.decode((key, frames) for key, frames in segments): ...  # doctest: +SKIP
    """

    def __init__(self, programs: Programs, params: dict, watch: stopwatch.Stopwatch):
        self._programs, self._params, self._watch = programs, params, watch
        self._keys: list[Any] = [None] * programs.num_lanes  # of the lanes' segments
        self._heard: list[Any] = [None] * programs.num_lanes  # likewise: `hearing.Heard` of a batch, and the row
        self._waiting: collections.deque = collections.deque()  # (memory, {row: key}) encoded and not yet in a lane
        self._lanes: Lanes | None = None

    def decode(self, segments: Iterable[tuple[Key, np.ndarray]]) -> Iterator[tuple[Key, Decoded]]:
        """Yield the key of each segment (key, frames float32 [F, bins]), and what came of it, as it ends.

        That is not the order in which they came. Segments are taken from the stream when they are needed.
        """
        segments = iter(segments)
        more = True
        while more or self._waiting or any(key is not None for key in self._keys):
            # One batch ahead of the lanes: it is encoded beside their work.
            while more and sum(len(rows) for _, rows in self._waiting) <= self._keys.count(None):
                more = self._encode(segments)
            self._fill()
            if self._keys.count(None) < len(self._keys):
                yield from self._run(more or bool(self._waiting))

    def _encode(self, segments: Iterator) -> bool:
        """Encode the next segments of the stream; return whether there were any."""
        batch = list(itertools.islice(segments, self._programs.encode_batch))
        if batch:
            frames = np.stack([frames for _, frames in batch])
            missing = self._programs.encode_batch - len(batch)
            frames = np.concatenate([frames, np.repeat(frames[:1], missing, axis=0)])
            encode = self._program("encode")
            with self._watch.measure("encode"):
                memory = encode(self._params, frames)
                if self._lanes is None:  # nothing else to do meanwhile
                    wait(memory)
            self._waiting.append((memory, {row: key for row, (key, _) in enumerate(batch)}))
        return bool(batch)

    def _fill(self) -> None:
        """Put waiting segments into idle lanes."""
        idle = [lane for lane, key in enumerate(self._keys) if key is None]
        while idle and self._waiting:
            memory, rows = self._waiting[0]
            source = np.full(len(self._keys), -1, np.int32)
            while idle and rows:
                row = next(iter(rows))
                lane = idle.pop(0)
                source[lane], self._keys[lane] = row, rows.pop(row)
                self._heard[lane] = memory.heard, row
            if not rows:
                self._waiting.popleft()
            admit = self._program("admit")
            if self._lanes is None:
                self._lanes = self._programs.blank()
            with self._watch.measure("decode"):
                rings = self._lanes.self_cache
                admitted = admit(self._lanes._replace(self_cache=None), memory, source)
                self._lanes = admitted._replace(self_cache=rings)

    def _run(self, more: bool) -> Iterator[tuple[Any, Decoded]]:
        """Decode until lanes have ended, some if there are more segments, or else all; yield those segments."""
        num_lanes = len(self._keys)
        stop_idle = num_lanes
        if more:
            stop_idle = min(num_lanes, self._keys.count(None) + max(1, num_lanes // LANES_A_REFILL))
        run = self._program("run", ring_of(self._lanes))
        with self._watch.measure("decode"):
            self._lanes = run(self._params, self._lanes, np.int32(stop_idle))
            active, length = map(np.asarray, wait((self._lanes.active, self._lanes.length)))
            tokens = np.asarray(self._lanes.tokens)
            kept = np.asarray(self._lanes.beam.kept) if self._lanes.beam else np.zeros(num_lanes, np.int32)
        for lane, key in enumerate(self._keys):
            if key is not None and not active[lane]:
                heard, row = self._heard[lane]
                self._keys[lane] = self._heard[lane] = None
                begun = hearing.begun(heard, row) if heard else None
                yield key, Decoded(single_beam.result(tokens[lane], kept[lane]), begun)
        self._resize(int(np.where(active, length, 0).max()))

    def _resize(self, longest: int) -> None:
        """Give the rings the length that suits the longest lane."""
        now = ring_of(self._lanes)
        fitting = next(ring for ring in self._programs.rings if ring > longest or ring == self._programs.rings[-1])
        # Not smaller at once: a lane that has just fitted would soon need the larger one again.
        if fitting > now or (fitting < now and longest <= fitting // 2):
            resize = self._program("resize", now, fitting)
            with self._watch.measure("decode"):
                slot, rings = resize(self._lanes.slot, self._lanes.self_cache)
                self._lanes = self._lanes._replace(slot=slot, self_cache=rings)

    def _program(self, *name) -> jax.stages.Compiled:
        with self._watch.measure("compile"):
            return self._programs(*name)


def wait(computed):
    """Return arrays once they are computed. Unlike `jax.block_until_ready`, this lets Ctrl-C through meanwhile."""
    for array in jax.tree.leaves(computed):
        while not array.is_ready():
            time.sleep(0.0005)
    return computed
