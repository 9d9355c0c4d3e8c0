"""Arguments of ``mt3lite render``."""

import argparse
import functools
from pathlib import Path

from mt3lite.arguments import types

RATES = range(2000, 192_001)  # Hz


def add(commands: argparse._SubParsersAction) -> None:
    """Add the arguments of ``mt3lite render``."""
    parser = commands.add_parser(
        "render",
        help="play a MIDI file with a soundfont",
        description="Play a MIDI file with a soundfont into a mono WAV file, by FluidSynth.",
    )
    parser.add_argument("midi", metavar="MIDI", type=Path, help="what to play")
    parser.add_argument("wav", metavar="WAV", type=Path, help="the file to write")
    parser.add_argument("--soundfont", metavar="FILE", type=Path, help=".sf2 or .sf3 (default: one it finds)")
    parser.add_argument("--rate", metavar="HZ", type=types.positive, default=44100, help="(default: %(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="replace WAV if it exists")
    parser.set_defaults(check=functools.partial(_check, parser))


def _check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Exit for what cannot be meant."""
    if arguments.rate not in RATES:
        parser.error(f"--rate {arguments.rate}: from {RATES[0]} to {RATES[-1]} Hz")
    if arguments.wav.suffix.lower() != ".wav":
        parser.error(f"{arguments.wav}: what is written is a WAV file; give it the suffix .wav")
