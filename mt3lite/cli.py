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
from mt3lite.errors import InputError, printable

STARTED = time.perf_counter()  # so that a command can tell what its imports took

INTERRUPTED = 130  # 128 + SIGINT, as shells count
BROKEN_PIPE = 141  # 128 + SIGPIPE


def main(argv: list[str] | None = None) -> int:
    """Run the command line `argv`, that of the process when None, and return the exit code.

    Raises:
        SystemExit: for ``--help``, ``--version`` and wrong usage, as argparse does.
    """
    quiet.streams()
    parser = make_parser()
    given = sys.argv[1:] if argv is None else argv
    # gin's way of writing, which argparse does not know: any name may stand behind the dot.
    argv = [f"--gin_binding={each[6:]}" if each.startswith("--gin.") else each for each in given]
    try:
        arguments = parser.parse_args(argv)
        arguments.check(arguments)
        quiet.libraries()
        code = _import(arguments).run(arguments)
        sys.stdout.flush()  # here, so that a reader who has gone is noticed here
        return code
    except InputError as error:
        print(f"mt3lite: {printable(str(error))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("mt3lite: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        _drop_output()
        return BROKEN_PIPE
    except OSError as error:  # the machine's word on something that no command foresees: no space, no more files
        print(f"mt3lite: {_told(error)}", file=sys.stderr)
        _flush_or_drop()
        return 1
    except MemoryError:
        print("mt3lite: not enough memory", file=sys.stderr)
        return 1


def _told(error: OSError) -> str:
    """Return an error of the system as a line."""
    reason = (error.strerror or str(error) or type(error).__name__).lower()
    return printable(f"{error.filename}: {reason}") if error.filename else reason


def _flush_or_drop() -> None:
    """Write what is in the buffer of standard output, or forget it, where that is what failed."""
    try:
        sys.stdout.flush()
    except OSError:
        _drop_output()


def _drop_output() -> None:
    """Send what is still in the buffer nowhere, as the interpreter will flush it at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
