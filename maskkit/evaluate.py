"""From a mask to rows: as spans where it has them, else as booleans, tile by tile in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from maskkit.dense import paint, slide
from maskkit.errors import ConfigError
from maskkit.spans import Spans

if TYPE_CHECKING:
    from maskkit.mask import Mask

Bools = npt.NDArray[np.bool_]

_SPAN_ROWS = 2**16
"""Rows whose spans are computed at once."""
_BOOL_CELLS = 2**22
"""Booleans that are held at once for masks without spans."""
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
    return int(cover.lo[0].min()), _last_end(cover)


def _last_end(spans: Spans) -> int:
    """Behind the last key that any row sees."""
    return max(int(np.where(lo < hi, hi, 0).max(initial=0)) for lo, hi in spans)


def _predicate(mask: Mask, plane: tuple[int, ...], rows: npt.NDArray[np.int64], keys: npt.NDArray[np.int64]) -> Any:
    index = (*(np.asarray(i) for i in plane), rows[:, None]) if len(mask.shape) > 1 else ()
    return mask.allows(*index, keys[None, :])


def fill(mask: Mask, out: npt.NDArray[Any], on: Any, off: Any) -> None:
    """Write `on` where the mask allows and `off` where it blocks, into zeroed memory; one of the two is zero."""
    edges = _edges_of_diagonals(mask) if mask.slides else None
    if edges is not None:
        slide(out, edges, on or off, complement=not on)
        return
    for plane, rows, allowed in iterate_rows(mask):
        part = out[plane][rows] if len(mask.shape) > 1 else out[None, :]
        if not isinstance(allowed, Spans):
            np.copyto(part, on or off, where=allowed if on else ~allowed)
        else:
            paint(part, allowed, on or off, complement=not on)


def _edges_of_diagonals(mask: Mask) -> list[int] | None:
    """The edges of a mask that depends on k - q alone."""
    rows = rows_that_say_all(*mask.shape)
    spans = spans_of(mask, (), np.array(rows))
    return None if spans is None else diagonal_edges(spans, rows)


def rows_that_say_all(rows: int, keys: int) -> list[int]:
    """Rows of something that depends on key - row alone: from one to the next, key - row goes on where it ended."""
    return [*range(rows - 1, 0, -keys), 0]


def diagonal_edges(spans: Spans, rows: list[int]) -> list[int]:
    """From where on it allows, blocks, allows ... as key - row grows, from the spans of those rows."""
    edges: list[int] = []
    done = -rows[0]
    for i, row in enumerate(rows):
        for lo, hi in spans.row(i):
            lo, hi = max(lo - row, done), hi - row
            if edges and edges[-1] == lo:
                edges[-1] = max(hi, lo)
            elif lo < hi:
                edges += [lo, hi]
        done = spans.limit - row
    return edges


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
