"""Scores to one HTML page that needs nothing else: tables, and piano rolls of reference, estimate and errors.

The three kinds of error differ in colour, in lightness and in how they are filled, so that they can be told apart by
colour-blind people and on a grey print. The colours are Okabe and Ito's ("Color Universal Design", 2008).
"""

import html
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mt3lite import files, instruments, matching, outputs, score_tables
from mt3lite.scoring import DRUM_CLASS_SCORE, Scored, Summary

PIXELS_PER_SECOND = 24
NARROWEST_PIXELS = 640  # of a roll, without its margin
SEMITONE_PIXELS = 4
DRUM_PIXELS = 10  # of a line of drums
DRUM_SECONDS = 0.12  # drawn length of a drum note, whose own length says nothing
MARGIN_PIXELS = 112  # left of a roll, for the names of pitches and drums
OPEN_PIECES = 3  # with more pieces on the page, their rolls are folded

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1b1f24; background: #fff; margin: 2rem auto; max-width: 76rem;
  padding: 0 1.5rem; }
h1 { font-size: 1.6rem; margin-bottom: .3rem; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
h3 { font-size: .95rem; margin: .9rem 0 .2rem; font-weight: 600; }
p { margin: .3rem 0; max-width: 60rem; } .quiet { color: #59636e; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .8rem; text-align: right; border-bottom: 1px solid #e2e5e9; white-space: nowrap; }
th { font-weight: 600; color: #59636e; border-bottom-color: #9aa4ae; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
td small { color: #59636e; } td.right { font-weight: 600; background: #e3f1fb; }
.wide { overflow-x: auto; } a { color: #0b5cad; }
details { border-top: 1px solid #e2e5e9; padding: .5rem 0; } summary { cursor: pointer; }
summary b { margin-right: .8rem; } svg { display: block; }
svg text { font: 10px system-ui, sans-serif; fill: #59636e; } .grid { stroke: #e2e5e9; } .drumline { fill: #f5f6f8; }
.note { fill: #3d4752; }
.hit { fill: #56b4e9; } .miss { fill: #fff; stroke: #d55e00; stroke-width: 1.4; } .extra { fill: #000; }
.key svg { display: inline; vertical-align: middle; margin: 0 .25rem 0 .9rem; } .key svg:first-child { margin-left: 0; }
"""


def write(
    path: str | os.PathLike, *, title: str, remarks: Sequence[str], pieces: Sequence[Scored], summary: Summary
) -> None:
    """Write the page.

    Args:
        path: of the page.
        title: its heading.
        remarks: lines below that.
        pieces: what to show.
        summary: their scores together.

    Raises:
        InputError: the file cannot be written.
    """
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        *(f'<p class="quiet">{html.escape(remark)}</p>' for remark in remarks),
        "<h2>Scores</h2>",
        _scores(summary, len(pieces)),
        "<h2>By instrument</h2>",
        _table(score_tables.row_cells(summary.instruments)),
    ]
    if summary.drum_classes:
        parts += ["<h2>By drum</h2>", _table(score_tables.row_cells(summary.drum_classes), without_empty=True)]
    if summary.confusion:
        parts += ["<h2>Which instrument the notes were given to</h2>", _confusion(summary)]
    if len(pieces) > 1:
        parts += ["<h2>Pieces</h2>", _list_of_pieces(pieces)]
    parts += ["<h2>Piano rolls</h2>", _key()]
    parts += [_piece(each, number, opened=len(pieces) <= OPEN_PIECES) for number, each in enumerate(pieces)]
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )
    with files.atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


# --- tables ---


def _scores(summary: Summary, num_pieces: int) -> str:
    """Return the table of the main scores, pooled, and the F1 as mean over pieces where there are several."""
    heads = ["", "precision", "recall", "F1"] + ["F1, mean of pieces"] * (num_pieces > 1)
    rows = [heads]
    for name in score_tables.main_scores(list(summary.pooled)):
        if math.isnan(summary.pooled[name].value):
            continue  # neither side has such notes
        cells = [_interval(summary.pooled[each], num_pieces) for each in score_tables.three_names(name)]
        cells += [_interval(summary.mean[name], num_pieces)] * (num_pieces > 1)
        rows.append([html.escape(score_tables.label(name)), *cells])
    remark = f"Correlation of matched notes' velocities: {score_tables.cell(summary.velocity_correlation.value)}."
    if summary.invalid_events is not None:
        remark += f" Tokens skipped: {summary.invalid_events} invalid, {summary.dropped_events} dropped."
    return _raw_table(rows) + f'<p class="quiet">{html.escape(remark)}</p>'


def _interval(interval, num_pieces: int) -> str:
    value = score_tables.cell(interval.value)
    if num_pieces < 2 or value == "-":
        return value
    return f"{value} <small>{score_tables.cell(interval.low)}–{score_tables.cell(interval.high)}</small>"


def _confusion(summary: Summary) -> str:
    """Return the table of the confusion, right instruments marked."""
    heads, *rows = score_tables.confusion_cells(summary.confusion)
    lines = [_line("th", [html.escape(head) for head in heads])]
    for name, *cells in rows:
        marked = "".join(
            f'<td class="right">{cell}</td>' if cell and head == name else f"<td>{cell}</td>"
            for head, cell in zip(heads[1:], cells, strict=True)
        )
        lines.append(f"<tr><td>{html.escape(name)}</td>{marked}</tr>")
    return f'<div class="wide"><table>{"".join(lines)}</table></div>'


def _table(rows: list[list[str]], *, without_empty: bool = False) -> str:
    """Return a table of text; `without_empty` leaves out columns of dashes."""
    kept = [
        number
        for number in range(len(rows[0]))
        if not without_empty or number == 0 or any(row[number] != "-" for row in rows[1:])
    ]
    return _raw_table([[html.escape(row[number]) for number in kept] for row in rows])


def _raw_table(rows: list[list[str]]) -> str:
    heads, *others = rows
    lines = [_line("th", heads), *(_line("td", row) for row in others)]
    return f'<div class="wide"><table>{"".join(lines)}</table></div>'


def _line(kind: str, cells: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<{kind}>{cell}</{kind}>" for cell in cells) + "</tr>"


def _list_of_pieces(pieces: Sequence[Scored]) -> str:
    names = [
        "Onset F1",
        "Onset + offset F1",
        "Onset + offset + program F1 (midi_class)",
        DRUM_CLASS_SCORE,
    ]
    rows = [["piece", "reference", "estimated", *(score_tables.label(name) + " F1" for name in names)]]
    for number, piece in enumerate(pieces):
        score = piece.score
        values = [score_tables.cell(score.scores[name]) for name in names]
        link = f'<a href="#piece-{number}">{html.escape(score.id)}</a>'
        rows.append([link, str(score.num_reference), str(score.num_estimated), *values])
    return _raw_table(rows)


# --- piano rolls ---


@dataclass(frozen=True)
class _Frame:
    """Where seconds, pitches and drums of a piece are in its pictures."""

    seconds: float
    low: int  # pitch
    high: int
    drum_pitches: np.ndarray  # those that either side has, ascending

    @property
    def width(self) -> float:
        return max(NARROWEST_PIXELS, self.seconds * PIXELS_PER_SECOND)

    @property
    def pitched_height(self) -> int:
        return (self.high - self.low + 1) * SEMITONE_PIXELS

    @property
    def height(self) -> int:
        drums = len(self.drum_pitches)
        return self.pitched_height + (drums * DRUM_PIXELS + 6 if drums else 0)

    def boxes(self, side: np.ndarray) -> list[tuple[float, float, float, float]]:
        """Return left, top, width and height of each note."""
        scale = self.width / self.seconds
        drums = side["is_drum"]
        left = MARGIN_PIXELS + np.maximum(side["onset"], 0) * scale
        seconds = np.where(drums, DRUM_SECONDS, side["offset"] - np.maximum(side["onset"], 0))
        rows = len(self.drum_pitches) - 1 - np.searchsorted(self.drum_pitches, side["pitch"])
        top = np.where(
            drums, self.pitched_height + 6 + rows * DRUM_PIXELS + 1, (self.high - side["pitch"]) * SEMITONE_PIXELS
        )
        height = np.where(drums, DRUM_PIXELS - 2, SEMITONE_PIXELS)
        width = np.maximum(seconds * scale - 0.6, 1.2)  # a gap between notes that follow each other
        return list(zip(left.tolist(), top.tolist(), width.tolist(), height.tolist(), strict=True))


def _frame(reference: np.ndarray, estimate: np.ndarray) -> _Frame:
    both = np.concatenate([reference, estimate])
    pitches = both["pitch"][~both["is_drum"]]
    low, high = (int(pitches.min()) - 2, int(pitches.max()) + 2) if len(pitches) else (60, 60)
    return _Frame(
        seconds=max(float(both["offset"].max(initial=0.0)), 1.0),
        low=low,
        high=max(high, low + 11),
        drum_pitches=np.unique(both["pitch"][both["is_drum"]]),
    )


def _piece(piece: Scored, number: int, *, opened: bool) -> str:
    reference, estimate = piece.reference, piece.estimate
    frame = _frame(reference, estimate)
    found = matching.match(reference, estimate, granularity="flat", offsets=False)
    kinds = {
        "hit": reference[found.hits[:, 0]],
        "extra": estimate[found.extras],
        "miss": reference[found.misses],
    }
    score = score_tables.cell(piece.score.scores["Onset F1"])
    counted = f"{len(found.hits)} hits, {len(found.misses)} misses, {len(found.extras)} extras"
    panels = [
        (f"Reference: {_instruments(reference)}", {"note": reference}),
        (f"Estimate: {_instruments(estimate)}", {"note": estimate}),
        (f"Errors: {counted}", kinds),
    ]
    rolls = "".join(f"<h3>{html.escape(title)}</h3>{_roll(frame, sides)}" for title, sides in panels)
    return (
        f'<details id="piece-{number}"{" open" if opened else ""}><summary><b>{html.escape(piece.score.id)}</b>'
        f'<span class="quiet">onset F1 {score}; {counted}</span></summary><div class="wide">{rolls}</div></details>'
    )


def _instruments(side: np.ndarray) -> str:
    groups = outputs.by_instrument(side, "midi_class")
    return ", ".join(f"{name} {len(mine)}" for name, mine in groups.items()) or "no notes"


def _roll(frame: _Frame, sides: dict[str, np.ndarray]) -> str:
    """Return one picture; each kind of note is a single path, thousands of elements would be slow to show."""
    paths = "".join(
        f'<path class="{kind}" d="' + "".join(map(_box, frame.boxes(side))) + '"/>'
        for kind, side in sides.items()
        if len(side)
    )
    width, height = frame.width + MARGIN_PIXELS + 8, frame.height + 20  # the names stand out above and below
    return (
        f'<svg width="{width:.0f}" height="{height}" viewBox="0 -4 {width:.0f} {height}" role="img">'
        f"{_grid(frame)}{paths}</svg>"
    )


def _box(box: tuple[float, float, float, float]) -> str:
    left, top, width, height = box
    return f"M{left:.1f} {top:g}h{width:.1f}v{height:g}h-{width:.1f}z"


def _grid(frame: _Frame) -> str:
    """Return lines at seconds and octaves, with their names, and the drums' names."""
    right, bottom = MARGIN_PIXELS + frame.width, frame.height
    lines, texts = [], []
    for row, pitch in enumerate(frame.drum_pitches[::-1].tolist()):
        top = frame.pitched_height + 6 + row * DRUM_PIXELS
        lines.append(f'<rect class="drumline" x="{MARGIN_PIXELS}" y="{top}" width="{frame.width:.0f}" height="9"/>')
        name = html.escape(instruments.drum_name(pitch))
        texts.append(f'<text x="{MARGIN_PIXELS - 6}" y="{top + 8}" text-anchor="end">{name}</text>')
    every = next(step for step in (1, 2, 5, 10, 30, 60) if step * frame.width / frame.seconds >= 60 or step == 60)
    for second in range(0, int(frame.seconds) + 1, every):
        x = f"{MARGIN_PIXELS + second * frame.width / frame.seconds:.1f}"
        lines.append(f'<path class="grid" d="M{x} 0V{bottom}"/>')
        texts.append(f'<text x="{x}" y="{bottom + 12}">{second} s</text>')
    for pitch in range(frame.low, frame.high + 1):
        if pitch % 12 == 0:
            y = (frame.high - pitch) * SEMITONE_PIXELS + SEMITONE_PIXELS / 2
            lines.append(f'<path class="grid" d="M{MARGIN_PIXELS} {y:g}H{right:.0f}"/>')
            # MIDI 60 is C4
            texts.append(f'<text x="{MARGIN_PIXELS - 6}" y="{y + 3:g}" text-anchor="end">C{pitch // 12 - 1}</text>')
    return "".join(lines + texts)


def _key() -> str:
    """Return what the colours mean."""
    boxes = (
        ("hit", "found: pitch right, onset within 50 ms"),
        ("miss", "missed: played, not found"),
        ("extra", "extra: found, not played"),
    )
    parts = [
        f'<svg width="26" height="11"><path class="{kind}" d="M2 2h22v7h-22z"/></svg>{text}' for kind, text in boxes
    ]
    return f'<p class="key">{"".join(parts)}</p>'
