"""What a measurement was made on, to stand beside its numbers."""

import importlib.metadata
import os
import platform
from pathlib import Path


def describe(*distributions: str) -> dict:
    """Return the processor, its cores, how busy it was, and the versions of Python and of the distributions named."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": _processor(),
        "cores": cores,
        "load_average_before": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in distributions},
    }


def _version(distribution: str) -> str | None:
    """Return the version of a distribution; None if it is not installed, as a checkout on PYTHONPATH alone is not."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
