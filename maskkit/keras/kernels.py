"""What stands around attention: kernels that start apart with the right spread, products with them, a norm, heads."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops


def fresh(initializer: Any, offset: int) -> Any:
    """A copy of an initializer that gives other numbers: a Keras initializer gives the same ones every time.

    Args:
        initializer: a Keras initializer, or any function of shape and dtype (which comes back as it is).
        offset: added to an integer seed; of unseeded ones the copy draws its own seed.
    """
    if not isinstance(initializer, keras.initializers.Initializer):
        return initializer
    config = initializer.get_config()
    seed = config.get("seed")
    if isinstance(seed, int):
        config["seed"] = seed + offset
    elif seed is not None:
        return initializer  # a SeedGenerator moves on by itself
    return type(initializer).from_config(config)


def by_fans(initializers: Sequence[Any], inputs: int = 1, stacked: int | None = None) -> Callable[..., Any]:
    """An initializer for kernels with more than two axes, spread as the matrix (inputs, outputs) that they are.

    Args:
        initializers: one, or one for each kernel that is stacked.
        inputs: the number of leading axes that are inputs (not counting the stacked axis).
        stacked: an axis along which several kernels stand side by side.
    """

    def initialize(shape: Sequence[int], dtype: Any = None) -> Any:
        if stacked is None:
            return _as_matrix(initializers[0], tuple(shape), inputs, dtype)
        rest = (*shape[:stacked], *shape[stacked + 1 :])
        return ops.stack([_as_matrix(one, rest, inputs, dtype) for one in initializers], axis=stacked)

    return initialize


def _as_matrix(initializer: Any, shape: tuple[int, ...], inputs: int, dtype: Any) -> Any:
    matrix = (math.prod(shape[:inputs]), math.prod(shape[inputs:]))
    return ops.reshape(initializer(matrix, dtype=dtype), shape)


def project(x: Any, kernel: Any, bias: Any = None, inputs: int = 1) -> Any:
    """Contract the last axes of `x` with the first axes of the kernel, and add the bias.

    Args:
        x: (..., *ins).
        kernel: (*ins, *outs).
        bias: (*outs), or None.
        inputs: how many axes `ins` are.

    Returns:
        (..., *outs).
    """
    ins, outs = tuple(kernel.shape[:inputs]), tuple(kernel.shape[inputs:])
    lead = tuple(ops.shape(x))[: len(x.shape) - inputs]
    flat = ops.reshape(x, (*lead, math.prod(ins))) if inputs > 1 else x
    y = ops.einsum("...i,io->...o", flat, ops.reshape(kernel, (math.prod(ins), math.prod(outs))))
    if bias is not None:
        y = y + ops.reshape(bias, (math.prod(outs),))
    return ops.reshape(y, (*lead, *outs)) if len(outs) > 1 else y


def rms_norm(x: Any, gain: Any = None, epsilon: float = 1e-5) -> Any:
    """`x / sqrt(mean(x**2) + epsilon)` over the last axis, in float32 at least, times a gain; 0 stays 0."""
    dtype = keras.backend.standardize_dtype(x.dtype)
    if dtype in ("float16", "bfloat16"):
        x = ops.cast(x, "float32")
    y = ops.cast(x * ops.rsqrt(ops.mean(ops.square(x), axis=-1, keepdims=True) + epsilon), dtype)
    return y if gain is None else y * gain


def split_heads(x: Any, heads: int) -> Any:
    """(..., heads * width) -> (..., heads, width)."""
    return ops.reshape(x, (*tuple(ops.shape(x))[:-1], heads, x.shape[-1] // heads))


def merge_heads(x: Any) -> Any:
    """(..., heads, width) -> (..., heads * width)."""
    return ops.reshape(x, (*tuple(ops.shape(x))[:-2], x.shape[-2] * x.shape[-1]))
