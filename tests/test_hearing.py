"""What is heard, and how it leans on the next token."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mt3lite import carrying, codec, config, decoding, hearing, notes, vocabulary
from mt3lite.frontend import NUM_PITCHES
from mt3lite.note_heads import NUM_DRUMS, NUM_FAMILIES

CONFIG = config.preset("tiny")
NET = CONFIG.network
WORDS = vocabulary.Vocabulary(CONFIG.vocabulary)
POSITIONS = CONFIG.segments.input_frames // NET.frames_per_position
MOST_TOKENS = 96
SILENT, SURE = -14.0, 8.0  # logits
PIANO, VIOLIN = 0, 40
HEARD_VELOCITY = 72
HEARD_BIN = vocabulary.velocity_to_bin(HEARD_VELOCITY, CONFIG.vocabulary.num_velocity_bins)


def position_of(step: int) -> int:
    offset, scale = NET.shift_positions
    return int(offset + scale * step)


def heads(*events: tuple[int, int, int, int]) -> dict[str, jax.Array]:
    """Return logits of perfect ears for notes of (onset step, offset step, pitch, program)."""
    onset, frame = np.full((2, 1, POSITIONS, NUM_PITCHES), SILENT, np.float32)
    velocity = np.full_like(onset, HEARD_VELOCITY / 127)
    family = np.zeros((1, POSITIONS, NUM_PITCHES, NUM_FAMILIES), np.float32)
    for first, last, pitch, program in events:
        row = pitch - hearing.LOWEST_PITCH
        onset[0, position_of(first), row] = SURE
        frame[0, position_of(first) : position_of(last), row] = SURE
        family[0, position_of(first) : position_of(last), row, program // 8] = SURE
    drum = np.full((1, POSITIONS, NUM_DRUMS), SILENT, np.float32)
    named = dict(
        onset=onset, frame=frame, family=family, velocity=velocity, drum=drum, drum_velocity=np.ones_like(drum)
    )
    return {name: jnp.asarray(value) for name, value in named.items()}


@jax.jit
def all_hints(tokens: jax.Array, logits: dict[str, jax.Array]) -> jax.Array:
    """Return the hints after each of the decoder inputs [1, T], float32 [1, T, V]."""
    return hearing.hints(hearing.prepare(logits), carrying.sequence(tokens, NET), NET)


def hints_after(tokens: list[int], logits: dict[str, jax.Array]) -> np.ndarray:
    """Return the hints for the token that follows some tokens, float32 [V]."""
    padded = np.full((1, MOST_TOKENS), vocabulary.PAD, np.int32)
    padded[0, 1 : len(tokens) + 1] = tokens
    return np.asarray(all_hints(padded, logits))[0, len(tokens)]


def best(hints: np.ndarray, event_type: str) -> int:
    ids = WORDS.token_range(event_type)
    return int(hints[ids.start : ids.stop].argmax())


def token(event_type: str, value: int) -> int:
    return WORDS.first_id(event_type) + value


TIE = token("tie", 0)


def test_the_next_onset_is_where_time_moves_on_to():
    logits = heads((60, 90, 64, PIANO), (120, 150, 67, PIANO))
    assert abs(best(hints_after([TIE], logits), "shift") - 60) < NET.frames_per_position
    heard_first = [TIE, token("shift", 60), token("program", PIANO), token("velocity", HEARD_BIN), token("pitch", 64)]
    assert (
        abs(best(hints_after(heard_first, logits), "shift") - 90) < NET.frames_per_position
    )  # its end comes before the next onset


def test_what_begins_here_is_written_here():
    logits = heads((60, 90, 64, VIOLIN))
    here = hints_after([TIE, token("shift", 60)], logits)
    assert best(here, "program") // 8 == VIOLIN // 8
    started = [TIE, token("shift", 60), token("program", VIOLIN), token("velocity", HEARD_BIN)]
    assert best(hints_after(started, logits), "pitch") == 64
    written = hints_after([*started, token("pitch", 64)], logits)
    assert written[token("pitch", 64)] < hints_after(started, logits)[token("pitch", 64)]
    assert written[token("velocity", 3)] < here[token("velocity", 3)]


def test_the_end_of_a_note_that_sounds_and_the_end_of_all():
    logits = heads((60, 90, 64, PIANO))
    started = [TIE, token("shift", 60), token("program", PIANO), token("velocity", HEARD_BIN), token("pitch", 64)]
    here = hints_after([*started, token("shift", 90)], logits)
    assert best(here, "velocity") == 0
    ended = [*started, token("shift", 90), token("velocity", 0)]
    assert best(hints_after(ended, logits), "pitch") == 64
    nothing_left = hints_after([*ended, token("pitch", 64)], logits)
    assert nothing_left[vocabulary.EOS] > -0.5 > hints_after([TIE], logits)[vocabulary.EOS]


def test_what_sounded_before_the_segment_is_tied():
    logits = heads((-10, 40, 70, VIOLIN))
    assert best(hints_after([], logits), "program") // 8 == VIOLIN // 8
    assert best(hints_after([token("program", VIOLIN)], logits), "pitch") == 70
    before, after = (hints_after(each, logits)[TIE] for each in ([], [token("program", VIOLIN), token("pitch", 70)]))
    assert before < -2 < after


@pytest.mark.parametrize("seed", range(3))
def test_perfect_ears_write_the_tokens_of_the_codec(seed):
    """After each token of the codec's, the best hint is its next one (a shift within the position, any of a family)."""
    rng = np.random.default_rng(seed)
    onsets = rng.choice(np.arange(12, 170, 12), 8, replace=False)
    pitches = rng.choice(np.arange(30, 90), 8, replace=False)
    events = [
        (int(o), int(o) + 18, int(p), int(rng.choice([PIANO, VIOLIN]))) for o, p in zip(onsets, pitches, strict=True)
    ]
    played = notes.from_rows([(o / 100, e / 100, p, HEARD_VELOCITY, program, False) for o, e, p, program in events])
    tokens = codec.encode(
        played,
        0,
        CONFIG.segments.num_frames,
        frames_per_second=CONFIG.spectrogram.frames_per_second,
        vocabulary=WORDS,
        config=CONFIG.codec,
    )
    logits = heads(*events)
    grammar = decoding.Grammar(WORDS, CONFIG.codec, segment_steps=200)
    state = grammar.init(1)
    assert len(tokens) < MOST_TOKENS
    for place, wanted in enumerate(tokens.tolist()):
        found = int(grammar.choose(state, hearing.WEIGHT * hints_after(tokens[:place].tolist(), logits)[None])[0])
        (kind, value), (found_kind, found_value) = (_named(each) for each in (wanted, found))
        assert found_kind == kind, (place, value, found_value)
        if kind == "shift":
            assert abs(found_value - value) <= NET.frames_per_position, (place, value, found_value)
        elif kind == "program":
            assert found_value // 8 == value // 8
        else:
            assert found_value == value, (place, kind)
        state = grammar.update(state, jnp.array([wanted]))


def _named(token_id: int) -> tuple[str, int]:
    for block in WORDS.ranges:
        if token_id in WORDS.token_range(block.type):
            return block.type, token_id - WORDS.first_id(block.type)
    return "end", 0


def test_a_note_that_ends_where_it_begins_again_has_hints_like_any():
    """Its chances of an end and of an onset add up to more than one."""
    logits = heads((60, 90, 64, PIANO), (90, 120, 64, PIANO))
    logits["frame"] = logits["frame"].at[0, position_of(90), 64 - hearing.LOWEST_PITCH].set(SILENT)
    started = [TIE, token("shift", 60), token("program", PIANO), token("velocity", HEARD_BIN), token("pitch", 64)]
    assert np.isfinite(hints_after([*started, token("shift", 90)], logits)).all()


def with_end(logits: dict[str, jax.Array], step: int, pitch: int) -> dict[str, jax.Array]:
    """Return logits of ears that also hear a note end."""
    end = np.full((1, POSITIONS, NUM_PITCHES), SILENT, np.float32)
    end[0, position_of(step), pitch - hearing.LOWEST_PITCH] = SURE
    return logits | {"end": jnp.asarray(end)}


def test_an_end_that_is_heard_ends_a_note_whose_room_sounds_on():
    logits = with_end(heads((60, 120, 64, PIANO)), 90, 64)
    started = [TIE, token("shift", 60), token("program", PIANO), token("velocity", HEARD_BIN), token("pitch", 64)]
    assert abs(best(hints_after(started, logits), "shift") - 90) < NET.frames_per_position
    assert best(hints_after([*started, token("shift", 90)], logits), "velocity") == 0
    # Without it the note ends where it sounds no more.
    del logits["end"]
    assert abs(best(hints_after(started, logits), "shift") - 120) < NET.frames_per_position


def test_a_note_that_is_struck_again_is_not_left_silent_by_the_end_of_the_one_before():
    logits = with_end(heads((60, 90, 64, PIANO), (90, 120, 64, PIANO)), 90, 64)
    started = [TIE, token("shift", 60), token("program", PIANO), token("velocity", HEARD_BIN), token("pitch", 64)]
    again = [*started, token("shift", 90), token("pitch", 64)]
    assert abs(best(hints_after(started, logits), "shift") - 90) < NET.frames_per_position
    assert best(hints_after([*started, token("shift", 90)], logits), "pitch") == 64
    assert abs(best(hints_after(again, logits), "shift") - 120) < NET.frames_per_position


def test_kicks_and_snares_have_to_be_surer_than_other_drums():
    unsure = heads()
    unsure["drum"] = unsure["drum"].at[0, position_of(60)].set(-1.2)
    loudest = vocabulary.velocity_to_bin(127, CONFIG.vocabulary.num_velocity_bins)
    here = hints_after([TIE, token("shift", 60), token("velocity", loudest)], unsure)
    kick, hat = (here[token("drum", pitch)] for pitch in (36, 42))
    assert hat > 0 > kick


def test_an_onset_that_is_heard_for_a_while_is_written_once():
    """Its echoes on either side of the peak hint at nothing."""
    logits = heads((60, 150, 64, PIANO))
    row = 64 - hearing.LOWEST_PITCH
    for echo in (-2, -1, 1, 2):
        logits["onset"] = logits["onset"].at[0, position_of(60) + echo, row].set(2.0 - abs(echo))
    assert abs(best(hints_after([TIE], logits), "shift") - 60) < NET.frames_per_position
    started = [TIE, token("shift", 60), token("program", PIANO), token("velocity", HEARD_BIN), token("pitch", 64)]
    assert abs(best(hints_after(started, logits), "shift") - 150) < NET.frames_per_position


def test_only_the_notes_of_chosen_families_are_waited_for():
    """A piano's note comes before the violin's, and one sounds before the segment."""
    logits = heads((-10, 20, 50, PIANO), (60, 90, 64, PIANO), (120, 150, 67, VIOLIN))

    def written(tokens, heard):
        padded = jnp.array([[vocabulary.PAD, *tokens]])
        return np.asarray(hearing.hints(heard, carrying.sequence(padded, NET), NET))[0, -1]

    heard = hearing.prepare(logits)
    violin = hearing.only(heard, frozenset({VIOLIN // 8}), drums=False)
    assert written([], heard)[TIE] < -1 < written([], violin)[TIE]
    assert abs(best(written([TIE], heard), "shift") - 60) < NET.frames_per_position
    assert abs(best(written([TIE], violin), "shift") - 120) < NET.frames_per_position
    everything = hearing.only(heard, None, drums=True)
    np.testing.assert_allclose(written([TIE], everything), written([TIE], heard), atol=1e-3)


def test_where_nobody_else_plays_every_note_is_a_chosen_family_s():
    """The piano's note comes first, and is written as a violin's; the drums are left out."""
    heard = hearing.prepare(heads((60, 90, 64, PIANO), (120, 150, 67, VIOLIN)))
    family = VIOLIN // 8
    told = hearing.only(heard, frozenset({family}), drums=False, complete=True)
    np.testing.assert_array_equal(told.onset, heard.onset)
    assert np.all(told.family[..., family] == 0) and np.all(np.delete(told.family, family, -1) < 0)
    assert np.all(told.drum < -1)
    padded = jnp.array([[vocabulary.PAD, TIE]])
    after_tie = np.asarray(hearing.hints(told, carrying.sequence(padded, NET), NET))[0, -1]
    assert abs(best(after_tie, "shift") - 60) < NET.frames_per_position
    padded = jnp.array([[vocabulary.PAD, TIE, token("shift", 60)]])
    at_onset = np.asarray(hearing.hints(told, carrying.sequence(padded, NET), NET))[0, -1]
    assert best(at_onset, "program") // 8 == family


def test_hints_do_not_teach_the_ears():
    """The tokens' loss has no gradient in the heads."""
    from mt3lite import network

    shapes = network.parameter_shapes(NET)
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: rng.normal(0, 0.1, leaf.shape).astype(np.float32), shapes)
    frames = rng.normal(-1, 2.5, (1, 36, NET.input_depth)).astype(np.float32)

    def loss(params):
        return network.Transformer(NET).apply({"params": params}, frames, jnp.array([[0, TIE, 40]]))[
            0, -1, token("pitch", 64)
        ]

    gradient = jax.jit(jax.grad(loss))(params)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(gradient["encoder"]["heads"]))
    assert np.any(gradient["decoder"]["logits_dense"]["kernel"])
