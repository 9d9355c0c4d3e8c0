"""Where the counts of a run go, and the faults of the machine among them."""

import os
import platform
from pathlib import Path

import surviving


def pytest_runtest_logreport(report):
    """Count the tests of `test_faults.py`, of which each is a case."""
    if "test_faults.py" in report.nodeid and (report.when == "call" or report.skipped):
        name = report.nodeid.partition("::")[2].partition("[")[0].removeprefix("test_").replace("_", " ")
        fault = report.nodeid.partition("[")[2].partition("-")[0].removesuffix("]")
        kind = (
            f"faults: {fault.replace('_', ' ')}"
            if fault in ("full_disk", "small_files", "read_only")
            else f"faults: {name}"
        )
        surviving.note(kind, "survived" if report.passed else report.outcome)


def pytest_sessionfinish(session, exitstatus):
    """Write the counts of a run whose every case was survived."""
    target = os.environ.get("MT3LITE_FUZZ_COUNTS")
    if target and surviving.counts and exitstatus == 0:
        surviving.save(Path(target), python=platform.python_version(), system=platform.system())
