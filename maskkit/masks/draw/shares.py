"""A mask reduced to a grid: each cell is the exact share of allowed positions under it.

From spans this takes time in proportion to the rows, so a million tokens draw as easily as 64.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from attrs import frozen
from maskkit.errors import ConfigError
from maskkit.masks.pattern import Pattern
from maskkit.masks.rows import iterate_rows, plane_of
from maskkit.masks.spans import Spans


@frozen
class Shares:
    """A plane of a mask on a grid.

    Attributes:
        values: (rows, columns), 0 (all blocked) .. 1 (all allowed).
        cell: positions per cell, (rows, columns); cells at the far edges may hold fewer.
        shape: of the plane.
        place: what stands before its last two axes, as "head 3"; empty if nothing does.
    """

    values: npt.NDArray[np.float64]
    cell: tuple[int, int]
    shape: tuple[int, int]
    place: str

    @property
    def exact(self) -> bool:
        """Whether a cell is a single position."""
        return self.cell == (1, 1)

    def scale(self) -> str:
        """What a cell stands for, in words; empty where it is a single position."""
        return "" if self.exact else f"each cell is {self.cell[0]:,} x {self.cell[1]:,}"


def shares(mask: Pattern, rows: int, columns: int) -> list[Shares]:
    """Every plane of a mask, on grids of at most `rows` x `columns` square cells. A mask with one axis is one row."""
    if rows < 1 or columns < 1:
        raise ConfigError(f"a picture needs at least one row and one column, got {rows} x {columns}")
    height, width = (1, *mask.shape)[-2:]
    side = max(math.ceil(height / rows), math.ceil(width / columns))
    cell = (min(side, height), min(side, width))
    counts: dict[tuple[int, ...], npt.NDArray[np.int64]] = {}
    grid = (math.ceil(height / cell[0]), math.ceil(width / cell[1]))
    for plane, chunk, allowed in iterate_rows(mask):
        total = counts.setdefault(plane, np.zeros(grid, np.int64))
        first = np.arange(chunk.start, chunk.stop) // cell[0]
        (_add_spans if isinstance(allowed, Spans) else _add_bools)(total, first, allowed, cell[1])
    sizes = [np.diff(np.append(np.arange(0, n, c), n)) for n, c in zip((height, width), cell, strict=True)]
    area = np.outer(*sizes)
    made = [total / area for total in counts.values()]
    names = mask.axes[:-2]
    return [
        Shares(made[of], cell, (height, width), ", ".join(f"{a} {i}" for a, i in zip(names, plane, strict=True)))
        for plane, of in np.ndenumerate(plane_of(mask))
    ]


def _add_spans(total: npt.NDArray[np.int64], grid_row: npt.NDArray[np.int64], spans: Any, width: int) -> None:
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
            total += sign * (inside[:, :-1].astype(np.int64) + width * beyond[:, 1:])


def _add_bools(total: npt.NDArray[np.int64], grid_row: npt.NDArray[np.int64], allowed: Any, width: int) -> None:
    """Add the allowed positions of some rows, from booleans."""
    per_row = np.add.reduceat(allowed, np.arange(0, allowed.shape[1], width), axis=1, dtype=np.int64)
    np.add.at(total, grid_row, per_row)
