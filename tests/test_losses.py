"""Losses: equal to t5x's, and note activity by hand."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mt3lite.training import losses

GOLDEN = np.load(Path(__file__).parent / "golden/loss_optimizer/cross_entropy.npz")
CASES = ("extreme", "small", "vocab")


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("z_loss", [0.0, 0.0001])
def test_cross_entropy_equals_t5x(case, smoothing, z_loss):
    """Loss, its z part, the weights and the gradient are the reference's."""
    logits, targets, weights = (GOLDEN[f"{case}_{name}"] for name in ("logits", "targets", "weights"))
    key = f"{case}_ls{smoothing}_z{z_loss}"

    def loss_of(logits):
        total, z_total, _, count = losses.cross_entropy(
            logits, targets, weights, label_smoothing=smoothing, z_loss=z_loss
        )
        return total, (z_total, count)

    (total, (z_total, count)), gradient = jax.value_and_grad(loss_of, has_aux=True)(jnp.asarray(logits))
    np.testing.assert_allclose(total, GOLDEN[f"{key}_loss"], rtol=1e-5)
    np.testing.assert_allclose(z_total, GOLDEN[f"{key}_z_loss"], rtol=1e-5)
    np.testing.assert_allclose(count, GOLDEN[f"{key}_weight_sum"])
    if f"{key}_grad_logits" in GOLDEN.files:
        np.testing.assert_allclose(gradient, GOLDEN[f"{key}_grad_logits"], atol=1e-5)


def _table(*rows):
    table = np.zeros((1, max(6, len(rows)), losses.NUM_COLUMNS), np.int32)
    table[..., losses.ONSET] = losses.UNUSED
    for i, row in enumerate(rows):
        table[0, i, : len(row)] = row
    return jnp.asarray(table)


def test_note_activity_by_hand():
    """One note inside, one from before, one drum, one beyond the end, one pitch no piano has, one that sounds on."""
    table = _table(
        *((2, 4, 60, 3, 0, 127), (-5, 1, 64, 0, 0, 90), (3, 3, 38, 0, 1, 64), (99, 120, 61, 0, 0), (1, 2, 5, 0, 0)),
        (7, 8, 70, 5, 0, 127),
    )
    activity = losses.note_activity(table, 8)
    assert np.argwhere(activity["onset"][0]).tolist() == [[2, 60 - 21], [7, 70 - 21]]
    sounding = [[0, 64 - 21, 0], [2, 60 - 21, 3], [3, 60 - 21, 3], [7, 70 - 21, 5]]
    assert np.argwhere(activity["family"][0]).tolist() == sounding
    assert np.argwhere(activity["drum"][0]).tolist() == [[3, 38]]
    assert np.argwhere(activity["frame"][0]).tolist() == [row[:2] for row in sounding]
    assert np.argwhere(activity["end"][0]).tolist() == [[1, 64 - 21], [4, 60 - 21]]
    assert (activity["velocity"] == activity["onset"]).all()
    assert activity["drum_velocity"][0, 3, 38] == np.float32(64 / 127) == activity["drum_velocity"].sum()


def test_a_note_shorter_than_a_position_still_sounds_in_one():
    """Its onset and offset fall into the same position; it ends in the next."""
    activity = losses.note_activity(_table((2, 2, 60, 0, 0)), 8)
    assert np.argwhere(activity["frame"][0]).tolist() == [[2, 39]]
    assert np.argwhere(activity["end"][0]).tolist() == [[3, 39]]


def test_auxiliary_loss_prefers_the_right_notes():
    """Logits that say what the table says cost less than those that say nothing."""
    table = _table((2, 4, 60, 3, 0))
    activity = losses.note_activity(table, 8)
    right = {name: 8.0 * value - 4.0 for name, value in activity.items()}
    silent = {name: jnp.full_like(value, -4.0) for name, value in activity.items()}
    assert losses.auxiliary_loss(right, table) < losses.auxiliary_loss(silent, table)


def test_families_that_begin_a_note_together_are_in_unison():
    """At once or in neighbouring positions, not two apart; nor are two notes of one family, or one that sounds on."""
    table = _table(
        *((2, 4, 60, 3, 0), (2, 5, 60, 8, 0), (1, 4, 64, 0, 0), (2, 4, 64, 5, 0), (1, 3, 67, 0, 0), (3, 5, 67, 5, 0)),
        *((2, 4, 70, 3, 0), (2, 4, 70, 3, 0), (-2, 6, 72, 3, 0), (4, 6, 72, 5, 0)),
    )
    unison = losses.note_activity(table, 8)["unison"]
    assert np.argwhere(unison[0]).tolist() == [[1, 64 - 21], [2, 60 - 21], [2, 64 - 21]]


def test_unisons_count_where_notes_begin():
    table = _table((2, 4, 60, 3, 0), (2, 4, 60, 5, 0), (3, 5, 64, 3, 0))
    activity = losses.note_activity(table, 8)
    right = {name: 8.0 * value - 4.0 for name, value in activity.items()}
    elsewhere = right | {"unison": right["unison"].at[0, 5, 7].set(9.0)}
    wrong = right | {"unison": -right["unison"]}
    costs = [float(losses.auxiliary_loss(logits, table)) for logits in (right, elsewhere, wrong)]
    assert costs[0] == costs[1]
    assert costs[2] - costs[0] == pytest.approx(losses.ONSET_WEIGHT * 2 * 4 / 8, rel=1e-3)


def test_ends_count_where_they_are_heard():
    """Heads that tell no ends have the loss of the rest; those that do want them in their places."""
    table = _table((2, 4, 60, 3, 0))
    activity = losses.note_activity(table, 8)
    right = {name: 8.0 * value - 4.0 for name, value in activity.items()}
    late = right | {"end": jnp.roll(right["end"], 1, axis=1)}
    without = {name: value for name, value in right.items() if name != "end"}
    costs = [float(losses.auxiliary_loss(logits, table)) for logits in (without, right, late)]
    assert costs[0] < costs[1] < costs[2]
    # In 8 positions, two logits are 4 where -4 is right, or the other way round: each costs 4 more.
    assert costs[2] - costs[1] == pytest.approx(losses.ONSET_WEIGHT * 2 * 4 / 8, rel=1e-3)
