"""Arguments of ``mt3lite evaluate``."""

import argparse
from pathlib import Path


def add(commands: argparse._SubParsersAction) -> None:
    """Add the arguments of ``mt3lite evaluate``."""
    parser = commands.add_parser(
        "evaluate",
        help="score a transcription, or a model",
        description="Score one MIDI file against another, or, with one argument, a model on a dataset folder.",
    )
    parser.add_argument("reference", metavar="REF", type=Path, help="MIDI file of what was played; or a dataset folder")
    parser.add_argument(
        "estimate", metavar="EST", type=Path, nargs="?", help="MIDI file of what was transcribed; none for a dataset"
    )
    parser.add_argument("--split", default="test", help="part of the dataset (default: %(default)s)")
    parser.add_argument(
        "--model",
        metavar="NAME_OR_FOLDER",
        default="small",
        help="bundled model or model folder (default: %(default)s)",
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the scores here, too")
