"""What the encoder hears at each of its positions, and how it leans on the decoder's choice of tokens.

`NoteHeads` say position by position which pitches begin and sound, how loud, which instrument family plays them, and
which drums are struck. They learn from notes, fast; the decoder learns to write, slowly. So the decoder's logits begin
from `hints`: which token the heads would have it write next at the time it has come to. That is a joint score of two
experts, as the CTC and attention scores of Watanabe et al., "Hybrid CTC/Attention Architecture for End-to-End Speech
Recognition", 2017.

Axes: B batch, P encoder positions, T tokens, V vocabulary.
"""

from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mt3lite import carrying, vocabulary
from mt3lite.frontend import LOWEST_PITCH, NUM_PITCHES
from mt3lite.instruments import DRUM_CLASSES, PROGRAMS_PER_FAMILY
from mt3lite.note_heads import NUM_DRUMS, NUM_FAMILIES

if TYPE_CHECKING:
    from mt3lite import network

WEIGHT = 8.0  # of the hints, beside the decoder's own logits
# Logits from which on something is taken for heard. They are lower than those of a chance of one half, since an onset
# that is half believed in is seldom believed in a position earlier or later. These and those that follow, but for
# the bounds of hints, were found on held-out pieces with training's sounds.
ONSET_FROM, FRAME_FROM, END_FROM = -1.0, -0.6, -1.5
# Kicks and snares are heard more surely than other drums of a kit, which would not be written at all if they had to be
# as sure (Lipton et al., "Optimal Thresholding of Classifiers to Maximize F1 Measure", 2014). What belongs to no kit is
# seldom there, and must be surer.
DRUM_FROM = np.full(NUM_DRUMS, -0.5, np.float32)
DRUM_FROM[[key for keys in DRUM_CLASSES.values() for key in keys]] = -1.9
DRUM_FROM[[35, 36, 38, 40]] = -1.1
# Logit that a note which sounds ends there: weights of what the heads say of ends and frames, and what is added. By
# logistic regression on such pieces; but what sounds after notes have ended is not in it, hence the other.
_END_WEIGHT, _FRAME_WEIGHT, _ENDS = 1.0, -0.25, 1.0
_SILENT_BELOW = -7.0  # a note that is heard no more than this has ended without being heard to
_ENDED = -1.5  # how surely nothing sounds where an end is heard, whatever the frames say
_ECHO = 3.0  # taken from the logits of an onset or a drum beside its peak, or of an onset that nothing sounds after
_SURE = 3.0  # no logit of what sounds counts for more, or the last position of a note would be taken for its end
_LISTENED = 6  # positions from an onset on by which its family is told
_CERTAIN = 1.0  # the most that any event is worth moving on for, so that a greater one later does not outdo one here
_LEFT_OUT = 4.0  # how much of what is still to be written here speaks against moving on
_FADING = 2.0  # how fast the wish to end a note grows with the logit that it sounds no more
_VELOCITY = 40.0  # taken for the square of the distance between two velocities, of which 1 is the highest
_OTHER_VELOCITY = 0.3  # taken for another velocity than the one in force
_LOWEST, _HIGHEST = -8.0, 6.0  # of hints
_PITCHED = slice(LOWEST_PITCH, LOWEST_PITCH + NUM_PITCHES)


class Heard(NamedTuple):
    """What was heard, ready for `hints`. Logits are 0 where an event is as well written as left out."""

    onset: jax.Array  # float32 [B, P, 88]: logit that a note begins
    drum: jax.Array  # float32 [B, P, 128]: logit that a drum is struck
    sounds: jax.Array  # float32 [B, P, 88]: logit that a note sounds
    silent_from: jax.Array  # int32 [B, P, 88]: the first position from this on at which no note sounds; P for none
    family: jax.Array  # float32 [B, P, 88, 16]: log chance of each family of a note there, less that of the likeliest
    wanted: jax.Array  # float32 [B, P, 88]: `family` of the likeliest that may be written; 0 where no others play
    unison: jax.Array  # float32 [B, P, 88]: logit that another family begins the note that begins there, too
    velocity: jax.Array  # float32 [B, P, 88]: of a note that begins, 0 to 1
    drum_velocity: jax.Array  # float32 [B, P, 128]
    log_stays: jax.Array | None  # float32 [B, P, 88]: log chance that a note does not end there; None: not told
    event: jax.Array  # float32 [B, P]: logit of the likeliest onset or stroke
    moment: jax.Array  # float32 [B, P]: when it happens, in positions
    note_moment: jax.Array  # float32 [B, P, 88]: when an onset there happens
    drum_moment: jax.Array  # float32 [B, P, 128]
    passed: jax.Array  # float32 [B, P + 1]: sum of the positive ones of `event` before


def prepare(logits: dict[str, jax.Array]) -> Heard:
    """Return what `hints` needs of what `NoteHeads` return."""
    frame = jnp.clip(logits["frame"], -_SURE, _SURE)
    sounds = (frame + _next(frame)) / 2 - FRAME_FROM  # two positions together are surer of an end than one
    # The positions around an onset hear it too, and would have it written again and again; and an onset that nothing
    # sounds after is seldom one.
    begins = _peaks(logits["onset"]) & (jnp.maximum(sounds, _next(sounds)) > 0)
    onset = jnp.where(begins, logits["onset"], logits["onset"] - _ECHO) - ONSET_FROM
    log_stays = None
    if "end" in logits:  # a note that begins again there ends the one before by itself
        ended = _peaks(logits["end"]) & (logits["end"] > END_FROM) & (onset < 0)
        sounds = jnp.where(ended, jnp.minimum(sounds, _ENDED), sounds)
        ending = _END_WEIGHT * logits["end"] + _FRAME_WEIGHT * logits["frame"] + _ENDS
        log_stays = jax.nn.log_sigmoid(-ending) + jax.nn.log_sigmoid(logits["frame"] - _SILENT_BELOW)
    drum = jnp.where(_peaks(logits["drum"]), logits["drum"], logits["drum"] - _ECHO) - DRUM_FROM
    moments = _moments(logits["onset"]), _moments(logits["drum"])
    likeliest = jnp.concatenate([onset, drum], -1).argmax(axis=-1, keepdims=True)
    num_positions = sounds.shape[1]
    silent = jnp.where(sounds < 0, jnp.arange(num_positions)[:, None], num_positions)
    return Heard(
        onset=onset,
        drum=drum,
        sounds=sounds,
        silent_from=jax.lax.cummin(silent, axis=1, reverse=True),
        family=_families(logits["family"], jax.nn.sigmoid(sounds)),
        wanted=jnp.zeros_like(sounds),
        unison=logits.get("unison", jnp.full_like(sounds, _LOWEST)),
        velocity=jnp.clip(logits["velocity"], 0.0, 1.0),
        drum_velocity=jnp.clip(logits["drum_velocity"], 0.0, 1.0),
        log_stays=log_stays,
        **_events(onset, drum),
        note_moment=moments[0],
        drum_moment=moments[1],
        moment=jnp.take_along_axis(jnp.concatenate(moments, -1), likeliest, axis=-1)[..., 0],
    )


class Begun(NamedTuple):
    """What was heard to begin in a segment: N notes with who may play them, and S strokes of drums."""

    note_position: np.ndarray  # int64 [N]
    pitch: np.ndarray  # int64 [N]: MIDI
    family: np.ndarray  # float32 [N, 16]: log chances, less that of the likeliest
    unison: np.ndarray  # float32 [N]: logits that a second family plays it, too
    velocity: np.ndarray  # float32 [N]: 0 to 1
    moment: np.ndarray  # float32 [N]: when they begin, in positions
    stroke_position: np.ndarray  # int64 [S]
    drum: np.ndarray  # int64 [S]: MIDI
    drum_logit: np.ndarray  # float32 [S]
    drum_velocity: np.ndarray  # float32 [S]: 0 to 1
    drum_moment: np.ndarray  # float32 [S]
    log_stays: np.ndarray | None  # float32 [P, 88], see `Heard`


def begun(heard: Heard, row: int) -> Begun:
    """Return what was heard to begin in one segment of a batch."""

    def of_row(values: jax.Array | None) -> np.ndarray | None:
        return None if values is None else np.asarray(values)[row]

    onset, drum = of_row(heard.onset), of_row(heard.drum)
    note, stroke = np.nonzero(onset > 0), np.nonzero(drum > 0)
    return Begun(
        note_position=note[0],
        pitch=note[1] + LOWEST_PITCH,
        family=of_row(heard.family)[note],
        unison=of_row(heard.unison)[note],
        velocity=of_row(heard.velocity)[note],
        moment=of_row(heard.note_moment)[note],
        stroke_position=stroke[0],
        drum=stroke[1],
        drum_logit=drum[stroke] + DRUM_FROM[stroke[1]],
        drum_velocity=of_row(heard.drum_velocity)[stroke],
        drum_moment=of_row(heard.drum_moment)[stroke],
        log_stays=of_row(heard.log_stays),
    )


def only(heard: Heard, families: frozenset[int] | None, drums: bool, *, complete: bool = False) -> Heard:
    """Return what is heard of some families (None: of all), and of drums or not.

    Without this, notes that may not be written would keep the decoder where they are, and have others written there.
    Where the families are `complete`, no others play: each note is then one of theirs, whatever it sounded like most.
    """
    chosen = jnp.array([families is None or family in families for family in range(NUM_FAMILIES)])
    of_chosen = jnp.where(chosen, heard.family, _LOWEST)
    likeliest = of_chosen.max(-1)
    wanted = jnp.zeros_like(likeliest) if complete else likeliest
    onset = heard.onset if complete else _both(heard.onset, wanted)
    drum = heard.drum if drums else jnp.full_like(heard.drum, _LOWEST)
    family = of_chosen - likeliest[..., None]
    return heard._replace(onset=onset, drum=drum, family=family, wanted=wanted, **_events(onset, drum))


def _both(logit: jax.Array, log_chance: jax.Array) -> jax.Array:
    """Return the logit of two things together, one told by its logit and one by the log of its chance."""
    log_both = jnp.minimum(jax.nn.log_sigmoid(logit) + log_chance, -1e-6)
    return log_both - jnp.log1p(-jnp.exp(log_both))


def _events(onset: jax.Array, drum: jax.Array) -> dict[str, jax.Array]:
    """Return the fields of `Heard` that follow from the logits of onsets and of drums."""
    event = jnp.maximum(onset.max(-1), drum.max(-1))
    return {"event": event, "passed": jnp.pad(jnp.cumsum(jax.nn.relu(event), axis=1), ((0, 0), (1, 0)))}


def _next(curve: jax.Array) -> jax.Array:
    """Return what a curve [B, P, N] is one position later; the last one stays."""
    return jnp.pad(curve, ((0, 0), (0, 1), (0, 0)), mode="edge")[:, 1:]


def _beside(curve: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the values one position before and after each of a curve [B, P, ...]; none are beyond its ends."""
    around = jnp.pad(curve, ((0, 0), (1, 1), (0, 0)), constant_values=-jnp.inf)
    return around[:, :-2], around[:, 2:]


def _peaks(curve: jax.Array) -> jax.Array:
    """Return where a curve [B, P, ...] is at a local maximum over P, bool."""
    before, after = _beside(curve)
    return (curve >= before) & (curve > after)


def _moments(curve: jax.Array) -> jax.Array:
    """Return when what peaks at each place of a curve [B, P, N] happens, in positions, by a parabola: [B, P, N]."""
    before, after = _beside(curve)
    bend = before - 2 * curve + after
    aside = jnp.where(jnp.isfinite(bend) & (bend < 0), 0.5 * (before - after) / bend, 0.0)
    return jnp.arange(curve.shape[1])[:, None] + 0.5 + jnp.clip(aside, -0.5, 0.5)


def _families(logits: jax.Array, sounds: jax.Array) -> jax.Array:
    """Return the log chances of the families over the next positions, weighed by how surely something sounds there."""
    chances = jax.nn.softmax(logits) * sounds[..., None]
    padded = jnp.pad(chances, ((0, 0), (0, _LISTENED - 1), (0, 0), (0, 0)))
    together = sum(padded[:, i : i + chances.shape[1]] for i in range(_LISTENED))
    least = 1e-4
    return jnp.log((together + least) / (together.max(-1, keepdims=True) + least))


def _at(heard: jax.Array, position: jax.Array) -> jax.Array:
    """Return [B, P, ...] at the positions int32 [B, T] -> [B, T, ...]."""
    return jnp.take_along_axis(heard, position.reshape(*position.shape, *[1] * (heard.ndim - 2)), axis=1)


def hints(heard: Heard, carried: jax.Array, config: "network.NetworkConfig") -> jax.Array:
    """Return what speaks for each token as the next one, float32 [B, T, V], about -8 to 6.

    Every event that is heard and not written yet has a logit; a token has the greatest of those events that it would
    lead to. In the tie section these are the notes that sound just before the segment; after it, the onsets and strokes
    at the shift in force and the ends of notes that sound by the tokens so far but are heard no more. A shift has what
    happens where it leads to, less what it would leave out here and on the way; the end of all, only the latter.

    Args:
        heard: of the segment.
        carried: int32 [B, T, R], see `carrying.sequence`.
        config: of the network; it names the token ranges.
    """
    told = carrying.Told.split(carried, config)
    offset, scale = config.shift_positions
    last = heard.onset.shape[1] - 1
    stand = jnp.clip(jnp.floor(offset + scale * told.shift).astype(jnp.int32), 0, last)  # [B, T]
    here = _listen(heard, told, stand, before_segment=int(offset) - 1)
    shift, end = _move_on(heard, here, told, stand, config)
    velocity, pitch, drum = _notes(here, told, config.carried_ranges[1][1])
    columns = {
        config.carried_ranges[0]: shift,
        config.carried_ranges[1]: velocity,
        config.carried_ranges[2]: -jax.nn.relu(here.tied.max(-1, keepdims=True)),
        config.carried_ranges[3]: jnp.repeat(_programs(here), PROGRAMS_PER_FAMILY, axis=-1),
        config.pitch_range: pitch,
        config.drum_range: drum,
        (vocabulary.EOS, 1): end,
    }
    total = jnp.zeros((*stand.shape, config.vocab_size))
    for (start, count), column in columns.items():
        total = total.at[..., start : start + count].set(jnp.clip(column, _LOWEST, _HIGHEST))
    return total


class _Here(NamedTuple):
    """What is heard where the decoder stands, as logits that are low for what is written already."""

    onset: jax.Array  # [B, T, 88]; low in the tie section, as drums and ends
    drum: jax.Array  # [B, T, 128]
    ending: jax.Array  # [B, T, 88]: a note that sounds by the tokens so far is heard no more
    tied: jax.Array  # [B, T, 88]: a note sounds before the segment; low after the tie section
    family: jax.Array  # [B, T, 88, 16]: log chance of what begins or is tied
    sounding_family: jax.Array  # int32 [B, T, 88]: of what sounds by the tokens so far, -1 for nothing
    velocity: jax.Array  # [B, T, 88]
    drum_velocity: jax.Array  # [B, T, 128]

    @property
    def anything(self) -> jax.Array:
        """Logit of the likeliest event that is still to be written here, [B, T]."""
        return jnp.maximum(jnp.maximum(self.onset.max(-1), self.ending.max(-1)), self.drum.max(-1))


def _listen(heard: Heard, told: carrying.Told, stand: jax.Array, before_segment: int) -> _Here:
    """Gather what was heard at the positions stood at, int32 [B, T], and just before the segment."""
    in_ties = told.in_ties[..., None]
    sounding = told.sounding[..., _PITCHED]
    # What is tied over is not begun again where the segment begins.
    said = (told.said_pitches[..., _PITCHED] > 0) | ((told.shift[..., None] == 0) & (sounding > 0))
    first = jnp.full_like(stand, before_segment)
    fading = -_FADING * _at(heard.sounds, stand)
    return _Here(
        onset=jnp.where(said | in_ties, _LOWEST, jnp.minimum(_at(heard.onset, stand), _HIGHEST)),
        drum=jnp.where((told.said_drums > 0) | in_ties, _LOWEST, jnp.minimum(_at(heard.drum, stand), _HIGHEST)),
        ending=jnp.where((sounding > 0) & ~said & ~in_ties, fading, _LOWEST),
        tied=jnp.where(said | ~in_ties, _LOWEST, _both(_at(heard.sounds, first), _at(heard.wanted, first))),
        family=_at(heard.family, jnp.where(told.in_ties, first + 1, stand)),
        sounding_family=(sounding - 1) // PROGRAMS_PER_FAMILY,
        velocity=_at(heard.velocity, stand),
        drum_velocity=_at(heard.drum_velocity, stand),
    )


def _programs(here: _Here) -> jax.Array:
    """Return the hints of the families [B, T, 16]: some note of theirs begins, ends or is tied."""
    begins = jnp.maximum(here.onset, here.tied)[..., None] + here.family
    of_family = here.sounding_family[..., None] == jnp.arange(NUM_FAMILIES)
    return jnp.maximum(begins, jnp.where(of_family, here.ending[..., None], _LOWEST)).max(axis=-2)


def _notes(here: _Here, told: carrying.Told, num_velocities: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return the hints of the velocities [B, T, num_velocities], of the pitches and of the drums [B, T, 128] each."""
    family = (jnp.maximum(told.program, 0) // PROGRAMS_PER_FAMILY)[..., None]
    of_program = jnp.take_along_axis(here.family, family[..., None], axis=-1)[..., 0]  # [B, T, 88]
    of_program = jnp.where(told.program[..., None] < 0, _LOWEST, of_program)
    starts = here.onset + of_program
    ends = jnp.where(here.sounding_family == family, here.ending, _LOWEST)

    bins = num_velocities - 1  # beside 0, the end of notes
    middles = (jnp.arange(bins) + 0.5) / bins
    loud = jnp.concatenate([starts, here.drum], axis=-1)[..., None] - _VELOCITY * jnp.square(
        jnp.concatenate([here.velocity, here.drum_velocity], axis=-1)[..., None] - middles
    )  # [B, T, 88 + 128, bins]
    in_force = jnp.maximum(told.velocity, 1)[..., None] - 1
    changes = jnp.where(told.velocity > 0, _OTHER_VELOCITY, 0.0)[..., None]
    velocity = jnp.concatenate([ends.max(-1, keepdims=True), loud.max(axis=-2) - changes], axis=-1)

    at_velocity = jnp.take_along_axis(loud, in_force[..., None], axis=-1)[..., 0]
    pitch = jnp.where(told.velocity[..., None] == 0, ends, at_velocity[..., :NUM_PITCHES])
    pitch = jnp.where(told.in_ties[..., None], here.tied + of_program, pitch)
    outside = (LOWEST_PITCH, told.sounding.shape[-1] - _PITCHED.stop)
    pitch = jnp.pad(pitch, ((0, 0), (0, 0), outside), constant_values=_LOWEST)
    return velocity, pitch, at_velocity[..., NUM_PITCHES:]


def _move_on(heard: Heard, here: _Here, told: carrying.Told, stand: jax.Array, config: "network.NetworkConfig"):
    """Return the hints of each shift, [B, T, num_shifts], and of the end, [B, T, 1]."""
    offset, scale = config.shift_positions
    last = heard.event.shape[1] - 1
    shifts = jnp.arange(config.carried_ranges[0][1])
    target = jnp.clip(jnp.floor(offset + scale * shifts).astype(jnp.int32), 0, last)
    beyond = target[-1] + 1
    off = jnp.abs(offset + scale * (shifts + 0.5) - heard.moment[:, target])  # of the middle of a shift's step
    ends = _at(heard.silent_from, jnp.minimum(stand + 1, last))
    next_end = jnp.where(told.sounding[..., _PITCHED] > 0, ends, last + 1).min(-1, keepdims=True)  # [B, T, 1]

    left_here = _LEFT_OUT * jax.nn.relu(here.anything)[..., None]
    already = _at(heard.passed[..., None], stand + 1) - left_here
    event = (jnp.minimum(heard.event, _CERTAIN)[:, target] - off)[:, None]
    event = jnp.maximum(event, jnp.where(target == next_end, _CERTAIN, _LOWEST))
    skips_end = jnp.where(next_end < target, _CERTAIN, 0.0)
    shift = event - (heard.passed[:, None, target] - already) - skips_end
    shift = jnp.where(target <= stand[..., None], _LOWEST, shift)
    end = already - heard.passed[:, None, beyond, None] - jnp.where(next_end < beyond, _CERTAIN, 0.0)
    return shift, end
