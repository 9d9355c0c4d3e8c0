"""Train the networks of `mt3lite.beat_activity` on what `prepare.py` collected.

    python data/models/beats/train.py pieces.npz weights.safetensors --curve curve.csv
        --manifest train.manifest.jsonl.gz

Every example is a stretch of a piece, played anew: scores get a tempo that wanders, tempos change, and the notes are
spoilt as a transcription is. The network of bars is shown the beats that were noted, not quite in time. Performances of
ASAP are left out: they are for `score.py`.
"""

import argparse
import concurrent.futures
import gzip
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import safetensors.numpy
from flax import traverse_util
from prepare import SCORES  # beside this file

from mt3lite import beat_activity
from mt3lite.beat_activity import FRAMES_PER_BEAT, FRAMES_PER_SECOND, NUM_FEATURES
from mt3lite.training import arranging, datasets

# Of the examples.
SHARES = {"pop": 0.25, "band": 0.25, "drums": 0.15, "lieder": 0.15, "quartets": 0.13, "orchestra": 0.07}
HELD_OUT_FRACTION = 0.2  # half for validation, half for test
EXCLUDED = Path(__file__).parents[2] / "benchmark" / "excluded.txt"

SECONDS, NUM_BEATS = 30, 96  # of an example
JITTER_SECONDS = 0.02  # by which beats are beside those that were noted, at most, as a standard deviation
HALVED = 0.15  # of the examples of bars: with every second beat alone, as music may be counted
WITHOUT = 0.2  # of the features of an example of bars: not there
TAPS = 5
WARM_UP = 200
KEPT = 0.998  # of the averaged weights at each update

# What the pieces are of, and under which licence.
SOURCES = {
    "pop": ("music-x-lab/POP909-Dataset", "MIT"),
    "band": ("freedoom/freedoom", "BSD-3-Clause"),
    "lieder": ("OpenScore/Lieder", "CC0-1.0"),
    "quartets": ("OpenScore/StringQuartets", "CC0-1.0"),
    "orchestra": ("MarkGotham/Hauptstimme", "CC0-1.0"),
    "drums": ("Groove MIDI Dataset 1.0.0", "CC-BY-4.0"),
}

Example = tuple[np.ndarray, np.ndarray, np.ndarray]  # features [T, F], what is wanted [T], and what counts [T]


class Piece(NamedTuple):
    """A piece; times in quarter notes for scores, in seconds for all else."""

    kind: str
    name: str  # its path in its source, with spaces for slashes
    notes: np.ndarray  # of notes.NOTE_DTYPE
    beats: np.ndarray  # float64 [beats]
    downbeats: np.ndarray  # float64 [downbeats]


def read_pieces(path: Path, split: str) -> dict[str, list[Piece]]:
    """Return the pieces of a split by kind; those of the benchmark set are in no training split."""
    excluded = EXCLUDED.read_text(encoding="utf-8")
    pieces: dict[str, list[Piece]] = {}
    with np.load(path) as kept:
        for key in kept.files:
            kind, name, field = key.split("/")
            if field != "notes":
                continue
            own = "test" if kind == "asap" else datasets.split_by_hash(f"{kind}/{name}", HELD_OUT_FRACTION)
            file_name = name.rpartition(" ")[2]
            in_benchmark = f"_{file_name}.mid" in excluded or f"/{file_name}.mid" in excluded
            if own == split and not (split == "train" and in_benchmark):
                arrays = (kept[f"{kind}/{name}/{each}"] for each in ("notes", "beats", "downbeats"))
                pieces.setdefault(kind, []).append(Piece(kind, name, *arrays))
    return pieces


def manifest(pieces: dict[str, list[Piece]]) -> str:
    """Return which pieces they are, a line of JSON each."""
    lines = []
    for kind, each in pieces.items():
        repository, license = SOURCES[kind]
        for piece in each:
            source = f"{repository}: {piece.name}"
            line = {"id": f"{kind}/{piece.name}", "split": "train", "license": license, "source": source}
            lines.append(json.dumps(line, ensure_ascii=False) + "\n")
    return "".join(lines)


def perform(piece: Piece, rng: np.random.Generator, *, change_tempo: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return notes, beats and downbeats of a piece as it is played, in seconds."""
    played, beats, downbeats = piece.notes.copy(), piece.beats, piece.downbeats
    if piece.kind not in SCORES:
        factor = float(np.exp(rng.uniform(np.log(0.75), np.log(1.35)))) if change_tempo else 1.0
        for edge in ("onset", "offset"):
            played[edge] *= factor
        return played, beats * factor, downbeats * factor
    # No faster than nine chords a second, no slower than one in a second and a quarter.
    chords = len(np.unique(played["onset"].round(3))) / max(1.0, beats[-1] - beats[0])
    quarter = float(np.exp(rng.normal(np.log(0.58), 0.3))) / float(np.median(np.diff(beats)))
    quarter = min(max(quarter, chords / 9), chords / 0.8)
    lasting = played[:1].copy()
    lasting["offset"] = max(played["offset"].max(), beats[-1]) * quarter
    drift = arranging.tempo_drift([lasting], rng)
    lengths = (played["offset"] - played["onset"]) * np.clip(rng.normal(0.8, 0.15, len(played)), 0.3, 1.05)
    played["offset"] = drift(quarter * (played["onset"] + lengths))
    played["onset"] = drift(quarter * played["onset"]) + rng.normal(0, 0.01, len(played))
    return played, drift(quarter * beats), drift(quarter * downbeats)


def spoil(played: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return notes as a transcription may have them: some missing, some too many, none quite in time."""
    drums = played["is_drum"]
    if drums.any() and not drums.all():
        which = rng.choice(["all", "all", "drums", "pitched"])
        played = played[drums] if which == "drums" else played[~drums] if which == "pitched" else played
    played = played[rng.random(len(played)) > rng.uniform(0, 0.35)]
    played["onset"] += rng.normal(0, rng.uniform(0, 0.015), len(played))
    played["pitch"] += rng.integers(-6, 7) * ~played["is_drum"]
    wrong = played[rng.integers(0, max(len(played), 1), int(len(played) * rng.uniform(0, 0.1)))].copy()
    wrong["onset"] += rng.uniform(-2, 2, len(wrong))
    wrong["offset"] = wrong["onset"] + 0.2
    wrong["pitch"] += rng.choice([-12, 0, 7, 12], len(wrong)) * ~wrong["is_drum"]
    return np.concatenate([played, wrong])


def performed(pieces: dict[str, list[Piece]], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return notes, beats and downbeats of some piece as it is played; kinds come as often as `SHARES` says."""
    kinds = [kind for kind in SHARES if kind in pieces]
    shares = np.array([SHARES[kind] for kind in kinds])
    kind = kinds[rng.choice(len(kinds), p=shares / shares.sum())]
    return perform(pieces[kind][rng.integers(len(pieces[kind]))], rng, change_tempo=True)


def example_of_beats(pieces: dict[str, list[Piece]], rng: np.random.Generator) -> Example:
    """Return half a minute in frames, and how much each is a beat."""
    played, beats, _ = performed(pieces, rng)
    start = rng.uniform(beats[0] - 3, max(beats[0] + 0.1, beats[-1] - SECONDS + 2))
    played = played[(played["onset"] >= start) & (played["onset"] < start + SECONDS)]
    for edge in ("onset", "offset"):
        played[edge] -= start
    num_frames = SECONDS * FRAMES_PER_SECOND
    wanted = np.zeros(num_frames, np.float32)
    frames = np.rint((beats - start) * FRAMES_PER_SECOND).astype(int)
    for aside, value in ((-1, 0.5), (1, 0.5), (0, 1.0)):
        inside = frames[(frames + aside >= 0) & (frames + aside < num_frames)] + aside
        wanted[inside] = np.maximum(wanted[inside], value)
    at = start + np.arange(num_frames) / FRAMES_PER_SECOND
    counts = (at >= beats[0] - 0.1) & (at <= beats[-1] + 0.1)
    return beat_activity.of_frames(spoil(played, rng), num_frames), wanted, counts.astype(np.float32)


def example_of_bars(pieces: dict[str, list[Piece]], rng: np.random.Generator) -> Example:
    """Return some beats, and which of them begin a bar."""
    played, beats, downbeats = performed(pieces, rng)
    first = int(rng.integers(max(1, len(beats) - NUM_BEATS // 2)))
    beats = beats[first : first + NUM_BEATS]
    is_downbeat = (np.abs(beats[:, None] - downbeats) < 0.02).any(axis=1)
    if rng.random() < HALVED:
        some = slice(int(is_downbeat.argmax()) % 2, None, 2)
        beats, is_downbeat = beats[some], is_downbeat[some]
    played = spoil(played[(played["onset"] >= beats[0] - 1) & (played["onset"] < beats[-1] + 1)], rng)
    found = np.sort(beats + rng.normal(0, rng.uniform(0, JITTER_SECONDS), len(beats)))
    features = np.zeros((NUM_BEATS, FRAMES_PER_BEAT * NUM_FEATURES), np.float32)
    there = rng.random(features.shape[1]) >= WITHOUT
    features[: len(beats)] = beat_activity.of_beats(played, found) * there / (1 - WITHOUT)
    wanted, counts = np.zeros((2, NUM_BEATS), np.float32)
    wanted[: len(beats)], counts[: len(beats)] = is_downbeat, 1
    return features, wanted, counts


class Recipe(NamedTuple):
    """How a network is trained."""

    example: Callable[[dict[str, list[Piece]], np.random.Generator], Example]
    num_features: int
    channels: int
    blocks: int
    first_taps: int  # of the first filter; of all others `TAPS`
    rare: float  # log odds of what is looked for, to begin with
    steps: int
    batch_size: int
    learning_rate: float
    weight_decay: float


RECIPES = {
    "beats": Recipe(example_of_beats, NUM_FEATURES, 32, 8, TAPS, -3.0, 4000, 12, 4e-3, 1e-3),
    "bars": Recipe(example_of_bars, FRAMES_PER_BEAT * NUM_FEATURES, 64, 4, 1, -1.0, 6000, 16, 3e-3, 1e-2),
}


def initial(recipe: Recipe, key: jax.Array) -> dict[str, jax.Array]:
    """Return weights to begin with."""
    keys = iter(jax.random.split(key, 4))
    channels, blocks, first_inputs = recipe.channels, recipe.blocks, recipe.first_taps * recipe.num_features

    def drawn(*shape: int, inputs: int) -> jax.Array:
        return jax.random.normal(next(keys), shape) * inputs**-0.5

    return {
        "first": drawn(recipe.first_taps, recipe.num_features, channels, inputs=first_inputs),
        "first_bias": jnp.zeros(channels),
        "taps": drawn(blocks, TAPS, channels, channels, inputs=TAPS * channels),
        "taps_bias": jnp.zeros((blocks, channels)),
        "mix": drawn(blocks, channels, channels, inputs=blocks * channels),
        "mix_bias": jnp.zeros((blocks, channels)),
        "last": drawn(channels, 1, inputs=channels),
        "last_bias": jnp.full(1, recipe.rare),
    }


def loss(weights: dict, features: jax.Array, wanted: jax.Array, counts: jax.Array) -> jax.Array:
    """Return the cross-entropy of a frame, or of a beat."""
    found = beat_activity.logits(weights, features, jnp)
    return jnp.sum(optax.sigmoid_binary_cross_entropy(found, wanted) * counts) / jnp.sum(counts)


def train(
    pieces: dict[str, list[Piece]], recipe: Recipe, seed: int, tell: Callable[[int, float], None]
) -> dict[str, np.ndarray]:
    """Return averaged weights; `tell` gets the mean loss of every hundred updates."""
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, recipe.learning_rate, min(WARM_UP, recipe.steps // 2), recipe.steps, 1e-5
    )
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(schedule, weight_decay=recipe.weight_decay))
    weights = initial(recipe, jax.random.key(seed))
    state, averaged = optimizer.init(weights), weights

    @jax.jit
    def update(weights: dict, averaged: dict, state: optax.OptState, batch: Example) -> tuple:
        value, gradient = jax.value_and_grad(loss)(weights, *batch)
        changes, state = optimizer.update(gradient, state, weights)
        weights = optax.apply_updates(weights, changes)
        averaged = jax.tree.map(lambda old, new: KEPT * old + (1 - KEPT) * new, averaged, weights)
        return weights, averaged, state, value

    def batch(step: int) -> Example:
        rng = np.random.default_rng([seed, step])
        examples = [recipe.example(pieces, rng) for _ in range(recipe.batch_size)]
        return tuple(np.stack(each) for each in zip(*examples, strict=True))

    losses = []
    with concurrent.futures.ThreadPoolExecutor(1) as ahead:
        coming = ahead.submit(batch, 0)
        for step in range(1, recipe.steps + 1):
            now, coming = coming.result(), ahead.submit(batch, step)
            weights, averaged, state, value = update(weights, averaged, state, now)
            losses.append(float(value))
            if step % 100 == 0:
                tell(step, float(np.mean(losses[-100:])))
    return {name: np.asarray(array) for name, array in averaged.items()}


def main() -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("pieces", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--curve", type=Path, help="CSV file of the losses")
    parser.add_argument("--manifest", type=Path, help="gzipped JSON lines: the pieces")
    parser.add_argument("--steps", type=int, help="of each network (default: those of its recipe)")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    pieces = read_pieces(arguments.pieces, "train")
    print(", ".join(f"{kind} {len(each)}" for kind, each in pieces.items()))
    if arguments.manifest:
        arguments.manifest.write_bytes(gzip.compress(manifest(pieces).encode(), mtime=0))
    rows, trained, began = ["network,step,loss\n"], {}, time.monotonic()
    for name, recipe in RECIPES.items():

        def tell(step: int, value: float, name: str = name) -> None:
            rows.append(f"{name},{step},{value:.4f}\n")
            print(f"{name}: {step} updates, loss {value:.4f}, {time.monotonic() - began:.0f} s", flush=True)

        wanted = recipe._replace(steps=arguments.steps or recipe.steps)
        trained[name] = train(pieces, wanted, arguments.seed, tell)
    safetensors.numpy.save_file(traverse_util.flatten_dict(trained, sep="/"), arguments.out)
    if arguments.curve:
        arguments.curve.write_text("".join(rows), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
