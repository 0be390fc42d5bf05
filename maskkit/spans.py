"""Spans: the keys that each query row may see, as a few half-open intervals.

The one intermediate representation of maskkit. Dense arrays, block maps, statistics and pictures are all computed
from it, in time that follows the number of rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, wraps
from itertools import pairwise
from typing import Any, final

import numpy as np
import numpy.typing as npt

Column = npt.NDArray[np.integer[Any]]

UNBOUNDED = 2**62
"""The limit of spans that have not been cut to a number of keys yet."""


_CHUNK = 2**16
"""Rows worked on at once: the columns of a chunk stay in the processor's cache, and temporaries stay small."""


def _in_cache(operation: Callable[..., Spans]) -> Callable[..., Spans]:
    """Apply a row-wise operation on spans chunk by chunk (at a million rows: 4x faster, and 1/16 of the memory)."""

    @wraps(operation)
    def chunked(*spans: Spans) -> Spans:
        if any(s.__class__ is not Spans for s in spans):
            return NotImplemented  # type: ignore[no-any-return]
        shape = spans[0].shape
        if not shape or shape[-1] <= _CHUNK or any(c.shape != shape for s in spans for c in s.lo + s.hi):
            return operation(*spans)
        starts = range(0, shape[-1], _CHUNK)
        return Spans.join([operation(*(s[start : start + _CHUNK] for s in spans)) for start in starts])

    return chunked


@final
class Spans:
    """For every row, the set of keys it may see, as sorted, disjoint, non-adjacent intervals `[lo, hi)`.

    Interval `i` of every row stands in column `i`: `lo[i]` and `hi[i]` are integer arrays, all of one shape, the shape
    of the rows: `(rows,)`, or `(batch, rows)`. Rows with fewer intervals than columns end in empty ones, which have
    `lo == hi == limit`. Keys are `0 <= key < limit`.

    Columns are kept apart and contiguous, so that every operation is a few passes of element-wise minimum and maximum.
    """

    __slots__ = ("__dict__", "hi", "limit", "lo")

    lo: tuple[Column, ...]
    hi: tuple[Column, ...]
    limit: int

    def __init__(self, lo: Sequence[Column], hi: Sequence[Column], limit: int) -> None:
        """Columns that already are as the class says; everybody else uses `interval`, `union` and `within`."""
        self.lo, self.hi, self.limit = tuple(lo), tuple(hi), limit

    @classmethod
    def interval(cls, lo: Any, hi: Any) -> Spans:
        """One interval `[lo, hi)` per row; integers or integer arrays that broadcast. Empty where `lo >= hi`.

        The ends may lie outside the keys: whoever asked for the spans cuts them to the number of keys.
        """
        lo, hi = np.broadcast_arrays(np.asarray(lo, np.int64), np.asarray(hi, np.int64))
        return cls((lo,), (hi,), UNBOUNDED)._drop_empty()

    @classmethod
    def union(cls, parts: Iterable[Spans]) -> Spans:
        """What any of the parts allows."""
        first, *rest = parts
        return first.__or__(*rest) if rest else first

    @classmethod
    def nothing(cls, shape: tuple[int, ...], limit: int) -> Spans:
        """Rows of the given shape that see no key."""
        column = np.broadcast_to(np.asarray(limit, _narrow(limit)), shape)
        return cls((column,), (column,), limit)

    @classmethod
    def from_bool(cls, allowed: npt.NDArray[np.bool_]) -> Spans:
        """The runs of True along the last axis of an array `(..., keys)`."""
        *shape, keys = allowed.shape
        edges = np.diff(allowed.astype(np.int8), axis=-1, prepend=0, append=0).reshape(-1, keys + 1)
        rows, starts = np.nonzero(edges == 1)
        return cls.from_runs(rows, starts, np.nonzero(edges == -1)[1], tuple(shape), keys)

    @classmethod
    def from_runs(cls, row: Column, lo: Column, hi: Column, shape: tuple[int, ...], limit: int) -> Spans:
        """From a list of intervals, `[lo[i], hi[i])` in row `row[i]`; sorted by row and lo, disjoint, non-adjacent.

        `shape` is that of the rows; `row` numbers them in row-major order.
        """
        rows = math.prod(shape)
        count = np.bincount(row, minlength=rows)
        slot = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
        columns = np.full((2, max(1, int(count.max(initial=0))), rows), limit, _narrow(limit))
        columns[0, slot, row], columns[1, slot, row] = lo, hi
        starts, ends = ([column.reshape(shape) for column in side] for side in columns)
        return cls(starts, ends, limit)

    @classmethod
    def join(cls, parts: Sequence[Spans]) -> Spans:
        """The rows of all parts, one after the other (along the last axis of the rows)."""
        sizes = [part.shape[-1] for part in parts]
        shape = (*parts[0].shape[:-1], sum(sizes))
        kind = parts[0].lo[0].dtype
        lo, hi = ([np.empty(shape, kind) for _ in range(max(map(len, parts)))] for _ in range(2))
        start = 0
        for part, size in zip(parts, sizes, strict=True):
            for i in range(len(lo)):
                lo[i][..., start : start + size] = part.lo[i] if i < len(part) else part.limit
                hi[i][..., start : start + size] = part.hi[i] if i < len(part) else part.limit
            start += size
        return cls(lo, hi, parts[0].limit)

    def reshape(self, shape: tuple[int, ...]) -> Spans:
        """The same rows in another arrangement."""
        return Spans([c.reshape(shape) for c in self.lo], [c.reshape(shape) for c in self.hi], self.limit)

    def __getitem__(self, rows: slice) -> Spans:
        """Some of the rows (a slice of the last axis of the rows)."""
        return Spans([c[..., rows] for c in self.lo], [c[..., rows] for c in self.hi], self.limit)

    # -- the set algebra ------------------------------------------------------------------------------------------

    @_in_cache
    def __and__(self, other: Spans) -> Spans:
        # With all starts and all ends sorted apart, both sets hold what lies from a start to the end before its own.
        lo = _sorted_columns([*self.lo, *other.lo])[1:]
        hi = _sorted_columns([*self.hi, *other.hi])[:-1]
        return Spans(lo, hi, min(self.limit, other.limit))._drop_empty()

    @_in_cache
    def __or__(self, *others: Spans) -> Spans:
        parts = (self, *others)
        lo, hi = ([c for part in parts for c in getattr(part, end)] for end in ("lo", "hi"))
        return Spans(_sorted_columns(lo), _sorted_columns(hi), max(part.limit for part in parts))._merge()

    @_in_cache
    def __invert__(self) -> Spans:
        zero = np.zeros((), self.lo[0].dtype)
        limit = np.asarray(self.limit, self.lo[0].dtype)
        starts_late = self.lo[0] > 0  # only the gap before the first interval can be empty
        lo = [np.where(starts_late, zero, limit), *self.hi]
        hi = [np.where(starts_late, self.lo[0], limit), *self.lo[1:], np.broadcast_to(limit, self.shape)]
        return Spans(_sorted_columns(lo), _sorted_columns(hi), self.limit)._trim()

    @_in_cache
    def __xor__(self, other: Spans) -> Spans:
        # Membership flips at every end, so the sorted ends, taken in pairs, are the answer.
        ends = _sorted_columns([*self.lo, *other.lo, *self.hi, *other.hi])
        limit = max(self.limit, other.limit)
        return Spans(ends[0::2], ends[1::2], limit)._drop_empty()._merge()

    def shift(self, keys: int) -> Spans:
        """The same sets, moved by a number of keys. What leaves the range `0 .. limit` is lost at the next `within`."""
        return Spans([c + keys for c in self.lo], [c + keys for c in self.hi], UNBOUNDED)

    def stride(self, start: int, step: int, count: int) -> Spans:
        """The sets seen through the keys `start, start + step, ...` (`count` of them), numbered 0, 1, 2, ..."""
        if step > 0:
            lo = [-((start - c) // step) for c in self.lo]
            hi = [-((start - c) // step) for c in self.hi]
        else:
            lo = [(start - c) // -step + 1 for c in reversed(self.hi)]
            hi = [(start - c) // -step + 1 for c in reversed(self.lo)]
        return Spans(lo, hi, UNBOUNDED).within(count)

    def take(self, rows: Any) -> Spans:
        """The sets of other rows: row `i` of the result is row `rows[i]` of this (its first axis)."""
        return Spans([c[rows] for c in self.lo], [c[rows] for c in self.hi], self.limit)

    def only(self, rows: npt.NDArray[np.bool_]) -> Spans:
        """The same sets in the rows where `rows` is True, and empty ones elsewhere."""
        lo = [np.where(rows, c, c.dtype.type(self.limit)) for c in self.lo]
        hi = [np.where(rows, c, c.dtype.type(self.limit)) for c in self.hi]
        return Spans(lo, hi, self.limit)

    def transpose(self) -> Spans:
        """For every key, the set of rows that see it; rows of one axis only.

        A key's run of rows begins where a row sees it and the row before does not, so both ends stand in the
        differences of neighbouring rows: the cost follows the number of runs.
        """
        rows = self.shape[0]
        nothing = Spans.nothing((1,), self.limit)
        here, before = Spans.join([self, nothing]), Spans.join([nothing, self])
        begins, ends = (here & ~before)._pairs(rows + 1), (before & ~here)._pairs(rows + 1)
        key = begins // (rows + 1)
        return Spans.from_runs(key, begins % (rows + 1), ends % (rows + 1), (self.limit,), rows)

    def _pairs(self, base: int) -> npt.NDArray[np.int64]:
        """Every (row, key) of the sets, as the sorted numbers key * base + row."""
        found = []
        for lo, hi in self:
            size = (hi - lo).astype(np.int64)
            first = np.cumsum(size) - size
            key = np.arange(size.sum()) + np.repeat(lo - first, size)
            found.append(key * base + np.repeat(np.arange(len(size)), size))
        return np.sort(np.concatenate(found))

    # -- canonical form -------------------------------------------------------------------------------------------

    def within(self, limit: int, shape: tuple[int, ...] | None = None) -> Spans:
        """Cut to the keys `0 .. limit - 1`; `shape` is that of the rows, where the columns may be scalars so far."""
        kind = _narrow(limit)
        shape = np.broadcast_shapes(self.shape, shape or ())
        lo = [np.broadcast_to(np.clip(c, 0, limit).astype(kind), shape) for c in self.lo]
        hi = [np.broadcast_to(np.clip(c, 0, limit).astype(kind), shape) for c in self.hi]
        cut = Spans(lo, hi, limit)._drop_empty()
        return cut._merge() if len(lo) > 1 else cut

    def _drop_empty(self) -> Spans:
        """Move empty intervals to the end, and their place to the limit."""
        lo, hi, moved = list(self.lo), list(self.hi), False
        for i in range(len(lo)):
            empty = lo[i] >= hi[i]
            if empty.any():
                lo[i], hi[i] = lo[i].copy(), hi[i].copy()
                np.putmask(lo[i], empty, self.limit)
                np.putmask(hi[i], empty, self.limit)
                moved = True
        if not moved or len(lo) == 1:
            return Spans(lo, hi, self.limit)
        return Spans(_sorted_columns(lo), _sorted_columns(hi), self.limit)._trim()

    def _merge(self) -> Spans:
        """Join intervals that overlap or touch.

        With all starts and all ends sorted apart, a new interval begins where a start lies after the end before it.
        """
        touching = [self.lo[i] <= self.hi[i - 1] for i in range(1, len(self))]
        if not any(touch.any() for touch in touching):
            return self._trim()
        lo, hi = [c.copy() for c in self.lo], [c.copy() for c in self.hi]
        rows = np.logical_or.reduce(touching)
        if len(self) > _NETWORK_MOST and not rows.all():  # what sorts along rows works on those that need it
            merged = Spans([c[rows] for c in lo], [c[rows] for c in hi], self.limit)._merge()
            for i in range(len(self)):
                lo[i][rows] = merged.lo[i] if i < len(merged) else self.limit
                hi[i][rows] = merged.hi[i] if i < len(merged) else self.limit
            return Spans(lo, hi, self.limit)._trim()
        for i, touch in enumerate(touching):
            np.putmask(lo[i + 1], touch, self.limit)
            np.putmask(hi[i], touch, self.limit)
        return Spans(_sorted_columns(lo), _sorted_columns(hi), self.limit)._trim()

    def _trim(self) -> Spans:
        """Without the last columns in which every interval is empty."""
        keep = len(self.lo)
        while keep > 1 and (self.lo[keep - 1] == self.limit).all():
            keep -= 1
        return Spans(self.lo[:keep], self.hi[:keep], self.limit)

    # -- what it says ---------------------------------------------------------------------------------------------

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """The shape of the rows."""
        return np.broadcast_shapes(*(c.shape for c in self.lo), *(c.shape for c in self.hi))

    def counts(self) -> npt.NDArray[np.int64]:
        """How many keys each row may see."""
        total = np.zeros(self.shape, np.int64)
        for lo, hi in zip(self.lo, self.hi, strict=True):
            total += hi
            total -= lo
        return total

    def contains(self, key: Any) -> npt.NDArray[np.bool_]:
        """Whether `key` (integers that broadcast against the rows) is in the row's set."""
        found = np.zeros(np.broadcast_shapes(self.shape, np.shape(key)), np.bool_)
        for lo, hi in zip(self.lo, self.hi, strict=True):
            found |= (lo <= key) & (key < hi)
        return found

    def row(self, index: Any) -> list[tuple[int, int]]:
        """The intervals of one row, as plain pairs."""
        pairs = ((int(lo[index]), int(hi[index])) for lo, hi in zip(self.lo, self.hi, strict=True))
        return [(lo, hi) for lo, hi in pairs if lo < hi]

    def __iter__(self) -> Iterator[tuple[Column, Column]]:
        """The columns, as pairs `(lo, hi)`."""
        return iter(zip(self.lo, self.hi, strict=True))

    def __len__(self) -> int:
        """The number of columns: the most intervals that any row has (1 if all are empty)."""
        return len(self.lo)

    def __eq__(self, other: object) -> bool:
        """The same sets over the same number of keys."""
        if not isinstance(other, Spans):
            return NotImplemented
        return (
            self.limit == other.limit
            and len(self) == len(other)
            and all(np.array_equal(a, b) for a, b in zip(self.lo + self.hi, other.lo + other.hi, strict=True))
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Spans(rows={self.shape}, intervals={len(self)}, limit={self.limit})"


def _narrow(limit: int) -> type[np.signedinteger[Any]]:
    """The smallest integers worth using: half the memory is half the time."""
    return np.int32 if limit < 2**31 - 1 else np.int64


_NETWORK_MOST = 8
"""Up to here a network of minimum and maximum beats a sort along the rows (100x at one or two columns)."""


def _sorted_columns(columns: list[Column]) -> list[Column]:
    """Row by row, the values of the columns in ascending order."""
    if len(columns) > _NETWORK_MOST:
        return _sorted_by_rows(columns)
    columns = list(columns)
    for last in range(len(columns) - 1, 0, -1):
        for i in range(last):
            a, b = columns[i], columns[i + 1]
            columns[i], columns[i + 1] = np.minimum(a, b), np.maximum(a, b)
    return columns


def _sorted_by_rows(columns: list[Column]) -> list[Column]:
    """The same for many columns: masks give most rows in order, and only the others are sorted."""
    columns = list(np.broadcast_arrays(*columns))
    unsorted = np.zeros(columns[0].shape, np.bool_)
    for before, after in pairwise(columns):
        unsorted |= after < before
    if not unsorted.any():
        return columns
    stacked = np.stack(columns)
    stacked[:, unsorted] = np.sort(stacked[:, unsorted], axis=0)
    return list(stacked)
