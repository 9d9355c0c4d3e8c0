"""A piano roll as a picture: time in seconds, pitch by note name, a colour for each instrument, drums below."""

import importlib.util
import os

import numpy as np

from mt3lite import files, instruments, outputs
from mt3lite.errors import InputError

# Tableau's ten without its grey, which is the drums'. Source: matplotlib's default cycle.
COLOURS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#bcbd22", "#17becf")
DRUM_COLOUR = "#555555"
DRUM_SECONDS = 0.08  # drawn length of a drum note, whose own length says nothing
PIXELS_PER_INCH = 120


def check_installed() -> None:
    """Raise `InputError`, with the cure, unless matplotlib is there."""
    if importlib.util.find_spec("matplotlib") is None:
        raise InputError("a picture needs matplotlib: pip install mt3lite[plot]")


def write_piano_roll(
    transcribed: np.ndarray, path: str | os.PathLike, *, title: str, duration_seconds: float, granularity: str
) -> None:
    """Draw notes into a PNG file; the louder a note, the stronger its colour.

    Args:
        transcribed: array of ``notes.NOTE_DTYPE``.
        path: of the picture.
        title: written above it.
        duration_seconds: where the time axis ends.
        granularity: how finely instruments are named, one of ``instruments.GRANULARITIES``.

    Raises:
        InputError: matplotlib is not installed, or the file cannot be written.
    """
    check_installed()
    from matplotlib.figure import Figure

    groups = outputs.by_instrument(transcribed, granularity)
    drums = groups.pop("Drums", transcribed[:0])
    drum_pitches = np.unique(drums["pitch"])
    width = float(np.clip(4 + duration_seconds * 0.35, 10, 60))
    # Figure without pyplot: no window system is asked for, and no global state is touched.
    figure = Figure(figsize=(width, 6 + 0.22 * len(drum_pitches)), dpi=PIXELS_PER_INCH, layout="constrained")
    rows = [6, 0.22 * len(drum_pitches) + 0.5] if len(drum_pitches) else [6]
    panels = figure.subplots(len(rows), 1, sharex=True, squeeze=False, height_ratios=rows)[:, 0]

    _draw_pitched(panels[0], groups)
    if len(drum_pitches):
        _draw_drums(panels[1], drums, drum_pitches)
    panels[0].set_title(title, loc="left", fontweight="bold")
    panels[0].set_xlim(0, max(duration_seconds, 0.1))
    panels[-1].set_xlabel("time (s)")
    for panel in panels:
        panel.set_axisbelow(True)
        panel.grid(axis="x", color="#dddddd", linewidth=0.6)
        panel.spines[["top", "right"]].set_visible(False)
    with files.atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")


def _draw_pitched(panel, groups: dict[str, np.ndarray]) -> None:
    """Draw the pitched notes, the octaves' lines and the legend."""
    for index, (name, mine) in enumerate(groups.items()):
        colour = COLOURS[index % len(COLOURS)]
        _draw_bars(panel, mine, mine["pitch"], mine["offset"] - mine["onset"], colour, f"{name} ({len(mine)})")
    pitches = np.concatenate([mine["pitch"] for mine in groups.values()]) if groups else np.array([60])
    low, high = min(int(pitches.min()), 48) - 2, max(int(pitches.max()), 72) + 2
    octaves = [pitch for pitch in range(low, high + 1) if pitch % 12 == 0]
    panel.set_ylim(low, high)
    panel.set_yticks(octaves, [f"C{pitch // 12 - 1}" for pitch in octaves])  # MIDI 60 is C4
    panel.grid(axis="y", color="#dddddd", linewidth=0.6)
    panel.set_ylabel("pitch")
    if groups:
        panel.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    else:
        panel.text(0.5, 0.5, "no pitched notes", transform=panel.transAxes, ha="center", va="center", color="#888888")


def _draw_drums(panel, drums: np.ndarray, drum_pitches: np.ndarray) -> None:
    """Draw the drum notes, a line for each drum that is played."""
    rows = np.searchsorted(drum_pitches, drums["pitch"])
    _draw_bars(panel, drums, rows, np.full(len(drums), DRUM_SECONDS), DRUM_COLOUR, f"Drums ({len(drums)})")
    panel.set_ylim(-0.8, len(drum_pitches) - 0.2)
    panel.set_yticks(
        range(len(drum_pitches)), [instruments.drum_name(int(pitch)) for pitch in drum_pitches], fontsize=8
    )
    panel.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)


def _draw_bars(panel, mine: np.ndarray, rows: np.ndarray, lengths: np.ndarray, colour: str, label: str) -> None:
    """Draw one bar per note at height `rows`, as a single collection: thousands of separate bars would take seconds."""
    from matplotlib.collections import PolyCollection
    from matplotlib.colors import to_rgba

    left, right = mine["onset"], mine["onset"] + lengths
    low, high = rows - 0.42, rows + 0.42
    corners = np.stack([np.stack([left, left, right, right], 1), np.stack([low, high, high, low], 1)], axis=-1)
    opacity = 0.35 + 0.65 * mine["velocity"] / 127
    colours = np.column_stack([np.tile(to_rgba(colour)[:3], (len(mine), 1)), opacity])
    panel.add_collection(PolyCollection(corners, facecolors=colours, edgecolors=colour, linewidths=0.4, label=label))
