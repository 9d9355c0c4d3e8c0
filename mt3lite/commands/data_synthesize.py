"""``mt3lite data synthesize``: a dataset folder of made-up pieces."""

import argparse
from pathlib import Path

from mt3lite.training import synthetic


def run(arguments: argparse.Namespace) -> int:
    """Fill a dataset folder with made-up pieces; return the exit code.

    Raises:
        InputError: see `synthetic.synthesize`.
    """
    config = synthetic.SynthesisConfig(
        sources=tuple(
            synthetic.MidiSource(name=Path(folder).resolve().name, folder=folder, weight=weight)
            for folder, weight in arguments.midi
        ),
        soundfonts=tuple(map(str, arguments.soundfont)),
        hours={arguments.split: arguments.hours},
        seed=arguments.seed,
        procedural_weight=arguments.invented,
    )
    number = synthetic.synthesize(arguments.out, config, jobs=arguments.jobs, progress=True)
    print(f"{arguments.out}: {number} pieces")
    return 0
