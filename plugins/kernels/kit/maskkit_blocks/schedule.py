"""From spans to calls: rows cut into blocks, and blocks with one local picture put together. NumPy alone.

Of the pieces rectangles stay whole, large triangles are halved again and again, all else is cut into blocks of so many
rows. A block reads the hull of its rows' intervals, or several runs of keys side by side.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from attrs import field, frozen
from maskkit import Spans
from maskkit_blocks.pieces import Bools, Ints, Pieces, runs_of

_TRIANGLE = 512
"""Rows from which a triangle is halved: a square between two halves needs no picture, but to be merged."""
_EVEN = 16
"""Products of matrices are up to a tenth faster where blocks have a multiple of so many keys ..."""
_WIDE = 8 * _EVEN
"""... and that pays from so many."""
_BLOCKS = 512
"""Blocks in one call: what it gives is copied to its place, and takes memory until then."""


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


class Schedules:
    """Ways to compute what the spans of a plane allow; what they have in common is found once."""

    def __init__(self, spans: Spans) -> None:
        self.spans = spans
        self._found: dict[tuple[int, bool], list[list[Call]]] = {}

    def layers(self, rows: int, apart: bool = False) -> list[list[Call]]:
        """The calls of one way, in layers: what the later ones give is merged with that before, by log-sum-exp.

        Args:
            rows: of a block.
            apart: compute the first interval of every row, then the second, and so on. Else a block reads all its runs
                of keys at once.

        Large triangles are two of half the size and a square between them, and so on: a layer for each size.
        """
        way = rows, apart
        if way not in self._found:
            parts = self._apart if apart else [self._together]
            self._found[way] = [calls for pieces in parts for calls in _Layers(pieces, rows).calls()]
        return self._found[way]

    @cached_property
    def _together(self) -> Pieces:
        return Pieces.of(self.spans)

    @cached_property
    def _apart(self) -> list[Pieces]:
        spans = self.spans
        return [Pieces.of(Spans(spans.lo[i : i + 1], spans.hi[i : i + 1], spans.limit)) for i in range(len(spans))]


class _Alike(NamedTuple):
    """Blocks of one picture: its intervals, where each begins, and where its runs of keys do if they are several."""

    lo: Ints | None
    hi: Ints | None
    queries: list[int]
    keys: list[int]
    runs: Ints | None


class _Layers:
    """Blocks by their local picture, in layers."""

    def __init__(self, pieces: Pieces, rows: int) -> None:
        self.spans, self.steady = pieces.spans, pieces.steady
        self.found: list[dict[tuple[Any, ...], list[_Alike]]] = [{}]
        start, stop = pieces.start, pieces.stop
        empty, rectangle, grows = pieces.kinds()
        large = grows & (stop - start >= _TRIANGLE)
        lo, hi = self.spans.lo[0, start], self.spans.hi[0, start]
        for first, last, key, end in zip(*(x[rectangle].tolist() for x in (start, stop, lo, hi)), strict=True):
            self._rectangle(0, last - first, end - key, [first], [key])
        for first, last, key, end in zip(*(x[large].tolist() for x in (start, stop, lo, hi)), strict=True):
            self._halves(first, last - first, key, end - 1, rows)
        self._blocks(*pieces.cut(~(empty | rectangle | large), rows), rows)

    def _add(self, layer: int, shape: tuple[Any, ...], lo: Any, hi: Any, *blocks: Any) -> None:
        while layer >= len(self.found):
            self.found.append({})
        picture = None if lo is None else lo.tobytes() + hi.tobytes()
        self.found[layer].setdefault((*shape, picture), []).append(_Alike(lo, hi, *blocks))

    def _rectangle(self, layer: int, rows: int, width: int, first: list[int], key: list[int]) -> None:
        self._add(layer, (rows, width, (width,)), None, None, first, key, None)

    def _halves(self, first: int, rows: int, key: int, corner: int, leaf: int) -> None:
        """A triangle, its first row of one key at `corner`, on a rectangle from `key`: small ones along its edge, and
        squares between them, between pairs of them, and so on. A row is in one block of a layer at most."""
        start = range(0, rows, leaf)
        for blocks, size in ((start[: rows // leaf], leaf), (start[rows // leaf :], rows % leaf)):
            if blocks:
                lo, hi = np.zeros((1, size), np.int32), np.arange(1, size + 1, dtype=np.int32)[None]
                queries, keys = ([at + block for block in blocks] for at in (first, corner))
                self._add(0, (size, size, (size,)), lo, hi, queries, keys, None)
        if corner > key:
            self._rectangle(1, rows, corner - key, [first], [key])
        layer = 2
        while leaf < rows:
            below = range(leaf, rows, 2 * leaf)
            rest = (rows - leaf) % (2 * leaf)  # of rows below the last square's first; that may be no whole one
            whole = len(below) - (0 < rest < leaf)
            for some, size in ((below[:whole], leaf), (below[whole:], rest)):
                if some:
                    queries, keys = ([at + block for block in some] for at in (first, corner - leaf))
                    self._rectangle(layer, size, leaf, queries, keys)
            leaf, layer = 2 * leaf, layer + 1

    def _blocks(self, first: Ints, last: Ints, most: int) -> None:
        """Blocks of up to `most` rows by their pictures."""
        if not len(first):
            return
        size = last - first
        if self.steady:  # the first row and the last say all
            rows = np.stack([first, last - 1], axis=1)
        else:
            rows = np.minimum(first[:, None] + np.arange(most), last[:, None] - 1)
        lo, hi = self.spans.lo[:, rows], self.spans.hi[:, rows]  # (intervals, blocks, rows)
        real = lo < hi
        runs = runs_of(lo, hi, real, self.spans.limit)
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
            shape, where = (int(size[one]), sum(sizes), sizes), (first[blocks].tolist(), starts[:, 0].tolist())
            if not lo[0, one].any() and (hi[0, one] == shape[1]).all():
                picture: tuple[Ints | None, ...] = None, None
            elif self.steady:
                picture = self._between(first[one], size[one], shift[:, one, :1])
            else:
                picture = tuple(ends[:, one, : size[one]].astype(np.int32) for ends in (lo, hi))
            self._add(0, shape, *picture, *where, starts if len(sizes) > 1 else None)

    def _between(self, first: int, size: int, shift: Ints) -> tuple[Ints, Ints]:
        """What all rows of a block of a piece see, all moved as its first."""
        lo, hi = self.spans.lo[:, first : first + size], self.spans.hi[:, first : first + size]
        real = lo < hi
        return np.where(real, lo + shift, 0).astype(np.int32), np.where(real, hi + shift, 0).astype(np.int32)

    def calls(self) -> list[list[Call]]:
        return [_calls(found) for layer, found in enumerate(self.found) if found or not layer]


def _calls(found: dict[tuple[Any, ...], list[_Alike]]) -> list[Call]:
    calls = []
    for (rows, width, sizes, _), parts in found.items():
        lo, hi, queries, keys, runs = parts[0]
        if len(parts) > 1:
            queries, keys = ([at for part in parts for at in getattr(part, name)] for name in ("queries", "keys"))
            runs = None if runs is None else np.concatenate([part.runs for part in parts])
        keys = keys if runs is None else [0] * len(queries)
        for some, step, key_step in _evenly(queries, keys):
            own, start = None if runs is None else runs[some], some.start
            calls.append(
                Call(rows, width, some.stop - start, queries[start], step, keys[start], key_step, own, sizes, lo, hi)
            )
    return calls


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


def _evenly(queries: list[int], keys: list[int]) -> Iterator[tuple[slice, int, int]]:
    """Stretches in which queries and keys stand at constant distances, not backwards and not too many; and those."""
    start, n = 0, len(queries)
    while start < n:
        stop, step, key_step = start + 1, 0, 0
        if stop < n:
            step, key_step = queries[stop] - queries[start], keys[stop] - keys[start]
            forward = step > 0 and key_step >= 0
            most = min(n, start + _BLOCKS) if forward else stop
            while stop < most and queries[stop] - queries[stop - 1] == step and keys[stop] - keys[stop - 1] == key_step:
                stop += 1
        yield slice(start, stop), *((step, key_step) if stop > start + 1 else (0, 0))
        start = stop
