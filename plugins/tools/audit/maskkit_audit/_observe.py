"""What an attention function really allows: values that are one-hot per key go in, and what arrives is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from maskkit import ConfigError, Mask, backend, from_array
from maskkit.arrays import fetched, is_array

Bools = npt.NDArray[np.bool_]

LAYOUTS = ("bhqd", "bqhd")
"""Where heads stand: before the queries, as in Torch's functions, or behind them, as in those of JAX and Keras."""
_TOLERANCE = 1e-3
"""How far the weights of a row may be from adding up to 1."""


def observed(
    fn: Callable[..., Any],
    shape: Sequence[int],
    *,
    library: str = "numpy",
    layout: str = "bhqd",
    width: int = 64,
    device: Any = None,
) -> Mask:
    """The mask that an attention function really applies, exactly.

    Queries and keys are zeros, so that every key that is allowed weighs the same, and none can vanish by rounding. The
    values are one-hot, `width` keys at a time: what arrives at a query is the weight of each of these keys.

    Args:
        fn: a function of query, key and value, with everything else bound, that gives the averages of the values.
        shape: (queries, keys), or (batch, heads, queries, keys): the arrays that the function gets have one sample and
            one head, or so many.
        library: what its arrays are of: "numpy", "torch", "jax", "keras".
        layout: of its arrays: "bhqd" is (batch, heads, length, width), "bqhd" (batch, length, heads, width).
        width: of query, key and value, and so of how many keys are asked in one call.
        device: where the library puts them; None is its default.

    Returns:
        A mask of the given shape, with the axes query and key, or batch, head, query and key.

    Raises:
        ConfigError: the function gives another shape, or what it gives is no average of values: attention that ends in
            a projection, that normalises queries of zeros to NaN, or drops weights at random.
    """
    shape = tuple(shape)
    if len(shape) not in (2, 4) or not all(isinstance(size, int) and size > 0 for size in shape):
        raise ConfigError(f"shape must be (queries, keys) or (batch, heads, queries, keys), got {shape!r}")
    if layout not in LAYOUTS:
        raise ConfigError(f"layout must be one of {', '.join(map(repr, LAYOUTS))}, got {layout!r}")
    whole = shape if len(shape) == 4 else (1, 1, *shape)
    make, (batch, heads, queries, keys) = backend(library), whole

    def given(array: npt.NDArray[Any]) -> Any:
        array = array if layout == "bhqd" else np.ascontiguousarray(array.swapaxes(1, 2))
        return make.from_host(array, "float32", device)

    query = given(np.zeros((batch, heads, queries, width), np.float32))
    key = given(np.zeros((batch, heads, keys, width), np.float32))

    def call(value: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        out = fn(query, key, given(np.broadcast_to(value, (batch, heads, keys, width)).copy()))
        if not is_array(out):
            raise ConfigError(f"the function must give one array, got {type(out).__name__}")
        out = fetched(out)
        out = out if layout == "bhqd" or out.ndim != 4 else out.swapaxes(1, 2)
        if out.shape != (batch, heads, queries, width):
            raise ConfigError(f"the function must give {(batch, heads, queries, width)} ({layout}), got {out.shape}")
        return out

    allowed = arrived(call, whole, width)
    if not allowed.any():
        raise ConfigError(f"no value arrives at any query where queries and keys are zeros: {_WAY_OUT}")
    return from_array(allowed[0, 0] if len(shape) == 2 else allowed, true="allowed")


def arrived(call: Callable[[npt.NDArray[np.float32]], npt.NDArray[Any]], shape: Sequence[int], width: int) -> Bools:
    """Which keys arrive at which query, (batch, heads, queries, keys).

    Args:
        call: attention for values (keys, width), with queries and keys of zeros; it gives (batch, heads, queries,
            width), in which a row that sees nothing may be zeros or NaN.
        shape: (batch, heads, queries, keys).
        width: keys that are asked at once; nothing larger than the answer is ever held.

    Raises:
        ConfigError: a row's weights are negative, or add up to neither 0 nor at most 1.
    """
    keys = shape[-1]
    allowed = np.zeros(tuple(shape), np.bool_)
    total = np.zeros(tuple(shape[:-1]), np.float64)
    for start in range(0, keys, width):
        here = min(width, keys - start)
        value = np.zeros((keys, width), np.float32)
        value[start + np.arange(here), np.arange(here)] = 1
        out = call(value)[..., :here]
        _check(out)
        allowed[..., start : start + here] = out > 0  # NaN is not: a row that sees nothing
        total += np.nan_to_num(out).sum(axis=-1)
    if total.max() > 1 + _TOLERANCE:
        raise ConfigError(
            f"the weights of a query add up to {total.max():.3g}, so this is no average of values: {_WAY_OUT}"
        )
    return allowed


_WAY_OUT = (
    "give the function that averages the values, without projections, and with dropout off; of a Torch model use "
    "maskkit_audit.audit, which looks inside"
)


def _check(out: npt.NDArray[Any]) -> None:
    if (out < -_TOLERANCE).any():
        raise ConfigError(f"a key weighs {np.nanmin(out):.3g}, less than nothing: {_WAY_OUT}")
