"""Arguments of ``mt3lite data``."""

import argparse
from pathlib import Path

from mt3lite.arguments import types


def add(commands: argparse._SubParsersAction) -> None:
    """Add the arguments of ``mt3lite data``."""
    parser = commands.add_parser("data", help="make dataset folders", description="Make dataset folders.")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    _add_synthesize(actions)


def _add_synthesize(actions: argparse._SubParsersAction) -> None:
    parser = actions.add_parser(
        "synthesize",
        help="play MIDI files and invented music with soundfonts",
        description="Fill a dataset folder with pieces that FluidSynth plays. An interrupted run goes on where it was.",
    )
    parser.add_argument("out", metavar="OUT", type=Path, help="the dataset folder")
    parser.add_argument(
        "--midi",
        metavar="DIR[=WEIGHT]",
        type=_weighted_folder,
        action="append",
        default=[],
        help="folder of MIDI files, and its share of the pieces relative to the others' (default: 1)",
    )
    parser.add_argument(
        "--soundfont", metavar="FILE", type=Path, action="append", required=True, help="each piece draws one"
    )
    parser.add_argument("--hours", metavar="H", type=types.positive_number, required=True, help="of music to make")
    parser.add_argument("--split", default="train", help="train, validation or test (default: %(default)s)")
    parser.add_argument(
        "--invented", metavar="WEIGHT", type=float, default=0.27, help="share of invented pieces (default: %(default)s)"
    )
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="(default: %(default)s)")
    parser.add_argument("--jobs", metavar="N", type=types.positive, default=1, help="processes (default: %(default)s)")


def _weighted_folder(text: str) -> tuple[str, float]:
    """Read ``DIR`` or ``DIR=WEIGHT``."""
    folder, separator, weight = text.rpartition("=")
    return (folder, types.positive_number(weight)) if separator else (text, 1.0)
