import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mt3lite import notes, timbre
from mt3lite.training import arranging, synthetic, voicing

SEEDS = st.integers(0, 10**6)


@settings(max_examples=40)
@given(SEEDS)
def test_moved_keys_stay_within_the_instruments_range(seed):
    rng = np.random.default_rng(seed)
    played = synthetic.procedural_notes(10.0, rng, 32)
    for program, changes in voicing.draw(played, 1.0, rng).items():
        if program >= 0:
            keys = played["pitch"][~played["is_drum"] & (played["program"] == program)] + changes.displaced
            lowest, highest = arranging.pitch_range(program)
            assert lowest <= keys.min() and keys.max() <= highest
        assert -5 <= changes.displaced <= 5 and abs(changes.fine_tune_cents) <= 20
        assert 0 <= changes.attack_seconds <= 0.045
        assert -1200 <= changes.release_cents <= 700


def test_the_chance_is_each_instruments_and_the_tuning_the_pieces():
    programs = (0, 24, 40, 56, 73)
    rows = [(0.0, 1.0, 62, 80, program, False) for program in programs]
    played = notes.from_rows([*rows, (0.0, 0.1, 38, 80, 0, True)])
    rng = np.random.default_rng(0)
    drawn = [voicing.draw(played, 0.3, rng) for _ in range(400)]
    assert 0.2 < np.mean([-1 in timbres for timbres in drawn]) < 0.4
    left = [[t[p] for p in programs if t[p] == timbre.Timbre(fine_tune_cents=t[p].fine_tune_cents)] for t in drawn]
    assert 0.65 < np.mean([len(alone) / len(programs) for alone in left]) < 0.75
    shared = [len({each.fine_tune_cents for each in alone}) == 1 for alone in left if len(alone) > 1]
    assert np.mean(shared) > 0.9  # in the others a drawn timbre is nothing but a tuning of its own


def test_what_is_drawn_goes_by_how_an_instrument_is_played():
    rng = np.random.default_rng(0)
    piano, violin, flute = (notes.from_rows([(0.0, 1.0, 72, 80, program, False)]) for program in (0, 40, 73))

    def drawn(played):
        return [voicing.draw(played, 1.0, rng)[int(played["program"][0])] for _ in range(200)]

    assert not any(each.vibrato_cents for each in drawn(piano)) and any(each.decay_cents for each in drawn(piano))
    assert not any(each.attack_seconds or each.decay_cents for each in drawn(violin))
    flutes = drawn(flute)
    assert 0.2 < np.mean([each.vibrato_cents > 0 for each in flutes]) < 0.5
    assert {each.displaced for each in flutes} == set(range(-5, 6))
    assert max(each.attack_seconds for each in drawn(piano)) <= 0.03 < max(each.attack_seconds for each in flutes)
