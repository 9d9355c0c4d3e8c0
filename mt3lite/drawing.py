"""Marks that pictures of notes are made of: bars for notes, lanes for drums, keys, names and colours.

The colours are those of Okabe and Ito ("Color Universal Design", 2008) without the yellow, which is faint on white:
any two differ by 16 or more (CIE 1976) for normal, protanope, deuteranope and tritanope eyes as Machado et al. (2009)
simulate them. There are too few for a large band, so a panel never holds more instruments than there are colours.
"""

import contextlib
import io
import os
import warnings
from collections.abc import Iterator, Mapping

import numpy as np

from mt3lite import files, instruments

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")
DRUM_COLOUR = "#444444"
GRID_COLOUR, BAR_COLOUR = "#d9d9d9", "#a0a0a0"
PIXELS_PER_INCH = 120
NARROWEST_INCHES = 0.018  # drawn length of a note, which would else vanish in a long piece
GAP_INCHES = 0.01  # by which a note is drawn shorter, but a quarter at most, so that it does not touch the next
DRUM_INCHES = 0.022  # drawn length of a drum note, whose own length says nothing
TOUCHING_SECONDS = 0.05  # that notes may overlap without lying on each other
LOUDEST, SOFTEST = 0.46, 0.22  # half the height of a bar, in semitones: the louder the thicker
_BLACK_KEYS = (1, 3, 6, 8, 10)  # pitch classes


def save(figure, path: str | os.PathLike) -> None:
    """Write a figure to a file, in the format that its suffix says.

    Raises:
        InputError: the file cannot be written.
    """
    with files.atomic_path(path) as temporary, _boxes_for_unknown_letters():
        figure.savefig(temporary)


def to_png(figure, dots_per_inch: float) -> bytes:
    """Return a figure as a PNG file's content."""
    stream = io.BytesIO()
    with _boxes_for_unknown_letters():
        figure.savefig(stream, format="png", dpi=dots_per_inch)
    return stream.getvalue()


@contextlib.contextmanager
def _boxes_for_unknown_letters() -> Iterator[None]:
    """Keep matplotlib from warning that its font lacks a title's letters: the user can do nothing about it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        yield


def set_title(panel, title: str, *, most_letters: int) -> None:
    """Write a title as it is: a file's name may be long, and hold dollar signs, line breaks and bytes that are none."""
    shown = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in title)
    if len(shown) > most_letters:
        shown = shown[: most_letters - 1] + "\N{HORIZONTAL ELLIPSIS}"
    panel.set_title(shown, loc="left", fontweight="bold", fontsize=12, parse_math=False)


def bars(
    panel,
    left: np.ndarray,
    right: np.ndarray,
    rows: np.ndarray,
    half_heights: np.ndarray,
    colours: np.ndarray,
    *,
    opacity: float = 1.0,
    linewidth: float = 0.0,
) -> None:
    """Draw bars from `left` to `right` around `rows`, all at once: thousands of separate bars would take seconds.

    Args:
        panel: matplotlib's axes.
        left: float [n], seconds.
        right: float [n], seconds.
        rows: [n], the middle of each bar.
        half_heights: float [n].
        colours: str [n].
        opacity: of the inside.
        linewidth: of the edges, in points.
    """
    from matplotlib.collections import PolyCollection
    from matplotlib.colors import to_rgba_array

    low, high = rows - half_heights, rows + half_heights
    corners = np.stack([np.stack([left, left, right, right], 1), np.stack([low, high, high, low], 1)], axis=-1)
    inside, edges = to_rgba_array(list(colours), opacity), to_rgba_array(list(colours))
    panel.add_collection(PolyCollection(corners, facecolors=inside, edgecolors=edges, linewidths=linewidth))


def half_heights(notes: np.ndarray) -> np.ndarray:
    """Return half the height of each note's bar, float [n]: the louder the thicker."""
    return SOFTEST + (LOUDEST - SOFTEST) * notes["velocity"] / 127


def layers(notes: np.ndarray, owners: np.ndarray) -> np.ndarray:
    """Return for each note on how many others its bar lies, int [n].

    These are notes of its pitch and of other owners that sound on for `TOUCHING_SECONDS` as it begins, and what they
    lie on.

    Args:
        notes: array of ``notes.NOTE_DTYPE`` by onset, without drums; where several begin together the later is on top.
        owners: int [n], which instrument each is of.
    """
    depth = np.zeros(len(notes), int)
    sounding: dict[int, list[tuple[float, int, int]]] = {}  # (offset, owner, layer) of notes by pitch
    for index, (onset, offset, pitch) in enumerate(notes[["onset", "offset", "pitch"]].tolist()):
        below = [each for each in sounding.get(pitch, ()) if each[0] > onset + TOUCHING_SECONDS]
        owner = int(owners[index])
        depth[index] = max((layer for _, other, layer in below if other != owner), default=-1) + 1
        sounding[pitch] = [*below, (offset, owner, int(depth[index]))]
    return depth


def keys(panel, low: int, high: int) -> None:
    """Show the pitches `low` to `high` as a piano's keys, the black ones shaded, the Cs named: MIDI 60 is C4."""
    panel.set_ylim(low - 0.5, high + 0.5)
    for pitch in range(low, high + 1):
        if pitch % 12 in _BLACK_KEYS:
            panel.axhspan(pitch - 0.5, pitch + 0.5, facecolor="#f3f3f3", edgecolor="none", zorder=0)
    octaves = [pitch for pitch in range(low, high + 1) if pitch % 12 == 0]
    panel.set_yticks(octaves, [f"C{pitch // 12 - 1}" for pitch in octaves], fontsize=9)
    panel.hlines([pitch - 0.5 for pitch in octaves], 0, 1, GRID_COLOUR, linewidth=0.8, zorder=0.5,
                 transform=panel.get_yaxis_transform())  # fmt: skip


def lanes(panel, drum_pitches: np.ndarray) -> None:
    """Give each drum, int [n] ascending, a lane with its name."""
    for lane in range(0, len(drum_pitches), 2):
        panel.axhspan(lane - 0.5, lane + 0.5, facecolor="#f3f3f3", edgecolor="none", zorder=0)
    panel.set_ylim(-0.5, len(drum_pitches) - 0.5)
    names = [instruments.drum_name(int(pitch)) for pitch in drum_pitches]
    panel.set_yticks(range(len(drum_pitches)), names, fontsize=8)
    panel.tick_params(axis="y", length=0)


def legend(panel, entries: Mapping[str, str]) -> None:
    """Name colours right of a panel.

    Args:
        panel: matplotlib's axes.
        entries: colours by what is written beside them.
    """
    from matplotlib.patches import Patch

    patches = [Patch(facecolor=colour, label=name) for name, colour in entries.items()]
    panel.legend(
        handles=patches,
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
        bbox_transform=panel.transAxes,
        frameon=False,
        fontsize=9,
        handlelength=1.4,
        borderaxespad=0.2,
        labelspacing=0.35,
    )


def finish(panel, bar_seconds: np.ndarray | None = None) -> None:
    """Draw the lines of bars if there are any, else of seconds, whole ones where there are several; and no box.

    Args:
        panel: matplotlib's axes.
        bar_seconds: float64 [bars], when each begins; None: not known.
    """
    from matplotlib.ticker import MaxNLocator

    start, end = panel.get_xlim()
    panel.xaxis.set_major_locator(MaxNLocator(nbins=10, steps=[1, 2, 5, 10], integer=end - start > 4))
    panel.set_axisbelow(True)
    if bar_seconds is None or not len(bar_seconds):
        panel.grid(axis="x", color=GRID_COLOUR, linewidth=0.6)
    else:
        here = bar_seconds[(bar_seconds >= start) & (bar_seconds < end)]
        panel.vlines(here, 0, 1, BAR_COLOUR, linewidth=0.6, zorder=0.6, transform=panel.get_xaxis_transform())
    panel.spines[["top", "right"]].set_visible(False)
