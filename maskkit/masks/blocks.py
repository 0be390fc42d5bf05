"""Block maps: which blocks of a mask are empty, partial and full; held as spans of blocks, small at any length."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from attrs import field, frozen
from maskkit import limits
from maskkit.errors import ConfigError, TooLarge
from maskkit.masks.dense import paint
from maskkit.masks.pattern import Pattern
from maskkit.masks.periods import period_of, sampled_rows, unrolled
from maskkit.masks.rows import iterate_rows, plane_of, spans_or_found
from maskkit.masks.spans import Spans
from maskkit.validators import is_integer

Ints = npt.NDArray[np.int64]

_ROWS_OF_BLOCK = 2**24
"""So many rows of one block are held at once, as a gigabyte of spans."""


@frozen(eq=False)
class BlockMap:
    """Every block of a mask is empty (all blocked), full (all allowed) or partial.

    A block that overhangs the edge is never full.

    Attributes:
        shape: blocks per axis, one for each axis before the last two, `(..., rows, columns)`.
        block_size: queries and keys per block.
        touched: the blocks that are not empty, as spans over the block rows.
        full: the full blocks, as spans over the block rows.
    """

    shape: tuple[int, ...]
    block_size: int
    touched: Spans = field(repr=False)
    full: Spans = field(repr=False)

    def counts(self) -> dict[str, int]:
        """How many blocks are "empty", "partial" and "full"."""
        total = int(np.prod(self.shape, dtype=object))
        touched, full = self.touched.total(), self.full.total()
        return {"empty": total - touched, "partial": touched - full, "full": full}

    def dense(self) -> npt.NDArray[np.int8]:
        """int8 of `shape`: 0 empty, 1 partial, 2 full."""
        limits.check_dense("block map", self.shape, 1)
        out, full = (np.zeros(self.shape, np.int8) for _ in range(2))
        paint(out, self.touched, 1)
        paint(full, self.full, 1)
        out += full
        return out

    @property
    def nbytes(self) -> int:
        """Memory that the map takes."""
        return sum(spans.lo.nbytes + spans.hi.nbytes for spans in (self.touched, self.full))


def block_map(pattern: Pattern, block_size: int, visit: Callable[[Any, Any], None] | None = None) -> BlockMap:
    """The block map of a pattern, from its spans; of one without spans from the predicate, tile by tile.

    `visit` is shown every chunk of rows of the different planes on the way: their plane, and spans or booleans.
    """
    if not is_integer(block_size) or block_size < 1:
        raise ConfigError(f"block_size must be a positive integer, got {block_size!r}")
    *leading, rows, keys = pattern.shape
    asked, block_size = block_size, min(block_size, max(rows, keys) + 1)  # beyond both, every size gives the same
    limits.check_rows(-(-rows // block_size), "the block map")
    if min(block_size, rows) > _ROWS_OF_BLOCK:
        raise TooLarge(
            f"a block of {min(block_size, rows):,} rows is computed at once, the limit is {_ROWS_OF_BLOCK:,}; "
            "give a smaller block_size, or a slice such as mask[-1024:, :]"
        )
    block_rows, block_keys = -(-rows // block_size), -(-keys // block_size)
    period = period_of(pattern, block_size) // block_size
    if period and not visit and rows % block_size == keys % block_size == 0:
        return BlockMap(
            (block_rows, block_keys), block_size, *_periodic(pattern, block_size, block_rows, block_keys, period)
        )
    touched, full = [], []
    most = 2**61 // (block_keys + 1) * block_size  # so that the blocks of a chunk can be numbered
    for plane, _, allowed in iterate_rows(pattern, block_size, most):
        if visit:
            visit(plane, allowed)
        if isinstance(allowed, Spans):
            some, whole = _from_spans(allowed, block_size, block_keys)
        else:
            some, whole = _from_bools(allowed, block_size, block_keys)
        touched.append(some)
        full.append(whole)
    of = plane_of(pattern)
    maps = (Spans.join(found).reshape((-1, block_rows)).take(of) for found in (touched, full))
    return BlockMap((*leading, block_rows, block_keys), asked, *maps)


def _periodic(pattern: Pattern, size: int, block_rows: int, block_keys: int, period: int) -> list[Spans]:
    """Touched and full blocks of a pattern that repeats after so many block rows, moved by as many blocks."""
    some = sampled_rows(block_rows, block_keys, period)
    rows = np.add.outer(some * size, np.arange(size)).ravel()
    row = np.arange(block_rows)
    found = []
    for blocks in _from_spans(spans_or_found(pattern, rows), size, block_keys):
        one_period, origin = unrolled(blocks, some)
        here, moved = one_period.take(row % period), row // period * period - origin
        found.append(Spans.cut(here.lo + moved, here.hi + moved, block_keys))
    return found


def _from_spans(spans: Spans, size: int, block_keys: int) -> tuple[Spans, Spans]:
    """Touched and full blocks of some rows; the first row begins a block."""
    rows = spans.shape[0]
    block_rows = -(-rows // size)
    touched = _touched(spans, size, block_rows, block_keys)
    whole_rows = np.arange(block_rows) < rows // size
    column, row = _places(spans.hi - spans.lo >= size)  # only these hold whole blocks
    if len(spans) == 1 or np.bincount(row).max(initial=0) <= 1:  # what single intervals share is one interval
        lo, hi = np.zeros((2, rows), spans.lo.dtype)
        lo[row], hi[row] = spans.lo[column, row], spans.hi[column, row]
        starts = np.arange(0, rows, size)
        lo, hi = np.maximum.reduceat(-(-lo // size), starts), np.minimum.reduceat(hi // size, starts)
        return touched, Spans.interval(lo, hi).within(block_keys).only(whole_rows)
    # A block is full where nothing in it is blocked; beyond the last key and the last row everything is.
    full = ~_touched(~spans.within(block_keys * size), size, block_rows, block_keys)
    return touched, full.only(whole_rows)


def _touched(spans: Spans, size: int, block_rows: int, block_keys: int) -> Spans:
    """The blocks that hold an allowed pair."""
    first, behind, some = spans.lo // size, -(-spans.hi // size), spans.lo < spans.hi
    # Neighbouring rows mostly touch the same blocks: keep the first of each kind in every block row.
    fresh = np.empty(some.shape, np.bool_)
    fresh[:] = np.arange(spans.shape[0]) % size == 0
    for columns in (first, behind, some):
        fresh[:, 1:] |= columns[:, 1:] != columns[:, :-1]
    column, row = _places(fresh & some)
    lo, hi = (ends[column, row].astype(np.int64) for ends in (first, behind))
    row //= size
    return Spans.from_runs(*disjoint(row, lo, hi, block_keys + 1), (block_rows,), block_keys)


def _places(found: npt.NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """`numpy.nonzero` of two axes, a third of its time where few are found."""
    first, second = np.divmod(np.flatnonzero(found), found.shape[1])
    return first, second


def disjoint(row: Ints, lo: Ints, hi: Ints, width: int) -> tuple[Ints, Ints, Ints]:
    """The union of intervals, as disjoint, non-adjacent intervals in order."""
    start, end = row * width + lo, row * width + hi  # one line of numbers, so that one running maximum serves all rows
    order = np.argsort(start, kind="stable")
    start, reach = start[order], np.maximum.accumulate(end[order])
    opens = np.ones(len(start), np.bool_)
    opens[1:] = start[1:] > reach[:-1]
    begin = start[opens]
    finish = reach[np.append(np.flatnonzero(opens)[1:], len(start)) - 1] if len(start) else reach
    return begin // width, begin % width, finish - begin // width * width


def _from_bools(allowed: npt.NDArray[np.bool_], size: int, block_keys: int) -> tuple[Spans, Spans]:
    """The same for rows given as booleans."""
    rows, keys = allowed.shape
    padded = np.zeros((-(-rows // size) * size, block_keys * size), np.bool_)
    padded[:rows, :keys] = allowed
    tiles = padded.reshape(-1, size, block_keys, size)
    return Spans.from_bool(np.asarray(tiles.any(axis=(1, 3)))), Spans.from_bool(np.asarray(tiles.all(axis=(1, 3))))
