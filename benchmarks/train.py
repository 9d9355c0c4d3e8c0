"""Examples a second of the built-in trainer, and of t5x's where it is installed: same network, same batch, one process.

    python benchmarks/train.py --preset mt3 --batch-size 1 --json benchmarks/results/train-mt3.json

The batch is noise with random tokens: a step takes as long over them as over music. The trainers take turns. "padded"
is ours on targets of the full length, which is what t5x gets; "trainer" is ours on targets padded as its loader pads
them. Ours computes the spectrogram within the step and keeps the averaged parameters; t5x is given the spectrogram.
"""

import argparse
import importlib.util
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import machine
import numpy as np

from mt3lite import config, segments
from mt3lite.config import Config
from mt3lite.training import loader, sharding, update
from mt3lite.training.settings import TrainConfig


def make_batch(settings: Config, size: int, num_tokens: int, length: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    start, stop = segments.sample_span(0, settings.spectrogram, settings.segments)
    tokens = np.zeros((size, length), np.int32)
    tokens[:, :num_tokens] = rng.integers(3, 1000, (size, num_tokens))
    samples = rng.normal(0, 0.1, (size, stop - start)).astype(np.float32)
    return {"samples": samples, "tokens": tokens, "notes": np.full((size, 1, 5), -(10**9), np.int32)}


def our_step(settings: Config, batch: dict[str, np.ndarray], dtype: str) -> tuple[Callable[[], None], float | None]:
    """Return a step, and its floating-point operations as XLA counts them."""
    train = TrainConfig(optimizer="adafactor", auxiliary_weight=0.0, dtype=dtype).for_update()
    mesh = sharding.make_mesh()
    state = [update.initial_state(settings, train, mesh)]
    placed, rate = sharding.place_batch(batch, mesh), jnp.float32(1e-3)
    options = {"phase": "both", "config": settings, "train": train, "mesh": mesh}
    program = update.train_step.lower(state[0], placed, rate, **options).compile()

    def step() -> None:
        state[0], metrics = program(state[0], placed, rate)
        jax.block_until_ready((state[0], metrics))

    return step, (program.cost_analysis() or {}).get("flops")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="mt3")
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=300, help="of each target")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    settings = config.preset(arguments.preset)
    full = settings.segments.max_tokens
    bucket = next(length for length in loader.LENGTHS if length >= arguments.tokens)
    batches = {
        name: make_batch(settings, arguments.batch_size, arguments.tokens, length)
        for name, length in (("trainer", bucket), ("padded", full))
    }
    made = {name: our_step(settings, batch, arguments.dtype) for name, batch in batches.items()}
    steps = {name: step for name, (step, _) in made.items()}
    if importlib.util.find_spec("t5x"):
        import t5x_step

        steps["t5x"] = t5x_step.t5x_step(settings, batches["padded"])
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step()  # warms up
    for _ in range(arguments.steps):
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - started)
    results = {}
    for name, each in seconds.items():
        median = statistics.median(each)
        flops = made[name][1] if name in made else None
        results[name] = {"seconds": each, "median": median, "examples_per_second": arguments.batch_size / median}
        results[name] |= {"tokens_per_second": arguments.batch_size * arguments.tokens / median}
        results[name] |= {"flops_per_second": flops / median if flops else None}
        print(f"{name}: {median:.3f} s a step (best {min(each):.3f}), {arguments.batch_size / median:.3f} examples/s")
    if arguments.json:
        given = {name: getattr(arguments, name) for name in ("preset", "batch_size", "tokens", "dtype")}
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        content = {"machine": machine.describe(), **given, "lengths": {"trainer": bucket, "padded": full}, **results}
        arguments.json.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
