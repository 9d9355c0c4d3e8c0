"""The command ``mt3lite``: reads the arguments, runs one command, and turns bad input into one line.

Exit codes: 0 all went well; 1 some input was bad, and the rest is done; 2 wrong usage; 130 interrupted (Ctrl-C).
"""

import argparse
import importlib
import os
import sys
import time
import types

import mt3lite
from mt3lite.arguments import convert, data, evaluate, plot, render, train, transcribe
from mt3lite.commands import quiet
from mt3lite.errors import InputError

STARTED = time.perf_counter()  # so that a command can tell what its imports took

INTERRUPTED = 130  # 128 + SIGINT, as shells count
BROKEN_PIPE = 141  # 128 + SIGPIPE


def main(argv: list[str] | None = None) -> int:
    """Run the command line `argv`, that of the process when None, and return the exit code.

    Raises:
        SystemExit: for ``--help``, ``--version`` and wrong usage, as argparse does.
    """
    parser = make_parser()
    given = sys.argv[1:] if argv is None else argv
    # gin's way of writing, which argparse does not know: any name may stand behind the dot.
    argv = [f"--gin_binding={each[6:]}" if each.startswith("--gin.") else each for each in given]
    arguments = parser.parse_args(argv)
    arguments.check(arguments)
    quiet.libraries()
    try:
        code = _import(arguments).run(arguments)
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


def _import(arguments: argparse.Namespace) -> types.ModuleType:
    """Return the module that runs a command; ``mt3lite data synthesize`` is run by ``data_synthesize``.

    Raises:
        InputError: it needs a library that is not installed.
    """
    words = [arguments.command, *filter(None, [getattr(arguments, "action", None)])]
    try:
        return importlib.import_module(f"mt3lite.commands.{'_'.join(words)}")
    except ModuleNotFoundError as error:
        extra = getattr(arguments, "extra", None)
        package = f"'mt3lite[{extra}]'" if extra else "mt3lite"
        raise InputError(f"{' '.join(words)} needs {error.name}, which is missing: pip install {package}") from error


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = argparse.ArgumentParser(prog="mt3lite", description="Music transcription: recordings to notes.")
    parser.set_defaults(started=STARTED, check=lambda _: None)
    parser.add_argument("--version", action="version", version=f"mt3lite {mt3lite.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in (transcribe, evaluate, train, data, plot, render, convert):
        module.add(commands)
    return parser
