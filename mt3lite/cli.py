"""The command ``mt3lite``: reads the arguments, runs one command, and turns bad input into one line.

Exit codes: 0 all went well; 1 some input was bad, and the rest is done; 2 wrong usage; 130 interrupted (Ctrl-C);
143 ended from outside (SIGTERM); 141 nobody reads what is printed.
"""

import argparse
import contextlib
import importlib
import os
import signal
import sys
import threading
import time
import types
from collections.abc import Iterator

import mt3lite
from mt3lite import standard_error
from mt3lite.arguments import convert, data, evaluate, plot, render, train, transcribe
from mt3lite.commands import quiet
from mt3lite.errors import InputError

STARTED = time.perf_counter()  # so that a command can tell what its imports took

INTERRUPTED = 130  # 128 + SIGINT, as shells count
BROKEN_PIPE = 141  # 128 + SIGPIPE
TERMINATED = 143  # 128 + SIGTERM


class _Terminated(KeyboardInterrupt):
    """SIGTERM came; what is under way ends as by Ctrl-C."""


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
        with _hearing_sigterm():
            code = _import(arguments).run(arguments)
            sys.stdout.flush()  # here, so that a reader who has gone is noticed here
        return code
    except InputError as error:
        standard_error.tell(str(error))
        return 1
    except _Terminated:
        standard_error.tell("ended by SIGTERM")
        return TERMINATED
    except KeyboardInterrupt:
        standard_error.tell("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        _drop_output()
        return BROKEN_PIPE
    except OSError as error:  # the machine's word on something that no command foresees: no space, no more files
        standard_error.tell(_told(error))
        _flush_or_drop()
        return 1
    except MemoryError:
        standard_error.tell("not enough memory")
        return 1


@contextlib.contextmanager
def _hearing_sigterm() -> Iterator[None]:
    """Raise `_Terminated` in the block when SIGTERM comes, unless whoever calls has settled what happens then."""
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def end(*_: object) -> None:
        raise _Terminated

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _told(error: OSError) -> str:
    """Return an error of the system as a line."""
    reason = (error.strerror or str(error) or type(error).__name__).lower()
    return f"{error.filename}: {reason}" if error.filename else reason


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
