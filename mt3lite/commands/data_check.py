"""``mt3lite data check``: whether a dataset can be trained on."""

import argparse

from mt3lite.commands import progress
from mt3lite.training import checks, datasets


def run(arguments: argparse.Namespace) -> int:
    """Print what is in a dataset; return the exit code.

    Raises:
        InputError: there are faults: all are told together, by line of the manifest.
    """
    report = checks.check_manifest(
        arguments.manifest, sample_rate=arguments.sample_rate, jobs=arguments.jobs, progress=progress.tracks
    )
    print(report.table())
    for remark in report.remarks:
        print(f"note: {remark}")
    datasets.refuse(datasets.manifest_path(arguments.manifest), report.faults)
    print("no faults")
    return 0
