"""Pieces of the rows of a plane, and blocks of those with the keys that they read.

A *piece* is a run of rows in which every end of every interval moves at a constant pace: a rectangle (it stands still),
a triangle (it grows by a key a row), a band (it moves).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from maskkit import Spans

Ints = npt.NDArray[np.integer]
Bools = npt.NDArray[np.bool_]

_GAP = 32
"""Keys between two runs that cost less to read and block than a second run."""
_ROWS_PER_PIECE = 16
"""Fewer rows per piece than this, and pieces are not worth their calls."""


class Pieces(NamedTuple):
    """Pieces, each from row `start` to before row `stop`; not `steady` if there are so many that one of all rows, in
    which ends move anyhow, is better."""

    spans: Spans
    start: Ints
    stop: Ints
    steady: bool

    @classmethod
    def of(cls, spans: Spans) -> Pieces:
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

    def cut(self, some: Bools, rows: int) -> tuple[Ints, Ints]:
        """Blocks of so many rows, and a last one of what is left, of some pieces: first row, and before which."""
        start, stop = self.start[some], self.stop[some]
        count = -(-(stop - start) // rows)
        piece = np.repeat(np.arange(len(count)), count)
        first = start[piece] + rows * (np.arange(len(piece)) - (np.cumsum(count) - count)[piece])
        return first, np.minimum(first + rows, stop[piece])


class Blocks(NamedTuple):
    """Blocks of rows, and what each reads.

    Attributes:
        first, last: the first row, and before which row it ends (blocks).
        runs: the runs of keys, as spans of the blocks.
    """

    first: Ints
    last: Ints
    runs: Spans


def blocks(spans: Spans, rows: int, exact: bool = False) -> Blocks:
    """Blocks of so many rows or fewer; those that see nothing are left out.

    Args:
        exact: whether the runs of a block are looked for among all its rows, where their intervals do not go together;
            else every interval is as good as the hull of its rows'.
    """
    pieces = Pieces.of(spans)
    first, last = pieces.cut(~pieces.kinds()[0], rows)
    if pieces.steady and not exact:  # the first row and the last say all
        some = np.stack([first, last - 1], axis=1)
    else:
        some = np.minimum(first[:, None] + np.arange(rows), last[:, None] - 1)
    lo, hi = spans.lo[:, some], spans.hi[:, some]
    runs = runs_of(lo, hi, lo < hi, spans.limit, exact)
    full = runs.lo[0] < runs.hi[0]
    return Blocks(first[full], last[full], Spans(runs.lo[:, full], runs.hi[:, full], runs.limit))


def runs_of(lo: Ints, hi: Ints, real: npt.NDArray[np.bool_], limit: int, exact: bool = False) -> Spans:
    """The runs of keys that every block reads: no less than its rows see, and no run close to the next."""
    first, last = np.where(real, lo, limit), np.where(real, hi, 0)
    if exact:
        intervals, count, some = lo.shape
        first, last = (ends.swapaxes(1, 2).reshape(intervals * some, count) for ends in (first, last))
    else:  # the hull of every interval: as good where those of neighbours go together, and sooner found
        first, last = first.min(axis=2), last.max(axis=2)
    last = np.where(first < last, last + _GAP, first)
    found = Spans.intervals(first, last).within(limit + _GAP)
    gone = found.lo >= found.hi
    return Spans(np.where(gone, limit, found.lo), np.where(gone, limit, found.hi - _GAP), limit)
