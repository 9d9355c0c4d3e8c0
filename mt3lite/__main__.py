"""``python -m mt3lite``, and the command ``mt3lite``."""

import sys

from mt3lite.commands import huge_pages


def main() -> int:
    """Run the command line of this process and return the exit code, see `cli.main`, which is for other callers."""
    huge_pages.restart()
    from mt3lite import cli  # only now: the process may have started again

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
