"""Batches of training examples, by Grain: the same for the same seed, whatever the threads and worker processes.

The examples of a seed are an endless row: number i is `examples.at(i)`, and process p of P takes p, p + P, p + 2P, ...
A batch is made of examples whose targets are of similar length, so that little of it is padding: the row is cut into
pools of several batches, a pool is sorted by length, cut into batches, and these are shuffled. So a position in the row
is a number, and training goes on from any batch, with other workers if need be.
"""

import collections
import concurrent.futures
import dataclasses
import functools
import json
import threading
from collections.abc import Callable, Iterator, Sequence

import grain
import numpy as np
from absl import flags

from mt3lite.config import Config
from mt3lite.errors import InputError
from mt3lite.training import datasets, examples
from mt3lite.training.settings import TARGET_LENGTHS

POOL_BATCHES = 8
_CHUNK = POOL_BATCHES  # examples that a worker process hands over at a time; divides every pool
POOLS_AHEAD = 2  # how many pools of examples are made ahead of need
_ENDLESS = 2**62  # examples; about as far as Grain counts


@dataclasses.dataclass(frozen=True)
class Batch:
    """Examples stacked."""

    samples: np.ndarray  # float32 [batch, num_samples]
    tokens: np.ndarray  # int32 [batch, length], PAD behind EOS
    notes: np.ndarray  # int32 [batch, MAX_NOTES, 5]
    dropped: int  # examples left out since their target was too long, while this batch's pool was made

    def arrays(self, phase: str) -> dict[str, np.ndarray]:
        """Return what a phase learns from.

        No tokens where the encoder does alone: for each of their lengths a program would be compiled.
        """
        arrays = {"samples": self.samples, "notes": self.notes}
        return arrays if phase == "encoder" else arrays | {"tokens": self.tokens}


@dataclasses.dataclass(frozen=True)
class Shard:
    """Which part of the row this process reads."""

    index: int = 0  # 0 .. count - 1, as `jax.process_index()`
    count: int = 1  # as `jax.process_count()`

    def __post_init__(self):
        if not 0 <= self.index < self.count:
            raise InputError(f"process {self.index} of {self.count}: the first must be from 0 to one below the second")


def example_dataset(
    tracks: Sequence[datasets.Track],
    config: Config,
    augmentation: examples.AugmentConfig | None,
    *,
    seed: int,
    shard: Shard = Shard(),  # noqa: B008  frozen
) -> grain.MapDataset:
    """Return the row of a seed as a Grain dataset, to which all of Grain's operations can be applied.

    Element i is what `examples.at(shard.index + i * shard.count)` gives, as a dictionary of its arrays.
    """
    make = functools.partial(_arrays_at, tracks=tracks, config=config, augmentation=augmentation, seed=seed)
    return grain.MapDataset.range(shard.index, _ENDLESS, shard.count).map(make)


def _arrays_at(index: int, **arguments) -> dict[str, np.ndarray]:
    # A dictionary, as Grain hands the arrays in one from a worker process over in shared memory.
    example = examples.at(index, **arguments)
    return {field.name: np.asarray(getattr(example, field.name)) for field in dataclasses.fields(example)}


def make_pool(made: Sequence[dict[str, np.ndarray]], batch_size: int, rng: np.random.Generator) -> list[Batch]:
    """Sort examples by the length of their targets, cut them into batches, and shuffle these.

    Args:
        made: elements of `example_dataset`, a multiple of `batch_size` of them.
        batch_size: examples in a batch.
        rng: shuffles.
    """
    dropped = sum(int(example["dropped"]) for example in made)
    made = sorted(made, key=lambda example: len(example["tokens"]))
    batches = [_stack(made[i : i + batch_size], dropped) for i in range(0, len(made), batch_size)]
    return [batches[i] for i in rng.permutation(len(batches))]


def _stack(made: Sequence[dict[str, np.ndarray]], dropped: int) -> Batch:
    longest = max(len(example["tokens"]) for example in made)
    length = next((limit for limit in TARGET_LENGTHS if limit >= longest), longest)
    tokens = np.zeros((len(made), length), np.int32)
    for row, example in zip(tokens, made, strict=True):
        row[: len(example["tokens"])] = example["tokens"]
    samples, tables = (np.stack([example[key] for example in made]) for key in ("samples", "notes"))
    return Batch(samples, tokens, tables, dropped)


class Batches(Iterator[Batch]):
    """The batches of a process, without end, and where it is in them. Made by `batches`; to be closed after use."""

    def __init__(self, row: grain.MapDataset, *, batch_size: int, seed: int, shard: Shard, workers: int):
        self._row, self._batch_size, self._seed, self._shard, self._workers = row, batch_size, seed, shard, workers
        self._next_batch = 0
        self._pools: _Pools | None = None  # None: not begun, or closed
        self._pool: list[Batch] = []  # the batches of the pool that `_next_batch` lies in, when that has begun

    def __next__(self) -> Batch:
        pool, position = divmod(self._next_batch, POOL_BATCHES)
        if self._pools is None:
            self._pools = _Pools(self._row, self._batch_size, self._workers, pool, self._shuffler)
            self._pool = []
        if position == 0 or not self._pool:
            try:
                self._pool = next(self._pools)
            except InputError:
                self.close()  # what it made last is incomplete; called again, it begins anew with this pool
                raise
        self._next_batch += 1
        return self._pool[position]

    def close(self) -> None:
        """End the threads and worker processes."""
        if self._pools is not None:
            self._pools.close()
            self._pools = None

    def get_state(self) -> bytes:
        """Return where the iterator is: JSON, in UTF-8. It does not depend on the number of workers."""
        return json.dumps({**self._identity(), "next_batch": self._next_batch}).encode()

    def set_state(self, state: bytes) -> None:
        """Go on where another iterator with the same arguments (but for `workers`) was.

        Raises:
            InputError: the state is not one of `get_state`, or of an iterator with another seed, batch size or shard.
        """
        self.seek(next_batch(state, self._identity()))

    def seek(self, next_batch: int) -> None:
        """Go to a batch by its number, counted from 0; those before are not made."""
        self.close()
        self._next_batch = next_batch

    def _shuffler(self, pool: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, self._shard.index, pool])

    def _identity(self) -> dict[str, int]:
        return {
            "seed": self._seed,
            "batch_size": self._batch_size,
            "pool_batches": POOL_BATCHES,
            "process_index": self._shard.index,
            "process_count": self._shard.count,
        }


def next_batch(state: bytes, identity: dict[str, int]) -> int:
    """Return the number of the batch that a loader's state says comes next.

    Raises:
        InputError: the state is none, or of a loader with another identity.
    """
    try:
        read = json.loads(state)
        number = read.pop("next_batch")
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise InputError(f"not the state of a loader: {state[:80]!r}") from error
    if read != identity:
        raise InputError(f"the state is of a loader with {read}; this one has {identity}")
    return number


class _Pools(Iterator[list[Batch]]):
    """The pools from one on, without end, made ahead by a thread; it alone, or worker processes, make the examples."""

    def __init__(self, row: grain.MapDataset, batch_size: int, workers: int, first_pool: int, shuffler: Callable):
        self._batch_size, self._size, self._shuffler = batch_size, POOL_BATCHES * batch_size, shuffler
        self._chunks = iter(_ordered(row[first_pool * self._size :], workers))
        self._closing = threading.Event()
        self._thread = concurrent.futures.ThreadPoolExecutor(1)
        self._waiting = collections.deque(self._thread.submit(self._make, first_pool + i) for i in range(POOLS_AHEAD))
        self._next_pool = first_pool + POOLS_AHEAD

    def __next__(self) -> list[Batch]:
        ready = self._waiting.popleft().result()
        self._waiting.append(self._thread.submit(self._make, self._next_pool))
        self._next_pool += 1
        return ready

    def close(self) -> None:
        self._closing.set()
        self._thread.shutdown(cancel_futures=True)
        self._chunks.close()

    def _make(self, pool: int) -> list[Batch]:
        made = []
        while len(made) < self._size and not self._closing.is_set():
            try:
                made += _split(next(self._chunks))
            except RuntimeError as error:
                if "Worker process" not in str(error):
                    raise
                raise InputError(
                    f"a worker process that makes examples was ended from outside, before batch {pool * POOL_BATCHES}; "
                    "is the memory full? Go on from there with fewer workers"
                ) from error
        return [] if self._closing.is_set() else make_pool(made, self._batch_size, self._shuffler(pool))


def _ordered(row: grain.MapDataset, workers: int) -> grain.IterDataset:
    """Chunks of elements in their order: made when asked for, or by worker processes that take turns."""
    # Each chunk costs a worker process four files in /dev/shm, and more time than an example takes if it is one alone.
    chunks = row.batch(_CHUNK, batch_fn=_join)
    made = chunks.to_iter_dataset(grain.ReadOptions(num_threads=0, prefetch_buffer_size=0))
    if not workers:
        return made
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()  # Grain asks for a flag of its own, and only programs of absl parse those
    # A few, as /dev/shm is small in containers, 64 MB; a chunk has 1.2 MB. What is made ahead of need are the pools.
    return made.mp_prefetch(grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=2))


def _join(chunk: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """One dictionary for a chunk; the tokens in one row, and their numbers beside them."""
    joined = {key: np.stack([example[key] for example in chunk]) for key in ("samples", "notes", "dropped")}
    joined["tokens"] = np.concatenate([example["tokens"] for example in chunk])
    joined["num_tokens"] = np.array([len(example["tokens"]) for example in chunk])
    return joined


def _split(chunk: dict[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
    """Undo `_join`."""
    tokens = np.split(chunk["tokens"], np.cumsum(chunk["num_tokens"])[:-1])
    rows = zip(chunk["samples"], chunk["notes"], chunk["dropped"], tokens, strict=True)
    return [dict(zip(("samples", "notes", "dropped", "tokens"), row, strict=True)) for row in rows]


def batches(
    tracks: Sequence[datasets.Track],
    config: Config,
    augmentation: examples.AugmentConfig | None,
    *,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    shard: Shard = Shard(),  # noqa: B008  frozen
    workers: int = 0,
) -> Batches:
    """Return the batches of a process, without end, from a step on.

    Args:
        tracks: to draw from.
        config: of the model that is trained.
        augmentation: of the examples; None for none.
        batch_size: examples in a batch of this process.
        seed: 0 or more; of all choices.
        start_step: how many batches to pass over; they are not made.
        shard: which examples are this process's.
        workers: processes that make examples; 0: a thread of this process does. The batches are the same. A script
            that asks for some needs the usual ``if __name__ == "__main__":``, as each of them imports it.

    Raises:
        InputError: while iterating: a file of a track cannot be read.
    """
    row = example_dataset(tracks, config, augmentation, seed=seed, shard=shard)
    made = Batches(row, batch_size=batch_size, seed=seed, shard=shard, workers=workers)
    made.seek(start_step)
    return made
