"""``mt3lite evaluate``: the scores of one MIDI file against another, or of a model on a dataset."""

import argparse
import json
import math
import sys

import tqdm

from mt3lite import files, metrics, notes


def run(arguments: argparse.Namespace) -> int:
    """Print scores, then a row for each instrument; return the exit code.

    Raises:
        InputError: a MIDI file, the dataset or the model cannot be read.
    """
    if arguments.estimate is None:
        return _evaluate_model(arguments)
    reference, estimate = notes.read_midi(arguments.reference), notes.read_midi(arguments.estimate)
    scores = metrics.score(reference, estimate)
    print(metrics.table(scores))
    print()
    print(metrics.row_table(metrics.by_instrument(reference, estimate, granularity="midi_class")))
    if arguments.json:
        _write_json(arguments.json, {"scores": {name: _number(value) for name, value in scores.items()}})
    return 0


def _evaluate_model(arguments: argparse.Namespace) -> int:
    """Transcribe a split of a dataset; print pooled scores with their intervals, instruments and drum classes."""
    from mt3lite import transcriber
    from mt3lite.commands import compilation
    from mt3lite.training import datasets, evaluation

    tracks = datasets.of_split(datasets.read_manifest(arguments.reference), arguments.split)
    compilation.use_cache()
    model = transcriber.load(arguments.model)
    with tqdm.tqdm(total=len(tracks), unit="track", leave=False, disable=not sys.stderr.isatty()) as bar:
        scores = evaluation.evaluate(model, tracks, progress=lambda _: bar.update())
    pooled = metrics.pooled([score.counts for score in scores])
    print(f"{len(tracks)} tracks, pooled; 95 % intervals by bootstrap over tracks\n{metrics.table(pooled)}\n")
    print(metrics.row_table(metrics.total(score.instruments for score in scores)), end="\n\n")
    print(metrics.row_table(metrics.total(score.drum_classes for score in scores)), end="\n\n")
    invalid, dropped = (sum(getattr(score, f"{kind}_events") for score in scores) for kind in ("invalid", "dropped"))
    print(f"tokens skipped: {invalid} invalid, {dropped} dropped")
    if arguments.json:
        rows = {name: [_number(each.value), _number(each.low), _number(each.high)] for name, each in pooled.items()}
        tracks_f1 = {score.id: _number(score.counts["Onset F1"].f1) for score in scores}
        about = {"model": model.model.config.name, "invalid_events": invalid, "dropped_events": dropped}
        _write_json(arguments.json, {**about, "scores (value, low, high)": rows, "Onset F1 by track": tracks_f1})
    return 0


def _number(value: float) -> float | None:
    """Return a score as JSON has it: None where it is undefined."""
    return None if math.isnan(value) else round(value, 6)


def _write_json(path, content: dict) -> None:
    with files.atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
