"""Orders of a grid's rows in which those that share keys stand together, found from the spans alone."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from maskkit import Spans
from maskkit_blocks.pieces import Ints

_TILE = 8
"""Columns of a grid that a strip has, and columns and rows of a tile."""


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
        place = before + np.append(0, np.cumsum(seen))
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
