"""Writes the performances of the Groove MIDI Dataset with General MIDI's drums, as one more folder for `render.sh`.

    python data/models/small/drumming.py GROOVE MIDI/drum-performances

GROOVE is the dataset's folder with `info.csv`, recordings or not: what trains here is rendered. Its test split is left
out, and its fills, which last a bar.
"""

import argparse
from pathlib import Path

from mt3lite import notes
from mt3lite.training import drum_datasets, importing


def main() -> None:
    """Read the command line, write the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groove", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for row in importing.table_rows(arguments.groove / "info.csv", ("split", "beat_type", "midi_filename")):
        if row["split"] != "test" and row["beat_type"] == "beat":
            played = drum_datasets.in_general_midi(notes.read_midi(arguments.groove / row["midi_filename"]))
            name = row["midi_filename"].replace("/", "-")
            notes.write_midi(notes.trim_overlaps(played), arguments.out / name)


if __name__ == "__main__":
    main()
