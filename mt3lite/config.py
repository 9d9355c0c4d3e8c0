"""`Config`: every setting that a model depends on, in one frozen value, saved as JSON beside its weights."""

import dataclasses
import json
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from mt3lite import codec, network, reading, segments, spectrogram, vocabulary
from mt3lite.errors import InputError, reason, shown

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Config:
    """The settings of a model. What two parts must agree on is checked here, so a wrong pair never runs.

    Raises:
        InputError: the parts do not fit together.
    """

    name: str
    spectrogram: spectrogram.SpectrogramConfig
    segments: segments.SegmentConfig
    vocabulary: vocabulary.VocabularyConfig
    codec: codec.CodecConfig
    network: network.NetworkConfig

    def __post_init__(self) -> None:
        if not (self.name.isprintable() and len(self.name) <= LONGEST_NAME):
            raise InputError(f"name: {shown(self.name)} is not a name: at most {LONGEST_NAME} printable characters")
        net, words = self.network, vocabulary.Vocabulary(self.vocabulary)
        _check_sizes(self)
        _check_equal("network.vocab_size", net.vocab_size, "the vocabulary's embeddings", words.num_embeddings)
        _check_equal("network.input_depth", net.input_depth, "spectrogram.num_bins", self.spectrogram.num_bins)
        if net.emb_dim < 4 or net.emb_dim % 2:  # half of it sines, half cosines
            raise InputError(f"network.emb_dim: {net.emb_dim} is not an even number of at least 4")
        longest = max(self.segments.max_tokens, self.segments.input_frames)
        if net.max_positions < longest:
            raise InputError(
                f"network.max_positions: {net.max_positions} is less than the {longest} that segments need"
            )
        if net.front_end == "harmonic":
            _check_equal("spectrogram.scale", self.spectrogram.scale, "what a harmonic front end reads", "semitone")
            theirs = self.spectrogram.bins_per_semitone
            _check_equal("network.bins_per_semitone", net.bins_per_semitone, "spectrogram.bins_per_semitone", theirs)
            if self.segments.input_frames % net.frames_per_position:
                raise InputError(
                    f"network.frames_per_position: {net.frames_per_position} does not divide the "
                    f"{self.segments.input_frames} frames of a segment with its context"
                )
        if net.hearing and self.codec.events != "notes_with_ties":  # it would wait for the tie token for ever
            raise InputError(
                f"codec.events: {self.codec.events!r} has no tie sections, which a network with network.hearing reads"
            )
        for field, event_type in (("pitch_range", "pitch"), ("drum_range", "drum")):
            if getattr(net, field) != (0, 0):
                ids = _id_range(words, event_type)
                _check_equal(f"network.{field}", getattr(net, field), f"the {event_type} tokens", ids)
        allowed = {_id_range(words, each.type) for each in words.ranges}
        for carried in net.carried_ranges:
            if carried not in allowed:
                raise InputError(
                    f"network.carried_ranges: {carried} is not the range of an event type: {sorted(allowed)}"
                )

    @property
    def segment_steps(self) -> int:
        """Time steps of a segment's new frames, rounded up to whole steps."""
        steps = self.segments.num_frames * self.vocabulary.steps_per_second / self.spectrogram.frames_per_second
        return -int(-steps // 1)


LONGEST_NAME = 100
MOST_VALUES = 1 << 23  # in a table of positions, or in a segment's spectrogram: 32 MB
_SIZES = {
    "input_depth": (1, 1 << 13),
    "vocab_size": (1, 1 << 18),
    "emb_dim": (4, 1 << 14),
    "num_heads": (1, 256),
    "head_dim": (1, 1 << 12),
    "num_encoder_layers": (0, 128),
    "num_decoder_layers": (0, 128),
    "mlp_dim": (1, 1 << 16),
    "max_positions": (1, 1 << 17),
    "front_end_channels": (1, 1 << 12),
    "front_end_blocks": (0, 64),
    "note_channels": (1, 1 << 12),
    "note_blocks": (0, 64),
    "bins_per_semitone": (1, 100),
    "frames_per_position": (1, 1 << 10),
}
_SECTIONS = {
    "spectrogram": spectrogram.SpectrogramConfig,
    "segments": segments.SegmentConfig,
    "vocabulary": vocabulary.VocabularyConfig,
    "codec": codec.CodecConfig,
    "network": network.NetworkConfig,
}
# Settings that older models were saved without; their defaults are what those models are.
_LATER: dict[type, tuple[str, ...]] = {
    network.NetworkConfig: ("note_channels", "note_blocks", "note_ends", "note_unisons")
}
_FOLLOWING = {"input_depth", "bins_per_semitone", "vocab_size", "carried_ranges", "pitch_range"}
_FOLLOWING |= {"drum_range", "shift_positions"}
_Vocabulary = vocabulary.Vocabulary  # under a name that no parameter below has


def to_json(config: Config) -> str:
    """Return `config` as indented JSON text; `from_json` reads it back to an equal value."""
    return json.dumps(dataclasses.asdict(config), indent=2)


def from_json(text: str, source: str) -> Config:
    """Read a `Config` from JSON text: an object with exactly the fields of `Config`; raises as `read`."""
    return read(Config, text, source)


def read(cls: type[T], text: str, source: str) -> T:
    """Read a dataclass from JSON text: an object with exactly its fields, nested as they are.

    Args:
        cls: a dataclass whose fields are numbers, strings, tuples, dicts of strings, or such dataclasses.
        text: the JSON.
        source: what the text came from, for the messages: a file's path.

    Raises:
        InputError: not JSON, a key unknown or missing, a value of the wrong type, or one that the class refuses.
    """
    try:
        return read_dataclass(cls, reading.parse_json(text), "")
    except InputError as error:
        raise InputError(f"{source}: {error}") from error


def changed(config: Config, *, name: str | None = None, **sections: Mapping[str, object]) -> Config:
    """Return `config` with some fields changed, and with what follows from them in the network.

    The network's `input_depth`, `bins_per_semitone` and `vocab_size`, its token ranges and `shift_positions` are never
    given: they follow from the spectrogram, the segments and the vocabulary.

    Args:
        config: what to start from.
        name: of the result; None keeps the name.
        **sections: new values by field, for each of spectrogram, segments, vocabulary, codec, network.

    Raises:
        InputError: a field is unknown or follows from others, a value is of the wrong type, or the parts do not fit.

    >>> changed(preset("mt3"), vocabulary={"num_velocity_bins": 127}).network.vocab_size
    1664
    """
    values = json.loads(to_json(config))
    for section, fields in sections.items():
        if not isinstance(values.get(section), dict):
            raise InputError(f"unknown section {section}; there are {', '.join(_SECTIONS)}")
        for field in _FOLLOWING & fields.keys() if section == "network" else ():
            raise InputError(f"network.{field}: follows from the other settings; leave it out")
        values[section] |= json.loads(json.dumps(fields))
    values["name"] = name or config.name
    parts: dict[str, Any] = {
        section: read_dataclass(kind, values[section], section) for section, kind in _SECTIONS.items()
    }
    parts["network"] = dataclasses.replace(parts["network"], **_following(config, **parts))
    return Config(values["name"], **parts)


def _following(before: Config, *, spectrogram: Any, segments: Any, vocabulary: Any, network: Any, **_: Any) -> dict:
    """Return the fields of a network that follow from the other settings; `before` tells which ranges it is told."""
    old_words, words = _Vocabulary(before.vocabulary), _Vocabulary(vocabulary)
    event_types = {_id_range(old_words, each.type): each.type for each in old_words.ranges}

    def moved(ids: tuple[int, int]) -> tuple[int, int]:
        return _id_range(words, event_types[ids])

    fields = {"vocab_size": words.num_embeddings, "input_depth": spectrogram.num_bins}
    if network.front_end == "harmonic":
        fields["bins_per_semitone"] = spectrogram.bins_per_semitone
    if before.network.carried_ranges:
        fields["carried_ranges"] = tuple(map(moved, before.network.carried_ranges))
    for field in ("pitch_range", "drum_range"):
        if getattr(before.network, field)[1]:
            fields[field] = moved(getattr(before.network, field))
    if network.time_windows:
        frames_per_step = spectrogram.frames_per_second / vocabulary.steps_per_second
        frames = segments.context_frames, frames_per_step  # before shift 0, and of a shift
        fields["shift_positions"] = tuple(float(each / network.frames_per_position) for each in frames)
    return fields


def _check_sizes(config: Config) -> None:
    """Raise InputError for a size beyond all use: settings come with models that somebody made."""
    net = config.network
    for field, (least, most) in _SIZES.items():
        if not least <= getattr(net, field) <= most:
            raise InputError(f"network.{field}: {getattr(net, field)} is not from {least} to {most}")
    if net.max_positions * net.emb_dim > MOST_VALUES:
        raise InputError(f"network.max_positions: {net.max_positions} of {net.emb_dim} numbers do not fit into memory")
    if config.segments.input_frames * net.input_depth > MOST_VALUES:
        raise InputError(
            f"segments.num_frames: {config.segments.input_frames} frames of {net.input_depth} bins are more than fit "
            "into memory"
        )
    if not 0 <= net.dropout_rate < 1:
        raise InputError(f"network.dropout_rate: {net.dropout_rate} is not from 0 to 1, without 1")
    if not all(math.isfinite(each) for each in net.shift_positions):
        raise InputError(f"network.shift_positions: {net.shift_positions} are not finite")


def _check_equal(name: str, value: object, other_name: str, other: object) -> None:
    """Raise InputError unless two settings agree."""
    if value != other:
        raise InputError(f"{name}: is {shown(value)}, but {other_name} is {shown(other)}")


def read_dataclass(cls: type[T], values: object, path: str) -> T:
    """Build the dataclass `cls` from a JSON object whose keys must be exactly its fields; arrays become tuples.

    Raises:
        InputError: a key is unknown or missing, or a value of the wrong type; `path` says where the object is.
    """
    if not isinstance(values, dict):
        raise InputError(f"{path or 'config'}: {shown(values)} is not an object")
    hints = typing.get_type_hints(cls)
    prefix = f"{path}." if path else ""
    for key in values:
        if key not in hints:
            raise InputError(f"unknown key {reason(prefix + key)}; the keys here are {', '.join(hints)}")
    for key in hints:
        if key not in values and key not in _LATER.get(cls, ()):
            raise InputError(f"missing key {prefix}{key}")
    return cls(**{key: _read_value(hints[key], values[key], prefix + key) for key in hints if key in values})


def _read_value(kind: Any, value: object, path: str) -> Any:
    """Check a JSON value against a type hint; arrays become tuples, and whole numbers floats where those are wanted."""
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return read_dataclass(kind, value, path)
    if typing.get_origin(kind) is tuple and isinstance(value, list):
        kinds = typing.get_args(kind)
        if kinds[-1] is Ellipsis:
            kinds = (kinds[0],) * len(value)
        if len(kinds) == len(value):
            return tuple(_read_value(k, v, f"{path}[{i}]") for i, (k, v) in enumerate(zip(kinds, value, strict=True)))
    if typing.get_origin(kind) is dict and isinstance(value, dict):
        return {key: _read_value(typing.get_args(kind)[1], item, f"{path}[{key!r}]") for key, item in value.items()}
    if kind is float and type(value) is int:
        try:
            return float(value)
        except OverflowError as error:
            raise InputError(f"{path}: {shown(value)} is too large") from error
    if type(value) is kind:  # not isinstance: True is an int
        return value
    wanted = kind if isinstance(kind, types.GenericAlias) else kind.__name__
    raise InputError(f"{path}: {shown(value)} is not of type {wanted}")


def _id_range(words: vocabulary.Vocabulary, event_type: str) -> tuple[int, int]:
    """Return (first token id, how many) of an event type."""
    ids = words.token_range(event_type)
    return ids.start, len(ids)


def _own(name: str, **network_sizes: Any) -> Config:
    """Build one of our own presets: they share all but the sizes of the network.

    Frames are 10 ms apart, as the steps are; a segment is 2 s of new frames with 0.14 s of real audio on either side.
    """
    frames = spectrogram.SpectrogramConfig(
        hop_samples=160,
        num_bins=294,  # 98 semitones, up to 7.7 kHz
        min_frequency_hz=27.5 * 2 ** (-1 / 36),  # bin 1 is the lowest A of the piano
        scale="semitone",
        bins_per_semitone=3,
        log_floor=1e-2,  # 94 dB below a full-scale sine: far under the hiss of recordings
        centered=True,
    )
    cut = segments.SegmentConfig(num_frames=200, context_frames=14, edges="audio", max_tokens=512)
    word_config = vocabulary.VocabularyConfig(max_shift_steps=200, num_velocity_bins=8)
    words = vocabulary.Vocabulary(word_config)
    frames_per_position = network_sizes.get("frames_per_position", 3)
    net = network.NetworkConfig(
        input_depth=frames.num_bins,
        vocab_size=words.num_embeddings,
        front_end="harmonic",
        bins_per_semitone=frames.bins_per_semitone,
        carried_ranges=tuple(_id_range(words, event_type) for event_type in ("shift", "velocity", "tie", "program")),
        pitch_range=_id_range(words, "pitch"),
        hearing=True,
        drum_range=_id_range(words, "drum"),
        time_windows=True,
        shift_positions=(cut.context_frames / frames_per_position, 1 / frames_per_position),
        **{"frames_per_position": frames_per_position, **network_sizes},
    )
    return Config(name, frames, cut, word_config, codec.CodecConfig(granularity="midi_class"), net)


def _ancestor(
    name: str, *, num_frames: int, num_velocity_bins: int, events: str, granularity: str, **network_sizes: Any
) -> Config:
    """Build a preset of magenta/mt3 (its `gin` files of those names), down to its faults: `compatibility="mt3"`."""
    word_config = vocabulary.VocabularyConfig(num_velocity_bins=num_velocity_bins)
    return Config(
        name,
        spectrogram.SpectrogramConfig(),
        segments.SegmentConfig(num_frames=num_frames),
        word_config,
        codec.CodecConfig(events=events, granularity=granularity, compatibility="mt3"),
        network.NetworkConfig(vocab_size=vocabulary.Vocabulary(word_config).num_embeddings, **network_sizes),
    )


PRESETS = {
    config.name: config
    for config in (
        # For tests: the production front end and vocabulary over a network too small to learn much.
        _own(
            "tiny",
            emb_dim=32,
            num_heads=2,
            head_dim=16,
            num_encoder_layers=1,
            num_decoder_layers=1,
            mlp_dim=64,
            front_end_channels=8,
            front_end_blocks=1,
        ),
        # Bundled with the package.
        _own(
            "small",
            emb_dim=256,
            num_heads=4,
            head_dim=64,
            num_encoder_layers=8,
            num_decoder_layers=2,
            mlp_dim=512,
            dropout_rate=0.0,
            front_end_channels=48,
            front_end_blocks=2,
            note_channels=64,
            note_blocks=6,
            note_ends=True,
            note_unisons=True,
        ),
        _ancestor("mt3", num_frames=256, num_velocity_bins=1, events="notes_with_ties", granularity="full"),
        _ancestor("ismir2021", num_frames=512, num_velocity_bins=127, events="notes", granularity="flat"),
        # The larger network of Gardner et al.'s later runs; its small one has the settings of mt3.
        _ancestor(
            "ismir2022_base",
            num_frames=256,
            num_velocity_bins=1,
            events="notes_with_ties",
            granularity="full",
            emb_dim=768,
            num_heads=12,
            num_encoder_layers=12,
            num_decoder_layers=12,
            mlp_dim=2048,
        ),
    )
}


def preset(name: str) -> Config:
    """Return the preset of a name.

    Raises:
        InputError: there is none of that name.
    """
    if name not in PRESETS:
        raise InputError(f"{name}: no such preset; there are {', '.join(PRESETS)}")
    return PRESETS[name]
