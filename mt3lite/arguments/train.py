"""Arguments of ``mt3lite train``."""

import argparse
from pathlib import Path

from mt3lite.arguments import types


def add(commands: argparse._SubParsersAction) -> None:
    """Add the arguments of ``mt3lite train``."""
    parser = commands.add_parser(
        "train",
        help="a dataset folder to a model folder",
        description="Train a model, or go on with a run that was interrupted. The model goes to RUN/model.",
    )
    parser.add_argument("--data", metavar="DATASET", type=Path, required=True, help="folder with a manifest.jsonl")
    parser.add_argument("--workdir", metavar="RUN", type=Path, required=True, help="folder of the run")
    parser.add_argument("--split", default="train", help="part of the dataset (default: %(default)s)")
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--preset", default="small", help="settings of the model (default: %(default)s)")
    start.add_argument("--init-from", metavar="NAME_OR_FOLDER", help="go on from the weights of this model")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--steps", metavar="N", type=types.positive, help="updates to make")
    length.add_argument("--minutes", metavar="M", type=types.positive_number, help="time to take instead")
    parser.add_argument("--batch-size", metavar="N", type=types.positive, help="examples of one update")
    parser.add_argument("--learning-rate", metavar="X", type=types.positive_number, help="at the top of the schedule")
    parser.add_argument("--seed", metavar="N", type=int, help="of the weights and examples (default: 0)")
    parser.add_argument("--no-augmentation", action="store_true", help="leave the recordings as they are")
    parser.add_argument("--origin", default="", help="what the model was trained on, kept in its folder")
    parser.add_argument("--license", default="", help="of the weights, kept in the model's folder")
