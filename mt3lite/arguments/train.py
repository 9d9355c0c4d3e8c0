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
    parser.add_argument(
        "--data",
        metavar="DATASET",
        type=Path,
        required=True,
        help="folder with a manifest.jsonl, or with recordings and MIDI files of the same names",
    )
    parser.add_argument("--workdir", metavar="RUN", type=Path, help="folder of the run")
    parser.add_argument("--split", default="train", help="part of the dataset (default: %(default)s)")
    parser.add_argument(
        "--dry-run", action="store_true", help="make a few updates, say what the run will cost, and keep nothing"
    )
    parser.add_argument(
        "--preset", metavar="NAME", help="settings of the model (default: those of --init-from, or of small)"
    )
    parser.add_argument(
        "--init-from",
        metavar="NAME_OR_FOLDER",
        help="go on from the weights of this model, or in a larger one (--preset or --gin_file) from what it can do",
    )
    parser.add_argument(
        "--gin_file",
        metavar="FILE",
        action="append",
        default=[],
        help="take the settings from gin files such as gin/small.gin; --gin.NAME=VALUE changes one of theirs, and the "
        "options here have the last word",
    )
    parser.add_argument("--gin_binding", action="append", default=[], help=argparse.SUPPRESS)  # --gin.NAME=VALUE
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--steps", metavar="N", type=types.positive, help="updates to make")
    length.add_argument("--minutes", metavar="M", type=types.positive_number, help="time to take instead")
    parser.add_argument("--batch-size", metavar="N", type=types.positive, help="examples of one update")
    parser.add_argument("--seed", metavar="N", type=types.not_negative, help="of the weights and examples (default: 0)")
    parser.add_argument("--no-augmentation", action="store_true", help="leave the recordings as they are")
    parser.add_argument("--origin", default="", help="what the model was trained on, kept in its folder")
    parser.add_argument("--license", default="", help="of the weights, kept in the model's folder")
    _add_learning(parser.add_argument_group("how it learns"))
    _add_machine(parser.add_argument_group("on what it runs"))
    _add_records(parser.add_argument_group("what it keeps"))
    parser.set_defaults(extra="train", check=lambda arguments: _check(parser, arguments))


def _add_learning(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--optimizer",
        choices=("adamw", "adafactor"),
        help="adafactor comes with the ancestor's settings: rate 1e-3, no weight decay, no clipping (default: adamw)",
    )
    group.add_argument("--learning-rate", metavar="X", type=types.positive_number, help="at the top of the schedule")
    group.add_argument(
        "--schedule", choices=("cosine", "rsqrt", "constant"), help="of the rate, after the warm-up (default: cosine)"
    )
    group.add_argument("--warmup-steps", metavar="N", type=types.positive, help="updates to reach it (default: 100)")
    group.add_argument(
        "--listening", metavar="X", type=types.fraction, help="of the run: the encoder learns alone (default: 0.2)"
    )
    group.add_argument(
        "--reading", metavar="X", type=types.fraction, help="of the run, then: the decoder alone (default: 0.3)"
    )
    group.add_argument(
        "--freeze-encoder", action="store_const", const=True, help="let only the decoder learn, for the whole run"
    )


def _add_machine(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--dtype", choices=("float32", "bfloat16"), help="of the computation (default: float32)")
    group.add_argument("--accumulate", metavar="N", type=types.positive, help="parts to compute a batch in")
    group.add_argument(
        "--rematerialise", action="store_const", const=True, help="take more time and less memory for the gradient"
    )
    group.add_argument("--workers", metavar="N", type=types.processes, help="processes that make examples")
    group.add_argument(
        "--resident",
        action="store_const",
        const=True,
        help="keep all music in the device's memory and make the examples there; with --listening 1 --reading 0",
    )
    group.add_argument(
        "--cpu-devices", metavar="N", type=types.processes, help="parts of a CPU that work as devices (default: 1)"
    )
    group.add_argument(
        "--model-devices", metavar="N", type=types.positive, help="devices that share the parameters (default: 1)"
    )
    group.add_argument(
        "--coordinator", metavar="HOST:PORT", help="of process 0, where several processes train one model together"
    )
    group.add_argument("--processes", metavar="N", type=types.positive, help="how many they are")
    group.add_argument("--process", metavar="I", type=int, help="which of them this is, from 0")


def _add_records(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--log-every", metavar="N", type=types.positive, help="updates to a line (default: 20)")
    group.add_argument(
        "--evaluate-every",
        metavar="N",
        type=types.positive,
        help="updates after which the loss of the split `validation` is told, and tracks of it are transcribed and "
        "scored (default: never)",
    )
    group.add_argument(
        "--evaluate-tracks", metavar="N", type=types.not_negative, help="how many of them are scored (default: 8)"
    )
    group.add_argument(
        "--checkpoint-minutes", metavar="M", type=types.positive_number, help="between checkpoints (default: 5)"
    )
    group.add_argument("--keep-checkpoints", metavar="N", type=types.positive, help="the newest (default: 2)")


def _check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Exit for options that do not go together."""
    if arguments.workdir is None and not arguments.dry_run:
        parser.error("--workdir is needed, the folder of the run")
    if arguments.preset and arguments.gin_file:
        parser.error("--preset and --gin_file both say the model; --gin.PRESET=\"'NAME'\" changes that of the files")
    together = (arguments.coordinator, arguments.processes, arguments.process)
    if any(value is not None for value in together) and None in together:
        parser.error("--coordinator, --processes and --process go together")
    if arguments.processes and not 0 <= arguments.process < arguments.processes:
        parser.error(f"--process {arguments.process} is not one of 0 to {arguments.processes - 1}")
    if arguments.freeze_encoder and arguments.init_from is None:
        parser.error("--freeze-encoder needs an encoder that has learnt: --init-from")
