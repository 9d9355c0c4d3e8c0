import functools
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mt3lite import codec, decoding, instruments, network, notes, vocabulary
from mt3lite.errors import InputError

OWN = vocabulary.Vocabulary(vocabulary.VocabularyConfig(max_shift_steps=200, num_velocity_bins=8))
SHORT_SHIFTS = vocabulary.Vocabulary(vocabulary.VocabularyConfig(max_shift_steps=30, num_velocity_bins=1))
SEGMENT_STEPS = 200

# One of each kind of target, and long segments whose times take several shifts.
GRAMMARS = {
    "ties": decoding.Grammar(OWN, codec.CodecConfig(granularity="midi_class"), SEGMENT_STEPS),
    "ties full": decoding.Grammar(SHORT_SHIFTS, codec.CodecConfig(), SEGMENT_STEPS),
    "ties flat": decoding.Grammar(OWN, codec.CodecConfig(granularity="flat"), SEGMENT_STEPS),
    "notes": decoding.Grammar(OWN, codec.CodecConfig(events="notes", granularity="midi_class"), SEGMENT_STEPS),
    "notes flat": decoding.Grammar(SHORT_SHIFTS, codec.CodecConfig(events="notes", granularity="flat"), SEGMENT_STEPS),
    "onsets": decoding.Grammar(OWN, codec.CodecConfig(events="onsets"), SEGMENT_STEPS),
}
CHOSEN = {
    "one program": decoding.Grammar(OWN, codec.CodecConfig(), SEGMENT_STEPS, programs=frozenset({33}), drums=False),
    "drums": decoding.Grammar(OWN, codec.CodecConfig(), SEGMENT_STEPS, programs=frozenset()),
    "flat drums": decoding.Grammar(OWN, codec.CodecConfig(granularity="flat"), SEGMENT_STEPS, programs=frozenset()),
    "classes": decoding.Grammar(
        OWN, codec.CodecConfig(granularity="midi_class"), SEGMENT_STEPS, programs=frozenset({1, 33}), drums=True
    ),
}


def grammars(*groups):
    everything = {name: grammar for group in groups for name, grammar in group.items()}
    return pytest.mark.parametrize("grammar", list(everything.values()), ids=list(everything))


# --- greedy decoding ---


def test_golden_greedy_tokens(golden_network):
    transformer, params, io = golden_network
    tokens = decoding.generate(transformer, params, io["encoder_input_tokens"], max_tokens=64)
    assert tokens.dtype == np.int32
    np.testing.assert_array_equal(tokens, io["greedy_tokens"])


def test_golden_greedy_tokens_when_rows_end(golden_network):
    transformer, params, io = golden_network
    memory = decoding.encode(transformer, params, io["encoder_input_tokens"])
    kernel = params["decoder"]["logits_dense"]["kernel"]
    for column, expected in zip(io["eos_variant_column"], io["eos_variant_greedy_tokens"], strict=True):
        changed = kernel.copy()
        changed[:, vocabulary.EOS] = column
        variant = params | {"decoder": params["decoder"] | {"logits_dense": {"kernel": changed}}}
        tokens = decoding.generate_from(transformer, variant, memory, max_tokens=64)
        np.testing.assert_array_equal(tokens, expected)


@pytest.fixture(scope="module")
def small_network():
    """A network that carries tokens, parameters, and frames for it."""
    config = network.NetworkConfig(
        input_depth=16,
        vocab_size=OWN.num_embeddings,
        emb_dim=32,
        num_heads=2,
        head_dim=8,
        num_encoder_layers=1,
        num_decoder_layers=1,
        mlp_dim=32,
        carried_ranges=tuple(
            (OWN.first_id(event_type), len(OWN.token_range(event_type)))
            for event_type in ("shift", "velocity", "tie", "program")
        ),
        pitch_range=(OWN.first_id("pitch"), len(OWN.token_range("pitch"))),
    )
    rng = np.random.default_rng(1)
    params = jax.tree.map(
        lambda leaf: (
            rng.normal(0, leaf.shape[0] ** -0.5, leaf.shape).astype(np.float32) if leaf.ndim > 1 else np.ones(32)
        ),
        network.parameter_shapes(config),
    )
    return network.Transformer(config), params, rng.normal(0, 1, (3, 8, 16)).astype(np.float32)


def test_caches_that_grow_give_what_the_whole_sequence_gives(small_network):
    transformer, params, frames = small_network
    max_tokens = decoding.FIRST_CACHE_LENGTH + 20
    tokens = decoding.generate(transformer, params, frames, max_tokens=max_tokens)
    logits = jax.jit(transformer.apply)({"params": params}, frames, network.shift_right(tokens))
    ended = np.cumsum(tokens == vocabulary.EOS, axis=1) - (tokens == vocabulary.EOS) > 0
    assert (~ended[:, -1]).any(), "no row is long enough to need a second cache"
    np.testing.assert_array_equal(tokens, np.where(ended, vocabulary.PAD, logits.argmax(axis=-1)))


def test_generates_within_the_grammar(small_network):
    transformer, params, frames = small_network
    grammar = GRAMMARS["ties"]
    tokens = np.asarray(decoding.generate(transformer, params, frames, max_tokens=50, grammar=grammar))
    assert accepted(grammar, tokens).all()
    free = decoding.generate(transformer, params, frames, max_tokens=50)
    assert not accepted(grammar, np.asarray(free)).all()


def test_one_program_for_one_shape(small_network):
    transformer, params, frames = small_network
    before = decoding.generate_from._cache_size()
    for batch in (frames, frames + 1):
        # Equal networks and grammars are one, however often they are made.
        same = network.Transformer(network.NetworkConfig(**vars(transformer.config)))
        grammar = decoding.Grammar(OWN, codec.CodecConfig(granularity="midi_class"), SEGMENT_STEPS)
        decoding.generate(same, params, batch, max_tokens=3, grammar=grammar)
    assert decoding.generate_from._cache_size() == before + 1


# --- the grammar ---


def accepted(grammar, rows):
    """Return for int [B, T] tokens which of them the grammar allows after those before, True for PAD: bool [B, T]."""

    return np.asarray(_accepted(grammar, rows))


@functools.partial(jax.jit, static_argnums=0)
def _accepted(grammar, rows):
    def step(state, tokens):
        allowed = jnp.take_along_axis(grammar.mask(state), tokens[:, None], axis=1)[:, 0]
        return grammar.update(state, tokens), allowed | (tokens == vocabulary.PAD)

    return jax.lax.scan(step, grammar.init(len(rows)), rows.T)[1].T


@functools.cache
def wander(grammar):
    """Draw tokens at random among the allowed ones, each kind of token as likely as the others.

    Returns tokens int32 [64, 120], PAD after EOS, which is drawn rarely. Every second row closes its tie section first.
    """
    weights = np.zeros((64, grammar.vocabulary.num_embeddings), np.float32)
    for block in grammar.vocabulary.ranges:
        ids = list(grammar.vocabulary.token_range(block.type))
        weights[:, ids] = -np.log(len(ids))
    weights[:, vocabulary.EOS] = -3.0
    weights[::2, grammar.vocabulary.first_id("tie")] = 1e6
    noise = np.random.default_rng(0).gumbel(size=(120, *weights.shape)).astype(np.float32)
    tokens, alive = _wander(grammar, weights, noise)
    assert np.asarray(alive).all(), "a state without an allowed token"
    return np.asarray(tokens).T


@functools.partial(jax.jit, static_argnums=0)
def _wander(grammar, weights, noise):
    def step(carry, noise):
        state, ended = carry
        mask = grammar.mask(state)
        token = jnp.where(mask, weights + noise, -jnp.inf).argmax(axis=1).astype(jnp.int32)
        token = jnp.where(ended, vocabulary.PAD, token)
        return (grammar.update(state, token), ended | (token == vocabulary.EOS)), (token, mask.any(axis=1))

    batch = len(weights)
    return jax.lax.scan(step, (grammar.init(batch), jnp.zeros(batch, bool)), noise)[1]


def tied_of(grammar, row):
    """Return the (program token or None, pitch token) pairs of a row's tie section."""
    pairs, program = [], None
    for token in row[: list(row).index(grammar.vocabulary.first_id("tie"))]:
        if grammar.vocabulary.event(token).type == "program":
            program = token
        else:
            pairs.append((program, token))
    return pairs


def opening(grammar, row):
    """Return a first segment after which exactly the notes of a row's tie section sound."""
    velocity = grammar.vocabulary.token_id("velocity", 1)
    tokens = [grammar.vocabulary.first_id("tie"), velocity]
    for program, pitch in tied_of(grammar, row):
        tokens += [pitch] if program is None else [program, pitch]
    return [*tokens, vocabulary.EOS]


@grammars(GRAMMARS, CHOSEN)
def test_what_is_allowed_can_be_decoded(grammar):
    ties = grammar.codec_config.events == "notes_with_ties"
    for row in wander(grammar):
        decoder = codec.SegmentDecoder(grammar.vocabulary, grammar.codec_config)
        if ties and grammar.vocabulary.first_id("tie") in row:
            decoder.decode(opening(grammar, row), start_step=0, end_step=SEGMENT_STEPS)
        elif ties:
            continue  # a tie section and nothing else
        decoder.decode(row, start_step=SEGMENT_STEPS, end_step=2 * SEGMENT_STEPS)
        expected = 0
        if grammar.codec_config.events == "notes":
            # What sounds from before is not known here: the end of a note that no earlier segment has started.
            expected = ends_of_unknown_notes(grammar, row)
        assert (decoder.invalid_events, decoder.dropped_events) == (expected, 0)
        notes.validate(decoder.finish())


def ends_of_unknown_notes(grammar, row):
    """Count a row's ends of notes that the row did not start."""
    started, program, velocity, count = set(), 0, 1, 0
    for event in filter(None, map(grammar.vocabulary.event, row.tolist())):
        program = event.value if event.type == "program" else program
        velocity = event.value if event.type == "velocity" else velocity
        key = (program, event.value)
        if event.type == "pitch" and velocity > 0:
            started.add(key)
        elif event.type == "pitch":
            count += key not in started
            started.discard(key)
    return count


@grammars(CHOSEN)
def test_writes_only_what_was_chosen(grammar):
    events = filter(None, map(grammar.vocabulary.event, wander(grammar).ravel().tolist()))
    kinds = {(event.type, event.value) for event in events}
    granularity = grammar.codec_config.granularity
    chosen = {("program", instruments.map_program(program, granularity)) for program in grammar.programs}
    assert {kind for kind in kinds if kind[0] == "program"} == chosen
    assert any(event_type == "drum" for event_type, _ in kinds) == grammar.drums
    assert any(event_type == "pitch" for event_type, _ in kinds) == bool(grammar.programs)


NOTES = st.lists(
    st.tuples(
        st.integers(0, 700),  # onset, in half steps so that some are rounded
        st.integers(1, 500),  # duration
        st.sampled_from([0, 21, 60, 61, 62, 127]),
        st.integers(1, 127),
        st.sampled_from([0, 1, 7, 40, 127]),
        st.booleans(),
    ),
    max_size=40,
)


@grammars(GRAMMARS)
@settings(max_examples=20)
@given(rows=NOTES)
def test_accepts_every_target(grammar, rows):
    piece = notes.from_rows((on / 200, (on + length) / 200, *rest) for on, length, *rest in rows)
    targets = codec.encode_piece(
        piece,
        2 * SEGMENT_STEPS,
        SEGMENT_STEPS,
        frames_per_second=Fraction(100),
        vocabulary=grammar.vocabulary,
        config=grammar.codec_config,
    )
    padded = np.zeros((2, 512), np.int32)
    for row, target in zip(padded, targets, strict=True):
        row[: len(target)] = target
    allowed = accepted(grammar, padded)
    words = [grammar.vocabulary.describe(token) for token in targets[int(not allowed[1].all())].tolist()]
    assert allowed.all(), f"refused {np.argwhere(~allowed)[0]} of {words}"


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("tie, EOS", None),
        ("program 0, pitch 60, pitch 64, program 8, pitch 60, tie, EOS", None),
        ("EOS", 0),  # the tie section must be closed
        ("pitch 60", 0),  # of which program?
        ("program 0, program 8", 1),
        ("program 1", 0),  # not a class
        ("program 0, pitch 60, pitch 60", 2),
        ("velocity 1", 0),
        ("tie, tie", 1),
        ("tie, shift 1, EOS", 2),
        ("tie, shift 5, shift 6", 2),
        ("tie, shift 0", 1),
        ("tie, pitch 60", 1),
        ("tie, drum 36", 1),
        ("tie, velocity 0", 1),  # nothing sounds
        ("tie, program 0, velocity 0", 2),
        ("tie, velocity 1, program 0", 2),
        ("tie, velocity 1, pitch 60", 2),
        ("tie, program 0, velocity 1, drum 36", 3),
        ("tie, velocity 1, drum 36, drum 38, shift 7, drum 36, EOS", None),
        ("tie, velocity 1, drum 36, drum 36", 3),
        ("tie, velocity 1, drum 36, velocity 1", 3),
        ("tie, program 0, velocity 1, pitch 60, shift 9, velocity 0, pitch 60, pitch 60", 7),
        ("tie, program 0, velocity 1, pitch 60, shift 9, velocity 0, pitch 61", 6),
        ("tie, program 0, velocity 1, pitch 60, shift 9, program 8, velocity 0", 6),
        ("tie, program 0, velocity 1, pitch 60, shift 9, shift 10", 5),
        ("tie, program 0, velocity 1, pitch 60, shift 9, drum 36, shift 9", 6),
        ("tie, program 0, velocity 1, pitch 60, pitch 60", 4),
        ("tie, program 0, velocity 1, pitch 60, velocity 0", 4),  # it would last no time
        ("tie, program 0, velocity 1, pitch 60, velocity 2", None),
        ("program 0, pitch 60, tie, velocity 0", 3),  # it would not have been tied
        ("program 0, pitch 60, tie, shift 200, velocity 0, pitch 60, EOS", None),
        ("program 0, pitch 60, tie, shift 200, velocity 2, pitch 60, EOS", None),
        ("UNK", 0),
        ("PAD", None),
        ("unused 700", 0),
    ],
)
def test_rules(text, refused):
    grammar = GRAMMARS["ties"]
    ids = {OWN.describe(token): token for token in range(OWN.num_embeddings)}
    tokens = np.zeros((1, 16), np.int32)
    words = text.split(", ")
    tokens[0, : len(words)] = [ids[word] for word in words]
    allowed = accepted(grammar, tokens)[0, : len(words)]
    assert (None if allowed.all() else int(np.argmin(allowed))) == refused


def test_refuses_a_choice_of_nothing():
    config = codec.CodecConfig()
    with pytest.raises(InputError, match="nothing to transcribe"):
        decoding.Grammar(OWN, config, SEGMENT_STEPS, programs=frozenset(), drums=False)
    flat = codec.CodecConfig(granularity="flat")
    with pytest.raises(InputError, match="does not tell programs apart"):
        decoding.Grammar(OWN, flat, SEGMENT_STEPS, programs=frozenset({0}))


def test_the_likeliest_of_those_allowed():
    """A pitch is likelier than a shift, but there is no program in force."""
    grammar = decoding.Grammar(OWN, codec.CodecConfig(), 200)
    state = grammar.update(grammar.init(1), jnp.array([OWN.token_id("tie", 0)]))
    logits = np.full((1, OWN.num_embeddings), -30.0, np.float32)
    for event, chance in {("pitch", 60): 0.6, ("shift", 12): 0.3, ("shift", 13): 0.1}.items():
        logits[0, OWN.token_id(*event)] = np.log(chance)
    assert OWN.describe(int(grammar.choose(state, logits)[0])) == "shift 12"
