"""What a run will cost, before it begins: parameters, operations, memory, and the speed of real updates.

Each phase of the run (`TrainConfig.phases`) is timed while the loader makes what would come next, as on a CPU the two
share the cores.
"""

import contextlib
import dataclasses
import functools
import sys
import time
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from mt3lite.config import Config
from mt3lite.training import examples, loader, reports, resident, sharding, trainer, update
from mt3lite.training.datasets import Track
from mt3lite.training.settings import TrainConfig

MOST_SECONDS = 10.0  # that the updates of a phase are timed for
# Updates until what the loader has made ahead is used up: after these it has had to keep up.
MOST_UPDATES = (loader.POOLS_AHEAD + 1) * loader.POOL_BATCHES
FEWEST_UPDATES = 3
LEARNING = {"encoder": "the encoder alone", "decoder": "the decoder alone", "both": "all"}


@dataclasses.dataclass(frozen=True)
class Phase:
    """A part of the run, see `TrainConfig.phases`."""

    name: str  # what learns: "encoder", "decoder" or "both"
    share: float  # of the run's updates; of its time, where it is told that
    seconds: float  # an update, while the loader works


@dataclasses.dataclass(frozen=True)
class Forecast:
    """Numbers of a run on this machine's devices."""

    train: TrainConfig
    num_devices: int
    device_kind: str
    num_parameters: int  # of the network
    target_length: int  # tokens of a row, padding and all, in the batch that was timed
    flops: float | None  # of an update of the last phase as XLA counts them; None where it does not tell
    state_bytes: int  # parameters, optimizer, moving average; on all devices together
    temporary_bytes: int | None  # of the largest update itself, on one device; None where XLA does not tell
    process_bytes: int | None  # most that this process has held in the machine's memory so far
    phases: tuple[Phase, ...]
    loader_seconds: float  # a batch, by the loader alone
    tokens: float  # of the targets in a batch, without padding; mean of the first pool's batches

    def update_seconds(self, phase: Phase) -> float:
        """Return the time of an update of a phase: that of the device or of the loader, whichever is slower."""
        return max(phase.seconds, self.loader_seconds)

    @property
    def run_seconds(self) -> float:
        """The whole run, but for compiling, checkpoints and validation."""
        if self.train.minutes:
            return 60 * self.train.minutes
        return self.train.num_steps * sum(each.share * self.update_seconds(each) for each in self.phases)

    @property
    def num_updates(self) -> float:
        """Of the whole run."""
        if self.train.minutes:
            return self.run_seconds * sum(each.share / self.update_seconds(each) for each in self.phases)
        return self.train.num_steps

    @property
    def tokens_per_day(self) -> float:
        """Target tokens learnt from in a day, the mean over the run; none are while the encoder learns alone."""
        reading = [each for each in self.phases if each.name != "encoder"]
        if self.train.minutes:
            updates = self.run_seconds * sum(each.share / self.update_seconds(each) for each in reading)
        else:
            updates = self.train.num_steps * sum(each.share for each in reading)
        return 86400 * self.tokens * updates / self.run_seconds


def forecast(
    tracks: Sequence[Track], config: Config, train: TrainConfig, augmentation: examples.AugmentConfig | None
) -> Forecast:
    """Compile the updates of each phase and make some with batches of the tracks; nothing is kept.

    Of the batches of the first pool, the one whose targets are of the middle length is timed; memory is that of the
    longest. Tokens are counted in all of the pool.
    """
    mesh = sharding.make_mesh(train.model_devices)
    state = update.initial_state(config, train, mesh)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(state.params["network"]))
    state_bytes = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
    phases, memory, flops = [], [], None
    with contextlib.closing(trainer.share_of_batches(tracks, config, train, augmentation)) as batches:
        pool, loader_seconds = _first_pools(batches)
        by_length = sorted(pool, key=lambda each: each.tokens.shape[1])
        typical, longest = by_length[len(by_length) // 2], by_length[-1]
        for name, share in train.phases():
            place = functools.partial(trainer.placed, phase=name, mesh=mesh, max_tokens=config.segments.max_tokens)
            lower = functools.partial(update.train_step.lower, phase=name, config=config, train=train.for_update())
            program = largest = lower(state, place(typical), jnp.float32(0.0), mesh=mesh).compile()
            if longest.tokens.shape != typical.tokens.shape and name != "encoder":
                largest = lower(state, place(longest), jnp.float32(0.0), mesh=mesh).compile()
            state, seconds = _time(program, state, functools.partial(place, typical), batches)
            phases.append(Phase(name, share, seconds))
            flops = (program.cost_analysis() or {}).get("flops")
            memory.append(getattr(largest.memory_analysis(), "temp_size_in_bytes", None))
    return Forecast(
        train=train,
        num_devices=mesh.size,
        device_kind=jax.devices()[0].device_kind,
        num_parameters=parameters,
        target_length=typical.tokens.shape[1],
        flops=flops,
        state_bytes=state_bytes,
        temporary_bytes=None if None in memory else max(memory),
        process_bytes=_most_held(),
        phases=tuple(phases),
        loader_seconds=loader_seconds,
        tokens=jax.process_count() * sum(int((each.tokens > 0).sum()) for each in pool) / len(pool),
    )


def _first_pools(batches: loader.Batches | resident.Batches) -> tuple[list[loader.Batch], float]:
    """Return the batches of the first pool, and the seconds that the loader took for each of the second."""
    first = [next(batches) for _ in range(loader.POOL_BATCHES)]
    jax.block_until_ready(first[-1].samples)
    start = time.perf_counter()
    for _ in first:
        jax.block_until_ready(next(batches).samples)  # which a device may make
    return first, (time.perf_counter() - start) / len(first)


def _time(
    program, state: update.State, place: Callable[[], dict], batches: loader.Batches | resident.Batches
) -> tuple[update.State, float]:
    """Return the state after some updates with the same batch, and the seconds of one while `batches` are made."""
    rate = jnp.float32(0.0)
    state, before = program(state, place(), rate)  # warms up
    jax.block_until_ready(before)
    start, updates = time.perf_counter(), 0
    while updates < FEWEST_UPDATES or (updates < MOST_UPDATES and time.perf_counter() - start < MOST_SECONDS):
        next(batches)
        state, metrics = program(state, place(), rate)
        jax.block_until_ready(before)  # as in a run, the device works on while the next batch is placed
        before, updates = metrics, updates + 1
    jax.block_until_ready(before)
    return state, (time.perf_counter() - start) / updates


def _most_held() -> int | None:
    """Return the most bytes of the machine's memory that this process has held; None where the system does not tell."""
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def table(found: Forecast) -> str:
    """Return the numbers in words, a line each."""

    def known(value: float | None, unit: float, name: str) -> str:
        return "not told" if value is None else f"{value / unit:.2f} {name}"

    last = found.phases[-1]
    targets = f"{found.tokens:.0f} tokens a batch; rows of {found.target_length}, the middle length, are timed"
    speed = "" if found.flops is None else f" ({found.flops / last.seconds / 1e9:.1f} GFLOP/s)"
    rows = [
        ("devices", f"{found.num_devices} x {found.device_kind}"),
        ("parameters", f"{found.num_parameters:,}"),
        ("FLOPs an update", known(found.flops, 1e9, "GFLOP") + speed),
        ("memory, state", f"{found.state_bytes / 2**20:.0f} MiB"),
        ("memory, update", known(found.temporary_bytes, 2**20, "MiB")),
        ("memory, process", known(found.process_bytes, 2**20, "MiB") + " of the machine's, all in all"),
        ("targets", targets if found.target_length else "notes alone, made on the device"),
        ("time a batch", f"{found.loader_seconds:.3f} s by the loader alone"),
    ]
    for each in found.phases:
        per_second = found.train.batch_size / found.update_seconds(each)
        share = f"{100 * each.share:.0f} % of the run, {LEARNING[each.name]}"
        rows.append(("time an update", f"{each.seconds:.3f} s, {per_second:.1f} examples/s: {share}"))
    lasting = reports.duration(found.run_seconds)
    rows += [
        ("the run", f"{found.num_updates:,.0f} updates, {lasting}; besides: compiling, checkpoints, validation"),
        ("speed", f"{found.tokens_per_day / 1e6:.2f} million tokens a day"),
    ]
    return "\n".join(f"{name:16} {value}" for name, value in rows)
