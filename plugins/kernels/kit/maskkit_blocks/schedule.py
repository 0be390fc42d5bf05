"""From spans to calls: rows cut into blocks, and blocks with one local picture put together. NumPy alone.

A *piece* is a run of rows in which every end of every interval moves at a constant pace: a rectangle (it stands still),
a triangle (it grows by a key a row), a band (it moves). Rectangles stay whole, large triangles are halved again and
again, all else is cut into blocks of so many rows. A block reads the hull of its rows' intervals, or several runs of
keys side by side.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from attrs import field, frozen
from maskkit import Spans

Ints = npt.NDArray[np.integer]
Bools = npt.NDArray[np.bool_]

_TRIANGLE = 512
"""Rows from which a triangle is halved: a square between two halves needs no picture, but to be merged."""
_GAP = 32
"""Keys between two runs that cost less to read and block than a second run."""
_EVEN = 16
"""Products of matrices are up to a tenth faster where blocks have a multiple of so many keys ..."""
_WIDE = 8 * _EVEN
"""... and that pays from so many."""
_TILE = 8
"""Columns of a grid that a strip has, and columns and rows of a tile."""
_BLOCKS = 512
"""Blocks in one call: what it gives is copied to its place, and takes memory until then."""
_ROWS_PER_PIECE = 16
"""Fewer rows per piece than this, and pieces are not worth their calls."""


@frozen(eq=False)
class Call:
    """Blocks of one shape and one local picture, which stand at a constant distance: one fused call.

    Attributes:
        rows, width: queries and keys of a block.
        count: how many blocks.
        query, query_step: the first query of the first block, and from block to block.
        key, key_step: the same of the keys; of no meaning where `runs` are given.
        runs, sizes: where the keys of a block are several runs, the first of each (count, runs), and how many they are.
        lo, hi: what every row sees, as intervals (intervals, rows) of the block's own keys; None for all.
    """

    rows: int
    width: int
    count: int
    query: int
    query_step: int
    key: int = 0
    key_step: int = 0
    runs: Ints | None = None
    sizes: tuple[int, ...] = ()
    lo: Ints | None = None
    hi: Ints | None = None
    kept: dict[Any, Any] = field(factory=dict, init=False, repr=False)  # what a library makes of it

    @property
    def pairs(self) -> int:
        """Of query and key that are computed, for one head."""
        return self.rows * self.width * self.count

    def gathered(self, first: int, stop: int) -> Ints:
        """The keys of some of the blocks, (blocks, width), where they are several runs."""
        assert self.runs is not None
        starts = self.runs[first:stop].astype(np.int64)
        return np.concatenate([starts[:, i, None] + np.arange(size) for i, size in enumerate(self.sizes)], axis=1)

    @property
    def sees(self) -> Bools | None:
        """Which rows see anything; None if all do."""
        if self.lo is None or self.hi is None:
            return None
        sees = np.any(self.lo < self.hi, axis=0)
        return None if sees.all() else sees


class Strips(NamedTuple):
    """A grid in strips of few columns, one after the other: neighbours down and across then stand close together.

    Attributes:
        order: the queries, strip by strip.
        keys: for every strip the keys that it sees, ascending; some stand in several strips.
        spans: of the queries in this order, as places among `keys`.
    """

    order: Ints
    keys: Ints
    spans: Spans


def strips(spans: Spans) -> Strips | None:
    """Strips of a grid, if `grid_width` finds one."""
    wide = grid_width(spans)
    if wide is None:
        return None
    down, across = np.divmod(np.arange(spans.shape[0]), wide)
    order = np.lexsort((across, down, across // _TILE))
    keys: list[Ints] = []
    lo, hi = np.empty((2, *spans.lo.shape), np.int64)
    start = before = 0
    for size in np.bincount(across // _TILE).tolist():
        strip = slice(start, start + size)
        first, last = spans.lo[:, order[strip]], spans.hi[:, order[strip]]
        begun, ended = (np.bincount(ends.ravel(), minlength=spans.limit + 1) for ends in (first, last))
        seen = np.cumsum(begun - ended)[:-1] > 0
        place = before + np.cumsum([0, *seen])
        lo[:, strip], hi[:, strip] = place[first], place[last]
        keys.append(np.flatnonzero(seen))
        start, before = strip.stop, int(place[-1])
    return Strips(order, np.concatenate(keys), Spans.cut(lo, hi, before))


def grid_width(spans: Spans) -> int | None:
    """Columns of the grid, if the intervals of most rows say that there is one: they stand at one distance, which is
    its width."""
    if len(spans) < 3:
        return None
    several = spans.lo[1] < spans.hi[1]
    if 2 * several.sum() <= len(several):
        return None
    apart, times = np.unique((spans.lo[1] - spans.lo[0])[several], return_counts=True)
    wide = int(apart[times.argmax()])
    return wide if 2 * times.max() > len(several) and _TILE < wide <= len(several) // _TILE else None


def tiles(spans: Spans) -> Ints | None:
    """An order of the rows of a grid in which those of a tile stand together; they share most of their keys."""
    if (wide := grid_width(spans)) is None:
        return None
    down, across = np.divmod(np.arange(spans.shape[0]), wide)
    return np.lexsort((across, down, across // _TILE, down // _TILE))


class Schedules:
    """Ways to compute what the spans of a plane allow; what they have in common is found once."""

    def __init__(self, spans: Spans) -> None:
        self.spans = spans
        self._found: dict[tuple[int, bool, bool, bool], list[list[Call]]] = {}

    def layers(self, rows: int, apart: bool = False, exact: bool = False, halves: bool = True) -> list[list[Call]]:
        """The calls of one way, in layers: what the later ones give is merged with that before, by log-sum-exp.

        Args:
            rows: of a block.
            apart: compute the first interval of every row, then the second, and so on. Else a block reads all its runs
                of keys at once.
            exact: whether the runs of a block are looked for among all its rows, where their intervals do not go
                together.
            halves: whether large triangles are computed as two of half the size and a square between them, and so on,
                which are layers; with neither `apart` nor `halves` there is one layer.
        """
        way = rows, apart, exact, halves
        if way not in self._found:
            parts = self._apart if apart else [self._together]
            self._found[way] = [calls for pieces in parts for calls in _Layers(pieces, rows, exact, halves).calls()]
        return self._found[way]

    @cached_property
    def _together(self) -> _Pieces:
        return _Pieces.of(self.spans)

    @cached_property
    def _apart(self) -> list[_Pieces]:
        spans = self.spans
        return [_Pieces.of(Spans(spans.lo[i : i + 1], spans.hi[i : i + 1], spans.limit)) for i in range(len(spans))]


class _Pieces(NamedTuple):
    """Pieces, each from row `start` to before row `stop`; not `steady` if there are so many that one of all rows, in
    which ends move anyhow, is better."""

    spans: Spans
    start: Ints
    stop: Ints
    steady: bool

    @classmethod
    def of(cls, spans: Spans) -> _Pieces:
        rows = spans.shape[0]
        turns, jumps = np.zeros(max(rows - 2, 0), np.bool_), np.zeros(rows - 1, np.bool_)
        for lo, hi in spans:
            for ends in (lo, hi):
                pace = ends[1:] - ends[:-1]
                turns |= pace[1:] != pace[:-1]
            real = lo < hi
            jumps |= real[1:] != real[:-1]
        changes = np.flatnonzero(turns) + 1
        if len(changes) * (_ROWS_PER_PIECE if len(spans) == 1 else 8 * _ROWS_PER_PIECE) > 2 * rows:
            return cls(spans, np.zeros(1, np.int64), np.full(1, rows), False)
        starts = [0]
        for change in changes.tolist():
            if change > starts[-1]:  # else this is the way from the last row of a piece to the first of the next
                starts.append(change + 1)
        start = np.union1d(starts, np.flatnonzero(jumps) + 1)
        return cls(spans, start, np.append(start[1:], rows), True)

    def kinds(self) -> tuple[Bools, Bools, Bools]:
        """Which are empty, rectangles, triangles (on a rectangle or alone)."""
        if not self.steady:
            none = np.zeros(1, np.bool_)
            return none, none, none
        last = self.stop - 1
        lo, hi = self.spans.lo[:, self.start], self.spans.hi[:, self.start]
        real = lo < hi
        fixed: Bools = real[0] & ~real[1:].any(axis=0) & (self.spans.lo[0, last] == lo[0])
        grown = self.spans.hi[0, last] - hi[0]
        grows: Bools = fixed & (grown > 0) & (grown == last - self.start)
        return ~np.any(real, axis=0), fixed & (grown == 0), grows


class _Blocks(NamedTuple):
    """Blocks of one picture: its intervals, where each begins, and where its runs of keys do if they are several."""

    lo: Ints | None
    hi: Ints | None
    queries: Ints
    keys: Ints
    runs: Ints | None


class _Layers:
    """Blocks by their local picture, in layers."""

    def __init__(self, pieces: _Pieces, rows: int, exact: bool, halves: bool) -> None:
        self.spans, self.exact = pieces.spans, exact
        self.found: list[dict[tuple[Any, ...], list[_Blocks]]] = [{}]
        start, stop = pieces.start, pieces.stop
        empty, rectangle, grows = pieces.kinds()
        large = grows & (stop - start >= _TRIANGLE) & halves
        lo, hi = self.spans.lo[0, start], self.spans.hi[0, start]
        for first, last, key, end in zip(*(x[rectangle].tolist() for x in (start, stop, lo, hi)), strict=True):
            self._rectangle(0, last - first, end - key, np.array([first]), np.array([key]))
        for first, last, key, end in zip(*(x[large].tolist() for x in (start, stop, lo, hi)), strict=True):
            self._halves(first, last - first, key, end - 1, rows)
        cut = ~(empty | rectangle | large)
        if pieces.steady and not exact:
            self._steady(start[cut], stop[cut], rows)
        else:
            for first, last in zip(start[cut].tolist(), stop[cut].tolist(), strict=True):
                self._any(first, last, rows)

    def _add(self, layer: int, shape: tuple[Any, ...], lo: Any, hi: Any, *blocks: Any) -> None:
        while layer >= len(self.found):
            self.found.append({})
        picture = None if lo is None else lo.tobytes() + hi.tobytes()
        self.found[layer].setdefault((*shape, picture), []).append(_Blocks(lo, hi, *blocks))

    def _rectangle(self, layer: int, rows: int, width: int, first: Ints, key: Ints) -> None:
        self._add(layer, (rows, width, (width,)), None, None, first, key, None)

    def _halves(self, first: int, rows: int, key: int, corner: int, leaf: int) -> None:
        """A triangle, its first row of one key at `corner`, on a rectangle from `key`: small ones along its edge, and
        squares between them, between pairs of them, and so on. A row is in one block of a layer at most."""
        start = np.arange(0, rows, leaf)
        for blocks, size in ((start[: rows // leaf], leaf), (start[rows // leaf :], rows % leaf)):
            if len(blocks):
                lo, hi = np.zeros((1, size), np.int32), np.arange(1, size + 1, dtype=np.int32)[None]
                self._add(0, (size, size, (size,)), lo, hi, first + blocks, corner + blocks, None)
        if corner > key:
            self._rectangle(1, rows, corner - key, np.array([first]), np.array([key]))
        layer = 2
        while leaf < rows:
            below = np.arange(leaf, rows, 2 * leaf)
            rest = (rows - leaf) % (2 * leaf)  # of rows below the last square's first; that may be no whole one
            whole = len(below) - (0 < rest < leaf)
            for some, size in ((below[:whole], leaf), (below[whole:], rest)):
                if len(some):
                    self._rectangle(layer, size, leaf, first + some, corner + some - leaf)
            leaf, layer = 2 * leaf, layer + 1

    def _steady(self, start: Ints, stop: Ints, rows: int) -> None:
        """Pieces in blocks, with a last one of what is left: the first row and the last of a block say all."""
        count = -(-(stop - start) // rows)
        piece = np.repeat(np.arange(len(count)), count)
        first = start[piece] + rows * (np.arange(len(piece)) - (np.cumsum(count) - count)[piece])
        size = np.minimum(rows, stop[piece] - first)
        self._blocks(first, size, np.stack([first, first + size - 1], axis=1))

    def _any(self, start: int, stop: int, rows: int) -> None:
        """Rows in blocks, and a last one of what is left, by all their rows."""
        cut = stop - (stop - start) % rows
        for first, size in ((np.arange(start, cut, rows), rows), (np.arange(cut, stop, rows), stop - cut)):
            self._blocks(first, np.full_like(first, size), first[:, None] + np.arange(size))

    def _blocks(self, first: Ints, size: Ints, rows: Ints) -> None:
        """Blocks of `size` rows from row `first`, whose `rows` (blocks, some) say what there is to see."""
        if not len(first):
            return
        lo, hi = self.spans.lo[:, rows], self.spans.hi[:, rows]  # (intervals, blocks, rows)
        real = lo < hi
        runs = _runs(lo, hi, real, self.spans.limit, self.exact)
        _even(runs, lo, hi)
        keys = runs.hi - runs.lo  # (runs, blocks)
        shift = np.broadcast_to(-runs.lo[0][None, :, None], lo.shape)
        before = keys[0]
        for run in range(1, len(runs)):  # side by side, the keys of a run begin where the runs before it end
            shift = np.where(lo >= runs.lo[run][None, :, None], (before - runs.lo[run])[None, :, None], shift)
            before = before + keys[run]
        lo, hi = np.where(real, lo + shift, 0), np.where(real, hi + shift, 0)
        for blocks in _alike(np.concatenate([size[:, None], keys.T, *lo, *hi], axis=1)):
            one = blocks[0]
            sizes = tuple(int(count) for count in keys[:, one] if count)
            if not sizes:
                continue
            starts = runs.lo[: len(sizes), blocks].T
            shape, where = (int(size[one]), sum(sizes), sizes), (first[blocks], starts[:, 0])
            if not lo[0, one].any() and (hi[0, one] == shape[1]).all():
                picture: tuple[Ints | None, Ints | None] = None, None
            elif rows.shape[1] == size[one]:
                picture = lo[:, one].astype(np.int32), hi[:, one].astype(np.int32)
            else:
                picture = self._between(first[one], size[one], shift[:, one, :1])
            self._add(0, shape, *picture, *where, starts if len(sizes) > 1 else None)

    def _between(self, first: int, size: int, shift: Ints) -> tuple[Ints, Ints]:
        """What all rows of a block of a piece see, all moved as its first."""
        lo, hi = self.spans.lo[:, first : first + size], self.spans.hi[:, first : first + size]
        real = lo < hi
        return np.where(real, lo + shift, 0).astype(np.int32), np.where(real, hi + shift, 0).astype(np.int32)

    def calls(self) -> list[list[Call]]:
        return [_calls(found) for layer, found in enumerate(self.found) if found or not layer]


def _calls(found: dict[tuple[Any, ...], list[_Blocks]]) -> list[Call]:
    calls = []
    for (rows, width, sizes, _), parts in found.items():
        lo, hi, *_ = parts[0]
        queries, keys = (np.concatenate([getattr(part, name) for part in parts]) for name in ("queries", "keys"))
        runs = None if parts[0].runs is None else np.concatenate([part.runs for part in parts])
        for some in _evenly(queries, keys if runs is None else np.zeros_like(queries)):
            count = some.stop - some.start
            (query, query_step), (key, key_step) = (
                (int(x[some.start]), int(x[some.start + 1] - x[some.start]) if count > 1 else 0)
                for x in (queries, keys)
            )
            own = None if runs is None else runs[some]
            calls.append(Call(rows, width, count, query, query_step, key, key_step, own, sizes, lo, hi))
    return calls


def _runs(lo: Ints, hi: Ints, real: npt.NDArray[np.bool_], limit: int, exact: bool) -> Spans:
    """The runs of keys that every block reads: no less than its rows see, and no run close to the next."""
    first, last = np.where(real, lo, limit), np.where(real, hi, 0)
    if exact:
        first, last = (ends.swapaxes(1, 2).reshape(-1, ends.shape[1]) for ends in (first, last))
    else:  # the hull of every interval: as good where those of neighbours go together, and sooner found
        first, last = first.min(axis=2), last.max(axis=2)
    last = np.where(first < last, last + _GAP, first)
    found = Spans.intervals(first, last).within(limit + _GAP)
    gone = found.lo >= found.hi
    return Spans(np.where(gone, limit, found.lo), np.where(gone, limit, found.hi - _GAP), limit)


def _even(runs: Spans, lo: Ints, hi: Ints) -> None:
    """Blocks that need a picture anyhow read a few keys more, before their last run, to have an even number."""
    width = (runs.hi - runs.lo).sum(axis=0)
    last = (runs.lo < runs.hi).sum(axis=0) - 1
    block = np.arange(len(last))
    room = runs.lo[last, block] - np.where(last > 0, runs.hi[np.maximum(last - 1, 0), block], 0)
    whole = ((lo[0] == runs.lo[0][:, None]) & (hi[0] == runs.hi[0][:, None])).all(axis=1)
    more = -width % _EVEN
    runs.lo[last, block] -= np.where((width >= _WIDE) & (more <= room) & ~whole, more, 0).astype(runs.lo.dtype)


def _alike(pictures: Ints) -> list[Ints]:
    """The numbers of equal rows, together."""
    changes = (np.flatnonzero((pictures[1:] != pictures[:-1]).any(axis=1)) + 1).tolist()
    found: dict[bytes, list[Ints]] = {}
    for start, stop in zip([0, *changes], [*changes, len(pictures)], strict=True):
        found.setdefault(pictures[start].tobytes(), []).append(np.arange(start, stop))
    return [np.concatenate(some) if len(some) > 1 else some[0] for some in found.values()]


def _evenly(queries: Ints, keys: Ints) -> Iterator[slice]:
    """Stretches in which queries and keys stand at constant distances, not backwards and not too many."""
    if len(queries) == 1:
        yield slice(0, 1)
        return
    apart = np.stack([np.diff(queries), np.diff(keys)])
    back = (apart[0] <= 0) | (apart[1] < 0)
    changes = (np.flatnonzero((apart[:, 1:] != apart[:, :-1]).any(axis=0)) + 1).tolist()
    start, n = 0, len(queries)
    while start < n:
        stop = start + 1
        if stop < n and not back[start]:
            found = bisect_left(changes, stop)
            stop = min(start + _BLOCKS, n if found == len(changes) else changes[found] + 1)
        yield slice(start, stop)
        start = stop
