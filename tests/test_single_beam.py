"""The single beam against the ancestor's loop, in the golden arrays, and by what it must not do."""

import jax.numpy as jnp
import numpy as np

from mt3lite import lanes, single_beam, stopwatch, vocabulary

NUM_TOKENS = 64


def test_golden_tokens(golden_network):
    transformer, params, io = golden_network
    search = lanes.Search(transformer, None, NUM_TOKENS, in_single_beam=True)
    frames = io["encoder_input_tokens"]
    programs = lanes.Programs(search, params, frames.shape[1:], num_lanes=2, encode_batch=2)
    kernel = params["decoder"]["logits_dense"]["kernel"]
    columns = [kernel[:, vocabulary.EOS], *io["eos_variant_column"]]
    wanted = [io["beam1_tokens"], *io["eos_variant_beam1_tokens"]]
    for column, expected in zip(columns, wanted, strict=True):
        changed = kernel.copy()
        changed[:, vocabulary.EOS] = column
        variant = params | {"decoder": params["decoder"] | {"logits_dense": {"kernel": changed}}}
        came = dict(lanes.Pool(programs, variant, stopwatch.Stopwatch()).decode(enumerate(frames)))
        np.testing.assert_array_equal(np.stack([came[0].tokens, came[1].tokens]), expected)
    greedy = [io["greedy_tokens"], *io["eos_variant_greedy_tokens"]]
    assert any((one != other).any() for one, other in zip(wanted, greedy, strict=True)), "greedy decoding would do"


def test_a_row_is_over_when_nothing_can_score_better():
    logits = np.full((2, 8), -20.0, np.float32)
    logits[0, [vocabulary.EOS, 5]] = 0.0, -12.0  # sure to end
    logits[1, [vocabulary.EOS, 5]] = -9.0, 0.0  # EOS is but second
    tokens, beam, over = single_beam.extend(single_beam.begin(2), jnp.asarray(logits), jnp.zeros(2, jnp.int32), 16)
    assert tokens.tolist() == [5, 5]
    assert over.tolist() == [True, False]
    assert beam.kept.tolist() == [1, 1]


def test_third_is_not_kept():
    logits = jnp.asarray([[-20.0, 1.0, -20.0, 3.0, 2.0]])
    _, beam, _ = single_beam.extend(single_beam.begin(1), logits, jnp.zeros(1, jnp.int32), 16)
    assert (beam.kept.tolist(), beam.score.tolist()) == ([0], [-np.inf])


def test_result():
    tokens = np.array([7, 8, 9, 10], np.int32)
    assert single_beam.result(tokens, 0).tolist() == [7, 8, 9, 10]
    assert single_beam.result(tokens, 3).tolist() == [7, 8, vocabulary.EOS, vocabulary.PAD]
    assert single_beam.result(tokens, 4).tolist() == [7, 8, 9, vocabulary.EOS]
