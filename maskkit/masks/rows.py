"""A pattern row by row: as spans where it has them, else as booleans, tile by tile in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from maskkit import limits
from maskkit.masks.axes import check_attention
from maskkit.masks.pattern import Pattern
from maskkit.masks.spans import Spans

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

_SPAN_ROWS = 2**16
"""Rows whose spans are computed at once."""
_BOOL_CELLS = 2**22
"""Booleans that are held at once for masks without spans."""
_TILE_ROWS, _TILE_KEYS = 32, 2048
"""Pairs for which the predicate is evaluated at once, so that its temporaries stay in the cache."""


def planes(pattern: Pattern) -> list[tuple[int, ...]]:
    """The leading indices of a pattern, each of which leaves a plane of (rows, keys); of equal planes the first."""
    every = list(np.ndindex(*pattern.shape[:-2]))
    return [every[i] for i in np.unique(pattern.plane_ids, return_index=True)[1]] if len(every) > 1 else every


def plane_of(pattern: Pattern) -> Ints:
    """For every leading index, which of `planes` it has."""
    ids = pattern.plane_ids
    found: Ints = ids if ids.size == 1 else np.unique(ids, return_inverse=True)[1].reshape(ids.shape)
    return found * 0 if ids.size == 1 else found


def row_count(pattern: Pattern) -> int:
    """Rows of a plane; a pattern with one axis is a single row."""
    return pattern.shape[-2] if len(pattern.shape) > 1 else 1


def spans_of(pattern: Pattern, plane: tuple[int, ...], rows: Ints) -> Spans | None:
    """The spans of some rows of a plane, cut to the keys; None if it has none, or too many for so many rows."""
    if not pattern.on_host or not limits.fit_spans(pattern.intervals, rows):
        return None
    return _found(pattern, plane, rows, loose=False)


def reach_of(pattern: Pattern, plane: tuple[int, ...], rows: Ints) -> Spans | None:
    """Spans outside which the pattern surely blocks; None if nothing is known."""
    return _found(pattern, plane, rows, loose=True) if pattern.on_host else None


def _found(pattern: Pattern, plane: tuple[int, ...], rows: Ints, loose: bool) -> Spans | None:
    spans = pattern.found(_row_index(pattern, plane, rows), loose)
    return None if spans is None else spans.within(pattern.shape[-1], rows.shape)


def _row_index(pattern: Pattern, plane: tuple[int, ...], rows: Ints) -> tuple[Any, ...]:
    return (*(np.asarray(i) for i in plane), rows) if len(pattern.shape) > 1 else ()


def spans_or_found(pattern: Pattern, rows: Ints) -> Spans:
    """The spans of some rows of a pattern of two axes; where it has none, of what its predicate allows there."""
    spans = spans_of(pattern, (), rows)
    if spans is not None:
        return spans
    few = max(1, _BOOL_CELLS // pattern.shape[-1])
    if len(rows) <= few:
        return Spans.from_bool(_bools(pattern, (), rows))
    return Spans.join([spans_or_found(pattern, rows[start : start + few]) for start in range(0, len(rows), few)])


_SEARCHED, _FEW = 2**24, 64
"""Up to so many positions a mask without spans is searched for them; a row may have so many."""


def plane_spans(mask: Pattern) -> tuple[list[Spans], Ints] | None:
    """The spans of the different planes of an attention mask, and which of them every (sample, head) has.

    The numbers are (B, H), with 1 where the mask has no such axis. None where its values are elsewhere, or it has no
    few intervals per row and is too large to look for them.
    """
    check_attention(mask)
    if not mask.on_host:
        return None
    found: dict[tuple[int, ...], list[Spans]] = {plane: [] for plane in planes(mask)}
    for plane, _, rows in iterate_rows(mask):
        large = math.prod(mask.shape) > _SEARCHED
        spans = rows if isinstance(rows, Spans) else None if large else Spans.from_bool(rows)
        if spans is None or len(spans) > max(limits.intervals, _FEW):
            return None
        found[plane].append(spans)
    lacking = tuple(i for i, axis in enumerate(("batch", "head")) if axis not in mask.axes)
    return [Spans.join(parts) for parts in found.values()], np.expand_dims(plane_of(mask), lacking)


def iterate_rows(
    pattern: Pattern, multiple: int = 1, most: int = _SPAN_ROWS
) -> Iterator[tuple[tuple[int, ...], slice, Spans | Bools]]:
    """All rows of all `planes`, in chunks of a multiple of `multiple` rows: (plane, rows, spans or booleans).

    `most` is how many rows a chunk has at most, where `multiple` is not over it.
    """
    rows, keys = row_count(pattern), pattern.shape[-1]
    limits.check_rows(rows)
    for plane in planes(pattern):
        start = 0
        while start < rows:
            stop = min(rows, start + _multiple(min(most, _SPAN_ROWS), multiple))
            spans = spans_of(pattern, plane, np.arange(start, stop))
            if spans is None:
                stop = min(rows, start + _multiple(_BOOL_CELLS // keys, multiple))
                yield plane, slice(start, stop), _bools(pattern, plane, np.arange(start, stop))
            else:
                yield plane, slice(start, stop), spans
            start = stop


def _multiple(size: int, of: int) -> int:
    return max(1, size // of) * of


def _bools(pattern: Pattern, plane: tuple[int, ...], rows: Ints) -> Bools:
    """Evaluate the predicate on whole rows, leaving out what lies beyond their reach."""
    limits.check_dense("part", (len(rows), pattern.shape[-1]), 1)
    out = np.zeros((len(rows), pattern.shape[-1]), np.bool_)
    for first in range(0, len(rows), _TILE_ROWS):
        tile = slice(first, first + _TILE_ROWS)
        reach = reach_of(pattern, plane, rows[tile])
        lo, hi = reach.extent() if reach else (0, pattern.shape[-1])
        for left in range(lo, hi, _TILE_KEYS):
            keys = np.arange(left, min(hi, left + _TILE_KEYS))
            index = _row_index(pattern, plane, rows[tile][:, None])
            out[tile, left : left + len(keys)] = pattern.allows(*index, keys[None, :])
    return out
