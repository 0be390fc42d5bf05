"""Spans: the keys that each query row may see, as a few half-open intervals.

The one intermediate representation of maskkit. Dense arrays, block maps, statistics and pictures are all computed
from it, in time that follows the number of rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import reduce, wraps
from typing import Any, final

import numpy as np
import numpy.typing as npt

Column = npt.NDArray[np.integer[Any]]

UNBOUNDED = 2**62
"""The limit of spans that have not been cut to a number of keys yet."""


_CHUNK = 2**16
"""Rows worked on at once: the columns of a chunk stay in the processor's cache, and temporaries stay small."""


def _in_cache(operation: Callable[..., Spans]) -> Callable[..., Spans]:
    """Apply a row-wise operation on spans chunk by chunk (at a million rows: 1.5 to 4 times faster)."""

    @wraps(operation)
    def chunked(*spans: Spans) -> Spans:
        if any(s.__class__ is not Spans for s in spans):
            return NotImplemented  # type: ignore[no-any-return]
        shape = spans[0].shape
        if not shape or shape[-1] <= _CHUNK or any(s.shape != shape for s in spans):
            return operation(*spans)
        starts = range(0, shape[-1], _CHUNK)
        return Spans.join([operation(*(s[start : start + _CHUNK] for s in spans)) for start in starts])

    return chunked


@final
class Spans:
    """For every row, the set of keys it may see, as sorted, disjoint, non-adjacent intervals `[lo, hi)`.

    `lo` and `hi` are integer arrays `(intervals, *shape)`, where `shape` is that of the rows: `(rows,)`, or
    `(batch, rows)`. Interval `i` of every row stands in column `i`, `lo[i]` and `hi[i]`. Rows with fewer intervals than
    columns end in empty ones, which have `lo == hi == limit`. Keys are `0 <= key < limit`.

    A column is contiguous, so that every operation is a few passes of element-wise minimum and maximum.
    """

    __slots__ = ("hi", "limit", "lo")

    lo: Column
    hi: Column
    limit: int

    def __init__(self, lo: Column, hi: Column, limit: int) -> None:
        """Columns that already are as the class says; others use `interval`, `intervals`, `within` and `cut`."""
        self.lo, self.hi, self.limit = lo, hi, limit

    @classmethod
    def interval(cls, lo: Any, hi: Any) -> Spans:
        """One interval `[lo, hi)` per row; integers or integer arrays that broadcast. Empty where `lo >= hi`.

        The ends may lie outside the keys: whoever asked for the spans cuts them to the number of keys.
        """
        return cls.intervals(np.asarray(lo)[None], np.asarray(hi)[None])

    @classmethod
    def intervals(cls, lo: Any, hi: Any) -> Spans:
        """The union of several intervals per row, which the first axis numbers: integer arrays that broadcast.

        Quickest where they come in ascending order and leave gaps.
        """
        lo, hi = np.asarray(lo, np.int64), np.asarray(hi, np.int64)
        if lo.shape != hi.shape:
            lo, hi = np.broadcast_arrays(lo, hi)
        return cls(lo, hi, UNBOUNDED)._canonical()

    @classmethod
    def cut(cls, lo: Column, hi: Column, limit: int) -> Spans:
        """The same of columns of equal shape, cut to the keys `0 .. limit - 1`."""
        lo, hi = (
            np.minimum(np.maximum(ends, 0), limit, out=np.empty(ends.shape, _narrow(limit)), casting="unsafe")
            for ends in (lo, hi)
        )
        return cls(lo, hi, limit)._canonical()

    @classmethod
    def union(cls, parts: Iterable[Spans]) -> Spans:
        """What any of the parts allows."""
        first, *rest = parts
        return first.__or__(*rest) if rest else first

    @classmethod
    def nothing(cls, shape: tuple[int, ...], limit: int) -> Spans:
        """Rows of the given shape that see no key."""
        column = np.broadcast_to(np.asarray(limit, _narrow(limit)), (1, *shape))
        return cls(column, column, limit)

    @classmethod
    def from_bool(cls, allowed: npt.NDArray[np.bool_]) -> Spans:
        """The runs of True along the last axis of an array `(..., keys)`."""
        *shape, keys = allowed.shape
        edges = np.diff(allowed.astype(np.int8), axis=-1, prepend=0, append=0).reshape(-1, keys + 1)
        rows, starts = np.nonzero(edges == 1)
        return cls.from_runs(rows, starts, np.nonzero(edges == -1)[1], tuple(shape), keys)

    def to_bool(self) -> npt.NDArray[np.bool_]:
        """True for the keys of every row: an array `(*rows, limit)`."""
        rows, width = math.prod(self.shape), self.limit + 1
        edges = np.zeros(rows * width, np.int8)
        first = np.arange(rows).reshape(self.shape) * width
        edges[(first + self.lo).ravel()] = 1
        edges[(first + self.hi).ravel()] = -1
        return edges.reshape(*self.shape, width).cumsum(axis=-1, dtype=np.int8)[..., :-1].view(np.bool_)

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
        starts, ends = columns.reshape(*columns.shape[:2], *shape)
        return cls(starts, ends, limit)

    @classmethod
    def join(cls, parts: Sequence[Spans]) -> Spans:
        """The rows of all parts, one after the other (along the last axis of the rows)."""
        if len(parts) == 1:
            return parts[0]
        first, columns = parts[0], max(map(len, parts))
        shape = (columns, *first.shape[:-1], sum(part.shape[-1] for part in parts))
        lo, hi = (np.empty(shape, first.lo.dtype) for _ in range(2))
        start = 0
        for part in parts:
            rows = slice(start, start + part.shape[-1])
            lo[: len(part), ..., rows], hi[: len(part), ..., rows] = part.lo, part.hi
            lo[len(part) :, ..., rows] = hi[len(part) :, ..., rows] = part.limit
            start = rows.stop
        return cls(lo, hi, first.limit)

    def reshape(self, shape: tuple[int, ...]) -> Spans:
        """The same rows in another arrangement."""
        shape = (len(self), *shape)
        return Spans(self.lo.reshape(shape), self.hi.reshape(shape), self.limit)

    def __getitem__(self, rows: slice) -> Spans:
        """Some of the rows (a slice of the last axis of the rows)."""
        return Spans(self.lo[..., rows], self.hi[..., rows], self.limit)

    # -- the set algebra ------------------------------------------------------------------------------------------

    @_in_cache
    def __and__(self, other: Spans) -> Spans:
        # With all starts and all ends sorted apart, both sets hold what lies from a start to the end before its own.
        lo = _sorted_columns(_columns(self.lo, other.lo), slice(1, None))
        hi = _sorted_columns(_columns(self.hi, other.hi), slice(-1))
        return Spans(lo, hi, min(self.limit, other.limit))._canonical()

    @_in_cache
    def __or__(self, *others: Spans) -> Spans:
        parts = (self, *others)
        if all(len(part) == 1 for part in parts):  # single intervals that meet in every row are one
            first, last = [part.lo for part in parts], [part.hi for part in parts]
            if (reduce(np.maximum, first) <= reduce(np.minimum, last)).all():
                limit = max(part.limit for part in parts)
                return Spans(reduce(np.minimum, first), reduce(np.maximum, last), limit)
        lo, hi = (np.stack(_columns(*ends)) for ends in zip(*((part.lo, part.hi) for part in parts), strict=True))
        return Spans(lo, hi, max(part.limit for part in parts))._canonical()

    @_in_cache
    def __invert__(self) -> Spans:
        edge = np.zeros((1, *self.shape), self.lo.dtype)
        lo, hi = np.concatenate([edge, self.hi]), np.concatenate([self.lo, edge + self.limit])
        first = 0 if self.lo[0].any() else 1  # nothing lies before the first key
        return Spans(lo[first:], hi[first:], self.limit)._canonical()

    @_in_cache
    def __xor__(self, other: Spans) -> Spans:
        # Membership flips at every end, so the sorted ends, taken in pairs, are the answer.
        ends = _sorted_columns(_columns(self.lo, other.lo, self.hi, other.hi))
        return Spans(ends[0::2], ends[1::2], max(self.limit, other.limit))._canonical()

    def shift(self, keys: int) -> Spans:
        """The same sets, moved by a number of keys. What leaves the range `0 .. limit` is lost at the next `within`."""
        return Spans(self.lo.astype(np.int64) + keys, self.hi.astype(np.int64) + keys, UNBOUNDED)._canonical()

    def stride(self, start: int, step: int, count: int) -> Spans:
        """The sets seen through the keys `start, start + step, ...` (`count` of them), numbered 0, 1, 2, ..."""
        if step > 0:
            lo, hi = -((start - self.lo) // step), -((start - self.hi) // step)
        else:
            lo, hi = ((start - ends[::-1]) // -step + 1 for ends in (self.hi, self.lo))
        return Spans.cut(lo, hi, count)

    def take(self, rows: Any) -> Spans:
        """The sets of other rows: row `i` of the result is row `rows[i]` of this (its first axis)."""
        return Spans(self.lo.take(rows, axis=1), self.hi.take(rows, axis=1), self.limit)

    def only(self, rows: npt.NDArray[np.bool_]) -> Spans:
        """The same sets in the rows where `rows` is True, and empty ones elsewhere."""
        limit = self.lo.dtype.type(self.limit)
        lo, hi = (np.where(rows, _over(ends, rows.shape), limit) for ends in (self.lo, self.hi))
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
        lo, hi = (_over(ends, shape or self.shape) for ends in (self.lo, self.hi))
        if limit == self.limit:
            return Spans(lo, hi, limit)
        if self.limit == UNBOUNDED and lo.size and lo[0].min() >= 0 and hi.max() <= limit:  # nothing to cut
            return Spans(lo.astype(_narrow(limit)), hi.astype(_narrow(limit)), limit)
        return Spans.cut(lo, hi, limit)

    def _canonical(self) -> Spans:
        """From columns of any intervals the form that the class promises."""
        lo, hi, limit = self.lo, self.hi, self.lo.dtype.type(self.limit)
        empty = lo >= hi
        some_empty = empty.any()
        if some_empty and (astray := empty & ((lo != limit) | (hi != limit))).any():
            lo, hi = np.where(astray, limit, lo), np.where(astray, limit, hi)
        if some_empty:
            lo, hi = _without_unused(lo, hi, limit)
        if len(lo) > 1:
            fine = lo[1:] > hi[:-1]
            if some_empty:
                fine |= lo[1:] == limit
            if not fine.all():
                lo, hi = _without_unused(*_tidied(lo, hi, np.logical_not(fine.all(axis=0)), limit), limit)
        return Spans(lo, hi, self.limit)

    # -- what it says ---------------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the rows."""
        return self.lo.shape[1:]

    def counts(self) -> npt.NDArray[np.int64]:
        """How many keys each row may see."""
        total = np.zeros(self.shape, np.int64)
        for lo, hi in self:
            total += hi
            total -= lo
        return total

    def total(self) -> int:
        """How many keys all rows together may see: exact, also where that is no 64-bit integer."""
        counts = self.counts()
        return int(counts.sum(dtype=None if counts.size * self.limit < 2**63 else object))

    def contains(self, key: Any) -> npt.NDArray[np.bool_]:
        """Whether `key` (integers that broadcast against the rows) is in the row's set."""
        found = np.zeros(np.broadcast_shapes(self.shape, np.shape(key)), np.bool_)
        for lo, hi in self:
            found |= (lo <= key) & (key < hi)
        return found

    def extent(self) -> tuple[int, int]:
        """The first key and behind the last key that any row sees; (0, 0) or (limit, 0) where none sees any."""
        last = max(int(np.where(lo < hi, hi, 0).max(initial=0)) for lo, hi in self)
        return int(self.lo[0].min(initial=self.limit)), last

    def row(self, index: Any) -> list[tuple[int, int]]:
        """The intervals of one row, as plain pairs."""
        pairs = ((int(lo[index]), int(hi[index])) for lo, hi in self)
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
        return self.limit == other.limit and np.array_equal(self.lo, other.lo) and np.array_equal(self.hi, other.hi)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Spans(rows={self.shape}, intervals={len(self)}, limit={self.limit})"


def _narrow(limit: int) -> type[np.signedinteger[Any]]:
    """The smallest integers worth using: half the memory is half the time."""
    return np.int32 if limit < 2**31 - 1 else np.int64


_FEW_ROWS = 0.3
"""The share of rows that are not in order up to which those alone are put in order (axial: half the time)."""
_NETWORK_MOST = 8
"""Up to here a network of minimum and maximum beats a sort along the rows (25x at two columns of 4,096)."""
_NETWORK_LEAST_ROWS = 128
"""Of fewer rows than this a sort along them is quicker than so many calls."""


def _columns(*ends: Column) -> list[Column]:
    """The columns of all arrays `(intervals, *rows)`; the rows broadcast."""
    shape = np.broadcast_shapes(*(e.shape[1:] for e in ends))
    return [column for e in ends for column in _over(e, shape)]


def _over(ends: Column, shape: tuple[int, ...]) -> Column:
    """Columns `(intervals, *rows)` whose rows broadcast to those of `shape`, and that to them."""
    if ends.shape[1:] == shape:
        return ends
    shape = np.broadcast_shapes(ends.shape[1:], shape)
    missing = len(shape) + 1 - ends.ndim
    return np.broadcast_to(ends.reshape(len(ends), *(1,) * missing, *ends.shape[1:]), (len(ends), *shape))


def _without_unused(lo: Column, hi: Column, limit: Any) -> tuple[Column, Column]:
    """Without the columns in which every interval is empty; one stays."""
    if len(lo) == 1:
        return lo, hi
    used = (lo != limit).any(axis=tuple(range(1, lo.ndim)))
    if used.all():
        return lo, hi
    used[0] |= not used.any()
    return lo[used], hi[used]


def _tidied(lo: Column, hi: Column, rows: npt.NDArray[np.bool_], limit: Any) -> tuple[Column, Column]:
    """Intervals in order, and as one where they overlap or touch; `rows` says where they are not so yet."""
    if rows.mean() < _FEW_ROWS:
        lo, hi = lo.copy(), hi.copy()
        lo[:, rows], hi[:, rows] = _tidied(lo[:, rows], hi[:, rows], np.ones(rows.sum(), np.bool_), limit)
        return lo, hi
    lo, hi = _sorted_columns(lo), _sorted_columns(hi)
    # With all starts and all ends sorted apart, a new interval begins where a start lies after the end before it.
    touching = lo[1:] <= hi[:-1]
    if touching.any():
        lo = _sorted_columns(np.concatenate([lo[:1], np.where(touching, limit, lo[1:])]))
        hi = _sorted_columns(np.concatenate([np.where(touching, limit, hi[:-1]), hi[-1:]]))
    return lo, hi


def _sorted_columns(columns: Sequence[Column] | Column, keep: slice = slice(None)) -> Column:
    """Row by row, the values of the columns in ascending order; some of the columns that they make."""
    if len(columns) > _NETWORK_MOST or columns[0].size < _NETWORK_LEAST_ROWS:
        return np.sort(np.asarray(columns), axis=0)[keep]
    apart = list(columns)
    for last in range(len(apart) - 1, 0, -1):
        for i in range(last):
            a, b = apart[i], apart[i + 1]
            apart[i], apart[i + 1] = np.minimum(a, b), np.maximum(a, b)
    return np.stack(apart[keep])
