"""`EventVocabulary`: the token ids of `mt3lite.vocabulary` as a seqio vocabulary."""

from collections.abc import Sequence

import numpy as np
import seqio
import tensorflow as tf

from mt3lite import vocabulary


class EventVocabulary(seqio.Vocabulary):
    """Codes of events to token ids and back, as the ancestor's vocabulary does.

    What seqio calls text is here a sequence of codes: a code is an event's token id less the 3 special ids. Decoding
    gives `vocabulary.DECODED_EOS` for EOS and `vocabulary.DECODED_INVALID` for ids that stand for no event. As a list
    the codes end with the first EOS; as a tensor they keep their length, with `DECODED_EOS` from the first EOS on.

    >>> words = EventVocabulary(vocabulary.VocabularyConfig(num_velocity_bins=1))
    >>> words.decode([1064, 1, 5]), words.vocab_size
    ([1061, -1], 1491)
    """

    def __init__(self, config: vocabulary.VocabularyConfig):
        self.words = vocabulary.Vocabulary(config)
        super().__init__(extra_ids=vocabulary.NUM_EXTRA_IDS)

    @property
    def eos_id(self) -> int:
        """Token id that ends a target."""
        return vocabulary.EOS

    @property
    def unk_id(self) -> int:
        """Token id that stands for those which mean nothing."""
        return vocabulary.UNK

    @property
    def bos_id(self) -> int:
        """Token id that the decoder is given first."""
        return vocabulary.PAD

    @property
    def _base_vocab_size(self) -> int:
        return self.words.num_tokens

    def _encode(self, s: Sequence[int]) -> list[int]:
        for code in s:
            if not 0 <= code < self.words.num_codes:
                raise ValueError(f"code {code} is not within 0..{self.words.num_codes - 1}")
        return [int(code) + vocabulary.NUM_SPECIAL for code in s]

    def _decode(self, ids: Sequence[int]) -> list[int]:
        return self.words.decode_codes(np.array(ids, np.int64)).tolist()

    def _encode_tf(self, s: tf.Tensor) -> tf.Tensor:
        in_range = tf.debugging.assert_less(s, tf.cast(self.words.num_codes, s.dtype), "a code is too large")
        with tf.control_dependencies([tf.debugging.assert_non_negative(s, "a code is negative"), in_range]):
            return s + vocabulary.NUM_SPECIAL

    def decode_tf(self, ids: tf.Tensor) -> tf.Tensor:
        """Decode int [..., n] to codes of the same shape; of no ids there are no codes (seqio has "" there)."""
        return self._decode_tf(ids)

    def _decode_tf(self, ids: tf.Tensor) -> tf.Tensor:
        ended = tf.cumsum(tf.cast(tf.equal(ids, vocabulary.EOS), tf.int32), axis=-1) > 0
        is_event = (ids >= vocabulary.NUM_SPECIAL) & (ids < self.words.num_tokens)
        codes = tf.where(is_event, ids - vocabulary.NUM_SPECIAL, vocabulary.DECODED_INVALID)
        return tf.where(ended, vocabulary.DECODED_EOS, codes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, EventVocabulary) and self.words == other.words

    def __hash__(self) -> int:
        return hash(self.words)

    def __str__(self) -> str:
        return f"EventVocabulary({self.words.config})"


def to_token_ids(codes: Sequence[int]) -> np.ndarray:
    """Return the token ids, int32 [n], of decoded codes: EOS for `DECODED_EOS`, UNK for `DECODED_INVALID`."""
    codes = np.array(codes, np.int32)
    ids = np.where(codes >= 0, codes + vocabulary.NUM_SPECIAL, vocabulary.UNK)
    return np.where(codes == vocabulary.DECODED_EOS, vocabulary.EOS, ids).astype(np.int32)
