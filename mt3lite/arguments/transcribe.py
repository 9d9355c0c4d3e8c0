"""Arguments of ``mt3lite transcribe``."""

import argparse
import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING

from mt3lite.arguments import types
from mt3lite.errors import InputError

if TYPE_CHECKING:
    from mt3lite import instruments

FORMATS = ("mid", "json", "csv")


def add(commands: argparse._SubParsersAction) -> None:
    """Add the arguments of ``mt3lite transcribe``."""
    parser = commands.add_parser(
        "transcribe",
        help="recordings to MIDI files",
        description="Transcribe recordings. The notes of song.mp3 go to song.mid beside it, unless told otherwise.",
    )
    parser.add_argument("paths", metavar="PATH", nargs="+", type=Path, help="audio file, or folder to search for them")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("-o", "--output", metavar="FILE", type=Path, help="where the notes of the one PATH go")
    where.add_argument(
        "--output-dir", metavar="DIR", type=Path, help="folder for all outputs; made when missing; keeps subfolders"
    )
    parser.add_argument(
        "--model",
        metavar="NAME_OR_FOLDER",
        default="small",
        help="bundled model or model folder (default: %(default)s)",
    )
    parser.add_argument("--format", metavar="mid,json,csv", type=_formats, help="what to write (default: mid)")
    _add_music(parser)
    parser.add_argument("--plot", action="store_true", help="draw a piano roll too: song.png")
    parser.add_argument(
        "--sonify", action="store_true", help="let it be heard too: song.sonified.wav, left recording, right notes"
    )
    parser.add_argument(
        "--soundfont", metavar="FILE", type=Path, help="what --sonify plays with (default: one it finds)"
    )
    parser.add_argument(
        "--precision",
        choices=types.PRECISIONS,
        default=types.PRECISIONS[0],
        help="int8: large models decode faster on a CPU, and slightly other notes come (default: %(default)s)",
    )
    parser.add_argument("--batch-size", metavar="N", type=types.processes, help="segments decoded together")
    parser.add_argument(
        "--jobs",
        metavar="N",
        type=types.processes,
        default=2,
        help="threads that read, and that write (default: %(default)s)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    loudness = parser.add_mutually_exclusive_group()
    loudness.add_argument("--quiet", action="store_true", help="print nothing but what went wrong")
    loudness.add_argument(
        "--verbose", action="store_true", help="print how many tokens were skipped and where the time went, too"
    )
    parser.set_defaults(check=functools.partial(_check, parser))


def _add_music(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what is known of the music, and what is wanted of it."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--instruments",
        metavar="piano,bass,drums",
        type=functools.partial(_instruments, complete=False),
        help="transcribe these and leave out what others play",
    )
    which.add_argument(
        "--ensemble",
        metavar="violin,cello",
        dest="instruments",
        type=functools.partial(_instruments, complete=True),
        help="nothing else plays: give every note to one of these",
    )
    types.add_tuning(parser)
    parser.add_argument(
        "--beats",
        action="store_true",
        help="find the beats: tempos and bars of the MIDI file are then the music's, not 120 a minute throughout",
    )
    parser.add_argument(
        "--tempo",
        metavar="BEATS",
        type=types.tempo,
        help="--beats, and about how many there are in a minute (default: found, too, or its half or double)",
    )
    parser.add_argument(
        "--bar", metavar="BEATS", type=types.bar, help="--beats, and how many a bar has (default: found, 2, 3 or 4)"
    )


def _check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Exit for options that do not go together, and fill in the formats that `-o` implies."""
    output = arguments.output
    if output is not None and (len(arguments.paths) > 1 or os.path.isdir(arguments.paths[0])):
        parser.error("-o names the output of one file; for folders and several files use --output-dir")
    if output is not None:
        allowed = arguments.format or FORMATS
        if output.suffix.removeprefix(".") not in allowed:
            parser.error(f"-o {output}: the name must end with {' or '.join('.' + each for each in allowed)}")
        arguments.format = arguments.format or (output.suffix.removeprefix("."),)
    arguments.format = arguments.format or ("mid",)
    if arguments.soundfont is not None and not arguments.sonify:
        parser.error("--soundfont is for --sonify")


def _formats(text: str) -> tuple[str, ...]:
    """Read the value of ``--format``."""
    chosen = tuple(dict.fromkeys(item.strip() for item in text.split(",")))
    for item in chosen:
        if item not in FORMATS:
            raise argparse.ArgumentTypeError(f"{item!r} is not one of {', '.join(FORMATS)}")
    return chosen


def _instruments(text: str, complete: bool) -> "instruments.InstrumentSet":
    """Read the value of ``--instruments`` or ``--ensemble``."""
    from mt3lite import instruments

    try:
        return instruments.parse(text, complete=complete)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
