"""Piano rolls as pictures: time in seconds, pitch by note name, a colour for each instrument, each drum in its lane."""

import importlib.util
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mt3lite import drawing, instruments, notes, outputs
from mt3lite.errors import InputError

LONGEST_SYSTEM_SECONDS = 45.0  # a longer piece goes on below, as a score does
SYSTEM_SECONDS = (30, 40, 60, 90, 120, 180, 240, 300, 600, 900, 1200, 1800, 3600)
MOST_SYSTEMS = 12
MOST_INCHES = 75.0  # height of a picture: 9000 pixels
ROLL_INCHES = (6.0, 10.5)  # width of a roll, from short pieces to long ones
SECOND_INCHES = 0.35  # between these
DRUM_LANE_INCHES = 0.17
SEMITONE_INCHES = (0.08, 0.06)  # of one roll, and of several below each other
FEWEST_PITCHES = 25  # of an axis
LINE_INCHES, LETTER_INCHES = 0.185, 0.079  # of a legend
THINNER, MOST_LAYERS = 0.62, 3  # a bar than the one it lies on, and how often
DRUM_SECONDS = 0.02  # drawn length of a drum note in a segment
DRUMS = instruments.name(0, is_drum=True)
TOP_INCHES, BOTTOM_INCHES, GAP_INCHES, SYSTEM_GAP_INCHES = 0.5, 0.55, 0.1, 0.5


def check_installed() -> None:
    """Raise `InputError`, with the cure, unless matplotlib is there."""
    if importlib.util.find_spec("matplotlib") is None:
        raise InputError("a picture needs matplotlib: pip install 'mt3lite[plot]'")


def write_piano_roll(
    transcribed: np.ndarray,
    path: str | os.PathLike,
    *,
    title: str,
    duration_seconds: float,
    granularity: str,
    bar_seconds: np.ndarray | None = None,
) -> None:
    """Draw notes into a picture file; the louder a note, the thicker. Arguments as for `piano_roll`.

    Args:
        transcribed: array of ``notes.NOTE_DTYPE``.
        path: of the picture; its suffix says the format, .png, .svg or .pdf.
        title: written above it.
        duration_seconds: where the time axis ends.
        granularity: how finely instruments are named, one of ``instruments.GRANULARITIES``.
        bar_seconds: where bars begin.

    Raises:
        InputError: matplotlib is not installed, or the file cannot be written.
    """
    figure = piano_roll(
        {"": transcribed},
        title=title,
        duration_seconds=duration_seconds,
        granularity=granularity,
        bar_seconds=bar_seconds,
    )
    drawing.save(figure, path)


def write_comparison(
    target: np.ndarray,
    predicted: np.ndarray,
    path: str | os.PathLike,
    *,
    title: str,
    duration_seconds: float,
    granularity: str,
) -> None:
    """Draw what was played above what was found, on the same axes, into a picture file; else as `write_piano_roll`.

    Raises:
        InputError: matplotlib is not installed, or the file cannot be written.
    """
    sides = {"played": target, "found": predicted}
    drawing.save(piano_roll(sides, title=title, duration_seconds=duration_seconds, granularity=granularity), path)


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
    drums = groups.pop(DRUMS, notes.empty())
    drum_pitches = np.unique(drums["pitch"])
    rows = [7, 0.22 * len(drum_pitches) + 0.5] if len(drum_pitches) else [7]
    figure = Figure(figsize=(13, 1 + sum(rows)), dpi=drawing.PIXELS_PER_INCH, layout="constrained")
    panels = figure.subplots(len(rows), 1, sharex=True, squeeze=False, height_ratios=rows)[:, 0]
    panel = panels[0]

    _draw_frames(panel, frames, frame_seconds, bin_pitches)
    key = {}
    for index, (name, mine) in enumerate(groups.items()):
        colour = drawing.COLOURS[index % len(drawing.COLOURS)]
        key[f"{name} ({len(mine)})"] = colour
        offsets = np.where(mine["offset"] >= segment_seconds, 2 * frame_seconds[-1], mine["offset"])
        # Each instrument a little thinner than the last: in unison they would hide each other.
        heights = np.full(len(mine), 0.75 - 0.12 * (index % 4))
        colours = np.full(len(mine), colour, object)
        drawing.bars(panel, mine["onset"], offsets, mine["pitch"], heights, colours, opacity=0.3, linewidth=1.4)
    drawing.legend(panel, key)
    if len(drum_pitches):
        _draw_drums(panels[1], drums, drum_pitches)
    for each in panels:
        _mark_segment(each, segment_seconds, frame_seconds)
    drawing.set_title(panel, title, most_letters=100)
    panels[-1].set_xlabel("time in the segment (s)")
    drawing.save(figure, path)


def piano_roll(
    sides: Mapping[str, np.ndarray],
    *,
    title: str,
    duration_seconds: float,
    granularity: str,
    bar_seconds: np.ndarray | None = None,
):
    """Draw notes, or several sides of one piece below each other on the same axes.

    A piece of more than `LONGEST_SYSTEM_SECONDS` goes on below, and more instruments than there are colours share
    several panels.

    Args:
        sides: arrays of ``notes.NOTE_DTYPE`` by what is written beside them.
        title: written above.
        duration_seconds: where the time axis ends.
        granularity: how finely instruments are named, one of ``instruments.GRANULARITIES``.
        bar_seconds: float64 [bars], where bars begin, which have lines then in place of seconds; or None.

    Returns:
        The ``matplotlib.figure.Figure``.

    Raises:
        InputError: matplotlib is not installed.
    """
    check_installed()
    from matplotlib.figure import Figure

    panels = _panels(sides, granularity)
    layout = _Layout.of(panels, duration_seconds if duration_seconds > 0 else 1.0)
    # Figure without pyplot: no window system is asked for, and no global state is touched.
    figure = Figure(figsize=(layout.width, layout.height), dpi=drawing.PIXELS_PER_INCH)
    for system, (start_seconds, end_seconds) in enumerate(layout.spans()):
        for index, panel in enumerate(panels):
            axes = figure.add_axes(layout.place(system, index))
            panel.draw(axes, start_seconds, end_seconds, layout.roll_width)
            if end_seconds > layout.duration_seconds:
                axes.axvspan(layout.duration_seconds, end_seconds, facecolor="#e4e4e4", edgecolor="none", zorder=3)
            drawing.finish(axes, bar_seconds)
            if index + 1 < len(panels):
                axes.tick_params(axis="x", labelbottom=False, length=0)
    figure.axes[-1].set_xlabel("time (s)")
    drawing.set_title(figure.axes[0], title, most_letters=int(layout.width / 0.12))
    return figure


@dataclass(frozen=True)
class _Panel:
    """Notes that share an axis of pitch, or the lanes of drums, all through the piece."""

    side: str  # written beside it
    notes: np.ndarray  # of notes.NOTE_DTYPE, what lies below others first
    colours: np.ndarray  # str [n]
    half_heights: np.ndarray  # float [n]
    key: dict[str, str]  # colours by what the legend calls them
    pitches: np.ndarray  # int, ascending: those of the axis, or of the lanes
    is_drums: bool

    def inches(self, per_semitone: float) -> float:
        """Return the height, which is enough for the legend."""
        if self.is_drums:
            return max(DRUM_LANE_INCHES * len(self.pitches), LINE_INCHES) + 0.06
        return max(per_semitone * len(self.pitches), LINE_INCHES * len(self.key) + 0.1)

    def draw(self, axes, start_seconds: float, end_seconds: float, roll_inches: float) -> None:
        """Draw a stretch of time."""
        second_inches = roll_inches / (end_seconds - start_seconds)
        lengths = self.notes["offset"] - self.notes["onset"]
        if self.is_drums:
            drawing.lanes(axes, self.pitches)
            lengths = np.full(len(lengths), drawing.DRUM_INCHES / second_inches)
        else:
            drawing.keys(axes, int(self.pitches[0]), int(self.pitches[-1]))
            gaps = np.minimum(drawing.GAP_INCHES / second_inches, lengths / 4)
            lengths = np.maximum(lengths - gaps, drawing.NARROWEST_INCHES / second_inches)
        left, right = self.notes["onset"], self.notes["onset"] + lengths
        here = (left < end_seconds) & (right > start_seconds)
        rows = np.searchsorted(self.pitches, self.notes["pitch"]) if self.is_drums else self.notes["pitch"]
        drawing.bars(axes, *(each[here] for each in (left, right, rows, self.half_heights, self.colours)))
        axes.set_xlim(start_seconds, end_seconds)
        axes.set_ylabel(self.side, fontsize=10)
        drawing.legend(axes, self.key)
        if not len(self.notes):
            axes.text(0.5, 0.5, "no notes", transform=axes.transAxes, ha="center", va="center", color="#666666")


@dataclass(frozen=True)
class _Layout:
    """Where everything is, in inches; a system is a stretch of time with all panels below each other."""

    heights: tuple[float, ...]  # of the panels
    num_systems: int
    system_seconds: float
    duration_seconds: float
    left: float
    roll_width: float
    right: float

    @classmethod
    def of(cls, panels: Sequence[_Panel], duration_seconds: float) -> "_Layout":
        """Divide a piece into systems that fit into a picture."""
        is_long = duration_seconds > LONGEST_SYSTEM_SECONDS
        is_alone = not is_long and sum(not panel.is_drums for panel in panels) == 1
        heights = tuple(panel.inches(SEMITONE_INCHES[not is_alone]) for panel in panels)
        one = sum(heights) + GAP_INCHES * (len(heights) - 1) + SYSTEM_GAP_INCHES
        most = min(MOST_SYSTEMS, max(1, int((MOST_INCHES - TOP_INCHES - BOTTOM_INCHES) / one)))
        system_seconds = duration_seconds
        if is_long:
            fitting = (seconds for seconds in SYSTEM_SECONDS if seconds * most >= duration_seconds)
            system_seconds = next(fitting, duration_seconds / most)
        letters = max((len(name) for panel in panels for name in panel.key), default=0)
        return cls(
            heights,
            math.ceil(duration_seconds / system_seconds),
            system_seconds,
            duration_seconds,
            left=1.6 if any(panel.is_drums for panel in panels) else 0.75,
            roll_width=float(np.clip(system_seconds * SECOND_INCHES, *ROLL_INCHES)),
            right=0.45 + LETTER_INCHES * letters,
        )

    @property
    def width(self) -> float:
        """Of the picture."""
        return self.left + self.roll_width + self.right

    @property
    def system_height(self) -> float:
        """Of the panels and what is between them."""
        return sum(self.heights) + GAP_INCHES * (len(self.heights) - 1)

    @property
    def height(self) -> float:
        """Of the picture."""
        between = SYSTEM_GAP_INCHES * (self.num_systems - 1)
        return TOP_INCHES + self.num_systems * self.system_height + between + BOTTOM_INCHES

    def spans(self) -> list[tuple[float, float]]:
        """Return where each system begins and ends, in seconds."""
        return [(index * self.system_seconds, (index + 1) * self.system_seconds) for index in range(self.num_systems)]

    def place(self, system: int, index: int) -> tuple[float, float, float, float]:
        """Return left, bottom, width and height of a panel as fractions of the picture."""
        top = TOP_INCHES + system * (self.system_height + SYSTEM_GAP_INCHES)
        top += sum(self.heights[:index]) + GAP_INCHES * index
        bottom = self.height - top - self.heights[index]
        inches = (self.left / self.width, self.roll_width / self.width)
        return inches[0], bottom / self.height, inches[1], self.heights[index] / self.height


def _panels(sides: Mapping[str, np.ndarray], granularity: str) -> list[_Panel]:
    """Divide the notes into panels; those of each side have the same instruments, colours and pitches."""
    everything = outputs.by_instrument(np.concatenate(list(sides.values())), granularity)
    drums = everything.pop(DRUMS, notes.empty())
    num_panels = math.ceil(len(everything) / len(drawing.COLOURS)) or (0 if len(drums) else 1)
    # Programs are in order, so that what is alike stays together.
    shares = np.array_split(np.array(list(everything), object), num_panels) if num_panels else []
    panels = []
    for side, mine in sides.items():
        groups = outputs.by_instrument(mine, granularity)
        for names in shares:
            pitches = np.concatenate([everything[name]["pitch"] for name in names]) if len(names) else np.array([60])
            panels.append(_pitched_panel(side, {name: groups.get(name, notes.empty()) for name in names}, pitches))
        if len(drums):
            hit = groups.get(DRUMS, notes.empty())
            key = {f"{DRUMS} ({len(hit)})": drawing.DRUM_COLOUR}
            colours, heights = np.full(len(hit), drawing.DRUM_COLOUR, object), drawing.half_heights(hit)
            panels.append(_Panel(side, hit, colours, heights, key, np.unique(drums["pitch"]), is_drums=True))
    return panels


def _pitched_panel(side: str, groups: dict[str, np.ndarray], pitches: np.ndarray) -> _Panel:
    """Return the panel of some instruments; where several play one pitch, each bar is thinner than what it lies on."""
    colours = dict(zip(groups, drawing.COLOURS, strict=False))
    mine = np.concatenate([*groups.values(), notes.empty()])
    owners = np.repeat(np.arange(len(groups)), [len(each) for each in groups.values()])
    order = np.argsort(mine["onset"], kind="stable")
    layers = drawing.layers(mine[order], owners[order])
    order = order[np.argsort(layers, kind="stable")]
    thinner = THINNER ** np.minimum(np.sort(layers), MOST_LAYERS)
    spare = max(0, FEWEST_PITCHES - (int(np.ptp(pitches)) + 3)) / 2
    low, high = int(pitches.min()) - 1 - math.ceil(spare), int(pitches.max()) + 1 + math.floor(spare)
    return _Panel(
        side,
        mine[order],
        np.array(drawing.COLOURS, object)[owners[order]],
        drawing.half_heights(mine[order]) * thinner,
        {f"{name} ({len(each)})": colours[name] for name, each in groups.items() if len(each)},
        np.arange(low, high + 1),
        is_drums=False,
    )


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


def _draw_drums(panel, drums: np.ndarray, drum_pitches: np.ndarray) -> None:
    """Draw the drum notes of a segment, each drum in its lane."""
    drawing.lanes(panel, drum_pitches)
    rows, colours = np.searchsorted(drum_pitches, drums["pitch"]), np.full(len(drums), drawing.DRUM_COLOUR, object)
    ends = drums["onset"] + DRUM_SECONDS
    drawing.bars(panel, drums["onset"], ends, rows, drawing.half_heights(drums), colours)
    drawing.legend(panel, {f"{DRUMS} ({len(drums)})": drawing.DRUM_COLOUR})
