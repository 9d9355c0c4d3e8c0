"""Writes the performances of the Groove MIDI Dataset with General MIDI's drums, as one more folder for `render.sh`.

    python data/models/small/drumming.py GROOVE MIDI/drum-performances

GROOVE is the dataset's folder with `info.csv`, recordings or not: what trains here is rendered. Its test split is left
out, and its fills, which last a bar.
"""

import argparse
import sys
from pathlib import Path

from mt3lite import notes
from mt3lite.errors import InputError
from mt3lite.training import drum_datasets, importing


def main() -> None:
    """Read the command line, write the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groove", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    try:
        rows = importing.table_rows(arguments.groove / "info.csv", ("split", "beat_type", "midi_filename"))
        arguments.out.mkdir(parents=True, exist_ok=True)
        for row in rows:
            if row["split"] != "test" and row["beat_type"] == "beat":
                played = drum_datasets.read_performance(arguments.groove / row["midi_filename"])
                notes.write_midi(played, arguments.out / row["midi_filename"].replace("/", "-"))
    except InputError as error:
        sys.exit(f"drumming.py: {error}")


if __name__ == "__main__":
    main()
