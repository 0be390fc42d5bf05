"""Dense arrays from spans: only what differs from zero is written, by rectangles, parallelograms and triangles.

`numpy.zeros` gives memory that the operating system has cleared already, so the cost of a dense mask is that of the
cells painted, not of the comparisons that would find them. Neighbouring rows whose intervals move by a constant step
form one piece, and a piece is one strided assignment.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt
from maskkit.spans import Column, Spans

Piece = tuple[int, int, int, int, int, int]
"""First row, rows, lo, hi, and how lo and hi move from row to row."""
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
        tile = max(_TILE, _TILE_BYTES * len(plane) // max(1, plane.nbytes) // _TILE * _TILE)
        pieces = [piece for lo, hi in spans for piece in _pieces(lo[lead], hi[lead])]
        strokes = [s for piece, comb in _combs(pieces) for s in _strokes(*piece, tile, comb)]
        if len(spans) > 1 or elsewhere is not None:
            strokes.sort(key=itemgetter(0))
        ground = 0 if elsewhere is not None else len(plane)
        for row, rows, lo, hi, slant, comb in [*strokes, (len(plane), 0, 0, 0, 0, _SINGLE)]:
            while ground < row + rows:
                plane[ground : ground + tile] = elsewhere
                ground += tile
            if slant in _SIDES:
                _paint_diagonal(plane[row : row + rows], lo, slant, value)
            elif slant or comb is not _SINGLE:
                _slanted(plane, row, lo, (rows, hi - lo), slant, comb)[...] = value
            else:
                plane[row : row + rows, lo:hi] = value


def _pieces(lo: Column, hi: Column) -> Iterator[Piece]:
    """Runs of rows whose interval moves by constant steps."""
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


def _combs(pieces: list[Piece]) -> Iterator[tuple[Piece, Comb]]:
    """Equal pieces side by side, a constant distance apart, as the first of them and (how many, distance)."""

    def alike(piece: Piece) -> tuple[int, ...]:
        row, rows, lo, hi, step_lo, step_hi = piece
        return row, rows, step_lo, step_hi, hi - lo

    teeth: list[Piece] = []
    for piece in sorted(pieces, key=lambda piece: (*alike(piece), piece[2])) if len(pieces) > 1 else pieces:
        if teeth and not (
            alike(piece) == alike(teeth[0])
            and piece[4] == piece[5]
            and (len(teeth) == 1 or piece[2] - teeth[-1][2] == teeth[1][2] - teeth[0][2])
        ):
            yield _comb(teeth)
            teeth = []
        teeth.append(piece)
    if teeth:
        yield _comb(teeth)


def _comb(teeth: list[Piece]) -> tuple[Piece, Comb]:
    return teeth[0], (len(teeth), teeth[1][2] - teeth[0][2]) if len(teeth) > 1 else _SINGLE


def _strokes(
    row: int, rows: int, lo: int, hi: int, step_lo: int, step_hi: int, tile: int, comb: Comb
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
    for start in range(0, whole, tile):
        end = min(start + tile, whole)
        for first in range(start, end, _TILE):
            yield row + first, _TILE, lo + (first + _TILE - 1) * step_lo, hi + first * step_hi, 0, _SINGLE
        corner = lo + start if side == "left" else hi + start
        yield row + start, end - start, corner, 0, side, _SINGLE
    for i in range(whole, rows):
        yield row + i, 1, lo + i * step_lo, hi + i * step_hi, 0, _SINGLE


def _paint_diagonal(out: npt.NDArray[Any], corner: int, side: str, value: Any) -> None:
    """The slanted side of some tiles of a triangle, in one assignment; it starts at key `corner` of the first row.

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
