"""What a run will cost, before it begins: parameters, operations, memory, and the speed of a few real updates."""

import contextlib
import dataclasses
import time
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from mt3lite.config import Config
from mt3lite.training import examples, loader, sharding, update
from mt3lite.training.datasets import Track
from mt3lite.training.settings import TrainConfig

TIMED_UPDATES = 3


@dataclasses.dataclass(frozen=True)
class Forecast:
    """Numbers of one update with all parts learning, on this machine's devices."""

    num_devices: int
    device_kind: str
    num_parameters: int  # of the network
    target_length: int  # tokens of a row, padding and all, in the batch that was timed
    flops: float | None  # floating-point operations as XLA counts them; None where it does not tell
    state_bytes: int  # parameters, optimizer, moving average; on all devices together
    temporary_bytes: int | None  # of the update itself, on one device; None where XLA does not tell
    seconds: float  # an update, batch at hand
    loader_seconds: float  # a batch, by the loader
    tokens: float  # of the targets in a batch, without padding; mean of the first pool's batches

    @property
    def tokens_per_day(self) -> float:
        """Target tokens learnt from in a day, if the loader works while the device does."""
        return 86400 * self.tokens / max(self.seconds, self.loader_seconds)


def forecast(
    tracks: Sequence[Track], config: Config, train: TrainConfig, augmentation: examples.AugmentConfig | None
) -> Forecast:
    """Compile an update and make a few with batches of the tracks; nothing is kept.

    The batch that is timed has the longest targets of the first pool, so the time is on the safe side; tokens are
    counted in all of the pool, as most batches have fewer than that one.
    """
    mesh = sharding.make_mesh(train.model_devices)
    made = loader.batches(tracks, config, augmentation, batch_size=train.batch_size, seed=train.seed)
    with contextlib.closing(made):
        start = time.perf_counter()
        pool = [next(made) for _ in range(loader.POOL_BATCHES)]
        loader_seconds = (time.perf_counter() - start) / len(pool)
    batch = max(pool, key=lambda each: each.tokens.shape[1])
    arrays = {"samples": batch.samples, "notes": batch.notes, "tokens": batch.tokens}
    state = update.initial_state(config, train, mesh)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(state.params["network"]))
    state_bytes = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
    placed, rate = sharding.place_batch(arrays, mesh), jnp.float32(0.0)
    program = update.train_step.lower(
        state, placed, rate, phase="both", config=config, train=train.for_update(), mesh=mesh
    ).compile()
    costs, memory = program.cost_analysis() or {}, program.memory_analysis()
    seconds = []
    for _ in range(TIMED_UPDATES + 1):  # the first one warms up
        start = time.perf_counter()
        state, metrics = program(state, placed, rate)
        jax.block_until_ready(metrics)
        seconds.append(time.perf_counter() - start)
    return Forecast(
        num_devices=mesh.size,
        device_kind=jax.devices()[0].device_kind,
        num_parameters=parameters,
        target_length=batch.tokens.shape[1],
        flops=costs.get("flops"),
        state_bytes=state_bytes,
        temporary_bytes=memory.temp_size_in_bytes if memory else None,
        seconds=min(seconds[1:]),
        loader_seconds=loader_seconds,
        tokens=sum(int((each.tokens > 0).sum()) for each in pool) / len(pool),
    )


def table(found: Forecast) -> str:
    """Return the numbers in words, a line each."""

    def known(value: float | None, unit: float, name: str) -> str:
        return "not told by XLA" if value is None else f"{value / unit:.2f} {name}"

    speed = "" if found.flops is None else f" ({found.flops / found.seconds / 1e9:.1f} GFLOP/s)"
    rows = (
        ("devices", f"{found.num_devices} x {found.device_kind}"),
        ("parameters", f"{found.num_parameters:,}"),
        ("FLOPs an update", known(found.flops, 1e9, "GFLOP") + speed),
        ("memory, state", f"{found.state_bytes / 2**20:.0f} MiB"),
        ("memory, update", known(found.temporary_bytes, 2**20, "MiB")),
        ("targets", f"{found.tokens:.0f} tokens a batch; rows of up to {found.target_length} are timed"),
        ("time an update", f"{found.seconds:.3f} s"),
        ("time a batch", f"{found.loader_seconds:.3f} s by the loader, while the device works"),
        ("speed", f"{found.tokens_per_day / 1e6:.2f} million tokens a day"),
    )
    return "\n".join(f"{name:16} {value}" for name, value in rows)
