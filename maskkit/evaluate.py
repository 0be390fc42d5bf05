"""From a mask to rows: as spans where it has them, else as booleans, tile by tile in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from maskkit.dense import paint
from maskkit.spans import Spans

if TYPE_CHECKING:
    from maskkit.mask import Mask

Bools = npt.NDArray[np.bool_]

_SPAN_ROWS = 2**16
"""Rows whose spans are computed at once."""
_BOOL_CELLS = 2**22
"""Booleans that are held at once for masks without spans."""
_TILE_CELLS = 2**17
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
    keys = mask.shape[-1]
    out = np.zeros((len(rows), keys), np.bool_)
    step = max(1, _TILE_CELLS // keys)
    for first in range(0, len(rows), step):
        tile = rows[first : first + step]
        cover = cover_of(mask, plane, tile)
        lo, hi = (0, keys) if cover is None else (int(cover.lo[0].min()), int(_last_end(cover)))
        for left in range(lo, hi, _TILE_CELLS):
            right = min(hi, left + _TILE_CELLS)
            out[first : first + step, left:right] = _predicate(mask, plane, tile, np.arange(left, right))
    return out


def _last_end(spans: Spans) -> int:
    """Behind the last key that any row sees."""
    return max(int(np.where(lo < hi, hi, 0).max(initial=0)) for lo, hi in spans)


def _predicate(mask: Mask, plane: tuple[int, ...], rows: npt.NDArray[np.int64], keys: npt.NDArray[np.int64]) -> Any:
    index = (*(np.asarray(i) for i in plane), rows[:, None]) if len(mask.shape) > 1 else ()
    return mask.allows(*index, keys[None, :])


def fill(mask: Mask, out: npt.NDArray[Any], value: Any, *, blocked: bool = False) -> None:
    """Write `value` where the mask allows (or where it blocks), and leave the rest of `out` as it is."""
    for plane, rows, allowed in iterate_rows(mask):
        part = out[plane][rows] if len(mask.shape) > 1 else out[None, :]
        if isinstance(allowed, Spans):
            paint(part, ~allowed if blocked else allowed, value)
        else:
            np.copyto(part, value, where=~allowed if blocked else allowed)


def materialise(mask: Mask, arange: Any) -> Any:
    """The predicate on a whole grid of indices of one library; `arange(n)` makes an index vector there."""
    index = []
    for axis, size in enumerate(mask.shape):
        vector = arange(size)
        index.append(vector.reshape([-1 if i == axis else 1 for i in range(len(mask.shape))]))
    return mask.allows(*index)
