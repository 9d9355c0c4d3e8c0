"""Worker processes, and Ctrl-C, which a terminal sends to them and to their parent alike."""

import contextlib
import signal
from collections.abc import Iterator


@contextlib.contextmanager
def born_deaf() -> Iterator[None]:
    """Let processes that are started in the block be deaf to Ctrl-C, from their first moment and for good.

    To this process it comes when the block has ended: it ends the workers. Only as they are told in their own first
    lines to ignore it, one that comes before would be printed as a traceback, by each of them.
    """
    if not hasattr(signal, "pthread_sigmask"):  # not on Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
