"""What a run tells of itself: a line now and then, ``curve.csv``, ``validation.csv``, pictures, and TensorBoard files.

The numbers of an update are read a few updates later, so that the device never waits for them.
"""

import collections
import csv
import math
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import tensorboardX

from mt3lite import files, reading
from mt3lite.errors import InputError, reason
from mt3lite.training import update
from mt3lite.training.settings import TrainConfig

RUN_AHEAD = 4  # updates that the device may be behind; more would only keep more batches in memory
CURVE_COLUMNS = (
    "step",
    "seconds",
    *("loss", "token_loss", "auxiliary_loss", "token_accuracy", "gradient_norm"),
    "learning_rate",
    "dropped",  # too long targets that were left out while the batch's pool was made
    "examples_per_second",
    "tokens_per_second",
)


class Diary:
    """Keeps the records of a run in its folder, in the first of its processes; a context manager.

    Args:
        folder: of the run.
        train: its settings.
        step: updates done before; rows of later ones are taken out, as they will come again.
        window: metrics since the last line, as `pause` returned them.
        report: takes a line.
        left: number of updates done, updates a second -> seconds to the end of the run.
        newest_checkpoint: says which checkpoint is the newest.
    """

    def __init__(
        self,
        folder: Path,
        train: TrainConfig,
        step: int,
        window: list[list[float]],
        report: Callable[[str], None],
        left: Callable[[int, float], float],
        newest_checkpoint: Callable[[], str],
    ):
        self._folder, self._train, self._window = folder, train, window
        self._left, self._newest_checkpoint = left, newest_checkpoint
        self._in_flight: collections.deque = collections.deque()
        self._since = time.monotonic(), step
        self._writes = jax.process_index() == 0
        self._report = report if self._writes else lambda line: None
        if self._writes:
            for name in ("curve.csv", "validation.csv"):
                _take_out_after(folder / name, step)
            self._board = tensorboardX.SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)
        if step:
            self._report(f"going on from step {step}")

    def __enter__(self) -> "Diary":
        return self

    def __exit__(self, *_) -> None:
        if self._writes:
            self._board.close()

    def add(self, step: int, metrics: jax.Array, **facts: float) -> None:
        """Take the metrics of an update, which need not be computed yet.

        Args:
            step: number of the update, from 1.
            metrics: see `update.train_step`.
            facts: "seconds" that the run has taken, "learning_rate" and "dropped".

        Raises:
            InputError: the loss or the gradient of an earlier update is not a finite number.
        """
        metrics.copy_to_host_async()
        self._in_flight.append((step, metrics, facts))
        while len(self._in_flight) > RUN_AHEAD:
            self._read()

    def pause(self) -> list[list[float]]:
        """Wait for the metrics of all updates; return those since the last line. Raises as `add`."""
        while self._in_flight:
            self._read()
        return [*self._window]  # it is written while updates go on

    def _read(self) -> None:
        step, metrics, facts = self._in_flight.popleft()
        values = np.asarray(metrics).tolist()
        self._window.append(values)
        if not all(map(math.isfinite, values)):
            first = step - len(self._window) + 1
            raise InputError(
                f"loss is {values[0]}, length of the gradient {values[4]}, within steps {first} to {step}: lower the "
                f"learning rate; {self._newest_checkpoint()}"
            )
        if step % self._train.log_every == 0:
            self._tell(step, facts)
            self._window = []

    def _tell(self, step: int, facts: dict[str, float]) -> None:
        """Write a row and a line about the updates of the window."""
        means = dict(zip(update.METRICS, np.mean(self._window, axis=0).tolist(), strict=True))
        now, (before, step_before) = time.monotonic(), self._since
        speed = (step - step_before) / (now - before)  # updates a second
        self._since = now, step
        row = {"step": step, **facts, **means}
        row |= {"examples_per_second": speed * self._train.batch_size, "tokens_per_second": speed * means["tokens"]}
        accuracy = f"token accuracy {means['token_accuracy']:.3f}  " if means["tokens"] else ""
        self._report(
            f"step {step}  loss {means['loss']:.4f}  {accuracy}{row['examples_per_second']:.1f} examples/s  "
            f"{row['tokens_per_second']:.0f} tokens/s  {duration(self._left(step, speed))} left"
        )
        self._write("curve.csv", "training", {name: row[name] for name in CURVE_COLUMNS})

    def validation(self, step: int, seconds: float, scores: dict[str, float], picture: Path | None) -> None:
        """Keep the loss and the scores of the validation tracks, and a picture of one of them."""
        known = [f"{name} {score:.3f}" for name, score in scores.items() if not math.isnan(score)]
        self._report(f"step {step}  validation: {', '.join(known) or 'no notes'}")
        self._write("validation.csv", "validation", {"step": step, "seconds": seconds, **scores})
        if self._writes and picture is not None:
            from matplotlib import image

            self._board.add_image("validation", image.imread(picture)[..., :3], step, dataformats="HWC")
        self._since = time.monotonic(), step  # validation is not training time

    def _write(self, name: str, group: str, row: dict[str, float]) -> None:
        if not self._writes:
            return
        path = self._folder / name
        new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(row)
            writer.writerow([_written(value) for value in row.values()])
        for key, value in row.items():
            if key not in ("step", "seconds") and not math.isnan(value):
                self._board.add_scalar(f"{group}/{key}", value, row["step"])


def _written(value: float) -> str:
    """Return whole numbers whole, others with all digits a float32 has."""
    return str(value) if isinstance(value, int) else f"{value:.9g}"


def duration(seconds: float) -> str:
    """Return a time in the two units that matter."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds:02d} s"


def _take_out_after(path: Path, step: int) -> None:
    """Take the rows after a step out of a CSV file, and one that was cut short when the process ended."""
    if not path.exists():
        return
    lines = [line for line in reading.read_text(path).splitlines(keepends=True) if line.endswith("\n")]
    try:
        kept = lines[:1] + [line for line in lines[1:] if int(line.split(",")[0]) <= step]
    except ValueError as error:
        raise InputError(f"{path}: a row of it does not begin with the number of a step: {reason(error)}") from error
    with files.atomic_path(path) as temporary:
        temporary.write_bytes("".join(kept).encode())
    if not kept:
        path.unlink()  # so that the next row writes a header
