"""The command ``mt3lite``: reads the arguments, runs one command, and turns bad input into one line.

Exit codes: 0 all went well; 1 some input was bad, and the rest is done; 2 wrong usage; 130 interrupted (Ctrl-C).
"""

import argparse
import importlib
import os
import sys
import time
import warnings
from pathlib import Path

import mt3lite
from mt3lite.errors import InputError

STARTED = time.perf_counter()  # so that a command can tell what its imports took

FORMATS = ("mid", "json", "csv")
INTERRUPTED = 130  # 128 + SIGINT, as shells count
BROKEN_PIPE = 141  # 128 + SIGPIPE


def main(argv: list[str] | None = None) -> int:
    """Run the command line `argv`, that of the process when None, and return the exit code.

    Raises:
        SystemExit: for ``--help``, ``--version`` and wrong usage, as argparse does.
    """
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.command == "transcribe":
        _check_transcribe(parser, arguments)
    _quieten_libraries()
    try:
        code = importlib.import_module(f"mt3lite.commands.{arguments.command}").run(arguments)
        sys.stdout.flush()  # here, so that a reader who has gone is noticed here
        return code
    except InputError as error:
        print(f"mt3lite: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("mt3lite: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # What is still in the buffer must go somewhere when the interpreter flushes it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE


def _quieten_libraries() -> None:
    """Keep what note-seq loads from writing between our lines: nothing of it is of use here."""
    os.environ.pop("CI", None)  # where it is set, pyfluidsynth prints to standard output
    warnings.filterwarnings("ignore", "Couldn't find ff", RuntimeWarning)  # pydub, where ffmpeg is not installed


def _parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = argparse.ArgumentParser(prog="mt3lite", description="Music transcription: recordings to notes.")
    parser.set_defaults(started=STARTED)
    parser.add_argument("--version", action="version", version=f"mt3lite {mt3lite.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_transcribe(commands)
    _add_evaluate(commands)
    _add_train(commands)
    _add_data(commands)
    return parser


def _add_transcribe(commands) -> None:
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
    parser.add_argument(
        "--instruments", metavar="piano,bass,drums", type=_instruments, help="transcribe these and no others"
    )
    parser.add_argument("--plot", action="store_true", help="draw a piano roll too: song.png")
    parser.add_argument(
        "--sonify", action="store_true", help="let it be heard too: song.sonified.wav, left recording, right notes"
    )
    parser.add_argument(
        "--soundfont", metavar="FILE", type=Path, help="what --sonify plays with (default: one it finds)"
    )
    parser.add_argument("--batch-size", metavar="N", type=_positive, help="segments decoded together")
    parser.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    loudness = parser.add_mutually_exclusive_group()
    loudness.add_argument("--quiet", action="store_true", help="print nothing but what went wrong")
    loudness.add_argument("--verbose", action="store_true", help="print where the time went, too")


def _add_evaluate(commands) -> None:
    """Add the arguments of ``mt3lite evaluate``."""
    parser = commands.add_parser(
        "evaluate",
        help="score a transcription, or a model",
        description="Score one MIDI file against another, or, with one argument, a model on a dataset folder.",
    )
    parser.add_argument("reference", metavar="REF", type=Path, help="MIDI file of what was played; or a dataset folder")
    parser.add_argument(
        "estimate", metavar="EST", type=Path, nargs="?", help="MIDI file of what was transcribed; none for a dataset"
    )
    parser.add_argument("--split", default="test", help="part of the dataset (default: %(default)s)")
    parser.add_argument(
        "--model",
        metavar="NAME_OR_FOLDER",
        default="small",
        help="bundled model or model folder (default: %(default)s)",
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the scores here, too")


def _add_train(commands) -> None:
    """Add the arguments of ``mt3lite train``."""
    parser = commands.add_parser(
        "train",
        help="a dataset folder to a model folder",
        description="Train a model, or go on with a run that was interrupted. The model goes to RUN/model.",
    )
    parser.add_argument("--data", metavar="DATASET", type=Path, required=True, help="folder with a manifest.jsonl")
    parser.add_argument("--workdir", metavar="RUN", type=Path, required=True, help="folder of the run")
    parser.add_argument("--split", default="train", help="part of the dataset (default: %(default)s)")
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--preset", default="small", help="settings of the model (default: %(default)s)")
    start.add_argument("--init-from", metavar="NAME_OR_FOLDER", help="go on from the weights of this model")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--steps", metavar="N", type=_positive, help="updates to make")
    length.add_argument("--minutes", metavar="M", type=_positive_number, help="time to take instead; fits the schedule")
    parser.add_argument("--batch-size", metavar="N", type=_positive, help="examples of one update")
    parser.add_argument("--learning-rate", metavar="X", type=_positive_number, help="at the top of the schedule")
    parser.add_argument("--seed", metavar="N", type=int, help="of the weights and examples (default: 0)")
    parser.add_argument("--no-augmentation", action="store_true", help="leave the recordings as they are")
    parser.add_argument("--origin", default="", help="what the model was trained on, kept in its folder")
    parser.add_argument("--license", default="", help="of the weights, kept in the model's folder")


def _add_data(commands) -> None:
    """Add the arguments of ``mt3lite data``."""
    parser = commands.add_parser("data", help="make dataset folders", description="Make dataset folders.")
    synthesize = parser.add_subparsers(dest="action", required=True, metavar="ACTION").add_parser(
        "synthesize",
        help="play MIDI files and invented music with soundfonts",
        description="Fill a dataset folder with pieces that FluidSynth plays. An interrupted run goes on where it was.",
    )
    synthesize.add_argument("out", metavar="OUT", type=Path, help="the dataset folder")
    synthesize.add_argument(
        "--midi",
        metavar="DIR[=WEIGHT]",
        type=_weighted_folder,
        action="append",
        default=[],
        help="folder of MIDI files, and its share of the pieces relative to the others' (default: 1)",
    )
    synthesize.add_argument(
        "--soundfont", metavar="FILE", type=Path, action="append", required=True, help="each piece draws one"
    )
    synthesize.add_argument("--hours", metavar="H", type=_positive_number, required=True, help="of music to make")
    synthesize.add_argument("--split", default="train", help="train, validation or test (default: %(default)s)")
    synthesize.add_argument(
        "--invented", metavar="WEIGHT", type=float, default=0.27, help="share of invented pieces (default: %(default)s)"
    )
    synthesize.add_argument("--seed", metavar="N", type=int, default=0, help="(default: %(default)s)")
    synthesize.add_argument("--jobs", metavar="N", type=_positive, default=1, help="processes (default: %(default)s)")


def _check_transcribe(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Exit for options that do not go together, and fill in the formats that `-o` implies."""
    output = arguments.output
    if output is not None and (len(arguments.paths) > 1 or arguments.paths[0].is_dir()):
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


def _instruments(text: str):
    """Read the value of ``--instruments``."""
    from mt3lite import instruments

    try:
        return instruments.parse(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _positive(text: str) -> int:
    """Read a whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _positive_number(text: str) -> float:
    """Read a number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def _weighted_folder(text: str) -> tuple[str, float]:
    """Read ``DIR`` or ``DIR=WEIGHT``."""
    folder, separator, weight = text.rpartition("=")
    return (folder, _positive_number(weight)) if separator else (text, 1.0)
