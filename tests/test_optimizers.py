"""Optimizers and schedules: equal to t5x's, and by hand."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mt3lite.errors import InputError
from mt3lite.training import optimizers
from mt3lite.training.settings import TrainConfig

GOLDEN = Path(__file__).parent / "golden/loss_optimizer"
ADAFACTOR = TrainConfig(optimizer="adafactor", weight_decay=0.0, max_gradient_norm=0.0)


def test_adafactor_equals_t5x():
    """Three steps on given gradients; two of the six arrays are factored."""
    golden = np.load(GOLDEN / "adafactor_arrays.npz")
    names = [key.removeprefix("before:") for key in golden.files if key.startswith("before:")]
    params = {name: golden[f"before:{name}"] for name in names}
    first = {name: golden[f"grad1:{name}"] for name in names}
    second = {name: np.roll(gradient, 1, axis=0) * np.float32(0.5) for name, gradient in first.items()}
    third = {name: gradient[::-1] * np.float32(-2) for name, gradient in first.items()}
    optimizer = optimizers.make(ADAFACTOR)
    state = optimizer.init(params)
    for number, gradients in enumerate((first, second, third), start=1):
        directions, state = optimizer.update(gradients, state, params)
        params = optimizers.descend(params, directions, golden["learning_rate"])
        for name in names if number != 2 else ():
            wanted = golden[f"after{number}:{name}"]
            np.testing.assert_allclose(params[name], wanted, atol=1e-6 * np.abs(wanted).max(), err_msg=name)
    kept = {leaf.size for leaf in jax.tree.leaves(state)}
    assert 134 in kept and 134 * 128 not in kept  # the statistics of the factored one are its rows and columns


def test_adamw_by_hand():
    """The first step of Adam is the sign of the gradient; the weight decay comes on top."""
    config = TrainConfig(weight_decay=0.5, max_gradient_norm=0.0)
    params = {"a": jnp.array([1.0, -2.0])}
    optimizer = optimizers.make(config)
    directions, _ = optimizer.update({"a": jnp.array([3.0, -0.1])}, optimizer.init(params), params)
    moved = optimizers.descend(params, directions, 0.1)
    np.testing.assert_allclose(moved["a"], [1 - 0.1 * (1 + 0.5), -2 - 0.1 * (-1 - 1.0)], rtol=1e-5)


def test_long_gradients_are_shortened():
    """Two gradients in the same direction, one of them longer than allowed: the same Adafactor step with clipping."""
    config = TrainConfig(optimizer="adafactor", weight_decay=0.0, max_gradient_norm=1.0)
    optimizer = optimizers.make(config)
    params = {"a": jnp.ones(2)}
    states = [optimizer.update({"a": jnp.array(g)}, optimizer.init(params), params)[1] for g in ([3.0, 4], [0.6, 0.8])]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), *states)


def test_learning_rate_warms_up_and_comes_down():
    """By hand at the start, the top and the end."""
    config = TrainConfig(learning_rate=1.0, warmup_steps=10, final_fraction=0.1)
    assert optimizers.learning_rate(config, 0, 0.0) == pytest.approx(0.1)
    assert optimizers.learning_rate(config, 9, 0.0) == pytest.approx(1.0)
    assert optimizers.learning_rate(config, 500, 0.5) == pytest.approx(0.55)
    assert optimizers.learning_rate(config, 1000, 1.0) == pytest.approx(0.1)


def test_schedules_equal_t5x():
    """t5x counts the steps from 0 and ours warm up from the first, so ours at step - 1 is theirs at step."""
    golden = np.load(GOLDEN / "learning_rate.npz")
    constant = TrainConfig(schedule="constant", learning_rate=1e-3, warmup_steps=1)
    rsqrt = TrainConfig(schedule="rsqrt", learning_rate=1000**-0.5, warmup_steps=1000)
    for step, flat, falling in zip(
        golden["steps"].tolist(), golden["gin_constant"], golden["constant_linear_warmup_rsqrt_decay"], strict=True
    ):
        assert optimizers.learning_rate(constant, step, 0.5) == pytest.approx(flat, rel=1e-6)
        if step:
            assert optimizers.learning_rate(rsqrt, step - 1, 0.5) == pytest.approx(falling, rel=1e-5)


def test_settings_are_checked():
    """Names that there are not, and batches that do not fall into parts."""
    with pytest.raises(InputError, match="optimizer: 'sgd' is not one of adamw, adafactor"):
        TrainConfig(optimizer="sgd")
    with pytest.raises(InputError, match="a batch of 16 does not fall into 3 equal parts"):
        TrainConfig(accumulate=3)
    with pytest.raises(InputError, match="log_every: 0 is less than 1"):
        TrainConfig(log_every=0)
