"""``mt3lite data synthesize``: a dataset folder of made-up pieces."""

import argparse
import itertools
from pathlib import Path

from mt3lite.training import midi_sources, synthetic


def run(arguments: argparse.Namespace) -> int:
    """Fill a dataset folder with made-up pieces; return the exit code.

    Raises:
        InputError: see `synthetic.synthesize`.
    """
    licenses = arguments.license * len(arguments.midi) if len(arguments.license) == 1 else arguments.license
    config = synthetic.SynthesisConfig(
        sources=tuple(
            midi_sources.MidiSource(name=Path(folder).resolve().name, folder=folder, weight=weight, license=license)
            for (folder, weight), license in itertools.zip_longest(arguments.midi, licenses, fillvalue="")
        ),
        soundfonts=tuple(map(str, arguments.soundfont)),
        hours={arguments.split: arguments.hours},
        seed=arguments.seed,
        procedural_weight=arguments.invented,
        stems=arguments.stems,
        timbre_chance=arguments.timbres,
        any_chance=arguments.any_instrument,
    )
    number = synthetic.synthesize(arguments.out, config, jobs=arguments.jobs, progress=True)
    print(f"{arguments.out}: {number} pieces")
    skipped = arguments.out / synthetic.SKIPPED_NAME
    if skipped.exists():
        count = len(skipped.read_text(encoding="utf-8").splitlines())
        print(f"{skipped}: lists {count} MIDI file{'s' * (count != 1)} that could not be used, with the reason")
    return 0
