"""Work that threads do beside the main thread's, and that is told of in the order in which it was given."""

import collections
import concurrent.futures
import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

from mt3lite import processes
from mt3lite.errors import InputError

WAITING_A_THREAD = 2  # pieces of work that may be under way; whoever brings more waits, so that memory stays flat


class Work:
    """What is under way; `in_order` makes one."""

    def __init__(self, threads: int, tell: Callable[[Any], None]):
        self._pool = concurrent.futures.ThreadPoolExecutor(threads, "beside")
        self._tell, self._most = tell, WAITING_A_THREAD * threads
        self._under_way: collections.deque[concurrent.futures.Future] = collections.deque()
        self._stop = threading.Event()

    def put(self, function: Callable, *arguments: Any) -> None:
        """Have a thread call a function; wait if too many wait already."""
        self._under_way.append(self._pool.submit(self._call, function, *arguments))
        self.tell(self._most)

    def tell(self, most: int | None = None) -> None:
        """Tell of what is done, up to the first that is not; wait until at most `most` are not told of."""
        while self._under_way and (self._under_way[0].done() or (most is not None and len(self._under_way) > most)):
            done = self._under_way.popleft()
            try:
                result = done.result()
            except InputError as error:
                result = error
            self._tell(result)

    def _call(self, function: Callable, *arguments: Any) -> Any:
        with processes.stopped_by(self._stop):
            return function(*arguments)

    def interrupt(self) -> None:
        """Ask the threads to stop where they can: nothing half-written is left."""
        self._stop.set()

    def close(self) -> None:
        """Wait for the threads; what they have not begun is left out."""
        self._pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def in_order(threads: int, tell: Callable[[Any], None]) -> Iterator[Work]:
    """Give work to threads within the block; at its end, wait for it.

    Args:
        threads: how many.
        tell: called in this thread, when work is put or told of, with what each piece of work has returned, or the
            `InputError` that it has raised. Any other exception ends the block.

    >>> with in_order(2, print) as work:
    ...     for word in "ab":
    ...         work.put(str.upper, word)
    A
    B
    """
    work = Work(threads, tell)
    try:
        yield work
        work.tell(most=0)
    except BaseException:
        work.interrupt()
        raise
    finally:
        work.close()
