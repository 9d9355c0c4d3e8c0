"""`TrainConfig`: everything that a run is told beside its model and its data."""

import dataclasses

from mt3lite.errors import InputError

OPTIMIZERS = ("adamw", "adafactor")
SCHEDULES = ("cosine", "rsqrt", "constant")
DTYPES = ("float32", "bfloat16")
TARGET_LENGTHS = (64, 128, 192, 256, 384, 512, 768, 1024)  # a target is padded to one: few programs to compile
# What may be changed when a run goes on: it does not change what is learnt.
FREE = ("log_every", "checkpoint_minutes", "keep_checkpoints", "evaluate_every", "evaluate_tracks", "workers")
# What an update does not depend on: the same compiled program serves whatever they are.
OUTSIDE_UPDATE = (
    *FREE,
    *("num_steps", "minutes", "batch_size", "schedule", "learning_rate", "warmup_steps", "final_fraction"),
    *("listening_fraction", "reading_fraction", "freeze_encoder", "model_devices", "resident"),
)


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """How a model is trained.

    Raises:
        InputError: a value is not one of those there are, or two do not go together.
    """

    num_steps: int = 10_000
    minutes: float | None = None  # stop after this time instead, and fit the schedule to it
    batch_size: int = 16  # examples of an update, on all devices and of all processes together
    accumulate: int = 1  # parts that a batch is computed in, one after the other, to save memory
    rematerialise: bool = False  # compute the layers a second time for the gradient instead of keeping their insides
    dtype: str = "float32"  # of the computation; parameters and optimizer are always float32
    optimizer: str = "adamw"
    schedule: str = "cosine"  # after the warm-up, see `optimizers.learning_rate`
    learning_rate: float = 1.5e-3  # at the top of the schedule
    warmup_steps: int = 100
    final_fraction: float = 0.02  # of the learning rate, where the cosine ends
    weight_decay: float = 0.01
    max_gradient_norm: float = 1.0  # longer gradients are shortened to it; 0 leaves them
    adam_b2: float = 0.98
    label_smoothing: float = 0.0
    z_loss: float = 1e-4
    auxiliary_weight: float = 0.2  # of the encoder's note-activity loss; 0 leaves it out
    listening_fraction: float = 0.2  # of the run, at its start: the encoder learns alone, by that loss
    reading_fraction: float = 0.3  # of the run, after that: the decoder learns to read an encoder that stays as it is
    freeze_encoder: bool = False  # for the whole run
    average_decay: float = 0.999  # of the parameters' moving average, which is what is exported
    model_devices: int = 1  # devices that share one copy of the parameters; the others take parts of the batch
    seed: int = 0
    log_every: int = 20  # steps
    checkpoint_minutes: float = 5.0
    keep_checkpoints: int = 2
    evaluate_every: int = 0  # steps, after which the validation split's loss is told and tracks are scored; 0: never
    evaluate_tracks: int = 8  # of the validation split, that are transcribed and scored
    workers: int = 0  # processes that make examples; 0: a thread
    # All tracks lie in the device's memory, where examples are made, see `resident.py`; the encoder alone learns so.
    resident: bool = False

    def __post_init__(self):
        for field, allowed in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES), ("dtype", DTYPES)):
            if getattr(self, field) not in allowed:
                raise InputError(f"{field}: {getattr(self, field)!r} is not one of {', '.join(allowed)}")
        for field in ("num_steps", "batch_size", "accumulate", "model_devices", "log_every", "keep_checkpoints"):
            if getattr(self, field) < 1:
                raise InputError(f"{field}: {getattr(self, field)} is less than 1")
        if self.batch_size % self.accumulate:
            raise InputError(f"a batch of {self.batch_size} does not fall into {self.accumulate} equal parts")
        if self.listening_fraction + self.reading_fraction > 1 + 1e-9:
            raise InputError(
                f"listening_fraction and reading_fraction: {self.listening_fraction} and {self.reading_fraction} are "
                "more than the whole run"
            )
        if self.resident and [name for name, _ in self.phases()] != ["encoder"]:
            raise InputError(
                "resident: examples that are made on the device have no tokens, so that the encoder alone can learn "
                "from them; set listening_fraction to 1 and reading_fraction to 0 (--listening 1 --reading 0)"
            )

    def phases(self) -> list[tuple[str, float]]:
        """Return what learns, one after the other, and for which share of the run: "encoder", "decoder" or "both"."""
        if self.freeze_encoder:
            return [("decoder", 1.0)]
        rest = 1 - self.listening_fraction - self.reading_fraction
        told = (("encoder", self.listening_fraction), ("decoder", self.reading_fraction), ("both", rest))
        return [(name, share) for name, share in told if share > 1e-9]

    def for_update(self) -> "TrainConfig":
        """Return the settings with those that an update does not depend on at their defaults."""
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        # The batch must still fall into its parts.
        outside = {name: defaults[name] for name in OUTSIDE_UPDATE} | {"batch_size": self.accumulate}
        return dataclasses.replace(self, **outside)
