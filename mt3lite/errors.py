"""The one exception that means: what the user gave is wrong; and what others say, short enough for a line."""

from collections.abc import Sequence

LONGEST_REASON = 300  # characters
LONGEST_VALUE = 80
MOST_NAMES = 5  # that a line lists


class InputError(ValueError):
    """Bad input from the user, told in one line: what came, what was wanted, what to do.

    The command line prints the message and exits with code 1; library callers may catch it as a ``ValueError``.
    """


def reason(error: BaseException | str) -> str:
    r"""Return what an error of another library says, as one line that is not too long; its kind where it says nothing.

    >>> reason(ValueError("bad byte\n  at 3")), reason(KeyError())
    ('bad byte at 3', 'KeyError')
    """
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]}..."


def printable(text: str) -> str:
    r"""Return a text for people's screens: what would command the terminal, or is no letter, stands as its number.

    A name of a file or of a model may hold such; line breaks stay.

    >>> printable("a\x1b[31m\nb")
    'a\\x1b[31m\nb'
    """
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def shown(value: object) -> str:
    """Return a value from a user's file as code would write it, cut short where it is long.

    >>> shown("ab"), len(shown("a" * 1000))
    ("'ab'", 83)
    """
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an int of more digits than Python cares to print; lists within lists
        return f"a value of type {type(value).__name__}"
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}..."


def some(names: Sequence[str]) -> str:
    """Return the first of several names, and how many there are besides.

    >>> some(["a", "b"]), some("abcdefg")
    ('a, b', 'a, b, c, d, e and 2 more')
    """
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more
