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
from numpy.lib.stride_tricks import as_strided
from maskkit.spans import Column, Spans

_TILE = 64
"""Rows that are painted together, so that the pages they touch are still in the cache for the next interval."""
_BEFORE_DIAGONAL = np.tri(_TILE, _TILE - 1, -1, dtype=np.bool_)


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
        pieces = [piece for lo, hi in spans for piece in _pieces(lo[lead], hi[lead])]
        strokes = [stroke for piece in pieces for stroke in _strokes(*piece)]
        if len(spans) > 1 or elsewhere is not None:
            strokes.sort()
        ground = 0 if elsewhere is not None else len(plane)
        for row, rows, lo, hi, slant in [*strokes, (len(plane), 0, 0, 0, 0)]:
            while ground < row + rows:
                plane[ground : ground + _TILE] = elsewhere
                ground += _TILE
            if slant:
                _slanted(plane[row:, lo:], (rows, hi - lo), slant)[...] = value
            else:
                plane[row : row + rows, lo:hi] = value
        # Diagonals come last: painted first, they would touch every page and leave it cold for the rectangles.
        for row, rows, lo, hi, step_lo, step_hi in pieces:
            if (step_lo, step_hi) in ((0, 1), (1, 0)):
                _paint_diagonal(plane[row : row + rows], lo if step_lo else hi, step_lo, value)


def _pieces(lo: Column, hi: Column) -> Iterator[tuple[int, int, int, int, int, int]]:
    """Runs of rows whose interval moves by constant steps: (first row, rows, lo, hi, step of lo, step of hi)."""
    rows = len(lo)
    step_lo, step_hi = np.diff(lo), np.diff(hi)
    turns = np.flatnonzero((step_lo[1:] != step_lo[:-1]) | (step_hi[1:] != step_hi[:-1])) + 1
    ends = [*turns.tolist(), rows - 1] if rows > 1 else []
    row = 0
    for end in ends:  # rows `row .. end` all differ by the steps at `end - 1`
        if row < end:
            if lo[row] < hi[row] or lo[end] < hi[end]:
                yield row, end + 1 - row, int(lo[row]), int(hi[row]), int(step_lo[end - 1]), int(step_hi[end - 1])
            row = end + 1
    if row < rows and lo[row] < hi[row]:
        yield row, 1, int(lo[row]), int(hi[row]), 0, 0


def _strokes(row: int, rows: int, lo: int, hi: int, step_lo: int, step_hi: int) -> Iterator[tuple[int, ...]]:
    """A piece as rectangles and parallelograms of at most a tile of rows: (row, rows, lo, hi, slant).

    Of triangles, what `_paint_diagonal` does is left out.
    """
    constant = step_lo == step_hi
    triangle = (step_lo, step_hi) in ((0, 1), (1, 0))
    tiles = rows // _TILE * _TILE if triangle else 0
    for first in range(0, tiles if triangle else rows, _TILE):
        size = min(_TILE, rows - first)
        if constant:
            yield row + first, size, lo + first * step_lo, hi + first * step_hi, step_lo
        elif triangle:
            yield row + first, size, lo + (first + size - 1) * step_lo, hi + first * step_hi, 0
        else:
            for i in range(first, first + size):
                yield row + i, 1, lo + i * step_lo, hi + i * step_hi, 0
    for i in range(tiles, rows if triangle else 0):
        yield row + i, 1, lo + i * step_lo, hi + i * step_hi, 0


def _paint_diagonal(out: npt.NDArray[Any], corner: int, step_lo: int, value: Any) -> None:
    """The slanted side of all tiles of a triangle, in one assignment; it starts at key `corner` of the first row.

    Rows gain a key at the right each time (`step_lo == 0`), or lose one at the left.
    """
    tiles = len(out) // _TILE
    if not tiles:
        return
    step = _TILE * (out.strides[0] + out.strides[1])
    diagonal = as_strided(out[:, corner:], (tiles, _TILE, _TILE - 1), (step, *out.strides))
    inside = ~_BEFORE_DIAGONAL if step_lo else _BEFORE_DIAGONAL
    if out.dtype == np.bool_ and value:
        np.logical_or(diagonal, inside, out=diagonal)  # half the time of a masked copy
    else:
        np.copyto(diagonal, value, where=inside)


def _slanted(out: npt.NDArray[Any], shape: tuple[int, int], step: int) -> npt.NDArray[Any]:
    """A view whose row `i` starts `i * step` cells further right."""
    return as_strided(out, shape, (out.strides[0] + step * out.strides[1], out.strides[1]))
