"""Fits the constants by which what a model's heads hear becomes notes: those of hearing.py, agreement.py, offsets.py.

    data/models/small/fit.py record MODEL DATASET OUT [--split validation]
    data/models/small/fit.py ends OUT...
    data/models/small/fit.py sweep OUT... --constant NAME --values=-1.5,-1,-0.5 [--set NAME=VALUE...]

`record` keeps what the heads hear of each piece of a dataset, and the notes that were played: 7 MB a minute. `ends`
prints `_END_WEIGHT`, `_FRAME_WEIGHT` and `_ENDS`, of all pieces and of either half. `sweep` prints the pooled F1 scores
of the notes with a constant as it is, and at other values, while others are --set; NAME[35,36] stands for elements of
an array, and NAME[~35,36] for all but those. Where cores are shared, OPENBLAS_NUM_THREADS=1 is several times faster.

Notes are made without the decoder, of all onsets and strokes that are heard, each at its peak. So constants of the
hints alone make no difference here, and of `ONSET_FROM` and `DRUM_FROM` the decoder would do only a part.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import optimize

from mt3lite import agreement, codec, hearing, instruments, matching, metrics, network, notes, offsets, pooling
from mt3lite.errors import InputError
from mt3lite.frontend import LOWEST_PITCH, NUM_PITCHES
from mt3lite.incoming import Sound, segments_ahead
from mt3lite.metrics import Counts
from mt3lite.score_tables import aligned
from mt3lite.stopwatch import Stopwatch
from mt3lite.training import datasets
from mt3lite.transcriber import CPU_ENCODE
from mt3lite.vocabulary import Vocabulary
from mt3lite.weights import Model, load

_MODULES = hearing, agreement, offsets  # none of them imports a constant of another by its name
_TOGETHER = 32  # segments that are prepared together
_BESIDE = -1000.0  # logit of an onset or stroke beside its peak
_HALVES = {"": slice(None), ", one half": slice(0, None, 2), ", the other": slice(1, None, 2)}
_SCORES = {
    "onset": "Onset F1",
    "+ offset": "Onset + offset F1",
    "+ instrument": "Nondrum onset + offset + program F1 (midi_class)",
    "frame": "Frame F1",
}
Heard = list[hearing.Begun | None]  # of each segment


@dataclass(frozen=True)
class Piece:
    """What was recorded of a piece of S segments."""

    heads: dict[str, np.ndarray]  # float16 [S, P, ...]: logits of `note_heads.NoteHeads`
    is_silent: np.ndarray  # bool [S]
    edges: np.ndarray  # int64 [S + 1]: steps at which segments begin, and the last one ends
    reference: np.ndarray  # notes.NOTE_DTYPE, what was played
    shift_positions: np.ndarray  # float64 [2], see `network.NetworkConfig`
    steps_per_second: np.ndarray  # int64 []
    families_told: np.ndarray  # bool []

    def save(self, path: Path) -> None:
        """Write it; `read` reads it."""
        arrays: dict[str, Any] = {f"heads/{name}": logits for name, logits in self.heads.items()}
        arrays |= {name: value for name, value in vars(self).items() if name != "heads"}
        np.savez_compressed(path, **arrays)

    @classmethod
    def read(cls, path: Path) -> "Piece":
        """Read what `save` wrote."""
        with np.load(path) as file:
            arrays = dict(file)
        names = [name for name in arrays if name.startswith("heads/")]
        return cls(heads={name.removeprefix("heads/"): arrays.pop(name) for name in names}, **arrays)


def record(name: str, dataset: str, out: Path, split: str) -> None:
    """Write what a model's heads hear of each piece."""
    model, tracks = load(name), datasets.of_split(datasets.read_manifest(dataset), split)
    if not model.config.network.hearing:
        raise InputError(f"{name}: this model has no heads")
    transformer = network.Transformer(model.config.network)
    hear = jax.jit(lambda frames: transformer.apply({"params": model.params}, frames, method="encode").heads)
    out.mkdir(parents=True, exist_ok=True)
    for number, track in enumerate(tracks):
        recorded(model, hear, track).save(out / f"{number:05}.npz")
        print(f"{number + 1} of {len(tracks)}: {track.id}", flush=True)


def recorded(model: Model, hear: Callable[[np.ndarray], dict[str, jax.Array]], track: datasets.Track) -> Piece:
    """Return what is kept of a piece; `hear` returns the heads' logits of frames [B, F, bins]."""
    config, words = model.config, Vocabulary(model.config.vocabulary)
    rate, frame_rate = config.spectrogram.sample_rate, config.spectrogram.frames_per_second
    sound = Sound(track.audio or datasets.load_samples(track, rate), rate)
    frames, is_silent = zip(*segments_ahead(sound, config, Stopwatch()), strict=True)
    parts = []
    for some in _batches(len(frames), CPU_ENCODE):
        parts.append(jax.tree.map(lambda each: np.asarray(each, np.float16), hear(np.stack([frames[i] for i in some]))))
    firsts = [i * config.segments.num_frames for i in range(len(frames))]
    starts = [
        codec.segment_start_step(first, frames_per_second=frame_rate, vocabulary=words, config=config.codec)
        for first in firsts
    ]
    return Piece(
        heads={name: np.concatenate([part[name] for part in parts])[: len(frames)] for name in parts[0]},
        is_silent=np.array(is_silent),
        edges=np.array([*starts, -(-sound.num_samples * config.vocabulary.steps_per_second // rate)], np.int64),
        reference=notes.read_midi(track.midi),
        shift_positions=np.array(config.network.shift_positions),
        steps_per_second=np.array(config.vocabulary.steps_per_second),
        families_told=np.array(config.codec.granularity == "midi_class"),
    )


def _batches(count: int, size: int) -> list[np.ndarray]:
    """Return indices from 0 on in batches of one size, the last of them filled up with the last index."""
    return [np.minimum(np.arange(first, first + size), count - 1) for first in range(0, count, size)]


def begun(pieces: Sequence[Piece]) -> Iterator[Heard]:
    """Yield what is heard to begin in each piece, by the constants as they are now."""

    @jax.jit  # anew at each call, since constants are compiled into it
    def prepare(heads: dict[str, jax.Array]) -> hearing.Heard:
        heard = hearing.prepare(jax.tree.map(jnp.float32, heads))
        onset, drum = (jnp.where(hearing._peaks(each), each, _BESIDE) for each in (heard.onset, heard.drum))
        return heard._replace(onset=onset, drum=drum)

    for piece in pieces:
        segments: Heard = [None] * len(piece.is_silent)
        for some in _batches(len(segments), _TOGETHER):
            heard = jax.device_get(prepare({name: logits[some] for name, logits in piece.heads.items()}))
            for row, index in enumerate(some):
                segments[index] = None if piece.is_silent[index] else hearing.begun(heard, row)
        yield segments


def transcribed(piece: Piece, segments: Heard) -> tuple[np.ndarray, agreement.Opinions]:
    """Return the notes of a piece, and the opinions by which they agree."""
    offset, scale = piece.shift_positions.tolist()
    opinions, parts = agreement.Opinions((offset, scale)), [notes.empty()]
    for start, end, heard in zip(piece.edges[:-1].tolist(), piece.edges[1:].tolist(), segments, strict=True):
        opinions.add(start, end, heard)
        if heard is None:
            continue
        num_notes, num_strokes = len(heard.pitch), len(heard.drum)
        steps = start + (np.append(heard.moment, heard.drum_moment) - offset) / scale - 0.5  # as in `Opinions`
        found = np.zeros(num_notes + num_strokes, notes.NOTE_DTYPE)
        # What begins at an edge may be heard a step beyond it, on either side; what both hear is told once.
        found["onset"] = np.clip(np.rint(steps), start, end - 1) / piece.steps_per_second
        found["offset"] = found["onset"] + 1 / piece.steps_per_second  # until the opinions tell
        found["pitch"], found["velocity"] = np.append(heard.pitch, heard.drum), 1
        found["program"][:num_notes] = heard.family.argmax(axis=1) * instruments.PROGRAMS_PER_FAMILY
        found["is_drum"][num_notes:] = True
        parts.append(found[(steps >= start - 1) & (steps < end)])
    families_told = bool(piece.families_told)
    found = agreement.agreed(np.concatenate(parts), opinions, int(piece.steps_per_second), families_told=families_told)
    return found, opinions


def until_ends(piece: Piece, segments: Heard) -> np.ndarray:
    """Return what is heard of found notes until they end: float64 [N, 4], logits of end and frame, 1, whether it ends.

    A row is a position, from the first one on in which the note may end.
    """
    if "end" not in piece.heads:
        raise InputError("this model does not hear when notes end")
    found, opinions = transcribed(piece, segments)
    offset, scale = piece.shift_positions
    tables = [np.zeros((0, 4))]
    for played, estimate in matching.match(piece.reference, found, offsets=False).hits:
        pitch = found["pitch"][estimate] - LOWEST_PITCH
        if found["is_drum"][estimate] or not 0 <= pitch < NUM_PITCHES:
            continue
        first = round(found["onset"][estimate] * piece.steps_per_second) + round(1 / scale)
        last = int(min(piece.reference["offset"][played] * piece.steps_per_second, piece.edges[-1] - 1))
        steps = np.arange(first, last + 1)
        rows = opinions.segments(steps)
        places = np.stack([rows, (offset + scale * (steps - piece.edges[rows] + 0.5)).astype(np.int64)])
        row, position = np.unique(places, axis=1)
        logits = [piece.heads[name][row, position, pitch] for name in ("end", "frame")]
        ends = np.arange(len(row)) == len(row) - 1
        tables.append(np.stack([*logits, np.ones(len(row)), ends], axis=1)[~piece.is_silent[row]])
    return np.concatenate(tables)


def regression(table: np.ndarray) -> np.ndarray:
    """Return the weights of a logistic regression of the last column on the others, float64 [3]."""
    features, ends = table[:, :-1], table[:, -1]

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        logits = features @ weights
        wrong = np.exp(-np.logaddexp(0, -logits)) - ends
        return float(np.mean(np.logaddexp(0, logits) - ends * logits)), features.T @ wrong / len(ends)

    return optimize.minimize(loss, np.zeros(features.shape[1]), jac=True, method="BFGS").x


def print_ends(recordings: dict[str, list[Piece]]) -> None:
    """Print the weights by the pieces of each recording, and by either half of them."""
    lines = [["", "positions", "_END_WEIGHT", "_FRAME_WEIGHT", "_ENDS"]]
    tables = {name: [*map(until_ends, pieces, begun(pieces))] for name, pieces in recordings.items()}
    if len(tables) > 1:
        tables["all"] = [table for of_pieces in tables.values() for table in of_pieces]
    for name, of_pieces in tables.items():
        for half, some in _HALVES.items():
            table = np.concatenate([np.zeros((0, 4)), *of_pieces[some]])
            if len(table):
                lines.append([name + half, str(len(table)), *(f"{weight:.3f}" for weight in regression(table))])
    print(aligned(lines))


def set_constant(name: str, value: float | None) -> float:
    """Set a constant, unless the value is None; return what it was, of elements of an array the first of them."""
    bare, _, inside = name.removesuffix("]").partition("[")
    for module in _MODULES:
        old = getattr(module, bare, None)
        if isinstance(old, int | float) and not inside:
            setattr(module, bare, old if value is None else type(old)(value))
            return old
        if isinstance(old, np.ndarray):
            keys = [int(key) for key in inside.removeprefix("~").split(",") if key]
            chosen = np.isin(np.arange(len(old)), keys) != (not keys or inside.startswith("~"))
            setattr(module, bare, old if value is None else np.where(chosen, value, old).astype(old.dtype))
            return float(old[chosen][0])
    raise InputError(f"{name}: no such constant in {', '.join(module.__name__ for module in _MODULES)}")


def sweep(recordings: dict[str, list[Piece]], constant: str, values: list[float]) -> None:
    """Print the scores of each recording with a constant as it is and at each of the values."""
    now = set_constant(constant, None)
    lines = [["", constant, *_SCORES, "drums", *instruments.DRUM_CLASSES]]
    rows: dict[str, list[list[str]]] = {name: [] for name in recordings}
    heard: dict[str, list[Heard]] = {}
    for value in (None, *values):
        set_constant(constant, value)
        for name, pieces in recordings.items():
            if name not in heard or hasattr(hearing, constant.split("[")[0]):
                heard[name] = list(begun(pieces))
            counted = pooling.total(map(counts, pieces, heard[name]))["all"]
            cells = [f"{counted[each].f1:.4f}" if each in counted else "-" for each in lines[0][2:]]
            rows[name].append([name, f"{now:g} now" if value is None else f"{value:g}", *cells])
    print(aligned(lines + sum(rows.values(), [])))


def counts(piece: Piece, segments: Heard) -> metrics.Rows:
    """Return what the scores of a piece are made of, by the names of the columns."""
    sides = piece.reference, transcribed(piece, segments)[0]
    found = metrics.counts(*sides, granularities=["midi_class"])
    drums = {name: row["Onset F1"] for name, row in metrics.by_drum_class(*sides).items()}
    all_drums = sum(drums.values(), Counts(0, 0, 0))
    return {"all": drums | {"drums": all_drums} | {column: found[name] for column, name in _SCORES.items()}}


def main() -> None:
    """Read the command line, do what it says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("record")
    for name in ("model", "dataset", "out"):
        command.add_argument(name, type=Path if name == "out" else str)
    command.add_argument("--split", default="validation")
    for name in ("ends", "sweep"):
        command = commands.add_parser(name)
        command.add_argument("recorded", type=Path, nargs="+")
        command.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    command.add_argument("--constant", required=True)
    command.add_argument("--values", required=True, type=lambda text: [float(each) for each in text.split(",")])
    arguments = parser.parse_args()
    try:
        if arguments.command == "record":
            record(arguments.model, arguments.dataset, arguments.out, arguments.split)
            return
        for each in arguments.set:
            name, _, value = each.partition("=")
            set_constant(name, float(value))
        recordings = {str(folder): [*map(Piece.read, sorted(folder.glob("*.npz")))] for folder in arguments.recorded}
        for folder, pieces in recordings.items():
            if not pieces:
                raise InputError(f"{folder}: nothing is recorded there")
        if arguments.command == "ends":
            print_ends(recordings)
        else:
            sweep(recordings, arguments.constant, arguments.values)
    except (InputError, ValueError) as error:
        sys.exit(f"fit.py: {error}")


if __name__ == "__main__":
    main()
