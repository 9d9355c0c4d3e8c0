"""Arguments of ``mt3lite plot``."""

import argparse
import functools
from pathlib import Path

from mt3lite.arguments import evaluate

SUFFIXES = (".png", ".svg", ".pdf")


def add(commands: argparse._SubParsersAction) -> None:
    """Add the arguments of ``mt3lite plot``."""
    parser = commands.add_parser(
        "plot",
        help="files of notes to piano rolls",
        description="Draw piano rolls of MIDI, NoteSequence, JSON and CSV files: a colour for each instrument, a lane "
        "for each drum. That of song.mid goes to song.png beside it, unless told otherwise.",
    )
    parser.add_argument(
        "paths", metavar="PATH", nargs="+", type=Path, help="file of notes, or folder to search for them"
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "-o", "--output", metavar="FILE", type=Path, help=f"the picture of the one PATH: {', '.join(SUFFIXES)}"
    )
    where.add_argument(
        "--output-dir", metavar="DIR", type=Path, help="folder for all pictures; made when missing; keeps subfolders"
    )
    parser.add_argument(
        "--granularity",
        choices=evaluate.GRANULARITIES,
        default="full",
        help="how finely to tell instruments (default: %(default)s)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace pictures that exist")
    parser.set_defaults(check=functools.partial(_check, parser))


def _check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Exit for options that do not go together."""
    output = arguments.output
    if output is None:
        return
    if len(arguments.paths) > 1 or arguments.paths[0].is_dir():
        parser.error("-o names the picture of one file; for folders and several files use --output-dir")
    if output.suffix.lower() not in SUFFIXES:
        parser.error(f"-o {output}: the name must end with {' or '.join(SUFFIXES)}")
