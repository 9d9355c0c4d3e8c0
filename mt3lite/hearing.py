"""What the encoder hears at each of its positions, and how it leans on the decoder's choice of tokens.

`NoteHeads` say position by position which pitches begin and sound, which instrument family plays them, and which drums
are struck. They learn from notes, fast; the decoder learns to write, slowly. So the decoder's logits begin from what is
heard at the time it has come to (`hints`), each kind of hint weighed by a gate that the decoder sets at every token:
a joint score of two experts, as the CTC and attention scores of Watanabe et al., "Hybrid CTC/Attention Architecture for
End-to-End Speech Recognition", 2017.

Axes: B batch, P encoder positions, T tokens, V vocabulary, D emb_dim, C front-end channels, G gates.
"""

import math
from typing import TYPE_CHECKING, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from mt3lite import carrying, vocabulary
from mt3lite.frontend import LOWEST_PITCH, NUM_PITCHES

if TYPE_CHECKING:
    from mt3lite import network

NUM_FAMILIES = 16  # General MIDI families
NUM_DRUMS = 128
PROGRAMS_PER_FAMILY = 8
HIDDEN = 48  # features of a pitch in `NoteHeads`
_LEAST = 1e-4  # below this a chance counts as none
_LOWEST = math.log(_LEAST)  # so no hint is lower
_SAID = 4.0  # taken from the hint of a note that was written already
_CONTRAST = 3.0  # of what sounds, when its end is looked for
_ECHO = 3.0  # taken from the logits of an onset or a drum beside its peak
_SAME_POSITION = -3.0  # hint of a later shift within the position stood at, whose events are likely written
# Each weighs one kind of hint; see `hints`.
GATES = ("onset", "family", "said", "ending", "drum", "tie", "velocity", "program", "move_on")


class NoteHeads(nn.Module):
    """Logits of note activity from the encoder's output and, where there are any, the front end's pitch features."""

    @nn.compact
    def __call__(self, encoded: jax.Array, pitch_features: jax.Array | None) -> dict[str, jax.Array]:
        """Encoded [B, P, D], pitch_features [B, P, 88, C] or None -> logits by name.

        "onset" and "frame" [B, P, 88], "drum" [B, P, 128], and with pitch features "family" [B, P, 88, 16].
        """
        rare = nn.initializers.constant(-4.0)  # notes are rare: start from there, not from one half
        logits = {
            "onset": nn.Dense(NUM_PITCHES, bias_init=rare, name="onset")(encoded),
            "frame": nn.Dense(NUM_PITCHES, bias_init=rare, name="frame")(encoded),
            "drum": nn.Dense(NUM_DRUMS, bias_init=rare, name="drum")(encoded),
        }
        if pitch_features is not None:
            # Which instruments are about, for all pitches, beside what each pitch sounds like.
            around = nn.Dense(HIDDEN, name="around")(encoded)[:, :, None]
            hidden = nn.relu(nn.Dense(HIDDEN, use_bias=False, name="pitch_in")(pitch_features) + around)
            by_pitch = nn.Dense(2 + NUM_FAMILIES, name="pitch_out")(hidden)
            logits["onset"] += by_pitch[..., 0]
            logits["frame"] += by_pitch[..., 1]
            logits["family"] = by_pitch[..., 2:]
        return {name: head.astype(jnp.float32) for name, head in logits.items()}


class Heard(NamedTuple):
    """What was heard, ready for `hints`."""

    onset: jax.Array  # float32 [B, P, 88]: logit that a note begins
    sounds: jax.Array  # float32 [B, P, 88]: logit that a note sounds
    ends: jax.Array  # float32 [B, P, 88]: chance that a note sounded one position before and no more
    family: jax.Array  # float32 [B, P, 88, 16]: log chance of each family, given that a note sounds
    drum: jax.Array  # float32 [B, P, 128]: logit that a drum is struck
    quiet: jax.Array  # float32 [B, P + 1]: log chance that nothing happens at any position before


def prepare(logits: dict[str, jax.Array]) -> Heard:
    """Return what `hints` needs of the logits of `NoteHeads`.

    Local maxima over time count as something that happens, and what is beside them for little: the positions around an
    onset hear it too, and would have it written again and again.
    """
    onset, drum = (jnp.where(_peaks(each), each, each - _ECHO) for each in (logits["onset"], logits["drum"]))
    # A note that fades is half believed in for a while; its end is where belief passes one half.
    sounds = jax.nn.sigmoid(_CONTRAST * logits["frame"])
    before = jnp.pad(sounds, ((0, 0), (1, 0), (0, 0)))[:, :-1]
    ends = before * (1 - sounds)
    ends = jnp.where(_peaks(ends), ends, 0.1 * ends)
    nothing = jax.nn.log_sigmoid(-onset).sum(-1) + jax.nn.log_sigmoid(-drum).sum(-1)
    # Only clear ends count.
    nothing += jnp.log1p(-0.9 * jnp.square(ends)).sum(-1)
    quiet = jnp.pad(jnp.cumsum(nothing, axis=1), ((0, 0), (1, 0)))
    return Heard(onset, logits["frame"], ends, jax.nn.log_softmax(logits["family"]), drum, quiet)


def _peaks(curve: jax.Array) -> jax.Array:
    """Return where a curve [B, P, ...] is at a local maximum over P, bool."""
    around = jnp.pad(curve, ((0, 0), (1, 1), (0, 0)), constant_values=-jnp.inf)
    return (curve >= around[:, :-2]) & (curve > around[:, 2:])


def _log(chance: jax.Array) -> jax.Array:
    return jnp.log(jnp.maximum(chance, _LEAST))


def _at(heard: jax.Array, position: jax.Array) -> jax.Array:
    """Return [B, P, ...] at the positions int32 [B, T] -> [B, T, ...]."""
    return jnp.take_along_axis(heard, position.reshape(*position.shape, *[1] * (heard.ndim - 2)), axis=1)


def hints(heard: Heard, carried: jax.Array, gates: jax.Array, config: "network.NetworkConfig") -> jax.Array:
    """Return what to add to the decoder's logits, float32 [B, T, V].

    Args:
        heard: of the segment.
        carried: int32 [B, T, R], see `carrying.sequence`.
        gates: float32 [B, T, G], one for each of `GATES`.
        config: of the network; it names the token ranges.

    After the tie section a pitch token is hinted at by the logit of its onset at the shift in force (or by the chance
    of its end, while the velocity in force is 0) and by the log chance of the program in force; a drum by its logit; a
    velocity, and a program, by the log of the expected number of notes that are still to be written here. A later shift
    is hinted at by the log chance that something happens there and nothing before, and the end by that of nothing more.
    In the tie section, pitches and programs are hinted at by what sounds just before the segment begins.
    """
    told = carrying.Told.split(carried, config)
    gate = {name: gates[..., i, None] for i, name in enumerate(GATES)}
    offset, scale = config.shift_positions
    last = heard.onset.shape[1] - 1
    stand = jnp.clip(jnp.floor(offset + scale * told.shift).astype(jnp.int32), 0, last)  # [B, T]
    here = _listen(heard, told, stand, before_segment=int(offset) - 1)
    pitch, drum = _notes(here, told, gate)
    velocity, tie, program = _announcements(here, config.carried_ranges[1][1])
    shift, end = _move_on(heard, told.shift, stand, config)
    columns = {
        config.carried_ranges[0]: gate["move_on"] * shift,
        config.carried_ranges[1]: gate["velocity"] * velocity,
        config.carried_ranges[2]: gate["tie"] * tie,
        config.carried_ranges[3]: gate["program"] * program,
        config.pitch_range: pitch,
        config.drum_range: drum,
        (vocabulary.EOS, 1): gate["move_on"] * end,
    }
    total = jnp.zeros((*stand.shape, config.vocab_size))
    for (start, count), column in columns.items():
        total = total.at[..., start : start + count].set(column)
    return total


class _Here(NamedTuple):
    """What is heard where the decoder stands. The last four are chances of what is still to be written there."""

    onset: jax.Array  # [B, T, 88]: logit
    ends: jax.Array  # [B, T, 88]: chance, of notes that sound by the tokens so far
    tied: jax.Array  # [B, T, 88]: logit that a note sounds before the segment
    drum: jax.Array  # [B, T, 128]: logit
    family: jax.Array  # [B, T, 88, 16]: log chance; in the tie section of what sounds before the segment
    ended_family: jax.Array  # [B, T, 88, 16]: the same of what sounded one position before
    starting: jax.Array  # [B, T, 88]; 0 in the tie section
    ending: jax.Array  # [B, T, 88]; 0 in the tie section
    tying: jax.Array  # [B, T, 88]; 0 after the tie section
    striking: jax.Array  # [B, T, 128]; 0 in the tie section


def _listen(heard: Heard, told: carrying.Told, stand: jax.Array, before_segment: int) -> _Here:
    """Gather what was heard at the positions stood at, int32 [B, T], and just before the segment."""
    pitched = slice(LOWEST_PITCH, LOWEST_PITCH + NUM_PITCHES)
    in_ties = told.in_ties[..., None]
    unsaid = 1.0 - told.said_pitches[..., pitched]
    first = jnp.full_like(stand, before_segment)
    onset, tied, drum = _at(heard.onset, stand), _at(heard.sounds, first), _at(heard.drum, stand)
    ends = _at(heard.ends, stand) * told.sounding[..., pitched]
    return _Here(
        onset=onset,
        ends=ends,
        tied=tied,
        drum=drum,
        family=_at(heard.family, jnp.where(told.in_ties, first, stand)),
        ended_family=_at(heard.family, jnp.maximum(stand - 1, 0)),
        starting=jnp.where(in_ties, 0.0, jax.nn.sigmoid(onset) * unsaid),
        ending=jnp.where(in_ties, 0.0, ends * unsaid),
        tying=jnp.where(in_ties, jax.nn.sigmoid(tied) * unsaid, 0.0),
        striking=jnp.where(in_ties, 0.0, jax.nn.sigmoid(drum) * (1.0 - told.said_drums)),
    )


def _notes(here: _Here, told: carrying.Told, gate: dict[str, jax.Array]) -> tuple[jax.Array, jax.Array]:
    """Return the hints of the pitch tokens and of the drum tokens, [B, T, 128] each."""
    pitched = slice(LOWEST_PITCH, LOWEST_PITCH + NUM_PITCHES)
    in_force = jnp.maximum(told.program, 0)[..., None, None] // PROGRAMS_PER_FAMILY
    of_program = jnp.take_along_axis(here.family, in_force, axis=-1)[..., 0]  # [B, T, 88]
    starts = gate["onset"] * here.onset + gate["family"] * of_program
    starts -= gate["said"] * _SAID * told.said_pitches[..., pitched]
    body = jnp.where(told.velocity[..., None] == 0, gate["ending"] * _log(here.ends), starts)
    pitch = jnp.where(told.in_ties[..., None], gate["tie"] * (here.tied + of_program), body)
    outside = (LOWEST_PITCH, told.sounding.shape[-1] - LOWEST_PITCH - NUM_PITCHES)
    pitch = jnp.pad(pitch, ((0, 0), (0, 0), outside), constant_values=_LOWEST)
    return pitch, gate["drum"] * here.drum - gate["said"] * _SAID * told.said_drums


def _announcements(here: _Here, num_velocities: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return the hints of the velocity, tie and program tokens: what they say of the notes still to be written."""
    starts = _log((here.starting.sum(-1) + here.striking.sum(-1))[..., None])
    stops = _log(here.ending.sum(-1, keepdims=True))
    loud = jnp.broadcast_to(starts, (*starts.shape[:2], num_velocities - 1))
    velocity = jnp.concatenate([stops, loud], axis=-1)
    all_tied = jnp.log1p(-0.99 * here.tying).sum(-1, keepdims=True)
    by_family = jnp.einsum("btp,btpf->btf", here.starting + here.tying, jnp.exp(here.family))
    by_family += jnp.einsum("btp,btpf->btf", here.ending, jnp.exp(here.ended_family))
    return velocity, all_tied, jnp.repeat(_log(by_family), PROGRAMS_PER_FAMILY, axis=-1)


def _move_on(heard: Heard, now: jax.Array, stand: jax.Array, config: "network.NetworkConfig"):
    """Return the log chances that each shift leads to what happens next, [B, T, num_shifts], and of the end [B, T, 1].

    Positions are taken for independent: something happens first at position p when p is not quiet, and all from behind
    `stand`, int32 [B, T], to p are. now: the shift in force, int32 [B, T].
    """
    offset, scale = config.shift_positions
    shifts = jnp.arange(config.carried_ranges[0][1])
    last = heard.quiet.shape[1] - 2
    targets = jnp.clip(jnp.floor(offset + scale * shifts).astype(jnp.int32), 0, last)
    until = heard.quiet[:, None, targets]  # [B, 1, num_shifts]
    happens = _log(-jnp.expm1(heard.quiet[:, None, targets + 1] - until))
    passed = _at(heard.quiet[..., None], stand + 1)  # [B, T, 1]
    shift = jnp.maximum(happens + jnp.minimum(until - passed, 0.0), _LOWEST)
    shift = jnp.where(targets == stand[..., None], _SAME_POSITION, shift)
    shift = jnp.where(shifts <= now[..., None], _LOWEST, shift)
    return shift, jnp.clip(until[..., -1:] - passed, _LOWEST, 0.0)
