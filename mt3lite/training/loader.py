"""Batches of training examples, the same for the same seed and step, made ahead in a thread.

A batch is made of examples whose targets are of similar length, so that little of it is padding: examples are drawn in
pools of several batches, sorted by length, cut into batches, and the batches shuffled. All draws come from
(seed, pool number), so training can go on from any step without a stored loader state.
"""

import collections
import concurrent.futures
import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from mt3lite.config import Config
from mt3lite.training import datasets, examples

POOL_BATCHES = 8
POOLS_AHEAD = 2
LENGTHS = (64, 128, 192, 256, 384, 512, 768, 1024)  # a target is padded to one of these: few programs to compile


@dataclasses.dataclass(frozen=True)
class Batch:
    """Examples stacked."""

    samples: np.ndarray  # float32 [batch, num_samples]
    tokens: np.ndarray  # int32 [batch, length], PAD behind EOS
    notes: np.ndarray  # int32 [batch, MAX_NOTES, 5]
    dropped: int  # examples left out since their target was too long, while this batch's pool was made


def _stack(pool: Sequence[examples.Example], dropped: int) -> Batch:
    longest = max(len(example.tokens) for example in pool)
    length = next((limit for limit in LENGTHS if limit >= longest), longest)
    tokens = np.zeros((len(pool), length), np.int32)
    for row, example in zip(tokens, pool, strict=True):
        row[: len(example.tokens)] = example.tokens
    samples, tables = np.stack([e.samples for e in pool]), np.stack([e.notes for e in pool])
    return Batch(samples, tokens, tables, dropped)


def make_pool(
    tracks: Sequence[datasets.Track],
    config: Config,
    augmentation: examples.AugmentConfig | None,
    *,
    batch_size: int,
    seed: int,
    pool: int,
) -> list[Batch]:
    """Make the batches of steps [pool * POOL_BATCHES, (pool + 1) * POOL_BATCHES)."""
    rng = np.random.default_rng([seed, pool])
    made: list[examples.Example] = []
    dropped = 0
    while len(made) < POOL_BATCHES * batch_size:
        example = examples.make(tracks, config, augmentation, rng)
        if example is None:
            dropped += 1
        else:
            made.append(example)
    made.sort(key=lambda example: len(example.tokens))
    batches = [_stack(made[i : i + batch_size], dropped) for i in range(0, len(made), batch_size)]
    return [batches[i] for i in rng.permutation(POOL_BATCHES)]


def batches(
    tracks: Sequence[datasets.Track],
    config: Config,
    augmentation: examples.AugmentConfig | None,
    *,
    batch_size: int,
    seed: int,
    start_step: int = 0,
) -> Iterator[Batch]:
    """Yield the batches from `start_step` on, without end, while a thread makes the next pools ahead."""
    with concurrent.futures.ThreadPoolExecutor(1) as executor:

        def submit(pool: int):
            return executor.submit(make_pool, tracks, config, augmentation, batch_size=batch_size, seed=seed, pool=pool)

        pool, skip = divmod(start_step, POOL_BATCHES)
        waiting = collections.deque(submit(pool + i) for i in range(POOLS_AHEAD))
        pool += POOLS_AHEAD
        try:
            while True:
                ready = waiting.popleft().result()
                waiting.append(submit(pool))
                pool += 1
                yield from ready[skip:]
                skip = 0
        finally:
            for future in waiting:
                future.cancel()
