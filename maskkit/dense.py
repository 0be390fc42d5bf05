"""Dense arrays from spans: only what differs from zero is written, by rectangles, parallelograms and triangles.

`numpy.zeros` gives memory that the operating system has cleared already, so the cost of a dense mask is that of the
cells painted, not of the comparisons that would find them. Neighbouring rows whose intervals move by a constant step
form one piece, and a piece is one strided assignment.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from maskkit.spans import Column, Spans

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.integer[Any]]
Comb = tuple[int, int]
"""How many equal pieces stand side by side, and their distance."""
_SINGLE: Comb = (1, 0)

_TILE = 64
"""The least number of rows that are painted together, and the side of the tiles of a triangle."""
_TILE_BYTES = 2**20
"""Short rows are painted together up to here; the pages they touch are still in the cache for the next interval."""
_SIDES = {"right": np.tri(_TILE, _TILE - 1, -1, dtype=np.bool_), "left": ~np.tri(_TILE, _TILE - 1, -1, dtype=np.bool_)}
"""What a triangle holds of the tiles on its slanted side."""


def paint(out: npt.NDArray[Any], spans: Spans, value: Any, elsewhere: Any = None) -> None:
    """Write `value` wherever the spans allow.

    Args:
        out: C-contiguous array (..., rows, keys).
        spans: rows of shape `out.shape[:-1]`, limit `out.shape[-1]`.
        value: a scalar that `out` can hold.
        elsewhere: what to write into every other cell, a few rows ahead of the brush; None leaves them as they are.
    """
    for lead in np.ndindex(*spans.shape[:-1]):
        plane = out[lead]
        if not plane.size:
            continue
        tile = max(_TILE, _TILE_BYTES * len(plane) // plane.nbytes // _TILE * _TILE)
        pieces = _pieces(*(ends[(slice(None), *lead)] for ends in (spans.lo, spans.hi)))
        strokes = [stroke for piece in pieces for stroke in _strokes(*piece, tile)]
        # Diagonals come last: painted first, they would touch every page and leave it cold for the rectangles.
        strokes.sort(key=lambda stroke: (stroke[4] in _SIDES, stroke[0]))
        if elsewhere is None:
            ground = len(plane)
        else:
            ground, blank = 0, np.full(plane.shape[1], elsewhere, plane.dtype)  # copied faster than a scalar is spread
        for row, rows, lo, hi, slant, comb in [*strokes, (len(plane), 0, 0, 0, 0, _SINGLE)]:
            while ground < row + rows:
                plane[ground : ground + tile] = blank
                ground += tile
            if slant in _SIDES:
                _paint_diagonal(plane[row : row + rows], lo, slant, value)
            elif slant or comb != _SINGLE:
                _slanted(plane, row, lo, (rows, hi - lo), slant, comb)[...] = value
            else:
                plane[row : row + rows, lo:hi] = value


def _pieces(lo: Column, hi: Column) -> list[tuple[int, int, int, int, int, int, Comb]]:
    """Bands of rows in which every interval moves by constant steps; equal ones a constant distance apart as combs.

    First row, rows, lo, hi, how lo and hi move from row to row, and the comb.
    """
    turns = np.zeros(max(lo.shape[1] - 1, 0), np.bool_)
    for ends in (lo, hi):
        step = np.diff(ends)
        turns[1:] |= (step[:, 1:] != step[:, :-1]).any(axis=0)
    row, rows = _runs(np.zeros_like(turns), turns)
    last = row + rows - 1
    # One line of all intervals, band by band, and in a band from left to right.
    left, right, left_end, right_end = (ends[:, at].T.ravel() for at in (row, last) for ends in (lo, hi))
    row, rows = (np.repeat(x, len(lo)) for x in (row, rows))
    fields = np.stack([row, rows, left, right, left_end - left, right_end - right])
    fields = fields[:, (left < right) | (left_end < right_end)]
    if not fields.size:
        return []
    fields[4:] //= np.maximum(fields[1] - 1, 1)
    row, rows, left, right, step_lo, step_hi = fields
    alike = np.stack([row, right - left, step_lo, step_hi])
    apart = (alike[:, 1:] != alike[:, :-1]).any(axis=0) | (step_lo != step_hi)[1:]
    gap = np.diff(left)
    first, teeth = _runs(apart, np.append(False, gap[1:] != gap[:-1])[: len(gap)])
    distance = np.append(gap, 0)[first] * (teeth > 1)
    combs = zip(teeth.tolist(), distance.tolist(), strict=True)
    return [(*piece, comb) for piece, comb in zip(fields[:, first].T.tolist(), combs, strict=True)]


def _runs(apart: Bools, fresh: Bools) -> tuple[Ints, Ints]:
    """Items in a line cut into runs of even steps, each as long as it can be, from the first item on.

    `apart` says which steps join nothing, `fresh` which differ from the step before; there is one item more than steps.
    Returns the first item of every run, and how many it has.
    """
    items = len(apart) + 1
    begins = fresh | apart
    begins[:1] = True
    begins[1:] |= apart[:-1]
    start = np.flatnonzero(begins)  # stretches of equal steps
    end = np.append(start[1:], len(apart))[: len(start)]
    # Two stretches share an item, which is the earlier one's. A stretch of one step is then left with a single item,
    # and so gives way to the next: of several such in a row every other one is a run.
    joins = ~apart[start]
    known = ~joins | (end - start > 1)
    known[:1] = True
    number = np.arange(len(start))
    latest = np.maximum.accumulate(np.where(known, number, 0))
    is_run = ((number - latest) % 2 == 0) == joins[latest]
    late = np.append(False, is_run)[:-1]
    first, size = (start + late)[is_run], (end + 1 - start - late)[is_run]
    change = np.zeros(items + 1, np.int8)
    change[first] += 1
    change[first + size] -= 1
    alone = np.flatnonzero(np.cumsum(change[:-1]) == 0)
    return np.append(first, alone), np.append(size, np.ones_like(alone))


def _strokes(
    row: int, rows: int, lo: int, hi: int, step_lo: int, step_hi: int, comb: Comb, tile: int
) -> Iterator[tuple[Any, ...]]:
    """A piece as strokes of at most `tile` rows: (row, rows, lo, hi, slant, comb).

    A slant is the step of a parallelogram, 0 for a rectangle; of a triangle the side that slants.
    """
    if step_lo == step_hi:
        for first in range(0, rows, tile):
            yield row + first, min(tile, rows - first), lo + first * step_lo, hi + first * step_hi, step_lo, comb
        return
    side = {(1, 0): "left", (0, 1): "right"}.get((step_lo, step_hi))
    whole = rows // _TILE * _TILE if side else 0
    for first in range(0, whole, _TILE):
        yield row + first, _TILE, lo + (first + _TILE - 1) * step_lo, hi + first * step_hi, 0, _SINGLE
    if whole:
        yield row, whole, lo if side == "left" else hi, 0, side, _SINGLE
    for i in range(whole, rows):
        yield row + i, 1, lo + i * step_lo, hi + i * step_hi, 0, _SINGLE


def _paint_diagonal(out: npt.NDArray[Any], corner: int, side: str, value: Any) -> None:
    """The slanted side of all tiles of a triangle, in one assignment; it starts at key `corner` of the first row.

    Rows gain a key at the right each time, or lose one at the left.
    """
    down, right = out.strides
    shape, strides = (len(out) // _TILE, _TILE, _TILE - 1), (_TILE * (down + right), down, right)
    diagonal: npt.NDArray[Any] = np.ndarray(shape, out.dtype, out.data, corner * right, strides)
    if out.dtype == np.bool_ and value:
        np.logical_or(diagonal, _SIDES[side], out=diagonal)  # half the time of a masked copy
    else:
        np.copyto(diagonal, value, where=_SIDES[side])


def _slanted(
    plane: npt.NDArray[Any], row: int, lo: int, shape: tuple[int, int], step: int, comb: Comb
) -> npt.NDArray[Any]:
    """A view from `plane[row, lo]` on, repeated as the comb says, whose rows each start `step` cells further right.

    Made by the constructor, which takes a tenth of the time of `as_strided`: there may be thousands.
    """
    (down, right), (count, distance) = plane.strides, comb
    strides = (down + step * right, distance * right, right)
    return np.ndarray((shape[0], count, shape[1]), plane.dtype, plane.data, row * down + lo * right, strides)
