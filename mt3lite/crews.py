"""Several pools of lanes on one stream of segments, each in a thread of its own.

A decoding step is a chain of small products, and few of them keep a second core busy. Two loops of four lanes do: they
share nothing but the weights, and together they are up to twice as fast as one loop of eight.
"""

import os
import queue
import threading
from collections.abc import Iterable, Iterator

import jax
import numpy as np

from mt3lite import lanes, stopwatch

CPU_CREWS = 2  # where there are so many cores; on accelerators one loop does everything
_END = object()
_PATIENCE_SECONDS = 5.0  # with a crew whose work is not wanted any more


def share(num_lanes: int) -> tuple[int, int]:
    """Return how many crews decode `num_lanes` segments together, and how many lanes each of them has."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    num_crews = min(CPU_CREWS, cores, num_lanes) if jax.default_backend() == "cpu" else 1
    return num_crews, -(-num_lanes // num_crews)


class Crews:
    """Pools that share their programs."""

    def __init__(self, programs: lanes.Programs, num_crews: int):
        """Take the programs of one crew's lanes."""
        self.programs, self.num_crews = programs, num_crews

    def decode(
        self, params: dict, segments: Iterable[tuple[lanes.Key, np.ndarray]], watch: stopwatch.Stopwatch
    ) -> Iterator[tuple[lanes.Key, lanes.Decoded]]:
        """Yield key and what came of each segment as it ends, as `lanes.Pool.decode` does.

        The stream is read by the caller's thread alone, a few segments ahead of the lanes. `watch` counts the mean of
        the crews' times.
        """
        if self.num_crews == 1:
            yield from lanes.Pool(self.programs, params, watch).decode(segments)
            return
        waiting, done, stopped = queue.SimpleQueue(), queue.SimpleQueue(), threading.Event()
        workers = [
            # Daemons, so that Ctrl-C waits for the loop on the device to come back, but not for ever.
            threading.Thread(target=_work, args=(self.programs, params, waiting, done, stopped), daemon=True)
            for _ in range(self.num_crews)
        ]
        for worker in workers:
            worker.start()
        try:
            for key, decoded, seconds in self._hand_out(iter(segments), waiting, done):
                watch.add({name: spent / self.num_crews for name, spent in seconds.items()})
                yield key, decoded
        finally:
            stopped.set()
            self._end(waiting)
            # A thread that comes back from XLA while Python is being shut down would abort the process.
            for worker in workers:
                worker.join(_PATIENCE_SECONDS)

    def _hand_out(self, segments: Iterator, waiting: queue.SimpleQueue, done: queue.SimpleQueue) -> Iterator[tuple]:
        """Put segments where the crews take them from; yield what comes back."""
        # What all crews can hold: one that asks for a segment holds less, so that more are given out.
        room = self.num_crews * (self.programs.num_lanes + self.programs.encode_batch)
        under_way, working, more = 0, self.num_crews, True
        while working:
            while more and under_way < room:
                segment = next(segments, _END)
                if segment is _END:
                    more = False
                    self._end(waiting)
                else:
                    waiting.put(segment)
                    under_way += 1
            came = done.get()
            if isinstance(came, BaseException):
                raise came
            if came is _END:
                working -= 1
            else:
                under_way -= 1
                yield came

    def _end(self, waiting: queue.SimpleQueue) -> None:
        for _ in range(self.num_crews):
            waiting.put(_END)


def _work(
    programs: lanes.Programs,
    params: dict,
    waiting: queue.SimpleQueue,
    done: queue.SimpleQueue,
    stopped: threading.Event,
) -> None:
    """Decode what waits; put (key, decoded, seconds spent), and at last `_END` or the error that ended the work."""
    watch = stopwatch.Stopwatch()
    try:
        for key, decoded in lanes.Pool(programs, params, watch).decode(iter(waiting.get, _END)):
            if stopped.is_set():
                return
            done.put((key, decoded, watch.take()))
        done.put(_END)
    except BaseException as error:  # the thread that waits for results raises it
        done.put(error)
