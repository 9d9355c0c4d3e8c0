"""While a model learns: what it makes of recordings that it does not learn from."""

from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from mt3lite import audio, metrics, notes, plot
from mt3lite.config import Config
from mt3lite.errors import InputError
from mt3lite.training import datasets, examples, loader, update
from mt3lite.training.settings import TrainConfig
from mt3lite.transcriber import Transcriber
from mt3lite.weights import Model

SCORES = ("Onset F1", "Onset + offset F1", "Drum onset F1 (midi_class)")
NUM_EXAMPLES = 128  # that the loss is of
_TOGETHER = 16  # of them, in the device's memory
PICTURE_SECONDS = 20.0  # drawn of the first track


class Validator:
    """Scores the same tracks again and again, with one compilation.

    The loss is of examples that are drawn and changed as those of training are. Where it rises while that of training
    falls, the model learns its tracks by heart. Notes are scored for the first `train.evaluate_tracks` of the tracks.

    Args:
        tracks: held out.
        config: of the model.
        train: how it is trained.
        augmentation: of training's examples.

    Raises:
        InputError: there are no tracks, or a file of one cannot be read; told now and not after hours of training.
    """

    def __init__(
        self,
        tracks: Sequence[datasets.Track],
        config: Config,
        train: TrainConfig,
        augmentation: examples.AugmentConfig | None,
    ):
        if not tracks:
            raise InputError("evaluate_every: there are no tracks to evaluate")
        self._tracks, self._config, self._train = tracks[: train.evaluate_tracks], config, train.for_update()
        self._played = [notes.read_midi(track.midi) for track in self._tracks]
        for track in self._tracks:
            for recording in track.recordings:
                audio.info(recording)
        row = loader.example_dataset(tracks, config, augmentation, seed=train.seed)
        made = [row[i] for i in range(NUM_EXAMPLES)]
        (self._held_out,) = loader.make_pool(made, NUM_EXAMPLES, np.random.default_rng(train.seed))
        self._transcriber: Transcriber | None = None

    def __call__(self, params: dict, phase: str, picture: Path) -> tuple[dict[str, float], Path | None]:
        """Return the loss and `SCORES` over the notes of all tracks, and the first one's picture if it could be drawn.

        A score is nan where there are no notes of its kind.

        Args:
            params: {"network": ..., "auxiliary": ...}, see `update.State`.
            phase: what learns, and so what the loss is of: "encoder", "decoder" or "both".
            picture: where the picture goes; not drawn without matplotlib.

        Raises:
            InputError: a file of a track cannot be read.
        """
        transcriber = self._with(params["network"])
        total = {name: metrics.Counts(0, 0, 0) for name in SCORES}
        drawn = None
        for track, played in zip(self._tracks, self._played, strict=True):
            rate = self._config.spectrogram.sample_rate
            found = transcriber.transcribe(track.audio or datasets.load_samples(track, rate)).notes
            counts = metrics.counts(played, found)
            total = {name: count + counts.get(name, metrics.Counts(0, 0, 0)) for name, count in total.items()}
            if track is self._tracks[0]:
                drawn = self._draw(track, played, found, picture)
        return {"loss": self._loss(params, phase)} | {name: count.f1 for name, count in total.items()}, drawn

    def _loss(self, params: dict, phase: str) -> float:
        arrays, params = self._held_out.arrays(phase), jax.device_put(params)
        parts = [
            {name: array[i : i + _TOGETHER] for name, array in arrays.items()}
            for i in range(0, NUM_EXAMPLES, _TOGETHER)
        ]
        told = {"phase": phase, "config": self._config, "train": self._train}
        return float(np.mean([update.held_out_loss(params, part, **told) for part in parts]))

    def _with(self, params: dict) -> Transcriber:
        if self._transcriber is None:
            self._transcriber = Transcriber(Model(self._config, params, origin="", license="", path=Path()))
        else:
            self._transcriber = self._transcriber.with_params(params)
        return self._transcriber

    def _draw(self, track: datasets.Track, played: np.ndarray, found: np.ndarray, path: Path) -> Path | None:
        sides = [side[side["onset"] < PICTURE_SECONDS] for side in (played, found)]
        last = max((float(side["offset"].max()) for side in sides if len(side)), default=1.0)
        try:
            path.parent.mkdir(exist_ok=True)
            plot.check_installed()
        except InputError:
            return None
        plot.write_comparison(
            *sides,
            path,
            title=track.id,
            duration_seconds=min(last, PICTURE_SECONDS),
            granularity=self._config.codec.granularity,
        )
        return path
