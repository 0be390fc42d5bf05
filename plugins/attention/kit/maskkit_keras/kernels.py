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


def by_fans(initializers: Sequence[Any], inputs: int = 1, parts: int | Sequence[int] = 1) -> Callable[..., Any]:
    """An initializer for kernels with more than two axes, spread as the matrices (inputs, outputs) that they are.

    Args:
        initializers: one for each part.
        inputs: the number of leading axes that are inputs.
        parts: how many kernels stand side by side along the first axis of outputs, or how much of it each takes.
    """

    def initialize(shape: Sequence[int], dtype: Any = None) -> Any:
        if parts == 1:
            return _as_matrix(initializers[0], tuple(shape), inputs, dtype)
        sizes = [shape[inputs] // parts] * parts if isinstance(parts, int) else parts
        shapes = [(*shape[:inputs], size, *shape[inputs + 1 :]) for size in sizes]
        kernels = [_as_matrix(one, part, inputs, dtype) for one, part in zip(initializers, shapes, strict=True)]
        return ops.concatenate(kernels, axis=inputs)

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
    x, kernel = ops.convert_to_tensor(x), ops.convert_to_tensor(kernel)
    on_torch = keras.backend.backend() == "torch" and x.dtype == kernel.dtype  # einsum finds a common dtype
    y = _as_matrices(x, kernel, inputs) if on_torch else _as_sum(x, kernel, inputs)
    return y if bias is None else y + bias


def _as_matrices(x: Any, kernel: Any, inputs: int) -> Any:
    """One product of matrices, which Torch does faster than an einsum, whose product is of batches of matrices."""
    product = x.flatten(-inputs) @ kernel.reshape(math.prod(kernel.shape[:inputs]), -1)
    return product.reshape(*x.shape[:-inputs], *kernel.shape[inputs:])


def _as_sum(x: Any, kernel: Any, inputs: int) -> Any:
    axes = "abcdefgh"[: len(kernel.shape)]
    others = "stuvwxyz"[: len(x.shape) - inputs]  # spelt out: TensorFlow 2.21 errs with "..." in float16 on some CPUs
    return ops.einsum(f"{others}{axes[:inputs]},{axes}->{others}{axes[inputs:]}", x, kernel)


def split(x: Any, sizes: Sequence[int], axis: int) -> list[Any]:
    """Parts of these sizes along an axis, side by side."""
    if keras.backend.backend() == "torch":  # whose gradient is one concatenation; that of slices, as Keras cuts, sums
        return list(x.split(list(sizes), axis))
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes) - 1)]
    return list(ops.split(x, ends, axis=axis))


def widen(x: Any) -> Any:
    """In float32 at least: what sums many terms or exponentiates is computed so, and cast back."""
    dtype = keras.backend.standardize_dtype(x.dtype)
    return ops.cast(x, "float32") if dtype in ("float16", "bfloat16") else x


def mean(x: Any, axis: int = -1, keepdims: bool = False) -> Any:
    """The mean over one axis, in float32 at least, which keeps float64 (Keras' own goes through float32)."""
    size = ops.shape(x)[axis]
    total = ops.sum(widen(x), axis=axis, keepdims=keepdims)
    return ops.cast(total / (size if isinstance(size, int) else ops.cast(size, total.dtype)), x.dtype)


def rms_norm(x: Any, gain: Any = None, epsilon: float = 1e-5) -> Any:
    """`x / sqrt(mean(x**2) + epsilon)` over the last axis, in float32 at least, times a gain; 0 stays 0."""
    wide = widen(x)
    y = ops.cast(wide * ops.rsqrt(mean(ops.square(wide), keepdims=True) + epsilon), x.dtype)
    return y if gain is None else y * gain


def split_heads(x: Any, heads: int) -> Any:
    """(..., heads * width) -> (..., heads, width)."""
    return ops.reshape(x, (*tuple(ops.shape(x))[:-1], heads, x.shape[-1] // heads))


def merge_heads(x: Any) -> Any:
    """(..., heads, width) -> (..., heads * width)."""
    return ops.reshape(x, (*tuple(ops.shape(x))[:-2], x.shape[-2] * x.shape[-1]))
