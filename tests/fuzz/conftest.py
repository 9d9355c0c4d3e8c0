"""Where the counts of a run go."""

import os
from pathlib import Path

import surviving


def pytest_sessionfinish(session, exitstatus):
    """Write the counts of a run whose every case was survived."""
    target = os.environ.get("MT3LITE_FUZZ_COUNTS")
    if target and surviving.counts and exitstatus == 0:
        surviving.save(Path(target))
