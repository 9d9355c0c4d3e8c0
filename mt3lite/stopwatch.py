"""Where the time of a run goes, by name."""

import contextlib
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


class Stopwatch:
    """Seconds spent under each name. Time measured inside another measurement counts for the inner name only.

    >>> watch = Stopwatch()
    >>> with watch.measure("outer"):
    ...     for _ in watch.measure_each("inner", range(3)):
    ...         pass
    >>> list(watch.seconds)
    ['outer', 'inner']
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._names: list[str] = []  # being measured, outermost first
        self._since = 0.0  # when the time of the innermost was last booked

    @contextlib.contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Count the time of the block for `name`."""
        self.seconds.setdefault(name, 0.0)
        self._book()
        self._names.append(name)
        try:
            yield
        finally:
            self._book()
            self._names.pop()

    def measure_each(self, name: str, items: Iterable[T]) -> Iterator[T]:
        """Yield `items`, counting the time it takes to get each of them, and not what is done with them."""
        iterator = iter(items)
        while True:
            with self.measure(name):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item

    def add(self, seconds: dict[str, float]) -> None:
        """Add the seconds of another stopwatch, name by name."""
        for name, spent in seconds.items():
            self.seconds[name] = self.seconds.get(name, 0.0) + spent

    def take(self) -> dict[str, float]:
        """Return the seconds so far and begin again from none; for use while nothing is being measured."""
        taken, self.seconds = self.seconds, {}
        return taken

    def _book(self) -> None:
        now = time.perf_counter()
        if self._names:
            self.seconds[self._names[-1]] += now - self._since
        self._since = now
