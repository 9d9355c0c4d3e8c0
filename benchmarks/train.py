"""Speed of the built-in trainer, and of t5x's where it is installed: same network, same batch, one process, in turns.

    python benchmarks/train.py --preset mt3 --batch-size 1 --json benchmarks/results/train.json
    python benchmarks/train.py --preset mt3 --batch-size 64 --dtype bfloat16       # on a GPU

The batch is noise with random tokens: a step takes as long over them as over music. "trainer" is ours on targets padded
as its loader pads them, "padded" ours on targets of the full length, which is what t5x gets. Ours computes the
spectrogram within the step and keeps the averaged parameters; t5x is given the spectrogram. Both use Adafactor.

It needs no recordings and no network connection; of mt3lite's requirements only NumPy, SciPy, JAX, Flax, mido, optax.
The share of the device that is used is (operations of the model's matrix products and convolutions, three times those
of the forward pass) / (time x what the device can do), by the maker's data sheet where that is known, and by one large
product that is measured beside it.
"""

import argparse
import functools
import importlib.util
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import flops
import jax
import jax.numpy as jnp
import machine
import numpy as np

from mt3lite import config, segments
from mt3lite.config import Config
from mt3lite.training import sharding, update
from mt3lite.training.settings import TARGET_LENGTHS, TrainConfig

SHORTEST_TURN = 0.3  # seconds; quick steps are made several times


def make_batch(settings: Config, size: int, num_tokens: int, length: int) -> dict[str, np.ndarray]:
    """Return a batch of noise with `num_tokens` random tokens in rows of `length`."""
    rng = np.random.default_rng(0)
    start, stop = segments.sample_span(0, settings.spectrogram, settings.segments)
    tokens = np.zeros((size, length), np.int32)
    tokens[:, :num_tokens] = rng.integers(3, 1000, (size, num_tokens))
    samples = rng.normal(0, 0.1, (size, stop - start)).astype(np.float32)
    return {"samples": samples, "tokens": tokens, "notes": np.full((size, 1, 5), -(10**9), np.int32)}


def our_step(settings: Config, batch: dict[str, np.ndarray], train: TrainConfig) -> Callable[[], object]:
    """Return a step, which returns what to wait for."""
    mesh = sharding.make_mesh()
    state = [update.initial_state(settings, train, mesh)]
    placed, rate = sharding.place_batch(batch, mesh), jnp.float32(1e-3)
    options = {"phase": "both", "config": settings, "train": train, "mesh": mesh}
    program = update.train_step.lower(state[0], placed, rate, **options).compile()

    def step() -> object:
        state[0], metrics = program(state[0], placed, rate)
        return state[0], metrics

    return step


def model_flops(settings: Config, batch: dict[str, np.ndarray], train: TrainConfig) -> int:
    """Return the operations of a step that the model asks for: three times those of the forward pass."""
    state = jax.eval_shape(lambda: update.initial_state(settings, train, sharding.make_mesh()))
    loss = functools.partial(update.loss_and_metrics, phase="both", config=settings, train=train)
    return 3 * flops.of(loss, state.params, batch, jnp.float32(1.0), jax.random.key(0))


def take_turns(steps: dict[str, Callable[[], object]], turns: int) -> dict[str, list[float]]:
    """Return the seconds of a step in each turn, by trainer."""
    seconds, number = {name: [] for name in steps}, {}
    for name, step in steps.items():
        jax.block_until_ready(step())  # warms up
        number[name] = 1
        number[name] = max(1, round(SHORTEST_TURN / _turn(step, 1)))
    for _ in range(turns):
        for name, step in steps.items():
            seconds[name].append(_turn(step, number[name]))
    return seconds


def _turn(step: Callable[[], object], number: int) -> float:
    started = time.perf_counter()
    for _ in range(number):
        last = step()
    jax.block_until_ready(last)
    return (time.perf_counter() - started) / number


def measure(settings: Config, arguments: argparse.Namespace) -> dict:
    """Return what is measured of one model, by trainer."""
    train = TrainConfig(optimizer="adafactor", auxiliary_weight=0.0, dtype=arguments.dtype).for_update()
    lengths = {
        "trainer": next(length for length in TARGET_LENGTHS if length >= arguments.tokens),
        "padded": settings.segments.max_tokens,
    }
    batches = {
        name: make_batch(settings, arguments.batch_size, arguments.tokens, length) for name, length in lengths.items()
    }
    steps = {name: our_step(settings, batch, train) for name, batch in batches.items()}
    if importlib.util.find_spec("t5x") and arguments.dtype == "float32":
        import t5x_step

        steps["t5x"] = t5x_step.t5x_step(settings, batches["padded"])
    counted = {name: model_flops(settings, batch, train) for name, batch in batches.items()}
    counted["t5x"] = counted["padded"]
    product, peak = flops.of_product(arguments.dtype), flops.peak() if arguments.dtype == "bfloat16" else None
    found = {"of_product_flops_per_second": product, "peak_flops_per_second": peak}
    for name, seconds in take_turns(steps, arguments.turns).items():
        best = min(seconds)
        found[name] = {
            "target_length": lengths.get(name, lengths["padded"]),
            "seconds": [round(each, 4) for each in seconds],
            "best_seconds": round(best, 4),
            "median_seconds": round(statistics.median(seconds), 4),
            "examples_per_second": round(arguments.batch_size / best, 4),
            "tokens_per_second": round(arguments.batch_size * arguments.tokens / best, 1),
            "model_flops": counted[name],
            "share_of_product": round(counted[name] / best / product, 4),
            "share_of_peak": peak and round(counted[name] / best / peak, 4),
        }
    return found


def table(found: dict) -> str:
    """Return what was measured as lines of text."""
    lines = []
    for name, told in found.items():
        if isinstance(told, dict):
            line = f"{name:8} {told['best_seconds']:.4f} s a step (median {told['median_seconds']:.4f}), "
            line += f"{told['examples_per_second']:.2f} examples/s, {told['tokens_per_second']:.0f} tokens/s, "
            line += f"{100 * told['share_of_product']:.0f} % of a large product's speed"
            lines.append(line + (f", {100 * told['share_of_peak']:.0f} % of the peak" if told["share_of_peak"] else ""))
    if "t5x" in found:
        ratios = [found["t5x"]["best_seconds"] / found[name]["best_seconds"] for name in ("trainer", "padded")]
        lines.append(f"faster than t5x: {ratios[0]:.2f} times; on targets of the same length {ratios[1]:.2f} times")
    return "\n".join(lines)


def main() -> None:
    """Measure, print, and keep beside what was measured of other presets before."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="mt3")
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=300, help="of each target (default: %(default)s)")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--json", type=Path, help="add the result to this file")
    arguments = parser.parse_args()
    found = measure(config.preset(arguments.preset), arguments)
    device = jax.devices()[0]
    batch = f"{arguments.batch_size} x {arguments.tokens} tokens"
    print(f"{arguments.preset}, {batch}, {arguments.dtype}, on {device.device_kind}")
    print(table(found))
    if arguments.json:
        known = json.loads(arguments.json.read_text()) if arguments.json.is_file() else {}
        told = {"batch_size": arguments.batch_size, "tokens": arguments.tokens, "device": device.device_kind}
        told |= {"machine": machine.describe("jax", "flax"), **found}
        known[f"{arguments.preset} {arguments.dtype} {device.platform}"] = told
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    main()
