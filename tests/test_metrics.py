import json
import math
import pathlib

import numpy as np
import pytest

from mt3lite import codec, metrics, notes
from mt3lite.errors import InputError
from mt3lite.vocabulary import Vocabulary, VocabularyConfig

GOLDEN = pathlib.Path(__file__).parent / "golden" / "metrics"
PAIRS = {case["name"]: case for case in json.loads((GOLDEN / "pairs.json").read_text())["cases"]}
# The golden notes have the number of their instrument too, which matters to the ancestor's frame score.
GOLDEN_DTYPE = np.dtype([*notes.NOTE_DTYPE.descr, ("instrument", "<i4")])
FROM_TOKENS = {case["name"]: case for case in json.loads((GOLDEN / "from_tokens.json").read_text())["cases"]}
DECODER_COUNTS = {"Invalid events", "Dropped events"}  # of the token decoder, not of two sets of notes

SWEEP_ENDINGS = tuple(f"({seconds})" for seconds in metrics.SWEEP_SECONDS)
HAVING_SHORT_NOTES = {
    name
    for name, case in PAIRS.items()
    for pair in case["pairs"]
    if any(row[1] - row[0] < 0.05 and not row[5] for row in pair["ref"] + pair["est"])
}
SHARING_INSTRUMENT_0 = {
    name
    for name, case in PAIRS.items()
    for pair in case["pairs"]
    if any(len({row[4] for row in pair[side] if row[6] == 0}) > 1 for side in ("ref", "est"))
}

PIANO = [(0.0, 1.0, 60, 80, 0, False), (1.0, 2.0, 64, 90, 0, False), (2.0, 3.0, 67, 100, 0, False)]
DRUMS = [(0.0, 0.1, 36, 90, 0, True), (1.0, 1.1, 38, 90, 0, True)]


def golden_scores(case, **settings):
    tracks = [metrics.Track(*row) for row in case["track_specs"] or ()]
    pieces = []
    for pair in case["pairs"]:
        sides = (np.array([tuple(row) for row in pair[side]], GOLDEN_DTYPE) for side in ("ref", "est"))
        pieces.append(metrics.score(*sides, tracks=tracks, onsets_only=case["onsets_only"], **settings))
    return metrics.mean(pieces)


def assert_same_scores(scores, golden):
    expected = {name: math.nan if value is None else value for name, value in golden.items()}
    assert set(scores) == set(expected) - DECODER_COUNTS
    for name, value in scores.items():
        assert value == pytest.approx(expected[name], rel=0, abs=1e-9, nan_ok=True), name


@pytest.mark.parametrize("name", PAIRS)
def test_scores_of_the_ancestor(name):
    assert_same_scores(golden_scores(PAIRS[name], compatibility="mt3"), PAIRS[name]["metrics"])


def test_scores_differ_from_the_ancestors_only_where_it_errs():
    differing = {"kits": set(), "sweep": set(), "frames": set()}
    for name, case in PAIRS.items():
        for key, value in golden_scores(case).items():
            if math.isnan(value) or abs(value - (case["metrics"][key] or 0.0)) <= 1e-9:
                continue
            part = "frames" if key.startswith("Frame") else "sweep" if key.endswith(SWEEP_ENDINGS) else "kits"
            differing[part].add(name)
    assert differing["kits"] == {"drums_reference_nonzero_program"}
    assert {"very_short_notes", "piano_random_jitter"} <= differing["sweep"] == differing["sweep"] & HAVING_SHORT_NOTES
    assert "program_partial_mix" in differing["frames"] == differing["frames"] & SHARING_INSTRUMENT_0


@pytest.mark.parametrize("name", FROM_TOKENS)
def test_scores_of_the_ancestor_from_tokens(name):
    case = FROM_TOKENS[name]
    assert case["spec"] == "ties"
    config = codec.CodecConfig(events="notes_with_ties", compatibility="mt3")
    vocabulary = Vocabulary(VocabularyConfig(num_velocity_bins=case["num_velocity_bins"]))
    start_steps = [round(100 * start_seconds) for start_seconds, _ in case["segments"]]
    decoder = codec.SegmentDecoder(vocabulary, config)
    for (_, tokens), start_step, end_step in zip(case["segments"], start_steps, [*start_steps[1:], None], strict=True):
        decoder.decode(np.array(tokens), start_step=start_step, end_step=end_step)
    reference = np.array([tuple(row) for row in case["ref"]], GOLDEN_DTYPE)
    scores = metrics.score(reference, decoder.finish(), compatibility="mt3")
    assert_same_scores(scores, case["metrics"])
    assert decoder.invalid_events == case["metrics"]["Invalid events"]
    assert decoder.dropped_events == case["metrics"]["Dropped events"]


def test_scores_by_hand():
    reference = notes.from_rows([*PIANO, (3.0, 4.0, 72, 80, 40, False), *DRUMS])
    estimate = notes.from_rows(
        [
            (0.04, 1.0, 60, 80, 0, False),  # right
            (1.0, 1.5, 64, 90, 0, False),  # wrong offset
            (2.06, 3.0, 67, 100, 0, False),  # late
            (3.0, 4.0, 72, 80, 45, False),  # right family
            (0.0, 0.3, 36, 90, 8, True),  # right: programs and offsets do not matter
        ]
    )
    scores = metrics.score(reference, estimate)
    assert scores["Onset precision"] == scores["Onset recall"] == scores["Onset F1"] == 3 / 4
    assert scores["Onset + offset F1"] == 2 / 4
    assert scores["Drum onset precision (full)"] == 1
    assert scores["Drum onset recall (full)"] == 1 / 2
    assert scores["Nondrum onset + offset + program F1 (flat)"] == 2 / 4
    assert scores["Onset + offset + program precision (midi_class)"] == 3 / 5
    assert scores["Onset + offset + program recall (midi_class)"] == 3 / 6
    assert scores["Onset + offset + program F1 (full)"] == pytest.approx(2 * 2 / 11)
    assert scores["Onset + offset F1 (0.01)"] == 1 / 4
    assert scores["Onset + offset F1 (0.1)"] == 3 / 4
    assert scores["Onset + offset F1 (0.5)"] == 4 / 4


def test_a_perfect_transcription_scores_one_everywhere():
    reference = notes.from_rows([*PIANO, *DRUMS])
    scores = metrics.score(reference, reference[::-1])
    assert scores
    assert {name for name, value in scores.items() if abs(value - 1) > 1e-12} == set()


def test_velocity_scores():
    # Eleven notes at ten loudness steps; a line fits all but the last, which is far too loud.
    reference = notes.from_rows([(i, i + 0.5, 60, 10 + 10 * i, 0, False) for i in range(11)])
    estimate = reference.copy()
    estimate["velocity"] = 20 + reference["velocity"] // 2
    assert metrics.score(reference, estimate)["Onset + offset + velocity F1"] == 1
    estimate["velocity"][0] = 127
    scores = metrics.score(reference, estimate)
    assert scores["Onset F1"] == 1
    assert scores["Onset + velocity F1"] < 1


@pytest.mark.parametrize("compatibility", metrics.COMPATIBILITIES)
def test_inputs_are_unchanged(compatibility):
    reference = notes.from_rows([(0.0, 0.01, 60, 80, 0, False), *DRUMS])
    estimate = notes.from_rows([(0.0, 0.02, 60, 80, 0, False), (0.5, 0.51, 38, 80, 3, True)])
    before = reference.copy(), estimate.copy()
    for side in (reference, estimate):
        side.flags.writeable = False
    metrics.score(reference, estimate, compatibility=compatibility, tracks=[metrics.Track("drums", 0, True)])
    np.testing.assert_array_equal(reference, before[0])
    np.testing.assert_array_equal(estimate, before[1])


def test_nothing_on_one_side_is_zero():
    piece = notes.from_rows([*PIANO, *DRUMS])
    for sides in ((piece, notes.empty()), (notes.empty(), piece)):
        assert set(metrics.score(*sides).values()) == {0.0}


def test_nothing_on_both_sides_is_undefined():
    assert all(math.isnan(value) for value in metrics.score(notes.empty(), notes.empty()).values())
    ancestors = metrics.score(notes.empty(), notes.empty(), compatibility="mt3")
    assert {name for name, value in ancestors.items() if math.isnan(value)} == {
        "Frame Precision",
        "Frame Recall",
        "Frame F1",
    }
    assert set(ancestors.values()) >= {0.0}


def test_a_piece_without_drums_leaves_the_mean_drum_score_alone():
    with_drums, without = notes.from_rows([*PIANO, *DRUMS]), notes.from_rows(PIANO)
    pieces = [metrics.score(with_drums, with_drums[:-1]), metrics.score(without, without)]
    assert math.isnan(pieces[1]["Drum onset F1 (full)"])
    means = metrics.mean(pieces)
    assert means["Drum onset recall (full)"] == 0.5
    assert means["Onset F1"] == 1
    assert metrics.mean([]) == {}


def test_settings_choose_what_is_scored():
    piece = notes.from_rows([*PIANO, *DRUMS])
    names = metrics.score(piece, piece, granularities=["full"], onsets_only=True)
    assert not any("flat" in name or "velocity" in name for name in names)
    assert "Onset + offset F1" not in names
    tracks = [metrics.Track("kit (live)", 0, True), metrics.Track("piano", 0)]
    scores = metrics.score(piece, piece, tracks=tracks)
    assert scores["kit (live)/Onset precision"] == scores["piano/Onset + offset F1"] == 1
    assert "kit (live)/Onset + offset F1" not in scores


def test_bad_settings_and_notes_are_refused():
    piece = notes.from_rows(PIANO)
    with pytest.raises(InputError, match="compatibility 'mt4'.*none, mt3"):
        metrics.score(piece, piece, compatibility="mt4")
    with pytest.raises(InputError, match="granularity 'class'"):
        metrics.score(piece, piece, granularities=["class"])
    backwards = notes.from_rows([(1.0, 0.5, 60, 80, 0, False)])
    for sides in ((piece, backwards), (backwards, piece)):
        for function in (metrics.score, metrics.by_instrument, metrics.by_drum_class):
            with pytest.raises(InputError, match="does not end after its start"):
                function(*sides)


def test_rows_by_instrument():
    reference = notes.from_rows([*PIANO, (0.0, 1.0, 40, 80, 33, False), *DRUMS])
    estimate = notes.from_rows([*PIANO[:2], (2.0, 2.2, 67, 80, 0, False), (0.0, 1.0, 40, 80, 34, False), *DRUMS[:1]])
    rows = metrics.by_instrument(reference, estimate)
    assert list(rows) == ["Acoustic Grand Piano", "Electric Bass (finger)", "Electric Bass (pick)", "Drums"]
    assert rows["Acoustic Grand Piano"] == {
        "Onset F1": metrics.Counts(3, 3, 3),
        "Onset + offset F1": metrics.Counts(2, 3, 3),
    }
    assert rows["Electric Bass (finger)"]["Onset F1"] == metrics.Counts(0, 0, 1)
    assert rows["Drums"] == {"Onset F1": metrics.Counts(1, 1, 2)}
    by_family = metrics.by_instrument(reference, estimate, granularity="midi_class")
    assert by_family["Bass"]["Onset + offset F1"] == metrics.Counts(1, 1, 1)
    assert list(metrics.by_instrument(reference, estimate, granularity="flat")) == ["Pitched", "Drums"]
    assert metrics.by_instrument(notes.empty(), notes.empty()) == {}


def test_rows_by_drum_class():
    hits = [(0.0, 36), (1.0, 38), (2.0, 42), (3.0, 81)]
    reference = notes.from_rows([*PIANO, *((onset, onset + 0.1, pitch, 90, 0, True) for onset, pitch in hits)])
    hits = [(0.0, 35), (1.2, 38), (2.0, 46), (3.0, 49)]
    estimate = notes.from_rows((onset, onset + 0.1, pitch, 90, 0, True) for onset, pitch in hits)
    assert metrics.by_drum_class(reference, estimate) == {
        "Kick": {"Onset F1": metrics.Counts(1, 1, 1)},
        "Snare": {"Onset F1": metrics.Counts(0, 1, 1)},
        "Hi-hat": {"Onset F1": metrics.Counts(1, 1, 1)},
        "Cymbal": {"Onset F1": metrics.Counts(0, 1, 0)},
        "Other": {"Onset F1": metrics.Counts(0, 0, 1)},
    }


def test_confusion_by_hand():
    reference = notes.from_rows(
        [*PIANO, (0.0, 1.0, 60, 80, 40, False), (1.0, 2.0, 50, 80, 33, False), *DRUMS]  # a violin doubles the piano
    )
    estimate = notes.from_rows(
        [
            (0.0, 1.0, 60, 80, 41, False),  # a viola: the violin's family, though the piano has that note, too
            (0.01, 1.0, 60, 80, 2, False),  # the piano
            (1.0, 2.0, 64, 80, 48, False),  # the piano's note, given to an ensemble
            (1.0, 2.0, 50, 80, 34, False),  # the bass
            (5.0, 6.0, 70, 80, 0, False),  # nobody played it
            (0.0, 0.1, 36, 80, 25, True),
            (1.0, 1.1, 64, 80, 0, True),  # a drum is no piano
        ]
    )
    assert metrics.confusion(reference, estimate) == {
        "Piano": {"Piano": 1, "Ensemble": 1, metrics.NOTHING: 1},
        "Strings": {"Strings": 1},
        "Bass": {"Bass": 1},
        "Drums": {"Drums": 1, metrics.NOTHING: 1},
        metrics.NOTHING: {"Piano": 1, "Drums": 1},
    }
    assert metrics.confusion(notes.empty(), notes.empty()) == {}
    assert metrics.confusion(reference, reference, granularity="flat") == {
        "Pitched": {"Pitched": 5},
        "Drums": {"Drums": 2},
    }


def test_velocity_correlation_by_hand():
    played = notes.from_rows([(i, i + 0.5, 60, velocity, 0, False) for i, velocity in enumerate((20, 40, 60))])
    found = played.copy()
    found["velocity"] = (10, 30, 20)
    found["program"] = 8
    moments = metrics.velocity_moments(played, found)
    assert moments == metrics.Moments(3, 120, 60, 5600, 1400, 2600)
    assert moments.correlation == pytest.approx(0.5)  # deviations -20, 0, 20 and -10, 10, 0: 200 / sqrt(800 * 200)
    assert (moments + metrics.velocity_moments(played, played)).num == 6
    assert metrics.velocity_moments(played, played).correlation == pytest.approx(1)
    found["velocity"] = 64
    assert math.isnan(metrics.velocity_moments(played, found).correlation)
    assert math.isnan(metrics.velocity_moments(played, notes.empty()).correlation)
    late = played.copy()
    late["onset"][1:] += 0.2
    assert metrics.velocity_moments(played, late).num == 1


def test_new_scores_refuse_impossible_notes():
    piece, backwards = notes.from_rows(PIANO), notes.from_rows([(1.0, 0.5, 60, 80, 0, False)])
    for function in (metrics.confusion, metrics.velocity_moments):
        for sides in ((piece, backwards), (backwards, piece)):
            with pytest.raises(InputError, match="does not end after its start"):
                function(*sides)
