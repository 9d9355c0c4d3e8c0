"""``python -m mt3lite``: the same as the command ``mt3lite``."""

import sys

from mt3lite import cli

if __name__ == "__main__":
    sys.exit(cli.main())
