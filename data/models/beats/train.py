"""Train the network of `mt3lite.beat_activity` on what `prepare.py` collected.

    python data/models/beats/train.py pieces.npz weights.safetensors --curve curve.csv
        --manifest train.manifest.jsonl.gz

Every example is half a minute of a piece, played anew: scores get a tempo that wanders, tempos change, and the notes
are spoilt as a transcription is. Performances of ASAP are left out: they are for `score.py`. 14 minutes for 3,000
updates on two cores.
"""

import argparse
import concurrent.futures
import gzip
import json
import sys
import time
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import safetensors.numpy
from prepare import SCORES  # beside this file

from mt3lite import beat_activity
from mt3lite.beat_activity import FRAMES_PER_SECOND
from mt3lite.training import arranging, datasets

SHARES = {"pop": 0.3, "band": 0.25, "lieder": 0.2, "quartets": 0.17, "orchestra": 0.08}  # of the examples
HELD_OUT_FRACTION = 0.2  # half for validation, half for test
EXCLUDED = Path(__file__).parents[2] / "benchmark" / "excluded.txt"

SECONDS, BATCH = 30, 12
NUM_FRAMES = SECONDS * FRAMES_PER_SECOND
CHANNELS, BLOCKS, TAPS = 32, 8, 5
LEARNING_RATE, WARM_UP, WEIGHT_DECAY = 4e-3, 200, 1e-3
KEPT = 0.998  # of the averaged weights at each update

# What the pieces are of, and under which licence.
SOURCES = {
    "pop": ("music-x-lab/POP909-Dataset", "MIT"),
    "band": ("freedoom/freedoom", "BSD-3-Clause"),
    "lieder": ("OpenScore/Lieder", "CC0-1.0"),
    "quartets": ("OpenScore/StringQuartets", "CC0-1.0"),
    "orchestra": ("MarkGotham/Hauptstimme", "CC0-1.0"),
}


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


def example(pieces: dict[str, list[Piece]], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return features [T, F], how much each frame is a beat and a downbeat [T, 2], and which frames count [T]."""
    kinds = [kind for kind in SHARES if kind in pieces]
    shares = np.array([SHARES[kind] for kind in kinds])
    kind = kinds[rng.choice(len(kinds), p=shares / shares.sum())]
    played, beats, downbeats = perform(pieces[kind][rng.integers(len(pieces[kind]))], rng, change_tempo=True)
    start = rng.uniform(beats[0] - 3, max(beats[0] + 0.1, beats[-1] - SECONDS + 2))
    played = played[(played["onset"] >= start) & (played["onset"] < start + SECONDS)]
    for edge in ("onset", "offset"):
        played[edge] -= start
    wanted = np.zeros((NUM_FRAMES, 2), np.float32)
    for column, seconds in enumerate((beats, downbeats)):
        frames = np.rint((seconds - start) * FRAMES_PER_SECOND).astype(int)
        for aside, value in ((-1, 0.5), (1, 0.5), (0, 1.0)):
            inside = frames[(frames + aside >= 0) & (frames + aside < NUM_FRAMES)] + aside
            wanted[inside, column] = np.maximum(wanted[inside, column], value)
    at = start + np.arange(NUM_FRAMES) / FRAMES_PER_SECOND
    counts = (at >= beats[0] - 0.1) & (at <= beats[-1] + 0.1)
    return beat_activity.features(spoil(played, rng), NUM_FRAMES), wanted, counts.astype(np.float32)


def initial(key: jax.Array) -> dict[str, jax.Array]:
    """Return weights to begin with."""
    keys = iter(jax.random.split(key, 4))

    def drawn(*shape: int, inputs: int) -> jax.Array:
        return jax.random.normal(next(keys), shape) * inputs**-0.5

    features = beat_activity.NUM_FEATURES
    return {
        "first": drawn(TAPS, features, CHANNELS, inputs=TAPS * features),
        "first_bias": jnp.zeros(CHANNELS),
        "taps": drawn(BLOCKS, TAPS, CHANNELS, CHANNELS, inputs=TAPS * CHANNELS),
        "taps_bias": jnp.zeros((BLOCKS, CHANNELS)),
        "mix": drawn(BLOCKS, CHANNELS, CHANNELS, inputs=BLOCKS * CHANNELS),
        "mix_bias": jnp.zeros((BLOCKS, CHANNELS)),
        "last": drawn(CHANNELS, 2, inputs=CHANNELS),
        "last_bias": jnp.full(2, -3.0),  # beats are rare
    }


def loss(weights: dict, features: jax.Array, wanted: jax.Array, counts: jax.Array) -> jax.Array:
    """Return the cross-entropy of a frame, of both outputs together."""
    found = beat_activity.logits(weights, features, jnp)
    return jnp.sum(optax.sigmoid_binary_cross_entropy(found, wanted).sum(-1) * counts) / jnp.sum(counts)


def train(pieces: dict[str, list[Piece]], steps: int, seed: int, curve: list[tuple[int, float]]) -> dict:
    """Return averaged weights, and add (step, mean loss of a hundred) to the curve."""
    schedule = optax.warmup_cosine_decay_schedule(0.0, LEARNING_RATE, min(WARM_UP, steps // 2), steps, 1e-5)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(schedule, weight_decay=WEIGHT_DECAY))
    weights = initial(jax.random.key(seed))
    state, averaged = optimizer.init(weights), weights

    @jax.jit
    def update(weights: dict, averaged: dict, state: optax.OptState, batch: tuple) -> tuple:
        value, gradient = jax.value_and_grad(loss)(weights, *batch)
        changes, state = optimizer.update(gradient, state, weights)
        weights = optax.apply_updates(weights, changes)
        averaged = jax.tree.map(lambda old, new: KEPT * old + (1 - KEPT) * new, averaged, weights)
        return weights, averaged, state, value

    def batch(step: int) -> tuple[np.ndarray, ...]:
        rng = np.random.default_rng([seed, step])
        return tuple(np.stack(each) for each in zip(*(example(pieces, rng) for _ in range(BATCH)), strict=True))

    losses, began = [], time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(1) as ahead:
        coming = ahead.submit(batch, 0)
        for step in range(1, steps + 1):
            now, coming = coming.result(), ahead.submit(batch, step)
            weights, averaged, state, value = update(weights, averaged, state, now)
            losses.append(float(value))
            if step % 100 == 0:
                curve.append((step, round(float(np.mean(losses[-100:])), 4)))
                print(f"{step} updates, loss {curve[-1][1]:.4f}, {time.monotonic() - began:.0f} s", flush=True)
    return {name: np.asarray(array) for name, array in averaged.items()}


def main() -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("pieces", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--curve", type=Path, help="CSV file of the loss")
    parser.add_argument("--manifest", type=Path, help="gzipped JSON lines: the pieces")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    pieces = read_pieces(arguments.pieces, "train")
    print(", ".join(f"{kind} {len(each)}" for kind, each in pieces.items()))
    if arguments.manifest:
        arguments.manifest.write_bytes(gzip.compress(manifest(pieces).encode(), mtime=0))
    curve: list[tuple[int, float]] = []
    safetensors.numpy.save_file(train(pieces, arguments.steps, arguments.seed, curve), arguments.out)
    if arguments.curve:
        rows = "".join(f"{step},{value}\n" for step, value in curve)
        arguments.curve.write_text(f"step,loss\n{rows}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
