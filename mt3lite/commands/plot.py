"""``mt3lite plot``: files of notes to piano rolls."""

import argparse
from collections.abc import Iterable
from pathlib import Path

from mt3lite import note_files, plot, standard_error
from mt3lite.commands import jobs, pairs
from mt3lite.errors import InputError


def run(arguments: argparse.Namespace) -> int:
    """Draw each file; return the exit code.

    Raises:
        InputError: something that concerns all of the work: matplotlib is missing, or an output is in the way.
    """
    plot.check_installed()
    found, problems = _find(arguments.paths)
    kind = arguments.output.suffix.removeprefix(".") if arguments.output else "png"
    planned = jobs.plan(found, [kind], output=arguments.output, output_dir=arguments.output_dir)
    jobs.check_outputs(planned, overwrite=arguments.overwrite, make_folders=arguments.output_dir is not None)
    for job in planned:
        try:
            drawn = note_files.read(job.recording)
            plot.write_piano_roll(
                drawn,
                job.outputs[kind],
                title=job.recording.name,
                duration_seconds=float(drawn["offset"].max(initial=0.0)),
                granularity=arguments.granularity,
            )
            print(f"{job.recording} -> {job.outputs[kind]}: {len(drawn)} note{'s' * (len(drawn) != 1)}", flush=True)
        except InputError as error:
            problems.append(str(error))
    for problem in problems:
        standard_error.tell(problem)
    return 1 if problems else 0


def _find(paths: Iterable[Path]) -> tuple[list[jobs.Recording], list[str]]:
    """Return the files of notes that paths name, each once, and a line for each path that names none."""
    found: dict[Path, jobs.Recording] = {}
    problems = []
    for path in paths:
        if path.is_dir():
            here = [jobs.Recording(each, each.relative_to(path)) for each in pairs.note_files_in(path).values()]
            if not here:
                problems.append(
                    f"{path}: no file of notes in this folder (looked for {', '.join(note_files.SUFFIXES)})"
                )
        elif path.exists():
            here = [jobs.Recording(path, Path(path.name))]
        else:
            here = []
            problems.append(f"{path}: no such file")
        for each in sorted(here, key=lambda each: each.path):
            found.setdefault(each.path.resolve(), each)
    return list(found.values()), problems
