import json
from pathlib import Path

import numpy as np
import pytest

from mt3lite import vocabulary
from mt3lite.errors import InputError
from mt3lite.vocabulary import Event, Vocabulary, VocabularyConfig

GOLDEN = Path(__file__).parent / "golden" / "vocabulary"
CONFIGS = {config["name"]: config for config in json.loads((GOLDEN / "vocabulary.json").read_text())["configs"]}
SPECIAL_NAMES = {"pad": "PAD", "eos": "EOS", "unk": "UNK"}


def of_golden(config):
    return Vocabulary(VocabularyConfig(num_velocity_bins=config["vocabulary_config"]["num_velocity_bins"]))


@pytest.fixture(params=CONFIGS)
def golden(request):
    return CONFIGS[request.param]


def test_sizes_equal_golden(golden):
    vocab = of_golden(golden)
    assert vocab.config.steps_per_second == golden["vocabulary_config"]["steps_per_second"]
    assert vocab.config.max_shift_steps == golden["max_shift_steps"]
    assert vocab.num_codes == golden["codec_num_classes"]
    assert vocab.num_tokens == golden["base_vocab_size"]
    assert vocab.num_tokens + vocabulary.NUM_EXTRA_IDS == golden["vocab_size"]
    assert vocab.num_embeddings == golden["num_embeddings"]
    specials = (vocabulary.PAD, vocabulary.EOS, vocabulary.UNK, vocabulary.DECODED_EOS, vocabulary.DECODED_INVALID)
    fields = ("pad_id", "eos_id", "unk_id", "decoded_eos_id", "decoded_invalid_id")
    assert specials == tuple(golden[field] for field in fields)


def test_ranges_equal_golden(golden):
    vocab = of_golden(golden)
    ranges = [[block.type, block.first_id - 3, vocab.token_range(block.type)[-1] - 3] for block in vocab.ranges]
    assert ranges == golden["event_ranges"]


def test_every_id_equals_golden(golden):
    vocab = of_golden(golden)
    assert len(golden["table"]) == vocab.num_embeddings
    for token_id, code, event_type, value in golden["table"]:
        assert vocab.decode_codes(np.array([token_id])).tolist() == [code]
        if code >= 0:
            assert vocab.event(token_id) == Event(event_type, value)
            assert vocab.token_id(event_type, value) == token_id
            assert vocab.describe(token_id) == ("tie" if event_type == "tie" else f"{event_type} {value}")
        else:
            assert vocab.event(token_id) is None
            assert vocab.describe(token_id) == SPECIAL_NAMES.get(event_type, f"unused {token_id}")


def test_velocities_equal_golden(golden):
    num_bins = golden["vocabulary_config"]["num_velocity_bins"]
    assert [vocabulary.velocity_to_bin(v, num_bins) for v in range(128)] == golden["velocity_to_bin"]
    assert [vocabulary.bin_to_velocity(b, num_bins) for b in range(num_bins + 1)] == golden["bin_to_velocity"]
    assert vocabulary.velocity_to_bin(np.arange(128), num_bins).tolist() == golden["velocity_to_bin"]
    assert vocabulary.bin_to_velocity(np.arange(num_bins + 1), num_bins).tolist() == golden["bin_to_velocity"]


@pytest.mark.parametrize("num_bins", [1, 2, 3, 10, 32, 64, 126, 127])
def test_velocity_bins_survive_the_round_trip(num_bins):
    bins = np.arange(num_bins + 1)
    velocities = vocabulary.bin_to_velocity(bins, num_bins)
    assert np.array_equal(vocabulary.velocity_to_bin(velocities, num_bins), bins)


def test_decode_codes_equals_golden():
    for case in json.loads((GOLDEN / "decode_sequences.json").read_text())["sequences"]:
        codes = of_golden(CONFIGS[case["config"]]).decode_codes(np.array(case["ids"], np.int64))
        assert codes.tolist() == case["decode_tf"]
        assert codes.dtype == np.int32


def test_decode_codes_takes_batches_and_nothing():
    vocab = Vocabulary()
    assert vocab.decode_codes(np.array([[3, 1, 5], [4, 5, -7]])).tolist() == [[0, -1, -1], [1, 2, -2]]
    assert vocab.decode_codes(np.zeros((2, 0), np.int32)).shape == (2, 0)


def test_errors_equal_golden():
    vocab = of_golden(CONFIGS["mt3"])
    for event_type, value, text in json.loads((GOLDEN / "programs_and_errors.json").read_text())["encode_errors_mt3"]:
        if event_type == "token_id":  # there a code: nothing of ours encodes bare codes
            assert vocab.event(value + vocabulary.NUM_SPECIAL) is None
            continue
        with pytest.raises(ValueError) as raised:
            vocab.token_id(event_type, value)
        assert str(raised.value) == text


def test_unknown_type_has_no_ids():
    for method in (Vocabulary().first_id, Vocabulary().token_range):
        with pytest.raises(ValueError, match="Unknown event type: note"):
            method("note")


def test_event_of_impossible_ids_is_none():
    assert [Vocabulary().event(token_id) for token_id in (-1, -(2**40), 2**40)] == [None] * 3


def test_vocabulary_is_a_value():
    coarse = VocabularyConfig(steps_per_second=50, max_shift_steps=100)
    assert Vocabulary(coarse) == Vocabulary(coarse) != Vocabulary()
    assert hash(Vocabulary(coarse)) == hash(Vocabulary(coarse))
    assert Vocabulary(coarse).first_id("pitch") == 3 + 101


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("steps_per_second", 0, "steps_per_second must be at least 1, not 0"),
        ("max_shift_steps", -1, "max_shift_steps must be at least 1, not -1"),
        ("num_velocity_bins", 0, "num_velocity_bins must be at least 1, not 0"),
        ("num_velocity_bins", 128, "num_velocity_bins must be at most 127, not 128"),
    ],
)
def test_config_refuses_impossible_values(field, value, message):
    with pytest.raises(InputError, match=message):
        VocabularyConfig(**{field: value})
