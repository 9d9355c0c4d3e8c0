"""The checkpoints of a run, by Orbax: state, place in the batches, and bookkeeping, written while training goes on.

A checkpoint is a folder with the number of its step for a name. It has that name only once it is whole, and older ones
go only after that: whenever the process ends, by whatever cause, the newest named one is good.
"""

import errno
from pathlib import Path

import grain
import jax
import orbax.checkpoint as ocp

from mt3lite.errors import InputError, reason
from mt3lite.training import loader
from mt3lite.training.update import State


class _Position:
    """A loader as Grain's checkpoint handler wants it: it keeps a file for each process."""

    def __init__(self, batches: loader.Batches):
        self.get_state, self.set_state = batches.get_state, batches.set_state

    def start_prefetch(self) -> None:
        """Called after restoring; the loader starts by itself with the first batch asked for."""


class Checkpoints:
    """The folder of checkpoints of a run; a context manager, which waits at its end for what is being written."""

    def __init__(self, folder: Path, keep: int):
        self.folder = folder.absolute()
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, enable_async_checkpointing=True)
        self._manager = ocp.CheckpointManager(self.folder, options=options)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind, *_) -> None:
        try:
            self._manager.close()
        except (OSError, ValueError) as error:
            if kind is None:  # else the run already ends with an error, perhaps this very one
                raise self._told(error) from error

    def restore(self, state: State, batches: loader.Batches) -> tuple[State, dict]:
        """Set `batches` to what comes next and return the newest state and its notes; or `state` and empty notes.

        Raises:
            InputError: the newest checkpoint is damaged, or of other batches.
        """
        step = self._manager.latest_step()
        if step is None:
            return state, {"seconds": 0.0, "window": []}
        args = ocp.args.Composite(
            state=ocp.args.StandardRestore(jax.tree.map(ocp.utils.to_shape_dtype_struct, state)),
            batches=grain.checkpoint.CheckpointRestore(_Position(batches)),
            notes=ocp.args.JsonRestore(),
        )
        try:
            restored = self._manager.restore(step, args=args)
        except InputError as error:
            raise InputError(f"{self.folder / str(step)}: {error}") from error
        except Exception as error:  # for damaged arrays Orbax raises this very class
            earlier = [each for each in self._whole() if each < step]
            onwards = f"from step {earlier[-1]}" if earlier else "anew"
            raise InputError(
                f"{self.folder / str(step)}: this checkpoint is damaged ({reason(error)[:200]}); delete that folder, "
                f"and the run begins {onwards}"
            ) from error
        return restored.state, restored.notes

    def save(self, step: int, state: State, batches: loader.Batches, notes: dict) -> None:
        """Begin to save, with JSON-ready `notes` ("seconds", "window"), unless the step is saved already.

        Raises:
            InputError: this checkpoint, or the one begun before, cannot be written.
        """
        if self._manager.latest_step() == step:
            return
        args = ocp.args.Composite(
            state=ocp.args.StandardSave(state),
            batches=grain.checkpoint.CheckpointSave(_Position(batches)),
            notes=ocp.args.JsonSave(notes),
        )
        try:
            self._manager.check_for_errors()
            self._manager.save(step, args=args)
        except (OSError, ValueError) as error:
            raise self._told(error) from error

    def newest(self) -> str:
        """Say which checkpoint a run would go on from."""
        self._manager.wait_until_finished()
        step = self._manager.latest_step()
        return (
            "there is no checkpoint yet" if step is None else f"the last good checkpoint is {self.folder / str(step)}"
        )

    def _told(self, error: Exception) -> InputError:
        """Turn what Orbax and its file system raise into one line."""
        full = getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error)
        why = "no space left on the disk" if full else str(error).strip().splitlines()[0]
        whole = self._whole()
        good = f"the last good checkpoint is {self.folder / str(whole[-1])}" if whole else "there is no earlier one"
        return InputError(f"{self.folder}: a checkpoint cannot be written: {why}; {good}")

    def _whole(self) -> list[int]:
        """Return the steps of the checkpoints that are there, in order."""
        return sorted(int(path.name) for path in self.folder.iterdir() if path.name.isdecimal())
