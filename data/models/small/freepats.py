"""Plays the pieces of a dataset once more, by TiMidity with FreePats: sounds that nothing here is trained on.

    apt-get install timidity freepats
    python data/models/small/freepats.py DATASET OUT [--patches /etc/timidity/freepats.cfg]

FreePats of 2006 is under the GPL, so that it is for scoring only. A program that it has no patch for is played by
another of its family, the one at its number modulo theirs; a piece with a family that it lacks is left out.
"""

import argparse
import dataclasses
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from mt3lite import audio, notes
from mt3lite.errors import InputError
from mt3lite.instruments import PROGRAMS_PER_FAMILY
from mt3lite.training import datasets

RATE = 16000
PEAK = 0.7
_PATCH = re.compile(r"^\s*(\d+)\s+Tone_000", re.MULTILINE)  # of the first bank: a program and its file


def stand_in(program: int, patches: list[int]) -> int | None:
    """Return the program that plays in place of one, itself where it has a patch; None where its family has none."""
    family = [each for each in patches if each // PROGRAMS_PER_FAMILY == program // PROGRAMS_PER_FAMILY]
    if not family:
        return None
    return program if program in family else family[program % len(family)]


def replayed(played: np.ndarray, patches: list[int]) -> np.ndarray | None:
    """Return notes by programs that have patches; None where there are none of a family."""
    changed = played.copy()
    for program in np.unique(played["program"][~played["is_drum"]]).tolist():
        other = stand_in(program, patches)
        if other is None:
            return None
        changed["program"][(played["program"] == program) & ~played["is_drum"]] = other
    return changed


def render(midi: Path, first_onset: float, configuration: Path) -> np.ndarray:
    """Return what TiMidity plays, float32 [num_samples], with the silence before the first note, which it skips."""
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "played.wav"
        options = ["-c", str(configuration), "-Ow", "-s", str(RATE), "--output-mono", "-o", str(wav), str(midi)]
        subprocess.run(["timidity", *options], check=True, capture_output=True)
        samples = audio.load(wav, RATE)
    samples = np.concatenate([np.zeros(round(RATE * first_onset), np.float32), samples])
    return samples * (PEAK / max(float(np.abs(samples).max()), 1e-6))


def main() -> None:
    """Read the command line, make the dataset."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("out", type=Path)
    parser.add_argument("--patches", type=Path, default=Path("/etc/timidity/freepats.cfg"))
    arguments = parser.parse_args()
    try:
        patches = sorted(map(int, _PATCH.findall(arguments.patches.read_text())))
        tracks = []
        for track in datasets.read_manifest(arguments.dataset):
            played = replayed(notes.read_midi(track.midi), patches)
            if played is None or not len(played):
                print(f"{track.id} is left out: no patches for it", file=sys.stderr)
                continue
            wav, midi = (arguments.out / track.split / f"{track.id}{suffix}" for suffix in (".wav", ".mid"))
            wav.parent.mkdir(parents=True, exist_ok=True)
            notes.write_midi(notes.sort(played), midi)
            samples = render(midi, float(played["onset"].min()), arguments.patches)
            audio.write_wav(wav, samples, RATE)
            by_patches = {"audio": wav, "midi": midi, "duration_seconds": len(samples) / RATE, "stems": ()}
            source = f"{track.source.split(',')[0]}, FreePats"
            tracks.append(dataclasses.replace(track, source=source, **by_patches))
        datasets.write_manifest(tracks, arguments.out / datasets.MANIFEST_NAME)
    except (InputError, OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"freepats.py: {error}")
    print(f"{arguments.out}: {len(tracks)} pieces")


if __name__ == "__main__":
    main()
