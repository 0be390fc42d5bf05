"""A pattern as one array: the background at once, then the intervals of each row, rows that are alike together."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from maskkit import limits
from maskkit.arrays.dtypes import host_dtype, host_value
from maskkit.errors import ConfigError
from maskkit.masks.pattern import Pattern
from maskkit.masks.periods import period_of, sampled_rows, unrolled
from maskkit.masks.rows import iterate_rows, plane_of, planes, spans_or_found
from maskkit.masks.spans import Spans
from maskkit.registry.extensions import backend as find_backend


def array(pattern: Pattern, backend: str, dtype: str, device: Any, *, on: float, off: float) -> Any:
    """An array of a library: `on` where allowed, `off` where blocked; of array fields that live elsewhere, there."""
    library = find_backend(backend)
    storage = host_dtype(dtype)
    limits.check_dense("array", pattern.shape, storage.itemsize)
    if not pattern.on_host:
        allowed = on_grid(pattern, lambda size: library.arange(size, device))
        return library.where(allowed, pattern.shape, on, off, dtype)
    return library.from_host(dense(pattern, storage, host_value(on, dtype), host_value(off, dtype)), dtype, device)


def dense(pattern: Pattern, dtype: npt.DTypeLike, on: Any, off: Any) -> npt.NDArray[Any]:
    """An array with `on` where the pattern allows and `off` where it blocks."""
    if pattern.period == period_of(pattern) == 1:  # q - k alone decides: every row is a window of one strip
        queries, keys = pattern.shape
        some = sampled_rows(queries, keys, 1)
        allowed = unrolled(spans_or_found(pattern, some.ravel()), some)[0].to_bool()[0]
        strip = np.where(allowed, on, off).astype(dtype)
        first, step = (queries - 1) * strip.itemsize, strip.itemsize  # each row begins one before the row above it
        # `sliding_window_view` would do, but for Torch, which refuses what it gives where it compiles.
        return np.ndarray((queries, keys), strip.dtype, strip, first, (-step, step)).copy()
    out = np.full(pattern.shape, off, dtype) if off else np.zeros(pattern.shape, dtype)
    for plane, rows, allowed in iterate_rows(pattern):
        part = out[plane][rows] if len(pattern.shape) > 1 else out[None, :]
        if isinstance(allowed, Spans):
            paint(part, allowed, on)
        else:
            np.copyto(part, on, where=allowed)
    made = planes(pattern)
    for plane, of in np.ndenumerate(plane_of(pattern)):
        if plane != made[of]:
            out[plane] = out[made[of]]
    return out


def paint(out: npt.NDArray[Any], spans: Spans, value: Any) -> None:
    """Write `value` wherever the spans allow, into an array (..., rows, keys)."""
    for lead in np.ndindex(*spans.shape[:-1]):
        plane, lo, hi = out[lead], *(ends[(slice(None), *lead)] for ends in (spans.lo, spans.hi))
        if not plane.size:
            continue
        differs = ((lo[:, 1:] != lo[:, :-1]) | (hi[:, 1:] != hi[:, :-1])).any(axis=0)
        first = np.append(0, np.flatnonzero(differs) + 1)
        rows = zip(first.tolist(), [*first[1:].tolist(), len(plane)], lo[:, first].T, hi[:, first].T, strict=True)
        for start, stop, starts, ends in rows:
            for a, b in zip(starts.tolist(), ends.tolist(), strict=True):
                if a < b:
                    plane[start:stop, a:b] = value


def on_grid(pattern: Pattern, arange: Any) -> Any:
    """The predicate on a whole grid of indices of one library; `arange(n)` makes an index vector there."""
    axes = range(len(pattern.shape))
    index = [
        arange(size)[tuple(slice(None) if i == axis else None for i in axes)] for axis, size in enumerate(pattern.shape)
    ]
    try:
        return pattern.allows(*index)
    except OverflowError as error:  # JAX's, unless its integers have 64 bits
        raise ConfigError(
            f"a parameter of {pattern!r} is beyond 2**31 - 1, the largest index here; "
            'give a smaller one, or turn on jax.config.update("jax_enable_x64", True)'
        ) from error
