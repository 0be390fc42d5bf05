"""From spans to calls: rows cut into blocks, and blocks with one local picture put together. NumPy alone.

A *piece* is a run of rows whose interval moves at a constant pace: a rectangle (it stands still), a triangle (it grows
by a key a row), a band (it moves). Rectangles and large triangles stay whole, all else is cut into blocks of so many
rows. A block reads the hull of its rows' intervals, or several runs of keys side by side.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from attrs import field, frozen
from maskkit import Spans

Ints = npt.NDArray[np.integer]

TRIANGLE = 768
"""Rows from which a triangle is one call with the causal flag: of those the fused call skips most of what is blocked,
smaller ones it computes whole."""
_GAP = 32
"""Keys between two runs that cost less to read and block than a second run."""
_TILE = 8
"""Rows of a grid, and columns, that a tile has."""
_ALONE = 128
"""Rows of a block that is like no other, at least, and so a call of its own: where rows grow, or shrink."""
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
        causal: row i sees the first i + 1 keys.
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
    causal: bool = False
    kept: dict[Any, Any] = field(factory=dict, init=False, repr=False)  # what a library makes of it

    @property
    def pairs(self) -> int:
        """Of query and key that are computed, for one head."""
        return self.rows * self.width * self.count // (2 if self.causal else 1)

    def gathered(self, first: int, stop: int) -> Ints:
        """The keys of some of the blocks, (blocks, width), where they are several runs."""
        assert self.runs is not None
        starts = self.runs[first:stop].astype(np.int64)
        return np.concatenate([starts[:, i, None] + np.arange(size) for i, size in enumerate(self.sizes)], axis=1)

    @property
    def sees(self) -> npt.NDArray[np.bool_] | None:
        """Which rows see anything; None if all do."""
        if self.lo is None or self.hi is None:
            return None
        sees = np.any(self.lo < self.hi, axis=0)
        return None if sees.all() else sees


def tiles(spans: Spans) -> Ints | None:
    """An order of the rows in which neighbours on a grid stand together, if the intervals of most rows say that there
    is one: they stand at one distance, which is the width of the grid. Rows of a tile share most of their keys."""
    several = (spans.lo[1:2] < spans.hi[1:2])[0]
    if 2 * several.sum() <= len(several):
        return None
    apart, times = np.unique((spans.lo[1] - spans.lo[0])[several], return_counts=True)
    wide = int(apart[times.argmax()])
    if 2 * times.max() <= len(several) or not _TILE < wide <= len(several) // _TILE:
        return None
    down, across = np.divmod(np.arange(len(several)), wide)
    return np.lexsort((across, down, across // _TILE, down // _TILE))


def layers(spans: Spans, rows: int, apart: bool, triangles: bool = True, exact: bool = False) -> list[list[Call]]:
    """The calls that together compute what the spans of a plane allow.

    Args:
        spans: of all rows.
        rows: of a block.
        apart: compute the first interval of every row, then the second, and so on: as many layers, which are then
            merged by their log-sum-exp. Else a block reads all its runs of keys at once.
        triangles: whether the fused call has a causal flag that saves anything.
        exact: whether the runs of a block are looked for among all its rows, where their intervals do not go together.
    """
    parts = [spans]
    if apart:
        parts = [Spans(spans.lo[i : i + 1], spans.hi[i : i + 1], spans.limit) for i in range(len(spans))]
    return [_Groups(part, rows, triangles, exact).calls() for part in parts]


class _Groups:
    """Blocks by their local picture."""

    def __init__(self, spans: Spans, rows: int, triangles: bool, exact: bool) -> None:
        self.spans, self.exact = spans, exact
        self.found: dict[tuple[Any, ...], list[_Blocks]] = {}
        for start, stop, kind in _pieces(spans):
            lo, hi = int(spans.lo[0, start]), int(spans.hi[0, start])
            if kind == "rectangle" or (kind == "triangle" and triangles and stop - start >= TRIANGLE):
                causal = kind == "triangle"
                width = stop - start if causal else hi - lo
                shape = stop - start, width, (width,), causal
                self._add(shape, None, None, np.array([start]), np.array([lo]), None)
            elif kind != "empty":
                grows = len(spans) == 1 and (spans.lo[0, start] == spans.lo[0, stop - 1])
                self._cut(start, stop, max(rows, _ALONE) if grows else rows)

    def _add(self, shape: tuple[Any, ...], lo: Any, hi: Any, *blocks: Any) -> None:
        picture = None if lo is None else lo.tobytes() + hi.tobytes()
        self.found.setdefault((*shape, picture), []).append(_Blocks(lo, hi, *blocks))

    def _cut(self, start: int, stop: int, rows: int) -> None:
        """The rows in blocks, and a last one of what is left."""
        whole, rest = divmod(stop - start, rows)
        if whole:
            self._blocks(start, whole, rows)
        if rest:
            self._blocks(stop - rest, 1, rest)

    def _blocks(self, start: int, count: int, rows: int) -> None:
        some = slice(start, start + count * rows)
        lo, hi = (ends[:, some].reshape(len(ends), count, rows) for ends in (self.spans.lo, self.spans.hi))
        real = lo < hi
        runs = _runs(lo, hi, real, self.spans.limit, self.exact)
        size = runs.hi - runs.lo  # (runs, blocks)
        width = size.sum(axis=0, dtype=np.int32)
        before = np.cumsum(size, axis=0) - size
        shift = (before[0] - runs.lo[0])[None, :, None]
        for run in range(1, len(runs)):  # side by side, the keys of a run begin where the runs before it end
            inside = lo >= runs.lo[run][None, :, None]
            shift = np.where(inside, (before[run] - runs.lo[run])[None, :, None], shift)
        lo, hi = (np.where(real, ends + shift, 0).astype(np.int32) for ends in (lo, hi))
        queries = start + rows * np.arange(count)
        for blocks in _alike(np.concatenate([width[:, None], *lo, *hi], axis=1)):
            one = blocks[0]
            if not width[one]:
                continue
            picture: tuple[Ints | None, Ints | None] = (lo[:, one], hi[:, one])
            if len(lo) == 1 and not lo[0, one].any() and (hi[0, one] == width[one]).all():
                picture = None, None
            sizes = tuple(int(keys) for keys in size[:, one] if keys)
            starts = runs.lo[: len(sizes), blocks].T if len(sizes) > 1 else None
            self._add((rows, int(width[one]), sizes, False), *picture, queries[blocks], runs.lo[0, blocks], starts)

    def calls(self) -> list[Call]:
        found = []
        for (rows, width, sizes, causal, _), parts in self.found.items():
            queries, keys = (np.concatenate([getattr(part, name) for part in parts]) for name in ("queries", "keys"))
            runs = None if parts[0].runs is None else np.concatenate([part.runs for part in parts])
            for some in _evenly(queries.tolist(), keys.tolist() if runs is None else [0] * len(queries)):
                first, last = some.start, some.stop - 1
                steps = [int(x[first + 1] - x[first]) if last > first else 0 for x in (queries, keys)]
                found.append(
                    Call(
                        rows=rows,
                        width=width,
                        count=last - first + 1,
                        query=int(queries[first]),
                        query_step=steps[0],
                        key=int(keys[first]),
                        key_step=steps[1],
                        runs=None if runs is None else runs[some],
                        sizes=sizes,
                        lo=parts[0].lo,
                        hi=parts[0].hi,
                        causal=causal,
                    )
                )
        return found


class _Blocks(NamedTuple):
    """Blocks of one picture: its intervals, where each begins, and where its runs of keys do if they are several."""

    lo: Ints | None
    hi: Ints | None
    queries: Ints
    keys: Ints
    runs: Ints | None


def _pieces(spans: Spans) -> list[tuple[int, int, str]]:
    """Runs of rows, and what they are: "rectangle", "triangle", "empty", or "cut" for what is cut into blocks."""
    lo, hi = spans.lo, spans.hi
    n = lo.shape[1]
    pace = np.concatenate([np.diff(lo), np.diff(hi)])  # of every end, from row to row
    changes = np.flatnonzero((pace[:, 1:] != pace[:, :-1]).any(axis=0)) + 1
    if len(changes) * (_ROWS_PER_PIECE if len(lo) == 1 else _ROWS_PER_PIECE * 8) > 2 * n:
        return [(0, n, "cut")]
    starts = [0]
    for change in changes.tolist():
        if change > starts[-1]:  # else this is the way from the last row of a piece to the first of the next
            starts.append(change + 1)
    found: list[tuple[int, int, str]] = []
    for start, stop in zip(starts, [*starts[1:], n], strict=True):
        kind = _kind(lo[:, start:stop], hi[:, start:stop])
        small = stop - start < _ROWS_PER_PIECE and kind != "empty"
        if (
            found
            and found[-1][2] == "cut"
            and (small or (kind == "cut" and found[-1][1] - found[-1][0] < _ROWS_PER_PIECE))
        ):
            found[-1] = found[-1][0], stop, "cut"
        else:
            found.append((start, stop, kind))
    return found


def _kind(lo: Ints, hi: Ints) -> str:
    if (lo >= hi).all():
        return "empty"
    rows, keys = lo.shape[1], hi[0, 0] - lo[0, 0]
    if len(lo) > 1 and (lo[1:] < hi[1:]).any():
        return "cut"
    if lo[0, 0] == lo[0, -1] and hi[0, 0] == hi[0, -1]:
        return "rectangle"
    grows = lo[0, 0] == lo[0, -1] and hi[0, -1] - hi[0, 0] == rows - 1
    return "triangle" if grows and keys == 1 else "cut"


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


def _alike(pictures: Ints) -> list[Ints]:
    """The numbers of equal rows, together."""
    whole = np.ascontiguousarray(pictures)
    lines = whole.view(np.dtype((np.void, whole.shape[1] * whole.itemsize))).ravel()
    _, of = np.unique(lines, return_inverse=True)
    order = np.argsort(of, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(of[order])) + 1)


def _evenly(queries: list[int], keys: list[int]) -> Iterator[slice]:
    """Stretches in which queries and keys stand at constant distances, not backwards and not too many."""
    start, n = 0, len(queries)
    while start < n:
        stop = start + 1
        if stop < n and keys[stop] >= keys[start] and queries[stop] > queries[start]:
            steps = queries[stop] - queries[start], keys[stop] - keys[start]
            while (
                stop < min(n, start + _BLOCKS)
                and (queries[stop] - queries[stop - 1], keys[stop] - keys[stop - 1]) == steps
            ):
                stop += 1
        yield slice(start, stop)
        start = stop
