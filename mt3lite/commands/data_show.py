"""``mt3lite data show``: one training example, to be seen and heard."""

import argparse

from mt3lite import config, files, outputs, plot, render
from mt3lite.commands import sonify
from mt3lite.training import datasets, examples, showing


def run(arguments: argparse.Namespace) -> int:
    """Make an example, draw it and play it as wanted, and tell what is in it; return the exit code.

    Raises:
        InputError: a bad manifest, preset, recording or soundfont, or an output that cannot be written.
    """
    settings = config.preset(arguments.preset)
    tracks = datasets.of_split(datasets.read_manifest(arguments.manifest), arguments.split)
    if arguments.plot is not None:
        plot.check_installed()
        files.check_writable(arguments.plot)
    soundfont = sonify.check_installed(arguments.soundfont) if arguments.listen is not None else None
    augmentation = examples.AugmentConfig() if arguments.augment else None
    example = examples.at(arguments.index, tracks, settings, augmentation, seed=arguments.seed)
    wanted = showing.wanted_notes(example.tokens, settings)

    name = f"example {arguments.index} of seed {arguments.seed}, {arguments.split}"
    groups = outputs.by_instrument(wanted, settings.codec.granularity)
    counts = ", ".join(f"{len(mine)} {group}" for group, mine in groups.items()) or "none"
    print(f"{name}: {len(example.tokens)} tokens, notes: {counts}")
    if example.dropped:
        print(f"drawn in place of {example.dropped} with more than {settings.segments.max_tokens} tokens")
    if arguments.plot is not None:
        showing.write_picture(example, settings, arguments.plot, title=f"{name}: {len(example.tokens)} tokens")
        print(f"picture: {arguments.plot}")
    if arguments.listen is not None:
        rate = settings.spectrogram.sample_rate
        played = render.render(wanted, soundfont, render.RenderConfig(sample_rate=rate, tail_seconds=0.5))
        sonify.write_pair(showing.new_samples(example, settings), played, arguments.listen, rate)
        print(f"sound: {arguments.listen}")
    return 0
