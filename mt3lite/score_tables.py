"""Scores -> lines of text for a terminal."""

import math
from collections.abc import Sequence

from mt3lite import metrics
from mt3lite.metrics import Confusion, Rows
from mt3lite.pooling import Interval


def main_scores(names: Sequence[str]) -> list[str]:
    """Return the names of the F1 scores among the names, without those of the tolerance sweep."""
    sweep = tuple(f"({seconds})" for seconds in metrics.SWEEP_SECONDS)
    return [name for name in names if metrics.F1_NAME.search(name) and not name.endswith(sweep)]


def three_names(name: str) -> tuple[str, str, str]:
    """Return the names of precision, recall and F1 that belong to the name of an F1 score."""
    return metrics.renamed(name, "precision"), metrics.renamed(name, "recall"), name


def label(name: str) -> str:
    """Return the name of an F1 score without "F1"."""
    return " ".join(metrics.renamed(name, "").split())


def table(scores: dict[str, float] | dict[str, Interval]) -> str:
    """Return the main scores of ``metrics.score`` or ``pooling`` as lines of text; "-" where one is undefined."""
    lines = [["", "precision", "recall", "F1"]]
    for name in main_scores(list(scores)):
        lines.append([label(name), *(cell(scores[each]) for each in three_names(name))])
    return aligned(lines)


def row_cells(rows: Rows) -> list[list[str]]:
    """Return the rows of ``by_instrument``, ``by_drum_class`` or ``total`` as cells, a line of headings first."""
    lines = [["", "reference", "estimated", "onset precision", "onset recall", "onset F1", "onset + offset F1"]]
    for name, row in rows.items():
        onset = row["Onset F1"]
        offset_f1 = row["Onset + offset F1"].f1 if "Onset + offset F1" in row else math.nan
        cells = map(cell, (onset.precision, onset.recall, onset.f1, offset_f1))
        lines.append([name, str(onset.reference), str(onset.estimated), *cells])
    return lines


def row_table(rows: Rows) -> str:
    """Return ``row_cells`` as lines of text."""
    return aligned(row_cells(rows))


def confusion_cells(confusion: Confusion) -> list[list[str]]:
    """Return a confusion as cells: a line for each instrument of the reference, a column for each of the estimate.

    Instruments are in the order in which the reference has most notes of them, what was not there at all is last.
    """
    sizes: dict[str, int] = {}
    for row, counted in confusion.items():
        for column, number in counted.items():
            sizes[row] = sizes.get(row, 0) + number
            sizes.setdefault(column, 0)
    order = sorted(sizes, key=lambda name: (name == metrics.NOTHING, -sizes[name], name))
    used = {column for counted in confusion.values() for column in counted}
    columns = [name for name in order if name in used]
    lines = [["played as", *columns]]
    for row in order:
        if row in confusion:
            lines.append([row, *(str(confusion[row].get(column, "")) for column in columns)])
    return lines


def confusion_table(confusion: Confusion) -> str:
    """Return ``confusion_cells`` as lines of text."""
    return aligned(confusion_cells(confusion))


def cell(value: float | Interval) -> str:
    """Return a score with three digits, or "-"; an interval as ``0.500 [0.400, 0.600]``."""
    if isinstance(value, Interval):
        return "-" if math.isnan(value.value) else f"{cell(value.value)} [{cell(value.low)}, {cell(value.high)}]"
    return "-" if math.isnan(value) else f"{value:.3f}"


def aligned(lines: list[list[str]]) -> str:
    """Return the cells in columns: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    texts = []
    for first, *others in lines:
        cells = [first.ljust(widths[0]), *(text.rjust(width) for text, width in zip(others, widths[1:], strict=True))]
        texts.append("  ".join(cells).rstrip())
    return "\n".join(texts)
