"""Arguments of ``mt3lite data``."""

import argparse
import functools
import os
from pathlib import Path

from mt3lite.arguments import types

SPLITS = ("train", "validation", "test")
PICTURES = (".png", ".svg", ".pdf")
DATASETS = (
    *("maestro", "slakh2100", "cerberus4", "guitarset", "musicnet", "musicnet-em", "urmp", "mdb-drums", "groove"),
    "folder",
)


def add(commands: argparse._SubParsersAction) -> None:
    """Add the arguments of ``mt3lite data``."""
    parser = commands.add_parser(
        "data", help="make and look at dataset folders", description="Make dataset folders and look at them."
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    _add_import(actions)
    _add_check(actions)
    _add_show(actions)
    _add_synthesize(actions)


def _add_import(actions: argparse._SubParsersAction) -> None:
    parser = actions.add_parser(
        "import",
        help="write the manifest of recordings that you have",
        description="Write the manifest of a dataset as its publisher offers it, or of your own recordings with MIDI "
        "files of the same name (folder). Recordings stay where they are. docs/data.md tells each dataset's layout.",
    )
    parser.add_argument("dataset", metavar="DATASET", choices=DATASETS, help=f"one of {', '.join(DATASETS)}")
    parser.add_argument("path", metavar="PATH", type=Path, help="its folder")
    parser.add_argument(
        "--out", metavar="DIR", type=Path, help="where manifest.jsonl and what goes with it are put (default: PATH)"
    )
    parser.add_argument(
        "--split",
        choices=SPLITS,
        help="of all tracks; for folder alone (default: 80 %% train, 10 %% validation, 10 %% test, by name)",
    )
    parser.add_argument(
        "--convert", action="store_true", help="write recordings and stems as mono FLAC of 16 kHz, and name these"
    )
    parser.add_argument("--skip-faulty", action="store_true", help="leave faulty tracks out instead of stopping")
    parser.add_argument("--overwrite", action="store_true", help="replace a manifest that is there")
    parser.add_argument("--jobs", metavar="N", type=types.processes, default=1, help="processes (default: %(default)s)")
    parser.set_defaults(check=functools.partial(_check_import, parser))


def _check_import(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Exit for options that do not go together."""
    if arguments.split and arguments.dataset != "folder":
        parser.error("--split is for folder; the other datasets come with splits")


def _add_check(actions: argparse._SubParsersAction) -> None:
    parser = actions.add_parser(
        "check",
        help="look for faults in a dataset's files",
        description="Read the manifest, the headers of all recordings and all MIDI files, and listen for how the "
        "recordings are tuned; tell all faults together.",
    )
    parser.add_argument("manifest", metavar="MANIFEST", type=Path, help="the manifest or its folder")
    parser.add_argument(
        "--sample-rate", metavar="HZ", type=types.positive, default=16000, help="of the model (default: %(default)s)"
    )
    parser.add_argument("--jobs", metavar="N", type=types.processes, default=1, help="processes (default: %(default)s)")


def _add_show(actions: argparse._SubParsersAction) -> None:
    parser = actions.add_parser(
        "show",
        help="see and hear one training example",
        description="Make one training example and show what the network is asked for: the notes of its tokens, drawn "
        "over its spectrogram, or played beside its sound.",
    )
    parser.add_argument("manifest", metavar="MANIFEST", type=Path, help="the manifest or its folder")
    parser.add_argument(
        "--index", metavar="N", type=types.not_negative, default=0, help="number of the example (default: %(default)s)"
    )
    parser.add_argument("--split", choices=SPLITS, default="train", help="(default: %(default)s)")
    parser.add_argument("--seed", metavar="N", type=types.not_negative, default=0, help="(default: %(default)s)")
    parser.add_argument("--preset", default="small", help="settings of the model (default: %(default)s)")
    parser.add_argument("--augment", action="store_true", help="mix, filter and add noise, as training does")
    parser.add_argument("--plot", metavar="FILE", type=Path, help="draw it into this PNG, SVG or PDF file")
    parser.add_argument(
        "--listen", metavar="FILE", type=Path, help="play it into this WAV file: left the sound, right the notes"
    )
    parser.add_argument("--soundfont", metavar="FILE", type=Path, help="what plays the notes (default: one it finds)")
    parser.set_defaults(check=functools.partial(_check_show, parser))


def _check_show(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Exit for options that do not go together."""
    if arguments.soundfont is not None and arguments.listen is None:
        parser.error("--soundfont is for --listen")
    if arguments.plot is not None and arguments.plot.suffix.lower() not in PICTURES:
        parser.error(f"--plot {arguments.plot}: the name must end with {' or '.join(PICTURES)}")


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
        "--license",
        metavar="TEXT",
        action="append",
        default=[],
        help="of the MIDI files, for the manifest: once for all folders, or once for each --midi, in their order",
    )
    parser.add_argument(
        "--soundfont",
        metavar="FILE",
        type=Path,
        action="append",
        required=True,
        help=f"each piece draws one; FILE{os.pathsep}FILE: the second plays what the first lacks",
    )
    parser.add_argument("--hours", metavar="H", type=types.hours, required=True, help="of music to make")
    parser.add_argument("--split", choices=SPLITS, default="train", help="(default: %(default)s)")
    parser.add_argument(
        "--invented",
        metavar="WEIGHT",
        type=types.share,
        default=0.27,
        help="share of invented pieces (default: %(default)s)",
    )
    parser.add_argument(
        "--timbres",
        metavar="CHANCE",
        type=types.fraction,
        default=0.0,
        help="of each instrument of a piece to sound unlike the soundfont's, 0 to 1 (default: %(default)s)",
    )
    parser.add_argument(
        "--any-instrument",
        metavar="CHANCE",
        type=types.fraction,
        default=0.25,
        help="of each part of a MIDI file to be played by any instrument, not one of its family (default: %(default)s)",
    )
    parser.add_argument("--stems", action="store_true", help="keep each instrument alone, too, beside the mix")
    parser.add_argument("--seed", metavar="N", type=types.not_negative, default=0, help="(default: %(default)s)")
    parser.add_argument("--jobs", metavar="N", type=types.processes, default=1, help="processes (default: %(default)s)")
    parser.set_defaults(check=functools.partial(_check_synthesize, parser))


def _check_synthesize(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Exit for options that do not go together."""
    if len(arguments.license) not in (0, 1, len(arguments.midi)):
        parser.error(
            f"--license {len(arguments.license)} times for --midi {len(arguments.midi)} times: once, or as often"
        )


def _weighted_folder(text: str) -> tuple[str, float]:
    """Read ``DIR`` or ``DIR=WEIGHT``."""
    folder, separator, weight = text.rpartition("=")
    return (folder, types.positive_number(weight)) if separator else (text, 1.0)
