"""Makes MIDI files of the Mutopia Project's scores, as one more folder for `render.sh`.

    data/models/small/engraved.py MUTOPIA MIDI/engraved-scores [--jobs N]

MUTOPIA is a clone of https://github.com/MutopiaProject/MutopiaProject; LilyPond plays its scores (Debian's `lilypond`).
Those in the public domain and under CC BY are taken, with each movement as a file of its own, and every note as loud as
the others, so that they count as scores, which are given a performance. Where a score does not tell what its staves are
played by, the instruments that its header names are, in their order. Those that LilyPond 2.24 does not understand are
left out.
"""

import argparse
import functools
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mido
from tqdm import tqdm

_LICENSES = re.compile(r"public domain|creative commons attribution \d", re.IGNORECASE)
_VELOCITY = 80
_DRUM_CHANNEL = 9
_LONGEST_SECONDS = 120  # that a score may take
# General MIDI programs by what headers call instruments, the more telling names first.
_PROGRAMS = {
    "harpsichord": 6, "clavichord": 7, "piano": 0, "clavier": 0, "organ": 19, "harmonium": 20, "accordion": 21,
    "guitar": 24, "lute": 24, "vihuela": 24, "mandolin": 25, "banjo": 105, "shamisen": 106, "koto": 107, "harp": 46,
    "violin": 40, "fiddle": 40, "viola": 41, "cello": 42, "double bass": 43, "contrabass": 43, "string": 48,
    "orchestra": 48, "trumpet": 56, "trombone": 57, "tuba": 58, "horn": 60, "brass": 61, "sax": 66, "oboe": 68,
    "bassoon": 70, "clarinet": 71, "piccolo": 72, "flute": 73, "recorder": 74, "bells": 14, "voice": 52, "choir": 52,
    "soprano": 52, "satb": 52,
}  # fmt: skip


def main() -> None:
    """Read the command line, write the MIDI files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mutopia", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="scores at once (default: %(default)s)")
    arguments = parser.parse_args()
    if not shutil.which("lilypond"):
        sys.exit("engraved.py: lilypond is not installed: apt install lilypond")
    scores = [path for path in sorted((arguments.mutopia / "ftp").rglob("*.ly")) if _is_open(path)]
    if not scores:
        sys.exit(f"engraved.py: {arguments.mutopia}: there are no scores in a folder ftp; a clone of Mutopia is wanted")
    arguments.out.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(arguments.jobs) as pool:
        played = sum(
            tqdm(pool.map(functools.partial(_play, out=arguments.out), scores), total=len(scores), unit="score")
        )
    print(f"{arguments.out}: {played} of {len(scores)} scores")


def _is_open(path: Path) -> bool:
    """Return whether a file is a whole score that plays, under a licence that lets anybody use it."""
    text = path.read_text(errors="replace")
    terms = _header(text, "license") or _header(text, "copyright")
    return r"\midi" in text and bool(_LICENSES.match(terms))


def _header(text: str, field: str) -> str:
    found = re.search(rf'{field}\s*=\s*(?:\\markup\s*)?"([^"]*)"', text)
    return found[1] if found else ""


def _play(score: Path, out: Path) -> bool:
    """Write the MIDI files of a score, and return whether there are any."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "score" / score.name
        shutil.copytree(score.parent, copy.parent, symlinks=True)
        run = functools.partial(subprocess.run, cwd=copy.parent, capture_output=True, timeout=_LONGEST_SECONDS)
        try:
            run(["convert-ly", "--edit", score.name])
            text = copy.read_text(errors="replace")
            copy.write_text(_without_layouts(text))
            run(["lilypond", "--loglevel=ERROR", "--output=played", score.name])
        except subprocess.TimeoutExpired:
            return False
        programs = _programs(_header(text, "mutopiainstrument") or _header(text, "instrument"))
        movements = sorted(copy.parent.glob("played*.mid*"))
        for number, path in enumerate(movements):
            # Where it is in the clone, as pieces of several composers have one name.
            name = "-".join([*score.parts[score.parts.index("ftp") + 1 : -1], score.stem, str(number)])
            _finished(mido.MidiFile(path), programs).save(out / f"{name}.mid")
        return bool(movements)


def _without_layouts(text: str) -> str:
    """Return a score that is played alone: to draw it would take most of the time."""
    parts, depth = re.split(r"(\\layout\s*\{|[{}])", text), 0
    kept = []
    for part in parts:
        if depth or part.startswith(r"\layout"):
            depth += part.endswith("{") - (part == "}")
        else:
            kept.append(part)
    return "".join(kept)


def _programs(names: str) -> list[int]:
    """Return the programs of the instruments that a header names, in their order, or the piano's."""
    found = re.findall("|".join(_PROGRAMS), names.lower())
    return [_PROGRAMS[name] for name in found] or [0]


def _finished(played: mido.MidiFile, programs: list[int]) -> mido.MidiFile:
    """Return what was played with equally loud notes, and these programs if no staff has one of its own."""
    told = any(message.type == "program_change" for track in played.tracks for message in track)
    begun = [[note for note in track if note.type == "note_on" and note.velocity] for track in played.tracks]
    sounding = [(track, onsets) for track, onsets in zip(played.tracks, begun, strict=True) if onsets]
    for place, (track, onsets) in enumerate(sounding):
        for onset in onsets:
            onset.velocity = _VELOCITY
        channel, program = onsets[0].channel, programs[place * len(programs) // len(sounding)]
        if not told and channel != _DRUM_CHANNEL:
            track.insert(0, mido.Message("program_change", channel=channel, program=program))
    return played


if __name__ == "__main__":
    main()
