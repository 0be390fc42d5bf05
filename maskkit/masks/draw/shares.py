"""A mask reduced to a grid: each cell is the exact share of allowed positions under it.

From spans this takes time in proportion to the rows, so a million tokens draw as easily as 64.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from attrs import frozen
from maskkit import limits
from maskkit.errors import ConfigError
from maskkit.masks.pattern import Pattern
from maskkit.masks.rows import iterate_rows, plane_of, planes, spans_of
from maskkit.masks.spans import Spans

FEW = 4
"""Planes of a batch or of heads that a picture shows, where nothing else is asked for."""


@frozen
class Shares:
    """A plane of a mask on a grid.

    Attributes:
        values: (rows, columns), 0 (all blocked) .. 1 (all allowed).
        cell: positions per cell, (rows, columns); cells at the far edges may hold fewer.
        shape: of the plane.
        step: every how many rows and keys were looked at, (1, 1) where all were.
        place: what stands before its last two axes, as "head 3"; empty if nothing does.
    """

    values: npt.NDArray[np.float64]
    cell: tuple[int, int]
    shape: tuple[int, int]
    step: tuple[int, int]
    place: str

    @property
    def exact(self) -> bool:
        """Whether a cell is a single position."""
        return self.cell == (1, 1)

    def scale(self) -> str:
        """What a cell stands for, in words; empty where it is a single position."""
        if self.exact:
            return ""
        sampled = [f"{what} in {step:,}" for what, step in zip(("row", "key"), self.step, strict=True) if step > 1]
        looked_at = f", of which one {' and one '.join(sampled)} is looked at" if sampled else ""
        return f"each cell is {self.cell[0]:,} x {self.cell[1]:,}{looked_at}"


_MOST_ROWS, _MOST_POSITIONS = 2**22, 2**32
"""So many rows with spans, or positions without, are all looked at; of more a sample."""
_SAMPLE, _SAMPLED_ROWS, _BOOLEAN_ROWS = 2**25, 2**19, 2**17


def _steps(mask: Pattern, height: int, width: int) -> tuple[int, int]:
    """Every how many rows and keys of a mask are looked at, so that it is drawn in about a second."""
    many = len(planes(mask))
    if height * many <= _MOST_ROWS and height * width * many <= _MOST_POSITIONS:
        return 1, 1
    some = np.linspace(0, height - 1, min(height, limits.few_intervals // limits.intervals + 1)).astype(np.int64)
    if spans_of(mask, planes(mask)[0], some) is not None:
        return (max(1, height * many // _SAMPLED_ROWS), 1) if height * many > _MOST_ROWS else (1, 1)
    if height * width * many <= _MOST_POSITIONS:
        return 1, 1
    most = max(1, _SAMPLE // many)
    side = math.isqrt(most)  # where there are fewer of one, more of the other
    rows, keys = min(_BOOLEAN_ROWS, max(side, most // min(width, side))), max(side, most // min(height, side))
    return -(-height // rows), -(-width // keys)


def shares(mask: Any, rows: int, columns: int) -> list[Shares]:
    """Every plane of a mask, on grids of at most `rows` x `columns` square cells. A mask with one axis is one row."""
    if rows < 1 or columns < 1:
        raise ConfigError(f"a picture needs at least one row and one column, got {rows} x {columns}")
    height, width = (1, *mask.shape)[-2:]
    side = max(-(-height // rows), -(-width // columns))
    step = _steps(mask, height, width)
    side = -(-side // max(step)) * max(step)
    cell = (min(side, height), min(side, width))
    seen = mask if max(step) == 1 else mask[(..., *(slice(None, None, s) for s in step[-len(mask.shape) :]))]
    counts: dict[tuple[int, ...], npt.NDArray[np.float64]] = {}  # of large masks beyond 64 bits
    size = [-(-n // s) for n, s in zip((height, width), step, strict=True)]
    part = [-(-c // s) for c, s in zip(cell, step, strict=True)]  # of a cell, what is seen
    grid = [-(-n // c) for n, c in zip(size, part, strict=True)]
    for plane, chunk, allowed in iterate_rows(seen):
        total = counts.setdefault(plane, np.zeros(grid))
        first = np.arange(chunk.start, chunk.stop) // part[0]
        (_add_spans if isinstance(allowed, Spans) else _add_bools)(total, first, allowed, part[1])
    sizes = [np.diff(np.append(np.arange(0, n, c), n)) for n, c in zip(size, part, strict=True)]
    area = np.outer(*(one.astype(float) for one in sizes))
    made = [total / area for total in counts.values()]
    names = mask.axes[:-2]
    return [
        Shares(made[of], cell, (height, width), step, ", ".join(f"{a} {i}" for a, i in zip(names, plane, strict=True)))
        for plane, of in np.ndenumerate(plane_of(seen))
    ]


def _add_spans(total: npt.NDArray[np.float64], grid_row: npt.NDArray[np.int64], spans: Any, width: int) -> None:
    """Add the allowed positions of some rows, from the ends of their intervals.

    An interval `[lo, hi)` gives cell `c` the part of it below `hi` less the part below `lo`. The part of a cell below a
    key x is all of it for cells left of `x // width`, and `x % width` positions for that cell itself.
    """
    columns = total.shape[1]
    for lo, hi in spans:
        for end, sign in ((hi, 1), (lo, -1)):
            place = grid_row * (columns + 1) + end // width
            cells = len(total) * (columns + 1)
            inside = np.bincount(place, weights=end % width, minlength=cells).reshape(len(total), -1)
            ends = np.bincount(place, minlength=cells).reshape(len(total), -1)
            beyond = ends[:, ::-1].cumsum(axis=1)[:, ::-1]  # ends in this cell or right of it
            total += sign * (inside[:, :-1] + float(width) * beyond[:, 1:])


def _add_bools(total: npt.NDArray[np.float64], grid_row: npt.NDArray[np.int64], allowed: Any, width: int) -> None:
    """Add the allowed positions of some rows, from booleans."""
    per_row = np.add.reduceat(allowed, np.arange(0, allowed.shape[1], width), axis=1, dtype=np.int64)
    np.add.at(total, grid_row, per_row)
