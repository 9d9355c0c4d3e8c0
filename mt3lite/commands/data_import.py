"""``mt3lite data import``: the manifest of recordings that somebody has."""

import argparse

from mt3lite.commands import progress
from mt3lite.training import importers


def run(arguments: argparse.Namespace) -> int:
    """Write the manifest; print what is in it and what was left aside; return the exit code.

    Raises:
        InputError: see `importing.import_dataset`.
    """
    imported = importers.run(
        arguments.dataset,
        arguments.path,
        arguments.out,
        split=arguments.split,
        convert=arguments.convert,
        skip_faulty=arguments.skip_faulty,
        overwrite=arguments.overwrite,
        jobs=arguments.jobs,
        progress=progress.tracks,
    )
    print(imported.report.table())
    for remark in imported.remarks:
        print(f"note: {remark}")
    print(f"manifest: {imported.manifest}")
    return 0
