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
        raise InputError("a picture needs matplotlib: pip install 'mt3lite[plot]'")


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
        _finish(panel)
    with files.atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")


def write_notes_over_spectrogram(
    frames: np.ndarray,
    wanted: np.ndarray,
    path: str | os.PathLike,
    *,
    frame_seconds: np.ndarray,
    bin_pitches: np.ndarray,
    segment_seconds: float,
    title: str,
    granularity: str,
) -> None:
    """Draw the frames of one segment into a PNG file, darker where louder, and notes over them as coloured frames.

    Args:
        frames: float32 [num_frames, num_bins], log magnitudes.
        wanted: array of ``notes.NOTE_DTYPE``, times in seconds from the segment's start. Those that begin before 0 or
            last to the segment's end are left open there.
        path: of the picture.
        frame_seconds: float64 [num_frames], the middle of each frame's window, from the segment's start.
        bin_pitches: float64 [num_bins], the centre of each bin as a MIDI number, ascending.
        segment_seconds: length of the segment; frames before 0 and after it are its context, shown paler.
        title: written above it.
        granularity: how finely instruments are named, one of ``instruments.GRANULARITIES``.

    Raises:
        InputError: matplotlib is not installed, or the file cannot be written.
    """
    check_installed()
    from matplotlib.figure import Figure

    groups = outputs.by_instrument(wanted, granularity)
    drums = groups.pop("Drums", wanted[:0])
    drum_pitches = np.unique(drums["pitch"])
    rows = [7, 0.22 * len(drum_pitches) + 0.5] if len(drum_pitches) else [7]
    figure = Figure(figsize=(13, 1 + sum(rows)), dpi=PIXELS_PER_INCH, layout="constrained")
    panels = figure.subplots(len(rows), 1, sharex=True, squeeze=False, height_ratios=rows)[:, 0]
    panel = panels[0]

    _draw_frames(panel, frames, frame_seconds, bin_pitches)
    for index, (name, mine) in enumerate(groups.items()):
        colour = COLOURS[index % len(COLOURS)]
        offsets = np.where(mine["offset"] >= segment_seconds, 2 * frame_seconds[-1], mine["offset"])
        label = f"{name} ({len(mine)})"
        # Each instrument a little thinner than the last: in unison they would hide each other.
        style = {"opacity": 0.3, "linewidth": 1.4, "half_height": 0.75 - 0.12 * (index % 4)}
        _draw_bars(panel, mine, mine["pitch"], offsets - mine["onset"], colour, label, **style)
    if len(drum_pitches):
        _draw_drums(panels[1], drums, drum_pitches)
    for each in panels:
        _mark_segment(each, segment_seconds, frame_seconds)
    panel.set_title(title, loc="left", fontweight="bold")
    panels[-1].set_xlabel("time in the segment (s)")
    if groups:
        panel.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    with files.atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")


def write_comparison(
    target: np.ndarray,
    predicted: np.ndarray,
    path: str | os.PathLike,
    *,
    title: str,
    duration_seconds: float,
    granularity: str,
) -> None:
    """Draw what was played above what was found, on the same axes, into a PNG file; arguments as `write_piano_roll`.

    Raises:
        InputError: matplotlib is not installed, or the file cannot be written.
    """
    check_installed()
    from matplotlib.figure import Figure

    width = float(np.clip(4 + duration_seconds * 0.35, 10, 60))
    figure = Figure(figsize=(width, 9), dpi=PIXELS_PER_INCH, layout="constrained")
    sides = {"played": target, "found": predicted}
    drum_pitches = np.unique(np.concatenate([side["pitch"][side["is_drum"]] for side in sides.values()]))
    rows = [6, 0.22 * len(drum_pitches) + 0.5] if len(drum_pitches) else [6]
    panels = figure.subplots(2 * len(rows), 1, sharex=True, height_ratios=rows * 2)
    pitched_panels = panels[:: len(rows)]
    for index, (name, side) in enumerate(sides.items()):
        groups = outputs.by_instrument(side, granularity)
        drums = groups.pop("Drums", side[:0])
        _draw_pitched(pitched_panels[index], groups)
        pitched_panels[index].set_title(f"{title}, {name}", loc="left", fontweight="bold")
        if len(drum_pitches):
            _draw_drums(panels[2 * index + 1], drums, drum_pitches)
    limits = np.array([panel.get_ylim() for panel in pitched_panels])
    for panel in pitched_panels:
        panel.set_ylim(limits[:, 0].min(), limits[:, 1].max())
    for panel in panels:
        _finish(panel)
    panels[0].set_xlim(0, max(duration_seconds, 0.1))
    panels[-1].set_xlabel("time (s)")
    with files.atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")


def _finish(panel) -> None:
    """Draw the seconds' lines, and no box."""
    panel.set_axisbelow(True)
    panel.grid(axis="x", color="#dddddd", linewidth=0.6)
    panel.spines[["top", "right"]].set_visible(False)


def _draw_frames(panel, frames: np.ndarray, frame_seconds: np.ndarray, bin_pitches: np.ndarray) -> None:
    """Draw a spectrogram, darker where louder, over time and pitch, and the octaves' names."""
    quiet, loud = np.percentile(frames, 30), max(float(frames.max()), float(frames.min()) + 1.0)
    panel.pcolormesh(
        frame_seconds, bin_pitches, frames.T, cmap="Greys", vmin=quiet, vmax=loud, shading="nearest", rasterized=True
    )
    panel.set_ylim(bin_pitches[0], bin_pitches[-1])
    octaves = [pitch for pitch in range(0, 128, 12) if bin_pitches[0] <= pitch <= bin_pitches[-1]]
    panel.set_yticks(octaves, [f"C{pitch // 12 - 1}" for pitch in octaves])
    panel.set_ylabel("pitch")


def _mark_segment(panel, segment_seconds: float, frame_seconds: np.ndarray) -> None:
    """Mark where a segment begins and ends, and show what is around it paler."""
    panel.set_xlim(min(frame_seconds[0], 0), max(frame_seconds[-1], segment_seconds))
    for start, end in ((frame_seconds[0] - 1, 0), (segment_seconds, frame_seconds[-1] + 1)):
        panel.axvspan(start, end, facecolor="white", alpha=0.65, zorder=3)
    for border in (0, segment_seconds):
        panel.axvline(border, color="#444444", linewidth=1, linestyle=(0, (4, 3)), zorder=4)
    panel.spines[["top", "right"]].set_visible(False)


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


def _draw_bars(
    panel,
    mine: np.ndarray,
    rows: np.ndarray,
    lengths: np.ndarray,
    colour: str,
    label: str,
    *,
    opacity: float | None = None,
    linewidth: float = 0.4,
    half_height: float = 0.42,
) -> None:
    """Draw one bar per note at height `rows`, as a single collection: thousands of separate bars would take seconds.

    Opacity tells the velocity where none is given.
    """
    from matplotlib.collections import PolyCollection
    from matplotlib.colors import to_rgba

    left, right = mine["onset"], mine["onset"] + lengths
    low, high = rows - half_height, rows + half_height
    corners = np.stack([np.stack([left, left, right, right], 1), np.stack([low, high, high, low], 1)], axis=-1)
    by_note = 0.35 + 0.65 * mine["velocity"] / 127 if opacity is None else np.full(len(mine), opacity)
    colours = np.column_stack([np.tile(to_rgba(colour)[:3], (len(mine), 1)), by_note])
    panel.add_collection(
        PolyCollection(corners, facecolors=colours, edgecolors=colour, linewidths=linewidth, label=label)
    )
