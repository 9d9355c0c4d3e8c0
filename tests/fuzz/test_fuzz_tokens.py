"""Any integers, shown to the decoder, give notes and counts."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from surviving import fuzz, survive

from mt3lite import codec, config, notes
from mt3lite.training import showing
from mt3lite.vocabulary import Vocabulary, VocabularyConfig

CHOICES = list(itertools.product(codec.EVENTS, codec.COMPATIBILITIES, (1, 8, 127)))
KIND = "token streams to the decoder"


def token_ids(vocabulary: Vocabulary) -> st.SearchStrategy:
    """Ids that stand for something, often; ids that do not; and integers that no network could write."""
    of_type = [st.sampled_from(vocabulary.token_range(block.type)) for block in vocabulary.ranges]
    strange = st.sampled_from([-(2**70), -(2**63), -1, 0, 1, 2, 2**31, 2**63 - 1, 2**63, 2**70])
    return st.one_of(*of_type, st.integers(-5, vocabulary.num_embeddings + 5), st.integers(), strange)


@pytest.mark.parametrize(("events", "compatibility", "bins"), CHOICES)
def test_any_integers_give_notes_and_counts(events, compatibility, bins):
    vocabulary = Vocabulary(VocabularyConfig(num_velocity_bins=bins, max_shift_steps=200))
    settings = codec.CodecConfig(events=events, compatibility=compatibility)

    @fuzz(60)
    @given(st.lists(st.tuples(st.lists(token_ids(vocabulary), max_size=60), st.integers(0, 300)), max_size=6))
    def shown(segments):
        decoder, step, shown = codec.SegmentDecoder(vocabulary, settings), 0, 0
        for ids, length in segments:
            end_step = step + length if length % 7 else None
            survive(KIND, decoder.decode, ids, start_step=step, end_step=end_step)
            step, shown = step + length, shown + len(ids)
        found = decoder.finish()
        notes.validate(found)
        assert 0 <= decoder.invalid_events + decoder.dropped_events <= shown
        assert len(found) <= shown

    shown()


@fuzz(200)
@given(st.lists(token_ids(Vocabulary(config.preset("small").vocabulary)), max_size=80))
def test_they_can_be_looked_at_as_an_example(ids):
    tokens = np.array([each for each in ids if abs(each) < 2**31], np.int32)
    survive("token streams as a training example's picture", showing.wanted_notes, tokens, config.preset("small"))
