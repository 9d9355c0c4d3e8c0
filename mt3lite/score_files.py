"""Scores to files for other programs: JSON with everything, CSV with one line for each piece."""

import csv
import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict

from mt3lite import files
from mt3lite.metrics import Rows
from mt3lite.pooling import Interval
from mt3lite.scoring import PieceScore, Summary


def write_json(path: str | os.PathLike, about: dict, pieces: Sequence[PieceScore], summary: Summary) -> None:
    """Write one object: the entries of `about`, "pooled", "mean", the rows by instrument, ..., "pieces".

    A score is a number, or null where it is undefined; a pooled one or a mean is ``{"value": ..., "low": ..., "high":
    ...}``.

    Raises:
        InputError: the file cannot be written.
    """
    content = {
        **about,
        "num_pieces": len(pieces),
        "invalid_events": summary.invalid_events,
        "dropped_events": summary.dropped_events,
        "velocity_correlation": _interval(summary.velocity_correlation),
        "pooled": {name: _interval(each) for name, each in summary.pooled.items()},
        "mean": {name: _interval(each) for name, each in summary.mean.items()},
        "instruments": _rows(summary.instruments),
        "drum_classes": _rows(summary.drum_classes),
        "confusion": summary.confusion,
        "pieces": [_piece(piece) for piece in pieces],
    }
    with files.atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _piece(piece: PieceScore) -> dict:
    return {
        "id": piece.id,
        "reference_notes": piece.num_reference,
        "estimated_notes": piece.num_estimated,
        "invalid_events": piece.invalid_events,
        "dropped_events": piece.dropped_events,
        "velocity_correlation": number(piece.velocities.correlation),
        "scores": {name: number(value) for name, value in piece.scores.items()},
        "instruments": _rows(piece.instruments),
    }


def write_csv(path: str | os.PathLike, pieces: Sequence[PieceScore], summary: Summary) -> None:
    """Write a line of names, one line for each piece, then lines for the scores of all, with their intervals' ends.

    Those have ``(pooled)``, ``(pooled, low)``, ... in place of the id; an undefined score is an empty cell.

    Raises:
        InputError: the file cannot be written.
    """
    names = list(summary.pooled)
    sizes = ["reference_notes", "estimated_notes", "invalid_events", "dropped_events", "velocity_correlation"]
    with files.atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["id", *sizes, *names])
        for piece in pieces:
            told = _piece(piece)
            writer.writerow([piece.id, *(told[size] for size in sizes), *(told["scores"][name] for name in names)])
        notes = sum(piece.num_reference for piece in pieces), sum(piece.num_estimated for piece in pieces)
        for kind, scores in (("pooled", summary.pooled), ("mean", summary.mean)):
            for part in ("value", "low", "high"):
                label = f"({kind})" if part == "value" else f"({kind}, {part})"
                correlation = number(getattr(summary.velocity_correlation, part)) if kind == "pooled" else None
                events = summary.invalid_events, summary.dropped_events
                values = (number(getattr(scores[name], part)) for name in names)
                writer.writerow([label, *notes, *events, correlation, *values])


def number(value: float) -> float | None:
    """Return a score as JSON has it: None where it is undefined."""
    return None if math.isnan(value) else round(value, 6)


def _interval(interval: Interval) -> dict:
    return {part: number(value) for part, value in asdict(interval).items()}


def _rows(rows: Rows) -> dict:
    """Return rows with counts and the three scores that come of them."""
    return {
        row_name: {
            name: {
                **asdict(count),
                "precision": number(count.precision),
                "recall": number(count.recall),
                "f1": number(count.f1),
            }
            for name, count in row.items()
        }
        for row_name, row in rows.items()
    }
