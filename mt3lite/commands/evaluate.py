"""``mt3lite evaluate``: the scores of transcriptions, or of a model on a dataset."""

import argparse
import concurrent.futures
import functools
import multiprocessing
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import tqdm

import mt3lite
from mt3lite import files, note_files, processes, score_files, score_page, score_tables, scoring, standard_error
from mt3lite.commands import pairs, quiet
from mt3lite.errors import InputError, printable
from mt3lite.scoring import Scored, Summary

PIECES_LISTED = 5  # with the lowest scores, on the terminal
FEWEST_PIECES_A_PROCESS = 20  # below that a process takes longer to start than it saves


class _Screen:
    """Complaints on stderr, above one progress bar."""

    def __init__(self, total: int, quiet: bool):
        hidden = quiet or not sys.stderr.isatty()
        self._bar = tqdm.tqdm(total=total, unit="piece", leave=False, disable=hidden)
        self.num_problems = 0

    def warn(self, line: str) -> None:
        """Tell of something odd."""
        with self._bar.external_write_mode():
            standard_error.tell(line)

    def complain(self, line: str) -> None:
        """Tell of something that could not be done."""
        self.num_problems += 1
        self.warn(line)

    def count(self, pieces: Iterable[Scored]) -> list[Scored]:
        """Collect pieces, moving the bar."""
        collected = []
        for piece in pieces:
            collected.append(piece)
            self._bar.update()
        self._bar.close()
        return collected


def run(arguments: argparse.Namespace) -> int:
    """Score, print the tables and write the files that are asked for; return the exit code.

    Raises:
        InputError: something that concerns all of the work: no such folder, no such model, an output in the way.
    """
    for path in filter(None, (arguments.json, arguments.csv, arguments.html)):
        files.check_writable(path)
    settings = scoring.Settings(arguments.granularity, arguments.compatibility)
    evaluate = _evaluate_files if arguments.estimate is not None else _evaluate_model
    pieces, about, screen = evaluate(arguments, settings)
    if not pieces:
        raise InputError("nothing could be scored")
    summary = scoring.summarise([piece.score for piece in pieces])
    print(printable(_tables(pieces, about, summary)))
    _write(arguments, pieces, about, summary)
    return 1 if screen.num_problems else 0


# --- files against files ---


def _evaluate_files(arguments: argparse.Namespace, settings: scoring.Settings) -> tuple[list[Scored], dict, _Screen]:
    """Score one pair of files, or the pairs of two folders."""
    found, lines = pairs.find(arguments.reference, arguments.estimate)
    screen = _Screen(len(found), quiet=len(found) == 1)
    for line in lines:
        screen.complain(line)
    single = not arguments.reference.is_dir()
    pieces = []
    for result in screen.count(_score_pairs(found, settings, arguments.jobs)):
        if isinstance(result, str):
            if single:
                raise InputError(result)
            screen.complain(f"left out: {result}")
        else:
            pieces.append(result)
    for piece in pieces:
        if not piece.score.num_reference:
            screen.warn(f"{piece.score.id}: the reference has no notes, so whatever the estimate has is wrong")
    return pieces, {"reference": str(arguments.reference), "estimate": str(arguments.estimate)}, screen


def _score_pairs(found: list[pairs.Pair], settings: scoring.Settings, jobs: int | None) -> Iterator[Scored | str]:
    """Yield the score of each pair, or a line about why there is none."""
    score = functools.partial(_score_pair, settings=settings)
    jobs = min(jobs or len(os.sched_getaffinity(0)), -(-len(found) // FEWEST_PIECES_A_PROCESS))
    if jobs <= 1:
        yield from map(score, found)
        return
    # Not "fork": note-seq may have started threads, and a forked child may hang on their locks.
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(jobs, context, initializer=quiet.libraries) as pool:
        try:
            with processes.born_deaf():
                results = pool.map(score, found, chunksize=4)
            yield from results
        finally:
            pool.shutdown(cancel_futures=True)


def _score_pair(pair: pairs.Pair, settings: scoring.Settings) -> Scored | str:
    try:
        reference, estimate = note_files.read(pair.reference), note_files.read(pair.estimate)
        return Scored(scoring.score_piece(pair.id, reference, estimate, settings), reference, estimate)
    except InputError as error:
        return str(error)


# --- a model on a dataset ---


def _evaluate_model(arguments: argparse.Namespace, settings: scoring.Settings) -> tuple[list[Scored], dict, _Screen]:
    """Transcribe and score a split of a dataset."""
    from mt3lite import transcriber
    from mt3lite.commands import compilation
    from mt3lite.training import datasets, evaluation

    tracks = datasets.of_split(datasets.read_manifest(arguments.reference), arguments.split)
    model = transcriber.load(arguments.model, program_folder=compilation.folder(), precision=arguments.precision)
    screen = _Screen(len(tracks), quiet=False)
    pieces = screen.count(
        evaluation.evaluate(
            model,
            tracks,
            settings,
            tuning_hz=arguments.tuning,
            workdir=_workdir(arguments),
            complain=screen.complain,
        )
    )
    about = {
        "model": model.model.config.name,
        "model_key": evaluation.model_key(model.model),
        "dataset": str(arguments.reference),
        "split": arguments.split,
        "decoding_precision": arguments.precision,
        "tuning_hz": arguments.tuning,  # None: as each piece was heard to be tuned
    }
    return pieces, about, screen


def _workdir(arguments: argparse.Namespace) -> Path | None:
    """Return where transcriptions are kept: the folder that was named, or one beside the JSON file."""
    if arguments.workdir is not None:
        return arguments.workdir
    return arguments.json.with_name(f"{arguments.json.name}.work") if arguments.json else None


# --- what comes of it ---


def _tables(pieces: list[Scored], about: dict, summary: Summary) -> str:
    """Return the tables as text."""
    several = len(pieces) > 1
    scores = summary.pooled if several else pieces[0].score.scores
    parts = []
    if several:
        parts.append(f"{_heading(about)}: {len(pieces)} pieces, pooled; 95 % intervals by bootstrap over the pieces")
    parts += [score_tables.table(scores), score_tables.row_table(summary.instruments)]
    if summary.drum_classes:
        parts.append(score_tables.row_table(summary.drum_classes))
    if len(summary.instruments) > 1:
        parts.append("Notes by the instrument they were given to\n" + score_tables.confusion_table(summary.confusion))
    if several:
        parts.append(_lowest(pieces))
    closing = [f"correlation of matched notes' velocities: {score_tables.cell(summary.velocity_correlation.value)}"]
    if summary.invalid_events is not None:
        closing.append(f"tokens skipped: {summary.invalid_events} invalid, {summary.dropped_events} dropped")
    return "\n\n".join(part for part in [*parts, "\n".join(closing)] if part)


def _heading(about: dict) -> str:
    if "model" in about:
        return f"{about['model']} on {about['dataset']}, {about['split']}"
    return f"{about['estimate']} against {about['reference']}"


def _lowest(pieces: list[Scored]) -> str:
    """Return the pieces with the lowest scores."""
    name = "Onset + offset + program F1 (flat)"
    ranked = sorted(pieces, key=lambda piece: (piece.score.scores[name], piece.score.id))[:PIECES_LISTED]
    lines = [["lowest", "reference", "estimated", "onset F1", "onset + offset F1", "drum onset F1"]]
    for piece in ranked:
        score = piece.score
        values = (score.scores[each] for each in ("Onset F1", "Onset + offset F1", "Drum onset F1 (flat)"))
        lines.append([score.id, str(score.num_reference), str(score.num_estimated), *map(score_tables.cell, values)])
    return score_tables.aligned(lines)


def _write(arguments: argparse.Namespace, pieces: list[Scored], about: dict, summary: Summary) -> None:
    """Write the files that are asked for."""
    scores = [piece.score for piece in pieces]
    about = {"mt3lite": mt3lite.__version__, **about, "compatibility": arguments.compatibility}
    if arguments.json:
        score_files.write_json(arguments.json, about, scores, summary)
    if arguments.csv:
        score_files.write_csv(arguments.csv, scores, summary)
    if arguments.html:
        remark = f"{len(pieces)} pieces, {sum(score.num_reference for score in scores)} notes"
        if len(pieces) == 1:
            remark = f"{scores[0].num_reference} notes"
        else:
            remark += "; small numbers are 95 % intervals, by bootstrap over the pieces"
        score_page.write(arguments.html, title=_heading(about), remarks=[remark], pieces=pieces, summary=summary)
