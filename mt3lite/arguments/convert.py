"""Arguments of ``mt3lite convert``."""

import argparse
from pathlib import Path

from mt3lite.arguments import types


def add(commands: argparse._SubParsersAction) -> None:
    """Add the arguments of ``mt3lite convert``."""
    parser = commands.add_parser(
        "convert",
        help="a T5X checkpoint to a model folder, and back",
        description="Make a model folder from a T5X checkpoint (magenta/mt3's, or one of t5x), or the reverse.",
    )
    parser.add_argument(
        "source",
        metavar="CHECKPOINT",
        type=Path,
        help="folder of a T5X checkpoint; with --to-t5x a bundled model or model folder",
    )
    parser.add_argument("out", metavar="OUT", type=Path, help="folder to make")
    parser.add_argument("--to-t5x", action="store_true", help="write a T5X checkpoint from a model")
    parser.add_argument(
        "--step", metavar="N", type=types.not_negative, default=0, help="with --to-t5x: step it says (default: 0)"
    )
    parser.add_argument(
        "--config", metavar="FILE", type=Path, help="settings (config.json of a run) where no preset has these shapes"
    )
    parser.add_argument("--origin", default="", help="what the weights were trained on, kept in the model folder")
    parser.add_argument("--license", default="", help="of the weights, kept in the model folder")
