"""Values of command-line options, read from text; what does not fit ends the program with wrong usage.

And an option that several commands have.
"""

import argparse

MOST = 1_000_000_000  # of anything that can be counted here; beyond it numbers do not fit where they go
MOST_PROCESSES = 1024
MOST_HOURS = 100_000
TUNINGS = (390, 453)  # Hz; beyond the last, our presets' filters would reach half their sample rate
TEMPOS, BARS = (20, 300), (2, 16)  # beats a minute, and in a bar, as in `beats`, which loads NumPy
PRECISIONS = ("float32", "int8")  # as in `stepping`, which loads JAX


def positive(text: str) -> int:
    """Read a whole number from 1 to `MOST`."""
    return _whole(text, 1, MOST)


def processes(text: str) -> int:
    """Read how many of something may be at work at a time."""
    return _whole(text, 1, MOST_PROCESSES)


def not_negative(text: str) -> int:
    """Read a whole number from 0 to `MOST`."""
    return _whole(text, 0, MOST)


def _whole(text: str, least: int, most: int) -> int:
    number = int(text) if text.isdecimal() and len(text) <= len(str(MOST)) else -1
    if not text.isdecimal() or 0 <= number < least:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a whole number of at least {least}")
    if not 0 <= number <= most:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is more than {most}")
    return number


def positive_number(text: str) -> float:
    """Read a number above 0 and up to `MOST`."""
    number = _number(text)
    if not 0 < number <= MOST:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a number above 0" + f" and up to {MOST}" * (number > 0))
    return number


def share(text: str) -> float:
    """Read a number from 0 to `MOST`."""
    number = _number(text)
    if not 0 <= number <= MOST:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a number from 0 to {MOST}")
    return number


def hours(text: str) -> float:
    """Read a number of hours above 0, up to ten years of them."""
    number = positive_number(text)
    if number > MOST_HOURS:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is more than {MOST_HOURS} hours")
    return number


def tuning(text: str) -> float:
    """Read a frequency of A4 in Hz."""
    return _within(text, TUNINGS, "a frequency from {} to {} Hz")


def tempo(text: str) -> float:
    """Read a number of beats a minute."""
    return _within(text, TEMPOS, "a tempo from {} to {} beats a minute")


def bar(text: str) -> int:
    """Read a number of beats in a bar."""
    return _whole(text, *BARS)


def _within(text: str, bounds: tuple[int, int], wanted: str) -> float:
    number = _number(text)
    if not bounds[0] <= number <= bounds[1]:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not {wanted.format(*bounds)}")
    return number


def add_tuning(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--tuning``, None where it is not given."""
    parser.add_argument(
        "--tuning",
        metavar="HZ",
        type=tuning,
        help="where the A above middle C is, such as 415 or 442 (default: listen, as far as half a semitone from 440)",
    )


def fraction(text: str) -> float:
    """Read a number from 0 to 1."""
    number = _number(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return number


def _number(text: str) -> float:
    """Return what a text says, -1 for what is no number."""
    try:
        return float(text)
    except ValueError:
        return -1.0
