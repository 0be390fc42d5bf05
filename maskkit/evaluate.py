"""From a mask to rows: as spans where it has them, else as booleans, tile by tile in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from maskkit.dense import blank, filled, last_end, paint, slide
from maskkit.errors import ConfigError
from maskkit.spans import Spans

if TYPE_CHECKING:
    from maskkit.mask import Mask

Bools = npt.NDArray[np.bool_]

_SPAN_ROWS = 2**16
"""Rows whose spans are computed at once."""
_BOOL_CELLS = 2**22
"""Booleans that are held at once for masks without spans."""
_SPARSE = 0.1
"""A mask that allows less than this share is sparse."""
_SAMPLED = 61
"""One row of so many is looked at to tell."""
_FEW_PERIODS = 4
"""So many periods a mask must have before its rows are taken from each other; two of them are computed."""
_TILE_ROWS, _TILE_KEYS = 32, 2048
"""Pairs for which the predicate is evaluated at once, so that its temporaries stay in the cache."""


def planes(mask: Mask) -> Iterator[tuple[int, ...]]:
    """The leading indices of a mask, each of which leaves a plane of (rows, keys)."""
    return np.ndindex(*mask.shape[:-2])


def row_count(mask: Mask) -> int:
    """Rows of a plane; a mask with one axis is a single row."""
    return mask.shape[-2] if len(mask.shape) > 1 else 1


def spans_of(mask: Mask, plane: tuple[int, ...], rows: npt.NDArray[np.int64]) -> Spans | None:
    """The spans of some rows of a plane, cut to the keys; None if the mask has none."""
    return _within(mask, mask.spans(*_row_index(mask, plane, rows)), rows) if mask.on_host else None


def cover_of(mask: Mask, plane: tuple[int, ...], rows: npt.NDArray[np.int64]) -> Spans | None:
    """Spans outside which the mask surely blocks; None if nothing is known."""
    return _within(mask, mask.cover(*_row_index(mask, plane, rows)), rows) if mask.on_host else None


def _row_index(mask: Mask, plane: tuple[int, ...], rows: npt.NDArray[np.int64]) -> tuple[Any, ...]:
    return (*(np.asarray(i) for i in plane), rows) if len(mask.shape) > 1 else ()


def _within(mask: Mask, spans: Spans | None, rows: npt.NDArray[np.int64]) -> Spans | None:
    return None if spans is None else spans.within(mask.shape[-1], rows.shape)


def iterate_rows(mask: Mask, multiple: int = 1) -> Iterator[tuple[tuple[int, ...], slice, Spans | Bools]]:
    """All rows of a mask, in chunks of a multiple of `multiple` rows: (plane, rows, spans or booleans)."""
    rows, keys = row_count(mask), mask.shape[-1]
    for plane in planes(mask):
        start = 0
        while start < rows:
            stop = min(rows, start + _multiple(_SPAN_ROWS, multiple))
            spans = spans_of(mask, plane, np.arange(start, stop))
            if spans is None:
                stop = min(rows, start + _multiple(_BOOL_CELLS // keys, multiple))
                yield plane, slice(start, stop), _bools(mask, plane, np.arange(start, stop))
            else:
                yield plane, slice(start, stop), spans
            start = stop


def _multiple(size: int, of: int) -> int:
    return max(1, size // of) * of


def _bools(mask: Mask, plane: tuple[int, ...], rows: npt.NDArray[np.int64]) -> Bools:
    """Evaluate the predicate on whole rows, leaving out what the cover blocks anyway."""
    out = np.zeros((len(rows), mask.shape[-1]), np.bool_)
    for first in range(0, len(rows), _TILE_ROWS):
        tile = slice(first, first + _TILE_ROWS)
        lo, hi = _reach(mask, plane, rows[tile])
        for left in range(lo, hi, _TILE_KEYS):
            keys = np.arange(left, min(hi, left + _TILE_KEYS))
            out[tile, left : left + len(keys)] = _predicate(mask, plane, rows[tile], keys)
    return out


def _reach(mask: Mask, plane: tuple[int, ...], rows: npt.NDArray[np.int64]) -> tuple[int, int]:
    """The first and behind the last key that any of the rows may see."""
    cover = cover_of(mask, plane, rows)
    if cover is None:
        return 0, mask.shape[-1]
    return int(cover.lo[0].min()), last_end(cover)


def _predicate(mask: Mask, plane: tuple[int, ...], rows: npt.NDArray[np.int64], keys: npt.NDArray[np.int64]) -> Any:
    index = (*(np.asarray(i) for i in plane), rows[:, None]) if len(mask.shape) > 1 else ()
    return mask.allows(*index, keys[None, :])


def dense(mask: Mask, dtype: npt.DTypeLike, on: Any, off: Any) -> npt.NDArray[Any]:
    """An array with `on` where the mask allows and `off` where it blocks; one of the two is zero."""
    value, complement = on or off, not on
    if mask.paint is not None:
        out, _ = blank(mask.shape, dtype, cleared=not complement)
        _paint_over(mask.paint, mask.period, out, on, off)
    elif mask.period == useful_period(mask) == 1:
        edges = _edges(mask)
        sparse = sum(edges[1::2]) - sum(edges[0::2]) < _SPARSE * sum(mask.shape)
        out, cleared = blank(mask.shape, dtype, sparse and not complement)
        slide(out, edges, value, complement, cleared)
    else:
        chunks = iterate_rows(mask)
        first = next(chunks)
        out, cleared = blank(mask.shape, dtype, not complement and _is_sparse(first[2]))
        for plane, rows, allowed in chain([first], chunks):
            part = out[plane][rows] if len(mask.shape) > 1 else out[None, :]
            if isinstance(allowed, Spans):
                paint(part, allowed, value, complement, cleared)
            else:
                if not cleared:
                    part[...] = 0
                np.copyto(part, value, where=~allowed if complement else allowed)
    return out


def _is_sparse(rows: Spans | Bools) -> bool:
    """Whether so little is allowed that only that should be written, even where memory has to be cleared for it."""
    if not isinstance(rows, Spans):
        return False
    sampled = rows.hi[..., ::_SAMPLED] - rows.lo[..., ::_SAMPLED]
    return bool(sampled.sum() * len(rows) < _SPARSE * rows.limit * sampled.size)


def _paint_over(paint: Callable[..., None], period: int, out: npt.NDArray[Any], on: Any, off: Any) -> None:
    """What a mask paints by itself over `off`, some periods of rows at a time: they stay in the cache."""
    if not off:
        paint(out, 0, on)
        return
    for row, part in filled(out, off, multiple=period):
        paint(part, row, on)


def _edges(mask: Mask) -> list[int]:
    """Where a mask of the distance alone begins and ceases to allow, as key - row grows.

    What `prolonged` says of a period of one row, in plain numbers: for so few they take a third of its time.
    """
    rows, keys = mask.shape
    telling = [*range(rows - 1, 0, -keys), 0]  # from one to the next, key - row goes on where it ended
    spans = spans_or_runs(mask, np.array(telling))
    edges: list[int] = []
    done = -telling[0]
    for i, row in enumerate(telling):
        for lo, hi in spans.row(i):
            lo, hi = max(lo - row, done), hi - row
            if edges and edges[-1] == lo:
                edges[-1] = max(hi, lo)
            elif lo < hi:
                edges += [lo, hi]
        done = keys - row
    return edges


def useful_period(mask: Mask, multiple: int = 1) -> int:
    """The period of a mask, and of groups of so many rows, if most rows can be had from some by it; else 0."""
    period = math.lcm(mask.period, multiple)
    return period if period and period * _FEW_PERIODS <= mask.shape[-2] and period <= mask.shape[-1] else 0


def spans_or_runs(mask: Mask, rows: npt.NDArray[np.int64]) -> Spans:
    """The spans of some rows of a mask of two axes; where it has none, of what its predicate allows there."""
    spans = spans_of(mask, (), rows)
    if spans is not None:
        return spans
    few = max(1, _BOOL_CELLS // mask.shape[-1])
    if len(rows) <= few:
        return Spans.from_bool(_bools(mask, (), rows))
    return Spans.join([spans_or_runs(mask, rows[start : start + few]) for start in range(0, len(rows), few)])


def telling_rows(rows: int, keys: int, period: int) -> npt.NDArray[np.int64]:
    """Rows `(parts, period)` of a mask with this period that say all: in each part key - row goes on where it ended.

    Column i holds rows i, i + period, ...
    """
    first = np.arange(period)
    last = first + (rows - 1 - first) // period * period
    parts = range(int(last[0]), 0, -(keys // period * period))
    return np.stack([*(np.minimum(first + start, last) for start in parts), first])


def prolonged(spans: Spans, rows: npt.NDArray[np.int64]) -> tuple[Spans, int]:
    """The first period of rows, prolonged to both sides as far as any row sees it, from the spans of `telling_rows`.

    Returns it, and which number key 0 has in it.
    """
    parts, period = rows.shape
    origin = int(rows[0, 0])
    shape = len(spans), parts, period
    moved = rows - rows[-1]
    ends = np.append(rows[:-1] - rows[1:], np.full((1, period), spans.limit), axis=0)
    lo = spans.lo.reshape(shape) - moved
    hi = np.minimum(spans.hi.reshape(shape), ends) - moved
    lo, hi = ((end + origin).swapaxes(0, 1).reshape(-1, period) for end in (lo, hi))
    return Spans.cut(lo, hi, origin + spans.limit), origin


def materialise(mask: Mask, arange: Any) -> Any:
    """The predicate on a whole grid of indices of one library; `arange(n)` makes an index vector there."""
    index = []
    for axis, size in enumerate(mask.shape):
        vector = arange(size)
        index.append(vector[tuple(slice(None) if i == axis else None for i in range(len(mask.shape)))])
    try:
        return mask.allows(*index)
    except OverflowError as error:  # JAX's, unless its integers have 64 bits
        raise ConfigError(
            f"a parameter of {mask!r} is beyond 2**31 - 1, the largest index here; "
            'give a smaller one, or turn on jax.config.update("jax_enable_x64", True)'
        ) from error
