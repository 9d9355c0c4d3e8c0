"""Scores of what `peers.py` had transcribed: by group of recordings and tool, as JSON and as tables."""

import json
from collections.abc import Callable
from pathlib import Path

import environments
import numpy as np
import peer_tools
from peer_recordings import Recording

from mt3lite import files, notes, scoring

README = Path(__file__).resolve().parent.parent / "README.md"
README_MARKS = ("<!-- scores of benchmarks/peers.py -->", "<!-- end of scores -->")
PROGRAM_SCORE = "Onset + offset + program F1 (midi_class)"
HEADS = {  # of the table: what a column shows
    "onset F1": "Onset F1",
    "onset + offset F1": "Onset + offset F1",
    "with instrument F1": PROGRAM_SCORE,
    "drum onset F1, by class": scoring.DRUM_CLASS_SCORE,
}

Scores = dict[str, list[scoring.PieceScore]]  # of a tool, by group


def score(recordings: list[Recording], target_of: Callable[[Recording], Path]) -> Scores:
    """Return the scores of what a tool has transcribed; `target_of` tells where that is kept."""
    groups: Scores = {}
    for each in recordings:
        path = target_of(each)
        if not peer_tools.is_done(each, path):
            continue
        told = json.loads(path.with_suffix(".json").read_text())
        piece = scoring.score_piece(
            f"{each.set_name}/{each.id}",
            each.reference,
            notes.read_midi(path),
            invalid_events=told.get("invalid_events"),
            dropped_events=told.get("dropped_events"),
        )
        groups.setdefault(each.group, []).append(piece)
    return groups


def summary_of(tool: str, pieces: list[scoring.PieceScore]) -> dict:
    """Return the scores of a group that are shown: value, low, high.

    Left out are those that a tool cannot have, and those of what the references have none of, drums or other notes.
    """
    pooled = scoring.summarise(pieces).pooled
    shown = []
    if any(piece.counts["Onset F1"].reference for piece in pieces):
        shown += ["Onset F1", "Onset precision", "Onset recall", "Onset + offset F1", "Frame F1"]
        shown += [PROGRAM_SCORE] if tool in peer_tools.HAS_INSTRUMENTS else []
    if tool in peer_tools.HAS_INSTRUMENTS and any(piece.counts[scoring.DRUM_CLASS_SCORE].reference for piece in pieces):
        shown += ["Drum onset F1 (full)", scoring.DRUM_CLASS_SCORE]
    result = {"pieces": [piece.id for piece in pieces]}
    for name in shown:
        interval = pooled[name]
        if not np.isnan(interval.value):
            result[name] = [round(value, 4) for value in (interval.value, interval.low, interval.high)]
    return result


def compare(scores: dict[str, Scores], before: dict) -> dict:
    """Return the scores by group and tool.

    Args:
        scores: of each tool that was run.
        before: the results of an earlier run; what they tell of other tools and groups is kept.

    Where a peer has fewer pieces of a group than mt3lite, there is a further line with mt3lite on those.
    """
    results: dict[str, dict] = {}
    for group in dict.fromkeys([*(group for found in scores.values() for group in found), *before]):
        kept = before.get(group, {})
        told = {tool: kept[tool] for tool in environments.ENVIRONMENTS if tool in kept}
        told |= {tool: summary_of(tool, found[group]) for tool, found in scores.items() if group in found}
        row = results.setdefault(group, {})
        for tool in (tool for tool in environments.ENVIRONMENTS if tool in told):
            line = f"mt3lite, on {tool}'s pieces"
            ours = scores.get("mt3lite", {}).get(group, [])
            same = [piece for piece in ours if piece.id in told[tool]["pieces"]]
            if 0 < len(same) < len(ours):
                row[line] = summary_of("mt3lite", same)
            elif not ours and kept.get(line, {}).get("pieces") == told[tool]["pieces"]:
                row[line] = kept[line]  # mt3lite was not run
            row[tool] = told[tool]
    return results


def table(results: dict) -> str:
    """Return the scores as a Markdown table: a line for each group and tool, then mt3lite on a peer's pieces alone."""
    lines = [f"| {' | '.join(['music', 'tool', 'pieces', *HEADS])} |", "|---" * (len(HEADS) + 3) + "|"]
    for group, row in results.items():
        for tool, found in row.items():
            values = []
            for name in HEADS.values():
                value, low, high = found.get(name, [np.nan] * 3)
                values.append("–" if np.isnan(value) else f"{value:.2f} ({low:.2f}–{high:.2f})")
            lines.append("| " + " | ".join([group, tool, str(len(found["pieces"])), *values]) + " |")
    return "\n".join(lines) + "\n"


def readme_table(results: dict) -> str:
    """Return the short table of the README: onset F1 and onset + offset F1 by music and tool."""
    shown = [tool for tool in environments.ENVIRONMENTS if any(tool in row for row in results.values())]
    lines = ["| music | " + " | ".join(shown) + " |", "|---" * (len(shown) + 1) + "|"]
    for group, row in results.items():
        cells = [_readme_cell(row, tool) for tool in shown]
        if any(cell != "–" for cell in cells):
            lines.append("| " + " | ".join([group, *cells]) + " |")
    return "\n".join(lines) + "\n"


def _readme_cell(row: dict, tool: str) -> str:
    """Return the two scores of a tool; for one that has fewer pieces, how many, and mt3lite's on those."""

    def two(told: dict) -> str:
        return " / ".join(f"{told[name][0]:.2f}" for name in ("Onset F1", "Onset + offset F1"))

    if "Onset F1" not in row.get(tool, {}):
        return "–"
    number = len(row[tool]["pieces"])
    if number == len(row.get("mt3lite", row[tool])["pieces"]):
        return two(row[tool])
    ours = row.get(f"mt3lite, on {tool}'s pieces")
    there = f"; mt3lite there {two(ours)}" if ours else ""
    return f"{two(row[tool])} ({number} piece{'s' * (number > 1)}{there})"


def update_readme(text: str) -> None:
    """Put a table between its two marks in the README."""
    readme = README.read_text(encoding="utf-8")
    begin, end = (readme.index(mark) for mark in README_MARKS)
    with files.atomic_path(README) as temporary:
        temporary.write_text(f"{readme[:begin]}{README_MARKS[0]}\n{text}{readme[end:]}", encoding="utf-8")
