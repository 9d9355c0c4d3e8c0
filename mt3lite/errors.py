"""The one exception that means: what the user gave is wrong."""


class InputError(ValueError):
    """Bad input from the user, told in one line: what came, what was wanted, what to do.

    The command line prints the message and exits with code 1; library callers may catch it as a ``ValueError``.
    """
