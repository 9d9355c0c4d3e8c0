"""What surviving means: a case is taken or refused in words, within bounds of time and memory; and it is counted."""

import collections
import contextlib
import json
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis

from mt3lite.errors import InputError

SCALE = float(os.environ.get("MT3LITE_FUZZ_SCALE", "1"))  # times as many cases as in the bounded slice
CPU_SECONDS = 30  # of one case; processor time, so that a busy or stopped machine is no hang
MEMORY_BYTES = 3 << 30  # address space that one case may take on top of what the process has
LONGEST_MESSAGE = 4000

counts: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)


class Hung(Exception):
    """A case took more processor time than any should."""


def fuzz(cases: int) -> Callable:
    """Return the settings of a test: so many cases in the slice, which is the same every time; more in the full run."""
    return hypothesis.settings(
        max_examples=max(1, round(cases * SCALE)),
        derandomize=SCALE == 1,
        database=None,
        print_blob=True,
        suppress_health_check=list(hypothesis.HealthCheck),
    )


def survive(kind: str, function: Callable, *args, **kwargs):
    """Call a function; return what it returns, or the InputError it raised. Anything else fails the test."""
    with bounded(kind):
        try:
            result = function(*args, **kwargs)
        except InputError as error:
            check_message(str(error))
            result = error
    note(kind, "refused" if isinstance(result, InputError) else "taken")
    return result


def note(kind: str, outcome: str) -> None:
    """Count a case."""
    counts[kind][outcome] += 1


def check_message(message: str) -> None:
    """See that somebody can read a message: the first line tells the matter, and it is not the whole file."""
    assert message.strip() and len(message) <= LONGEST_MESSAGE, f"{len(message)} characters: {message[:300]!r}"
    first, *rest = message.split("\n")
    assert not rest or first.endswith((" faults", " fault")), f"more than a line: {message[:300]!r}"


@contextlib.contextmanager
def bounded(kind: str) -> Iterator[None]:
    """Bound the time and the memory of what happens in the block."""
    fired = []

    def ring(*_) -> None:
        fired.append(kind)
        raise Hung(f"{kind}: more than {CPU_SECONDS} s of processor time")

    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    handler = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY_BYTES, hard))
    start = time.process_time()
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, handler)
        counts[kind]["slowest_ms"] = max(counts[kind]["slowest_ms"], round(1000 * (time.process_time() - start)))
    assert not fired, f"{kind}: hung, and something swallowed the alarm"


def nothing_half_written(folder: Path) -> None:
    """See that no temporary file of `files.atomic_path` is left."""
    left = [path.name for path in folder.rglob(".*") if path.is_file()]
    assert not left, f"left behind: {left}"


def save(path: Path, **about) -> None:
    """Write what was counted, and about the run; kinds that a file of before has and this run has not stay."""
    rows = json.loads(path.read_text())["counts"] if path.exists() else {}
    for kind, counter in counts.items():
        rows[kind] = {"scale": SCALE, **dict(sorted(counter.items()))}
    path.write_text(json.dumps({"about": about, "counts": dict(sorted(rows.items()))}, indent=1) + "\n")
