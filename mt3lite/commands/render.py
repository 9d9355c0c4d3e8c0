"""``mt3lite render``: a MIDI file to sound."""

import argparse

from mt3lite import audio, files, notes, render
from mt3lite.commands import sonify
from mt3lite.errors import InputError

LONGEST_SECONDS = 3 * 3600  # the samples are in memory until they are written: 1.9 GB at 44.1 kHz


def run(arguments: argparse.Namespace) -> int:
    """Play a MIDI file into a WAV file; return the exit code.

    Raises:
        InputError: the MIDI file is missing, is none, has no notes or lasts too long; FluidSynth is missing; the
            soundfont is missing, is none or lacks an instrument; the output exists or cannot be written.
    """
    if arguments.wav.exists() and not arguments.overwrite:
        raise InputError(f"{arguments.wav}: exists already; give --overwrite to replace")
    files.check_writable(arguments.wav)
    played = notes.read_midi(arguments.midi)
    if not len(played):
        raise InputError(f"{arguments.midi}: there are no notes in it")
    last_seconds = played["offset"].max()
    if last_seconds > LONGEST_SECONDS:
        raise InputError(f"{arguments.midi}: lasts {last_seconds / 3600:.1f} hours; {LONGEST_SECONDS // 3600} are most")
    soundfont = arguments.soundfont or sonify.check_installed(None)
    samples = render.render(played, soundfont, render.RenderConfig(sample_rate=arguments.rate))
    audio.write_wav(arguments.wav, samples, arguments.rate)
    print(f"{arguments.wav}: {len(samples) / arguments.rate:.1f} s, {len(played)} notes, {render.name(soundfont)}")
    return 0
