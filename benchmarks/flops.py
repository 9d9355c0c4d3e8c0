"""Floating-point operations: those of a function, counted, and those that the machine can do, known or measured."""

import math
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.extend import core

# Dense bfloat16 operations a second by the makers' data sheets, by what JAX calls the device.
PEAKS = {"NVIDIA H200": 989e12, "NVIDIA H100": 989e12, "NVIDIA A100": 312e12, "NVIDIA L4": 121e12}


def of(function: Callable, *arguments) -> int:
    """Return the operations of all matrix products and convolutions in a call; a multiply and an add are two.

    Those of backward passes count when `function` has them; what is computed again to save memory counts again.
    """
    return _of_jaxpr(jax.make_jaxpr(function)(*arguments).jaxpr)


def _of_jaxpr(jaxpr) -> int:
    total = 0
    for equation in jaxpr.eqns:
        name, parameters = equation.primitive.name, equation.params
        if name == "dot_general":
            (contracted, _), _ = parameters["dimension_numbers"]
            shape = equation.invars[0].aval.shape
            total += 2 * equation.outvars[0].aval.size * math.prod(shape[axis] for axis in contracted)
        elif name == "conv_general_dilated":
            kernel, features = equation.invars[1].aval, parameters["dimension_numbers"].rhs_spec[0]
            total += 2 * equation.outvars[0].aval.size * kernel.size // kernel.shape[features]
        repeated = parameters["length"] if name == "scan" else 1
        for value in parameters.values():
            for inner in value if isinstance(value, tuple | list) else (value,):
                if isinstance(inner, core.ClosedJaxpr | core.Jaxpr):
                    total += repeated * _of_jaxpr(inner.jaxpr if isinstance(inner, core.ClosedJaxpr) else inner)
    return total


def peak() -> float | None:
    """Return the peak of the first device in bfloat16, operations a second; None: not known."""
    kind = jax.devices()[0].device_kind
    return next((value for name, value in PEAKS.items() if kind.startswith(name)), None)


def of_product(dtype: str, turns: int = 5) -> float:
    """Return the operations a second of one large product of square matrices, the best of some turns."""
    size = 2048 if jax.devices()[0].platform == "cpu" else 8192
    matrix = jax.random.normal(jax.random.key(0), (size, size), dtype)
    product = jax.jit(jnp.matmul)
    product(matrix, matrix).block_until_ready()
    seconds = []
    for _ in range(turns):
        started = time.perf_counter()
        product(matrix, matrix).block_until_ready()
        seconds.append(time.perf_counter() - started)
    return 2 * size**3 / min(seconds)
