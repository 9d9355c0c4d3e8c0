"""Notes and a soundfont to sound, through FluidSynth.

FluidSynth interpolates a soundfont's samples without a low-pass filter, so everything in them above half the output
rate would fold back into the audible range. It therefore runs at twice the wanted rate, and the result is filtered
and halved.

A soundfont is an .sf2 or .sf3 file, or several in layers: their paths joined by `os.pathsep` (":", on Windows ";"), as
in PATH. The first that has a program plays it.
"""

import collections
import ctypes
import functools
import itertools
import math
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mt3lite import processes, timbre
from mt3lite.errors import InputError

_DRUM_CHANNEL = 128  # channels 0 to 127 carry the program of the same number
_NUM_CHANNELS = 144  # FluidSynth wants a multiple of 16
_DRUM_BANK = 128  # where soundfonts keep their drum kits
_DRUM_HOLD_SECONDS = 2.0  # a drum rings out: its written length says nothing
_OVERSAMPLING = 2
_BLOCK_SAMPLES = 1 << 18  # rendered at a time: a long piece takes little more memory than its result
_LOWEST_RATE, _HIGHEST_RATE = 8000, 96000  # what FluidSynth takes for synth.sample-rate, in Hz
_CC_VOLUME, _CC_REVERB, _CC_CHORUS = 7, 91, 93
_POLYPHONY = 512  # voices at a time; a note has several
_POINTER, _INTEGER, _FLOAT = ctypes.c_void_p, ctypes.c_int, ctypes.c_float
_BASE_VOLUME = 90  # controller 7 at 0 dB; leaves 6 dB up to 127


@dataclass(frozen=True)
class RenderConfig:
    """How a soundfont is played."""

    sample_rate: int = 16000  # of the result, in Hz
    reverb: float = 0.0  # room, 0 (none) to 1
    chorus: float = 0.0  # 0 (none) to 1
    drum_kit: int = 0  # preset of the soundfont's bank 128; kit 0 where the soundfont lacks it
    tail_seconds: float = 1.5  # rendered after the last note ends
    gain: float = 0.3  # FluidSynth's own; the result is turned down where it would pass full scale


def _fluidsynth():
    try:
        import fluidsynth
    except ImportError as error:
        raise InputError(
            f"rendering needs FluidSynth and pyfluidsynth ({error}): pip install 'mt3lite[synth]', and install "
            "libfluidsynth (Debian: apt install libfluidsynth3; macOS: brew install fluid-synth)"
        ) from error
    return fluidsynth


def _function(name: str, result: type | None, *kinds: type):
    """Return a C function of FluidSynth that pyfluidsynth does not have."""
    return _fluidsynth().cfunc(name, result, *((f"argument_{i}", kind, 1) for i, kind in enumerate(kinds)))


def render(
    notes: np.ndarray,
    soundfont: str | Path,
    config: RenderConfig = RenderConfig(),  # noqa: B008  frozen
    *,
    volumes_db: Mapping[int, float] | None = None,
    timbres: Mapping[int, timbre.Timbre] | None = None,
) -> np.ndarray:
    """Play notes with a soundfont.

    Args:
        notes: array of ``notes.NOTE_DTYPE``, in any order; onsets before 0 sound at 0.
        soundfont: an .sf2 or .sf3 file with General MIDI programs, or several in layers.
        config: how to play it.
        volumes_db: loudness change by program, -1 for the drums; -40 to 6 dB, missing ones 0.
        timbres: what is changed of the sound, by program as the loudness; one whose displaced keys would leave 0 to 127
            is displaced by less. Soundfonts may lack keys beyond an instrument's range, which are silent then.

    Returns:
        float32 [num_samples], mono, -1 to 1, at ``config.sample_rate``; it lasts to the end of the last note plus
        ``config.tail_seconds``. The same arguments give the same samples.

    Raises:
        InputError: FluidSynth is not installed; the soundfont is missing, unreadable or lacks a wanted program.
    """
    return render_parts([notes], soundfont, config, volumes_db=volumes_db, timbres=timbres)[0]


def render_parts(
    parts: Sequence[np.ndarray],
    soundfont: str | Path,
    config: RenderConfig = RenderConfig(),  # noqa: B008  frozen
    *,
    volumes_db: Mapping[int, float] | None = None,
    timbres: Mapping[int, timbre.Timbre] | None = None,
) -> np.ndarray:
    """Play parts of one piece, each alone: their sum is the piece.

    Args:
        parts: at least one array as `render` takes it.
        soundfont: as for `render`, as all that follows.
        config: how to play it.
        volumes_db: loudness changes.
        timbres: changes of sound.

    Returns:
        float32 [part, num_samples], as long as the longest; all are turned down alike where one of them, or their sum,
        would pass full scale.

    Raises:
        InputError: as `render`.
    """
    rate = min(max(config.sample_rate * _OVERSAMPLING, _LOWEST_RATE), _HIGHEST_RATE)
    num_samples = max(_num_samples(part, rate, config.tail_seconds) for part in parts)
    played = []
    for part in parts:
        synth = _Synth(soundfont, rate, config.gain)
        try:
            synth.set_effects(config)
            synth.choose_programs(part, config.drum_kit, volumes_db or {})
            by_channel = _by_channel(part, timbres or {})
            synth.set_timbres(by_channel)
            played.append(_resampled(synth.play(_events(part, by_channel), num_samples), rate, config.sample_rate))
        finally:
            synth.close()
    samples = np.stack(played)
    peak = max(float(np.max(np.abs(s), initial=0.0)) for s in (samples, samples.sum(axis=0)))
    return samples / np.float32(peak) if peak > 1.0 else samples


def check_soundfont(soundfont: str | Path, programs: Sequence[int]) -> None:
    """Raise InputError unless the soundfont can be read, and has General MIDI programs and the standard drum kit.

    No samples are loaded, so this is quick.
    """
    synth = _Synth(soundfont, _LOWEST_RATE, gain=0.0)
    try:
        missing = [program for program in programs if not synth.has_preset(0, program)]
        missing_kit = not synth.has_preset(_DRUM_BANK, 0)
    finally:
        synth.close()
    if missing or missing_kit:
        what = [f"the General MIDI programs {', '.join(map(str, missing))}"] if missing else []
        what += ["the drum kit 0 of bank 128"] if missing_kit else []
        raise InputError(f"{soundfont}: the soundfont lacks {' and '.join(what)}")


def layers(soundfont: str | Path) -> list[str]:
    """Return the files of a soundfont, the first to be asked first."""
    name = str(soundfont)
    return [name] if Path(name).is_file() else name.split(os.pathsep)


def name(soundfont: str | Path) -> str:
    """Return what to call a soundfont: its file's name, or those of its layers."""
    return " over ".join(Path(path).name for path in layers(soundfont))


def _resampled(blocks: Iterable[np.ndarray], rate: int, sample_rate: int) -> np.ndarray:
    """Stereo blocks, float32 [2, any length], to mono samples at another rate."""
    import soxr

    stream = soxr.ResampleStream(rate, sample_rate, 1, dtype="float32", quality="HQ")
    pieces = [stream.resample_chunk(block.mean(axis=0)) for block in blocks]
    return np.concatenate([*pieces, stream.resample_chunk(np.zeros(0, np.float32), last=True)])


def _num_samples(notes: np.ndarray, rate: int, tail_seconds: float) -> int:
    last_seconds = float(notes["offset"].max()) if len(notes) else 0.0
    return math.ceil((last_seconds + tail_seconds) * rate)


def _channels(notes: np.ndarray) -> np.ndarray:
    return np.where(notes["is_drum"], _DRUM_CHANNEL, notes["program"])


def _by_channel(notes: np.ndarray, timbres: Mapping[int, timbre.Timbre]) -> dict[int, timbre.Timbre]:
    """The timbres of the channels that play notes; their displaced keys are keys."""
    channels, found = _channels(notes), {}
    for channel in np.unique(channels).tolist():
        if channel == _DRUM_CHANNEL and -1 in timbres:
            found[channel] = timbres[-1]
        elif channel != _DRUM_CHANNEL and channel in timbres:
            pitches = notes["pitch"][channels == channel]
            displaced = max(-int(pitches.min()), min(127 - int(pitches.max()), timbres[channel].displaced))
            found[channel] = replace(timbres[channel], displaced=displaced)
    return found


def _events(notes: np.ndarray, timbres: Mapping[int, timbre.Timbre]) -> list[tuple[float, int, int, int]]:
    """Notes as (seconds, velocity, channel, key) in order of time; velocity 0 ends a note and sorts first.

    The keys are the pitches, displaced as the channels' timbres say, but for the drums'.
    """
    channels, pitched = _channels(notes), timbres.keys() - {_DRUM_CHANNEL}
    ends = np.where(notes["is_drum"], notes["onset"] + _DRUM_HOLD_SECONDS, notes["offset"])
    events = []
    for channel in np.unique(channels):
        for pitch in np.unique(notes["pitch"][channels == channel]):
            (key,) = np.nonzero((channels == channel) & (notes["pitch"] == pitch))
            key = key[np.argsort(notes["onset"][key], kind="stable")]
            # A key struck again ends its former note there: its own end must not cut the new note short.
            struck_again = np.append(notes["onset"][key][1:], np.inf)
            moved = int(pitch) + (timbres[channel].displaced if channel in pitched else 0)
            for index, end in zip(key, np.minimum(ends[key], struck_again), strict=True):
                events.append((float(notes["onset"][index]), int(notes["velocity"][index]), int(channel), moved))
                events.append((float(end), 0, int(channel), moved))
    return sorted(events)


_KEPT_SOUNDFONTS, _KEPT_PRESETS = 8, 96  # so many of each; all of MuseScore_General are 190 MB
_keepers: "collections.OrderedDict[tuple[str, int], _Keeper]" = collections.OrderedDict()
_keepers_lock = threading.Lock()


def _keep_decoded(soundfont: str, presets: list[tuple[int, int]]) -> None:
    """Keep the samples of (bank, program) presets in memory for the next piece of this process.

    FluidSynth frees a soundfont's samples with the last synthesizer that uses them. To decode those of an .sf3 again
    takes longer than to play a minute of music with them.
    """
    with _keepers_lock:
        key = (soundfont, Path(soundfont).stat().st_mtime_ns)
        if key not in _keepers:
            _keepers[key] = _Keeper(soundfont)
        _keepers.move_to_end(key)
        _keepers[key].pin(presets)
        while len(_keepers) > _KEPT_SOUNDFONTS:
            _keepers.popitem(last=False)[1].close()


class _Synth:
    """One FluidSynth synthesizer with one soundfont; channel p plays program p, channel 128 the drums."""

    def __init__(self, soundfont: str | Path, rate: int, gain: float):
        fluidsynth = _fluidsynth()
        self._path = str(soundfont)
        paths = layers(soundfont)
        for path in paths:
            if not Path(path).is_file():
                raise InputError(
                    f"{path}: no such soundfont; give the path of an .sf2 or .sf3 file "
                    "(Debian: apt install fluid-soundfont-gm puts one at /usr/share/sounds/sf2/FluidR3_GM.sf2)"
                )
        self._silence_log()
        settings = {"synth.dynamic-sample-loading": 1, "synth.polyphony": _POLYPHONY, "synth.reverb.active": 1}
        self._synth = fluidsynth.Synth(gain=gain, samplerate=float(rate), channels=_NUM_CHANNELS, **settings)
        self._rate = rate
        self._voices = _Voices(self._synth.synth)
        self._shaping: dict[int, timbre.Timbre] = {}  # by channel: what changes the voices of each note
        self._layers: list[tuple[str, int]] = []  # path, FluidSynth's number of it
        for path in paths:
            number = self._synth.sfload(path)
            if number < 0:
                self.close()
                raise InputError(f"{path}: FluidSynth cannot read this soundfont; an .sf2 or .sf3 file is wanted")
            self._layers.append((path, number))

    def _silence_log(self) -> None:
        set_log = _function("fluid_set_log_function", _POINTER, _INTEGER, _POINTER, _POINTER)
        for level in range(5):
            set_log(level, None, None)

    def close(self) -> None:
        self._synth.delete()

    def has_preset(self, bank: int, program: int) -> bool:
        return self._layer(bank, program) is not None

    def _layer(self, bank: int, program: int) -> tuple[str, int] | None:
        """Return the first layer that has a preset."""
        has = self._synth.sfpreset_name
        return next((layer for layer in self._layers if has(layer[1], bank, program) is not None), None)

    def set_effects(self, config: RenderConfig) -> None:
        """Switch on the effects that the config wants; every channel sends all of its sound to them."""
        for name, level in (("reverb", config.reverb), ("chorus", config.chorus)):
            self._synth.setting(f"synth.{name}.active", int(level > 0))
        if config.reverb > 0:
            self._synth.set_reverb(roomsize=0.2 + 0.7 * config.reverb, damping=0.3, width=0.5, level=config.reverb)
        if config.chorus > 0:
            self._synth.set_chorus(nr=3, level=2.0 * config.chorus, speed=0.3, depth=6.0, type=0)

    def choose_programs(self, notes: np.ndarray, drum_kit: int, volumes_db: Mapping[int, float]) -> None:
        wanted = {}  # channel: (bank, program)
        for program in np.unique(notes["program"][~notes["is_drum"]]).tolist():
            wanted[program] = (0, program)
        if notes["is_drum"].any():
            wanted[_DRUM_CHANNEL] = (_DRUM_BANK, drum_kit if self.has_preset(_DRUM_BANK, drum_kit) else 0)
        chosen = {channel: self._layer(*preset) for channel, preset in wanted.items()}
        for channel, layer in chosen.items():
            if layer is None:
                lacks = "drum kit" if channel == _DRUM_CHANNEL else f"General MIDI program {channel}"
                raise InputError(f"{self._path}: the soundfont has no {lacks}")
        for path, _ in self._layers:
            _keep_decoded(path, [wanted[channel] for channel, layer in chosen.items() if layer[0] == path])
        for channel, (_, number) in chosen.items():
            self._synth.program_select(channel, number, *wanted[channel])
            self._set_controllers(channel, volumes_db.get(-1 if channel == _DRUM_CHANNEL else channel, 0.0))

    def _set_controllers(self, channel: int, volume_db: float) -> None:
        # General MIDI level 2 (section 3.3.1): controller 7 changes the loudness by 40 log10(value / 127) dB.
        volume = round(_BASE_VOLUME * 10 ** (volume_db / 40))
        self._synth.cc(channel, _CC_VOLUME, min(127, max(1, volume)))
        self._synth.cc(channel, _CC_REVERB, 80)
        self._synth.cc(channel, _CC_CHORUS, 60)

    def set_timbres(self, by_channel: Mapping[int, timbre.Timbre]) -> None:
        set_generator = _function("fluid_synth_set_gen", _INTEGER, _POINTER, _INTEGER, _INTEGER, _FLOAT)
        for channel, changes in by_channel.items():
            for generator, offset in changes.generators(is_drum=channel == _DRUM_CHANNEL).items():
                set_generator(self._synth.synth, channel, generator, offset)
        self._shaping = {channel: changes for channel, changes in by_channel.items() if changes.shapes_voices}

    def play(self, events: list[tuple[float, int, int, int]], num_samples: int) -> Iterator[np.ndarray]:
        """Events in order of time to `num_samples` of sound: blocks of float32 [2, any length], beyond -1 to 1, too."""
        write_float = _function(
            "fluid_synth_write_float", _INTEGER, _POINTER, _INTEGER, *(_POINTER, _INTEGER, _INTEGER) * 2
        )
        upcoming, start = iter([*events, (math.inf, 0, 0, 0)]), 0
        event = next(upcoming)
        while start < num_samples:
            processes.stop_if_asked()
            block = np.zeros((2, min(_BLOCK_SAMPLES, num_samples - start)), np.float32)
            left, right = (block[side].ctypes.data for side in (0, 1))
            now, end = 0, block.shape[1]
            while now < end:
                due = end if event[0] == math.inf else min(end, round(event[0] * self._rate) - start)
                if due > now:
                    write_float(self._synth.synth, due - now, left, now, 1, right, now, 1)
                    now = due
                if now < end:
                    self._send(*event[1:])
                    event = next(upcoming)
            start += end
            yield block

    def _send(self, velocity: int, channel: int, key: int) -> None:
        if velocity == 0:
            self._synth.noteoff(channel, key)
        elif self._synth.noteon(channel, key, velocity) == 0 and channel in self._shaping:
            for voice in self._voices.of_last_note():
                self._voices.change(voice, self._shaping[channel], key)
            self._synth.get_cc(channel, _CC_VOLUME)  # the call that voices wait for


class _Voices:
    """The voices of a synthesizer; a note is played by one or several."""

    def __init__(self, synth: int):
        self._synth = synth
        array = ctypes.POINTER(_POINTER)
        self._list = _function("fluid_synth_get_voicelist", None, _POINTER, array, _INTEGER, _INTEGER)
        self._note = _function("fluid_voice_get_id", ctypes.c_uint, _POINTER)
        self._generator = _function("fluid_voice_gen_get", _FLOAT, _POINTER, _INTEGER)
        self._set_generator = _function("fluid_voice_gen_set", None, _POINTER, _INTEGER, _FLOAT)
        self._update = _function("fluid_voice_update_param", None, _POINTER, _INTEGER)

    def of_last_note(self) -> list[int]:
        """Return those of the note that was begun last."""
        voices = (_POINTER * _POLYPHONY)()
        self._list(self._synth, voices, _POLYPHONY, -1)
        numbered = [(self._note(voice), voice) for voice in itertools.takewhile(bool, voices)]
        last = max((number for number, _ in numbered), default=0)
        return [voice for number, voice in numbered if number == last]

    def change(self, voice: int, changes: timbre.Timbre, key: int) -> None:
        """Change a voice; it hears of it with the next call that goes to the synthesizer itself."""
        own = functools.partial(self._generator, voice)
        for generator, value in changes.of_voice(key, own).items():
            self._set_generator(voice, generator, value)
            self._update(voice, generator)


class _Keeper(_Synth):
    """A synthesizer that never plays, but has the samples of the last presets loaded, which all synthesizers share."""

    def __init__(self, soundfont: str):
        super().__init__(soundfont, _LOWEST_RATE, gain=0.0)
        self._pinned: collections.OrderedDict[tuple[int, int], None] = collections.OrderedDict()
        self._pin, self._unpin = (self._preset_function(f"fluid_synth_{verb}_preset") for verb in ("pin", "unpin"))

    def pin(self, presets: list[tuple[int, int]]) -> None:
        """Load presets, those that the soundfont has, and let go of the ones that were wanted longest ago."""
        ((_, number),) = self._layers
        for preset in presets:
            if preset not in self._pinned and self._pin(self._synth.synth, number, *preset) == 0:
                self._pinned[preset] = None
            if preset in self._pinned:
                self._pinned.move_to_end(preset)
        while len(self._pinned) > max(_KEPT_PRESETS, len(presets)):
            oldest, _ = self._pinned.popitem(last=False)
            self._unpin(self._synth.synth, number, *oldest)

    def _preset_function(self, name: str):
        return _function(name, _INTEGER, _POINTER, _INTEGER, _INTEGER, _INTEGER)
