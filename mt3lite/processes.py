"""Workers and Ctrl-C: a terminal sends it to processes and to their parent alike, and threads never hear of it."""

import contextlib
import signal
import threading
from collections.abc import Iterator

# Its attribute `stop`: the event that is set when this thread's work is not wanted any more.
_THREAD = threading.local()


@contextlib.contextmanager
def stopped_by(event: threading.Event) -> Iterator[None]:
    """Let `stop_if_asked`, called by this thread in the block, look at an event."""
    _THREAD.stop = event
    try:
        yield
    finally:
        del _THREAD.stop


def stop_if_asked() -> None:
    """Raise KeyboardInterrupt in a thread whose work is not wanted any more; long work calls this now and then."""
    stop = getattr(_THREAD, "stop", None)
    if stop is not None and stop.is_set():
        raise KeyboardInterrupt


@contextlib.contextmanager
def born_deaf() -> Iterator[None]:
    """Let processes that are started in the block be deaf to Ctrl-C, from their first moment and for good.

    To this process it comes when the block has ended: it ends the workers. Only as they are told in their own first
    lines to ignore it, one that comes before would be printed as a traceback, by each of them.
    """
    if not hasattr(signal, "pthread_sigmask"):  # not on Windows
        yield
        return
    came = []
    in_main = threading.current_thread() is threading.main_thread()
    # The mask is what the workers inherit. Libraries have threads without it, by which the signal still comes here.
    handler = signal.signal(signal.SIGINT, lambda *_: came.append(True)) if in_main else None
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if in_main:
            signal.signal(signal.SIGINT, handler)
    if came:
        raise KeyboardInterrupt
