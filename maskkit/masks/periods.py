"""Patterns that repeat: row q + period is row q, moved by as many keys. Then all rows follow from a few."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from maskkit.masks.pattern import Pattern
from maskkit.masks.spans import Spans

_FEW_PERIODS = 4
"""So many periods a mask must have before its rows are taken from each other; two of them are computed."""


def period_of(pattern: Pattern, multiple: int = 1) -> int:
    """The period of a pattern, and of groups of so many rows, if most rows can be had from some by it; else 0."""
    period = math.lcm(pattern.period, multiple)
    return period if period and period * _FEW_PERIODS <= pattern.shape[-2] and period <= pattern.shape[-1] else 0


def sampled_rows(rows: int, keys: int, period: int) -> npt.NDArray[np.int64]:
    """Rows `(parts, period)` of a mask with this period that say all: in each part key - row goes on where it ended.

    Column i holds rows i, i + period, ...
    """
    first = np.arange(period)
    last = first + (rows - 1 - first) // period * period
    parts = range(int(last[0]), 0, -(keys // period * period))
    return np.stack([*(np.minimum(first + start, last) for start in parts), first])


def unrolled(spans: Spans, rows: npt.NDArray[np.int64]) -> tuple[Spans, int]:
    """The first period of rows, prolonged to both sides as far as any row sees it, from the spans of `sampled_rows`.

    Returns it, and which number key 0 has in it.
    """
    parts, period = rows.shape
    origin = int(rows[0, 0])
    shape = len(spans), parts, period
    moved = rows - rows[-1]
    ends = np.append(rows[:-1] - rows[1:], np.full((1, period), spans.limit), axis=0)
    lo = spans.lo.reshape(shape) - moved
    hi = np.minimum(spans.hi.reshape(shape), ends) - moved
    lo, hi = ((end + origin).swapaxes(0, 1).reshape(-1, period) for end in (lo, hi))
    return Spans.cut(lo, hi, origin + spans.limit), origin
