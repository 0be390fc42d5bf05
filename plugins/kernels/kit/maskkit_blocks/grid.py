"""Orders of a grid's rows in which those that share keys stand together, found from the spans alone."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from maskkit import Spans
from maskkit_blocks.pieces import Ints

_TILE = 8
"""Columns of a grid that a strip has, and columns and rows of a tile."""


class Runs(NamedTuple):
    """Places of a grid's strips: `width` from `start` on, as many a `step` further, in so many `lines`; and the same of
    each of `strips`, which stand `apart`."""

    start: int
    width: int
    step: int
    lines: int
    apart: int = 0
    strips: int = 1

    @property
    def size(self) -> int:
        """Places of a strip."""
        return self.width * self.lines

    def with_next(self, other: Runs) -> Runs | None:
        """Both, if the other is the next strip."""
        apart = other.start - self.start - self.apart * (self.strips - 1)
        alike = other[1:4] == self[1:4] and apart > 0 and (self.strips == 1 or apart == self.apart)
        return self._replace(apart=apart, strips=self.strips + 1) if alike else None


class Strips(NamedTuple):
    """Strips of few columns, under one pattern: neighbours down and across stand close together in each.

    Attributes:
        queries: their places in the grid.
        keys: the keys that each strip sees, ascending; neighbours share some.
        spans: of the queries of each as places among its keys.
    """

    queries: Runs
    keys: Runs
    spans: Spans


def strips(spans: Spans) -> list[Strips]:
    """Strips of a grid; none if `grid_width` finds no grid, or one in whose lines the intervals do not stay."""
    wide = grid_width(spans)
    if wide is None or spans.shape[0] % wide or spans.limit % wide:
        return []
    lo, hi = (ends.reshape(len(spans), -1, wide) for ends in (spans.lo, spans.hi))
    real = lo < hi
    line, left = np.divmod(lo, wide)
    right = hi - line * wide
    firsts = np.arange(0, wide, _TILE)
    begin = np.minimum.reduceat(np.where(real, left, wide).min(axis=(0, 1)), firsts).tolist()
    end = np.maximum.reduceat(np.where(real, right, 0).max(axis=(0, 1)), firsts).tolist()
    if max(end) > wide or min(end) == 0:
        return []
    found: list[Strips] = []
    for first, start, stop in zip(firsts.tolist(), begin, end, strict=True):
        some = np.s_[:, :, first : first + _TILE]
        width = stop - start
        low, high = (
            np.where(real[some], line[some] * width + ends[some] - start, 0).reshape(len(spans), -1)
            for ends in (left, right)
        )
        own = Spans.cut(low, high, spans.limit // wide * width)
        one = Strips(
            Runs(first, own.shape[0] // lo.shape[1], wide, lo.shape[1]),
            Runs(start, width, wide, spans.limit // wide),
            own,
        )
        found[-1:] = _joined(found[-1], one) if found else [one]
    return found


def _joined(last: Strips, one: Strips) -> list[Strips]:
    """Both as one, if they have one pattern."""
    if np.array_equal(last.spans.lo, one.spans.lo) and np.array_equal(last.spans.hi, one.spans.hi):
        queries, keys = last.queries.with_next(one.queries), last.keys.with_next(one.keys)
        if queries and keys:
            return [Strips(queries, keys, one.spans)]
    return [last, one]


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
