"""Arguments of ``mt3lite evaluate``."""

import argparse
import functools
from pathlib import Path

from mt3lite.arguments import types

GRANULARITIES = ("flat", "midi_class", "full")  # as in `instruments`, which loads NumPy
DEFAULT_SPLIT, DEFAULT_MODEL = "test", "small"


def add(commands: argparse._SubParsersAction) -> None:
    """Add the arguments of ``mt3lite evaluate``."""
    parser = commands.add_parser(
        "evaluate",
        help="score transcriptions, or a model",
        description="Score notes against notes: two files, or two folders paired by name (MIDI, NoteSequence, CSV). "
        "With one argument, score a model on a dataset folder.",
    )
    parser.add_argument(
        "reference",
        metavar="REF",
        type=Path,
        help="file or folder of what was played; or a dataset's folder or manifest",
    )
    parser.add_argument(
        "estimate",
        metavar="EST",
        type=Path,
        nargs="?",
        help="file or folder of what was transcribed; none for a dataset",
    )
    parser.add_argument("--split", help=f"part of the dataset (default: {DEFAULT_SPLIT})")
    parser.add_argument(
        "--model", metavar="NAME_OR_FOLDER", help=f"bundled model or model folder (default: {DEFAULT_MODEL})"
    )
    parser.add_argument(
        "--precision",
        choices=types.PRECISIONS,
        help=f"of the numbers that the model decodes with (default: {types.PRECISIONS[0]})",
    )
    types.add_tuning(parser)
    parser.add_argument(
        "--workdir",
        metavar="DIR",
        type=Path,
        help="keep a dataset's transcriptions here, and take those that are here (default: beside --json, if given)",
    )
    parser.add_argument("--jobs", metavar="N", type=types.processes, help="processes for folders (default: all cores)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write all scores here, too")
    parser.add_argument("--csv", metavar="FILE", type=Path, help="write one line for each piece here")
    parser.add_argument("--html", metavar="FILE", type=Path, help="write a page with tables and piano rolls here")
    parser.add_argument(
        "--granularity",
        choices=GRANULARITIES,
        default="midi_class",
        help="how finely to tell instruments in the tables by instrument (default: %(default)s)",
    )
    parser.add_argument(
        "--compatibility",
        choices=("none", "mt3"),
        default="none",
        help="mt3: the numbers that magenta/mt3 prints, its faults included (default: %(default)s)",
    )
    parser.set_defaults(check=functools.partial(_check, parser))


def _check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Exit for options that do not go together, and fill in what a dataset needs."""
    of_datasets = ("split", "model", "precision", "tuning", "workdir")
    if arguments.estimate is not None:
        given = [f"--{name}" for name in of_datasets if getattr(arguments, name) is not None]
        if given:
            parser.error(f"{', '.join(given)}: for scoring a model on a dataset, that is without EST")
        return
    if arguments.jobs is not None:
        parser.error("--jobs is for two folders; a model uses all cores anyway")
    arguments.split = arguments.split or DEFAULT_SPLIT
    arguments.model = arguments.model or DEFAULT_MODEL
    arguments.precision = arguments.precision or types.PRECISIONS[0]
