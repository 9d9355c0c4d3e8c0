"""While a model learns: what it makes of a few recordings that it does not learn from."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mt3lite import audio, metrics, notes, plot
from mt3lite.config import Config
from mt3lite.errors import InputError
from mt3lite.training import datasets
from mt3lite.transcriber import Transcriber
from mt3lite.weights import Model

SCORES = ("Onset F1", "Onset + offset F1", "Drum onset F1 (midi_class)")
PICTURE_SECONDS = 20.0  # drawn of the first track


class Validator:
    """Transcribes and scores the same tracks again and again, with one compilation.

    Raises:
        InputError: a file of a track cannot be read; told now and not after hours of training.
    """

    def __init__(self, tracks: Sequence[datasets.Track], config: Config):
        self._tracks, self._config = tracks, config
        self._played = [notes.read_midi(track.midi) for track in tracks]
        for track in tracks:
            for recording in track.recordings:
                audio.info(recording)
        self._transcriber: Transcriber | None = None

    def __call__(self, params: dict, picture: Path) -> tuple[dict[str, float], Path | None]:
        """Return `SCORES` over the notes of all tracks, and the picture of the first one if it could be drawn.

        A score is nan where there are no notes of its kind.

        Args:
            params: of the network.
            picture: where the picture goes; not drawn without matplotlib.

        Raises:
            InputError: a file of a track cannot be read.
        """
        transcriber = self._with(params)
        total = {name: metrics.Counts(0, 0, 0) for name in SCORES}
        drawn = None
        for track, played in zip(self._tracks, self._played, strict=True):
            rate = self._config.spectrogram.sample_rate
            found = transcriber.transcribe(track.audio or datasets.load_samples(track, rate)).notes
            counts = metrics.counts(played, found)
            total = {name: count + counts.get(name, metrics.Counts(0, 0, 0)) for name, count in total.items()}
            if track is self._tracks[0]:
                drawn = self._draw(track, played, found, picture)
        return {name: count.f1 for name, count in total.items()}, drawn

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
