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
"""Rows of a triangle that are painted as one rectangle and one diagonal tile."""
_BEFORE_DIAGONAL = np.tri(_TILE, _TILE - 1, -1, dtype=np.bool_)


def paint(out: npt.NDArray[Any], spans: Spans, value: Any) -> None:
    """Write `value` wherever the spans allow.

    Args:
        out: C-contiguous array (..., rows, keys); every other cell is left as it is.
        spans: rows of shape `out.shape[:-1]`, limit `out.shape[-1]`.
        value: a scalar that `out` can hold.
    """
    for lead in np.ndindex(*spans.shape[:-1]):
        for lo, hi in spans:
            for first, rows, a, b, step_a, step_b in _pieces(lo[lead], hi[lead]):
                _paint_piece(out[lead][first : first + rows], a, b, step_a, step_b, value)


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


def _paint_piece(out: npt.NDArray[Any], lo: int, hi: int, step_lo: int, step_hi: int, value: Any) -> None:
    """Paint row `i` of `out` over `lo + i * step_lo .. hi + i * step_hi`."""
    rows = len(out)
    if rows == 1 or step_lo == step_hi == 0:
        out[:, lo:hi] = value
    elif step_lo == step_hi:
        _slanted(out[:, lo:], (rows, hi - lo), step_lo)[...] = value
    elif step_lo in (0, 1) and step_hi in (0, 1):
        _paint_triangle(out, lo, hi, step_lo, value)
    else:
        for i in range(rows):
            out[i, max(lo + i * step_lo, 0) : max(hi + i * step_hi, 0)] = value


def _paint_triangle(out: npt.NDArray[Any], lo: int, hi: int, step_lo: int, value: Any) -> None:
    """Rows that gain a key at the right each time (`step_lo == 0`), or lose one at the left (`step_lo == 1`)."""
    tiles, rest = divmod(len(out), _TILE)
    whole = tiles * _TILE
    if tiles:
        for row in range(0, whole, _TILE):
            rectangle = slice(lo + row + _TILE - 1, hi) if step_lo else slice(lo, hi + row)
            out[row : row + _TILE, rectangle] = value
        # The diagonal comes last: painted first, it would touch every page and leave it cold for the rectangles.
        corner = lo if step_lo else hi  # where the slanted side starts in the first row
        diagonal = as_strided(
            out[:, corner:],
            (tiles, _TILE, _TILE - 1),
            (_TILE * (out.strides[0] + out.strides[1]), *out.strides),
        )
        inside = _BEFORE_DIAGONAL if step_lo == 0 else ~_BEFORE_DIAGONAL
        if out.dtype == np.bool_ and value:
            np.logical_or(diagonal, inside, out=diagonal)  # half the time of a masked copy
        else:
            np.copyto(diagonal, value, where=inside)
    for row in range(whole, whole + rest):
        out[row, lo + row * step_lo : hi + row * (1 - step_lo)] = value


def _slanted(out: npt.NDArray[Any], shape: tuple[int, int], step: int) -> npt.NDArray[Any]:
    """A view whose row `i` starts `i * step` cells further right."""
    return as_strided(out, shape, (out.strides[0] + step * out.strides[1], out.strides[1]))
