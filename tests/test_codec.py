import json
from fractions import Fraction
from pathlib import Path

import hypothesis
import note_seq
import numpy as np
import pytest
from hypothesis import strategies as st

from mt3lite import codec, notes, vocabulary
from mt3lite.codec import CodecConfig, SegmentDecoder
from mt3lite.errors import InputError
from mt3lite.vocabulary import Vocabulary, VocabularyConfig

GOLDEN = Path(__file__).parent / "golden"
SEQUENCES = json.loads((GOLDEN / "encoding" / "sequences.json").read_text())
DECODING = json.loads((GOLDEN / "decoding" / "cases.json").read_text())["cases"]
EVENTS_OF_SPEC = {"ties": "notes_with_ties", "notes": "notes", "onsets": "onsets"}

FRAMES_PER_SECOND = Fraction(100)
ANCESTOR_FRAMES_PER_SECOND = Fraction(125)

TIES = CodecConfig()
NO_TIES = CodecConfig(events="notes")
ONSETS = CodecConfig(events="onsets")


def vocabulary_of(num_velocity_bins):
    return Vocabulary(VocabularyConfig(num_velocity_bins=num_velocity_bins))


VOCABULARY = vocabulary_of(1)


def encode(rows, first_frame=0, num_frames=200, config=TIES, vocab=VOCABULARY):
    """Return the words of the target of hand-written notes."""
    tokens = codec.encode(
        notes.from_rows(rows),
        first_frame,
        num_frames,
        frames_per_second=FRAMES_PER_SECOND,
        vocabulary=vocab,
        config=config,
    )
    assert tokens.dtype == np.int32
    return [vocab.describe(int(token)) for token in tokens]


def decode_piece(targets, start_steps, vocab, config):
    """Return the decoder after all targets; each segment ends where the next starts, the last at start_steps[-1]."""
    decoder = SegmentDecoder(vocab, config)
    for tokens, start_step, end_step in zip(targets, start_steps[:-1], start_steps[1:], strict=True):
        decoder.decode(tokens, start_step=start_step, end_step=end_step)
    return decoder


# --- the ancestor's numbers ---


def golden_notes(piece, sustain):
    note_sequence = note_seq.NoteSequence()
    for onset, offset, pitch, velocity, program, is_drum, instrument in piece["notes"]:
        note_sequence.notes.add(
            start_time=onset,
            end_time=offset,
            pitch=pitch,
            velocity=velocity,
            program=program,
            is_drum=is_drum,
            instrument=instrument,
        )
    for seconds, number, value, instrument in piece["ccs"]:
        note_sequence.control_changes.add(
            time=seconds, control_number=number, control_value=value, instrument=instrument
        )
    array = notes.from_note_sequence(note_sequence, sustain=sustain)
    return notes.trim_overlaps(array) if piece["trim"] else array


def golden_encodings():
    for name, settings in SEQUENCES["configs"].items():
        events = "notes_with_ties" if settings["ties"] else "onsets" if settings["onsets"] else "notes"
        for granularity in settings["gran"]:
            config = CodecConfig(events=events, granularity=granularity, compatibility="mt3")
            yield pytest.param(name, settings, config, id=f"{name}-{granularity}")


@pytest.mark.parametrize(("name", "settings", "config"), list(golden_encodings()))
def test_targets_equal_golden(name, settings, config):
    vocab = vocabulary_of(settings["bins"])
    with np.load(GOLDEN / "encoding" / "targets.npz") as golden:
        offsets = golden[f"{name}_{config.granularity}_offsets"]
        expected = np.split(golden[f"{name}_{config.granularity}_tokens"], offsets[1:-1])
        segment_case, segment_frames = golden[f"{name}_segment_case"], golden[f"{name}_segment_frames"]
    common = {"frames_per_second": ANCESTOR_FRAMES_PER_SECOND, "vocabulary": vocab, "config": config}
    for piece in SEQUENCES["cases"]:
        array = golden_notes(piece, sustain=not settings["onsets"])
        segments = np.flatnonzero(segment_case == piece["index"])
        num_frames = int(segment_frames[segments].sum())
        if {"all", name} & set(piece["errors"]):
            with pytest.raises(InputError):
                codec.encode_piece(array, 1, settings["seg"], **common)
            continue
        targets = codec.encode_piece(array, num_frames, settings["seg"], **common)
        assert len(targets) == len(segments) > 0
        for index, (segment, target) in enumerate(zip(segments, targets, strict=True)):
            assert target.tolist() == expected[segment].tolist(), (piece["name"], index)
        last_frame = (len(segments) - 1) * settings["seg"]
        assert np.array_equal(codec.encode(array, last_frame, None, **common), targets[-1])
        assert np.array_equal(codec.encode(array, 0, settings["seg"], **common), targets[0]) or len(segments) == 1


@pytest.mark.parametrize("golden", DECODING, ids=lambda golden: golden["name"])
def test_decoded_notes_equal_golden(golden):
    config = CodecConfig(events=EVENTS_OF_SPEC[golden["spec"]], compatibility="mt3")
    decoder = SegmentDecoder(vocabulary_of(golden["num_velocity_bins"]), config)
    segments = sorted(golden["segments"], key=lambda segment: segment[0])
    start_steps = [round(start_seconds * 100) for start_seconds, _ in segments]
    totals = [[0, 0]]
    for (_, ids), start_step, end_step in zip(segments, start_steps, [*start_steps[1:], None], strict=True):
        decoder.decode(np.array(ids, np.int64), start_step=start_step, end_step=end_step)
        totals.append([decoder.invalid_events, decoder.dropped_events])
    assert np.diff(totals, axis=0).tolist() == golden["segment_counts_sorted_by_start"]
    assert totals[-1] == [golden["invalid_events"], golden["dropped_events"]]

    note_sequence = notes.to_note_sequence(decoder.finish())
    assert note_sequence.ticks_per_quarter == golden["ticks_per_quarter"]
    assert note_sequence.total_time == pytest.approx(golden["total_time"], abs=1e-9)
    times = [(note.start_time, note.end_time) for note in note_sequence.notes]
    others = [[n.pitch, n.velocity, n.program, n.is_drum, n.instrument] for n in note_sequence.notes]
    assert others == [row[2:] for row in golden["notes"]]
    assert np.allclose(np.reshape(times, (-1, 2)), [row[:2] for row in golden["notes"]] or np.zeros((0, 2)), 0, 1e-9)


def test_there_are_all_decoding_cases():
    assert len(DECODING) == 205


@pytest.mark.parametrize("precision", [np.float64, np.float32])
@pytest.mark.parametrize("segment_frames", [256, 512])
def test_segment_start_steps_equal_golden(segment_frames, precision):
    with np.load(GOLDEN / "spectrogram" / "segment_start_times.npz") as golden:
        start_seconds = golden[f"start_time_{segment_frames}_{precision.__name__}"]
    assert start_seconds.dtype == precision

    def start_steps(compatibility):
        return [
            codec.segment_start_step(
                index * segment_frames,
                frames_per_second=ANCESTOR_FRAMES_PER_SECOND,
                vocabulary=VOCABULARY,
                config=CodecConfig(compatibility=compatibility),
                precision=precision,
            )
            for index in range(600)
        ]

    steps = start_steps("mt3")
    assert steps == np.rint(start_seconds.astype(np.float64) * 100).tolist()
    exact = [index * segment_frames * 100 // 125 for index in range(600)]
    assert start_steps("none") == exact
    assert np.unique(np.subtract(exact, steps)).tolist() == [0, 1]  # one step early at some


# --- our own targets, by hand ---


def test_silence_is_tie_and_eos():
    assert encode([]) == ["tie", "EOS"]
    assert encode([], config=NO_TIES) == encode([], config=ONSETS) == ["EOS"]


def test_a_note_of_each_kind():
    rows = [(0.1, 0.5, 60, 80, 40, False), (0.1, 0.2, 38, 80, 0, True)]
    body = ["shift 10", "program 40", "velocity 1", "pitch 60", "drum 38", "shift 50", "velocity 0", "pitch 60", "EOS"]
    assert encode(rows) == ["tie", *body]
    assert encode(rows, config=NO_TIES) == body
    assert encode(rows, config=ONSETS) == ["shift 10", "pitch 38", "pitch 60", "EOS"]


def test_tie_section_lists_what_sounds():
    rows = [
        (0.5, 3.0, 64, 80, 40, False),
        (0.5, 3.0, 60, 80, 40, False),
        (0.5, 2.01, 60, 80, 0, False),
        (0.5, 2.0, 61, 80, 0, False),  # ends with the boundary
        (2.0, 2.5, 62, 80, 0, False),  # starts with it
        (1.5, 2.5, 38, 80, 0, True),
    ]
    tied = ["program 0", "pitch 60", "program 40", "pitch 60", "pitch 64", "tie"]
    started = ["program 0", "velocity 1", "pitch 62"]
    ended = ["shift 1", "velocity 0", "pitch 60", "shift 50", "pitch 62", "shift 100", "program 40", "pitch 60"]
    assert encode(rows, 200) == [*tied, *started, *ended, "pitch 64", "EOS"]
    # Without ties the end at the boundary must be said, as nothing else tells of it.
    assert encode(rows, 200, config=NO_TIES)[:4] == ["program 0", "velocity 0", "pitch 61", "velocity 1"]


def test_program_of_the_tie_section_carries_on():
    rows = [(0.5, 3.0, 60, 80, 40, False), (2.5, 3.5, 62, 80, 40, False)]
    words = encode(rows, 200, 60)
    assert words == ["program 40", "pitch 60", "tie", "shift 50", "velocity 1", "pitch 62", "EOS"]


def test_rounding_decides_which_segment_a_note_is_in():
    rows = [(1.996, 3.0, 60, 80, 0, False)]
    assert encode(rows, 0) == ["tie", "EOS"]
    started = ["program 0", "velocity 1", "pitch 60"]
    assert encode(rows, 200) == ["tie", *started, "shift 100", "velocity 0", "pitch 60", "EOS"]


def test_the_shortest_note_lasts_a_step():
    rows = [(0.5, 0.5001, 60, 80, 0, False)]
    assert encode(rows)[4:] == ["pitch 60", "shift 51", "velocity 0", "pitch 60", "EOS"]


def test_restrike_ends_before_it_starts():
    rows = [(1.0, 1.5, 60, 80, 0, False), (0.5, 1.0, 60, 80, 0, False)]
    words = encode(rows)
    assert words[5:10] == ["shift 100", "velocity 0", "pitch 60", "velocity 1", "pitch 60"]


@pytest.mark.parametrize(("granularity", "programs"), [("full", [40, 41]), ("midi_class", [40]), ("flat", [])])
def test_granularity_merges_what_it_cannot_tell_apart(granularity, programs):
    rows = [(0.5, 3.0, 60, 80, 41, False), (0.5, 2.5, 60, 70, 40, False), (1.0, 1.5, 38, 80, 5, True)]
    config = CodecConfig(granularity=granularity)
    expected = [word for program in programs for word in (f"program {program}", "pitch 60")] or ["pitch 60"]
    assert encode(rows, 200, config=config)[: len(expected) + 1] == [*expected, "tie"]
    assert "drum 38" in encode(rows, 0, config=config)
    assert [word for word in encode(rows, 0, config=config) if word.startswith("program")] == [
        f"program {program}" for program in programs
    ]


def test_of_notes_that_start_together_the_longest_and_loudest_is_told():
    vocab = vocabulary_of(127)
    told = encode([(0.5, 1.5, 60, 80, 0, False)], vocab=vocab)
    rows = [(0.5, 1.5, 60, 80, 0, False), (0.5, 1.5, 60, 70, 0, False), (0.5, 1.0, 60, 90, 0, False)]
    assert encode(rows, vocab=vocab) == encode(rows[::-1], vocab=vocab) == told


def test_long_shifts_are_split():
    vocab = Vocabulary(VocabularyConfig(max_shift_steps=100))
    rows = [(2.02, 4.0, 60, 80, 0, False)]
    words = encode(rows, 0, 1000, vocab=vocab)
    assert words[1:4] == ["shift 100", "shift 100", "shift 2"]
    assert words[4:] == ["program 0", "velocity 1", "pitch 60", *["shift 100"] * 4, "velocity 0", "pitch 60", "EOS"]


def test_crop_and_piece_give_the_same_target():
    rng = np.random.default_rng(3)
    onset = rng.integers(0, 1000, 80) / 100
    rows = [(t, t + rng.integers(1, 300) / 100, rng.integers(128), 64, rng.integers(128), False) for t in onset]
    piece = notes.trim_overlaps(notes.from_rows(rows))
    common = {"frames_per_second": FRAMES_PER_SECOND, "vocabulary": VOCABULARY, "config": TIES}
    for first_frame in (0, 1, 250, 999):
        crop = notes.crop(piece, first_frame / 100, first_frame / 100 + 2)
        of_crop = codec.encode(crop, 0, 200, **common)
        assert np.array_equal(of_crop, codec.encode(piece, first_frame, 200, **common))


def test_encode_leaves_the_notes_alone():
    piece = notes.from_rows([(0.501, 1.5, 60, 80, 41, False), (0.7, 1.0, 60, 80, 42, True)])
    before = piece.copy()
    for events in codec.EVENTS:
        for compatibility in codec.COMPATIBILITIES:
            config = CodecConfig(events, "midi_class", compatibility)
            codec.encode(piece, 0, 200, frames_per_second=FRAMES_PER_SECOND, vocabulary=VOCABULARY, config=config)
    assert np.array_equal(piece, before)


def test_encode_refuses_bad_notes():
    with pytest.raises(InputError, match="note 0 .*velocity 0"):
        encode([(0.0, 1.0, 60, 0, 0, False)])


def test_mt3_refuses_a_piece_without_notes():
    with pytest.raises(InputError, match="without notes"):
        encode([], config=CodecConfig(compatibility="mt3"))
    assert encode([], config=CodecConfig(events="notes", compatibility="mt3")) == ["EOS"]


@pytest.mark.parametrize("field", ["events", "granularity", "compatibility"])
def test_config_refuses_unknown_words(field):
    with pytest.raises(InputError, match=f"unknown {field} 'x'; choose one of: "):
        CodecConfig(**{field: "x"})


# --- our own decoder, by hand ---


def test_open_notes_end_with_the_last_segment():
    tokens = [VOCABULARY.token_id(*event) for event in [("tie", 0), ("shift", 50), ("pitch", 60)]]
    for compatibility, end_step, offset in [("none", 200, 2.0), ("none", None, 0.51), ("mt3", 200, 0.51)]:
        config = CodecConfig(compatibility=compatibility)
        decoder = decode_piece([np.array(tokens)], [0, end_step], VOCABULARY, config)
        assert decoder.finish().tolist() == [(0.5, offset, 60, 100, 0, False)]


@pytest.mark.parametrize(("compatibility", "offsets"), [("none", [3.0]), ("mt3", [2.0])])
def test_a_tie_of_another_program_lets_the_note_sound_on(compatibility, offsets):
    """It is counted as a contradiction either way; the note then has the program that it was tied with."""
    first = [("tie", 0), ("shift", 50), ("program", 0), ("velocity", 1), ("pitch", 60)]
    second = [("program", 40), ("pitch", 60), ("tie", 0), ("shift", 100), ("velocity", 0), ("pitch", 60)]
    decoder = SegmentDecoder(VOCABULARY, CodecConfig(compatibility=compatibility))
    for start_step, events in ((0, first), (200, second)):
        tokens = [VOCABULARY.token_id(*event) for event in events]
        decoder.decode(tokens, start_step=start_step, end_step=start_step + 200)
    found = decoder.finish()
    assert found["offset"].tolist() == offsets
    assert found["program"].tolist() == [40 if compatibility == "none" else 0]
    assert decoder.invalid_events >= 1


def test_finish_may_be_asked_at_any_time():
    decoder = SegmentDecoder(VOCABULARY, TIES)
    assert len(decoder.finish()) == 0
    tokens = codec.encode(
        notes.from_rows([(0.5, 3.0, 60, 80, 0, False)]),
        0,
        200,
        frames_per_second=FRAMES_PER_SECOND,
        vocabulary=VOCABULARY,
        config=TIES,
    )
    decoder.decode(tokens, start_step=0, end_step=200)
    assert decoder.finish()["offset"].tolist() == decoder.finish()["offset"].tolist() == [2.0]
    decoder.decode(tokens[:0], start_step=200, end_step=400)
    assert decoder.finish()["offset"].tolist() == [4.0]


# --- properties ---


@st.composite
def pieces(draw):
    """Valid notes which do not overlap at one pitch and program, though they may follow each other at once."""
    row = st.tuples(
        st.integers(0, 700),
        st.integers(1, 400),
        st.integers(0, 2) | st.integers(0, 127),
        st.integers(1, 127),
        st.sampled_from([0, 1, 40, 127]),
        st.booleans(),
    )
    rows = draw(st.lists(row, max_size=25))
    # Not quite on the grid of steps, but nowhere near the middle between two.
    jitter = draw(st.sampled_from([0.0, 0.003, -0.003]))
    array = notes.from_rows((on / 100 + jitter, (on + length) / 100 + jitter, *rest) for on, length, *rest in rows)
    return notes.trim_overlaps(array)


def as_told(array, vocab, config):
    """Return what a perfect network would let us know of trimmed notes, sorted."""
    expected = array.copy()
    expected["onset"] = np.rint(array["onset"] * 100) / 100
    expected["offset"] = np.rint(array["offset"] * 100) / 100
    num_bins = vocab.config.num_velocity_bins
    bins = vocabulary.velocity_to_bin(array["velocity"], num_bins)
    expected["velocity"] = vocabulary.bin_to_velocity(bins, num_bins)
    drums = array["is_drum"]
    expected["program"][drums] = 0
    expected["offset"][drums] = (np.rint(array["onset"][drums] * 100) + 1) / 100
    return notes.sort(np.unique(expected))


@hypothesis.given(
    pieces(),
    st.integers(1, 300),
    st.sampled_from([TIES, NO_TIES]),
    st.sampled_from([1, 127]),
    st.sampled_from([7, 100, 1000]),
)
@hypothesis.settings(max_examples=80)
def test_decoding_undoes_encoding(array, segment_frames, config, num_velocity_bins, max_shift_steps):
    vocab = Vocabulary(VocabularyConfig(num_velocity_bins=num_velocity_bins, max_shift_steps=max_shift_steps))
    num_frames = 1200
    targets = codec.encode_piece(
        array, num_frames, segment_frames, frames_per_second=FRAMES_PER_SECOND, vocabulary=vocab, config=config
    )
    start_steps = [*range(0, num_frames, segment_frames), num_frames]
    decoder = decode_piece(targets, start_steps, vocab, config)
    assert (decoder.invalid_events, decoder.dropped_events) == (0, 0)
    # Drums of different programs are the same drum.
    drums_merged = array.copy()
    drums_merged["program"][array["is_drum"]] = 0
    expected = as_told(notes.trim_overlaps(drums_merged), vocab, config)
    fields = ["onset", "offset", "pitch", "program", "is_drum"]
    decoded = notes.sort(decoder.finish())
    assert decoded[fields].tolist() == expected[fields].tolist()
    pitched = ~expected["is_drum"]
    assert decoded["velocity"][pitched].tolist() == expected["velocity"][pitched].tolist()


@hypothesis.given(pieces(), st.integers(20, 300), st.sampled_from(["full", "midi_class", "flat"]))
@hypothesis.settings(max_examples=40)
def test_overlaps_never_contradict_themselves(array, segment_frames, granularity):
    """Whatever overlaps, and whatever the granularity makes overlap, the target is a consistent story."""
    for config in (CodecConfig("notes_with_ties", granularity), CodecConfig("notes", granularity)):
        doubled = np.concatenate([array, array])
        doubled["onset"][len(array) :] += 0.5
        doubled["offset"][len(array) :] += 0.7
        targets = codec.encode_piece(
            doubled, 1200, segment_frames, frames_per_second=FRAMES_PER_SECOND, vocabulary=VOCABULARY, config=config
        )
        decoder = decode_piece(targets, [*range(0, 1200, segment_frames), 1200], VOCABULARY, config)
        assert (decoder.invalid_events, decoder.dropped_events) == (0, 0)
        assert np.array_equal(decoder.finish(), notes.trim_overlaps(decoder.finish()))


def test_an_hour_does_not_drift():
    """At the ancestor's frame rate a segment is 204.8 steps: the boundaries fall between steps."""
    seconds = np.arange(0, 3590, 7) + 0.29
    array = notes.from_rows((t, t + 5.01, 60 + index % 5, 127, 0, False) for index, t in enumerate(seconds))
    common = {"frames_per_second": ANCESTOR_FRAMES_PER_SECOND, "vocabulary": VOCABULARY, "config": TIES}
    num_frames = 3600 * 125
    targets = codec.encode_piece(array, num_frames, 256, **common)
    steps = [codec.segment_start_step(frame, **common) for frame in [*range(0, num_frames, 256), num_frames]]
    decoder = decode_piece(targets, steps, VOCABULARY, TIES)
    assert (decoder.invalid_events, decoder.dropped_events) == (0, 0)
    decoded = decoder.finish()
    assert np.abs(decoded["onset"] - array["onset"]).max() < 1e-9
    assert np.abs(decoded["offset"] - array["offset"]).max() < 1e-9


@hypothesis.given(
    st.lists(st.lists(st.integers(0, 1700) | st.integers(), max_size=30), max_size=5),
    st.sampled_from(codec.EVENTS),
    st.sampled_from(codec.COMPATIBILITIES),
    st.integers(1, 500),
)
@hypothesis.settings(max_examples=80)
def test_any_integers_decode(segments, events, compatibility, segment_steps):
    config = CodecConfig(events=events, compatibility=compatibility)
    decoder = SegmentDecoder(vocabulary_of(127), config)
    for index, ids in enumerate(segments):
        start_step = index * segment_steps
        ids = np.array(ids, object)  # as what they are: some are beyond all of NumPy's integers
        decoder.decode(ids, start_step=start_step, end_step=start_step + segment_steps)
    decoded = decoder.finish()
    if len(decoded):
        notes.validate(decoded)
        assert (decoded["onset"] <= len(segments) * segment_steps / 100).all()
    assert 0 <= decoder.invalid_events + decoder.dropped_events <= sum(map(len, segments))


@hypothesis.given(st.lists(st.integers(3, 1390), max_size=60), st.integers(1, 300))
@hypothesis.settings(max_examples=40)
def test_decoded_notes_do_not_overlap(ids, end_step):
    decoder = decode_piece([ids, ids], [0, end_step, 2 * end_step], VOCABULARY, TIES)
    pitched = decoder.finish()
    pitched = pitched[~pitched["is_drum"]]
    by_key = pitched[np.lexsort((pitched["onset"], pitched["pitch"], pitched["program"]))]
    same = (by_key["pitch"][1:] == by_key["pitch"][:-1]) & (by_key["program"][1:] == by_key["program"][:-1])
    # A note struck again within its only step still lasts that step.
    assert (by_key["offset"][:-1] <= by_key["onset"][1:] + 0.0101)[same].all()


def test_integers_beyond_those_of_a_machine_are_counted():
    decoder = SegmentDecoder(VOCABULARY, NO_TIES)
    decoder.decode([2**63, VOCABULARY.token_id("pitch", 60), -(2**70)], start_step=0, end_step=10)
    assert decoder.finish()["pitch"].tolist() == [60] and decoder.invalid_events == 2
