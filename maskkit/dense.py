"""Dense arrays from spans: every row is a piece of a strip, and the strip slides along under the rows.

Neighbouring rows whose intervals all move by constant steps form one band. In a band the row of a document, of a causal
mask or of a window is the same strip of cells seen through a window that stays or moves: copying it from there takes
one strided assignment for many rows, and every cell is written once. Two kinds of masks need no bands: where all rows
are one row moved anyhow (a neighborhood), and where most rows are the one before (blocks).

For a large array `numpy.zeros` gives memory that the operating system has cleared already, so only what differs from
zero is written. For a small one it has to clear memory itself, and then it is as quick to write zeros between.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import groupby, pairwise
from operator import ge, sub
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from maskkit.spans import Column, Spans

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.integer[Any]]

_TILE = 64
"""The least number of rows that are painted together."""
_TILE_BYTES = 2**21
"""Short rows are painted together up to here; the pages they touch are still in the cache for the next strip."""
_GAP_BYTES = 2**18
"""A gap of a tile is left out from here on; copying a smaller one takes less time than another assignment."""
_FEW_EDGES = 16
"""Up to so many edges that stay, what lies between them is written apart."""
_STAIRS = 16
"""One row of so many may differ from the one before, and the others need no look at how they move."""
_KEPT_BYTES = 2**25
"""Up to here the C library (glibc) keeps memory for the next array instead of asking the system for cleared one."""
_PIECE_BYTES = 2**14
"""What the C library (glibc) copies at once it copies the faster the longer it is, up to here."""
_PAGE = 2**12
"""Cells between intervals up to which leaving them out saves nothing."""


class _Strip(NamedTuple):
    """The columns `left .. right - 1` of a band, whose edges all move by `step` from row to row.

    `edges` are the places, in the first row, where painted cells begin and end in turn; `painted` says what comes
    before the first.
    """

    left: int
    right: int
    step: int
    edges: list[int]
    painted: bool


def blank(shape: tuple[int, ...], dtype: npt.DTypeLike, cleared: bool) -> tuple[npt.NDArray[Any], bool]:
    """Memory for an array, and whether it is cleared: where it costs nothing it always is."""
    cleared = cleared or math.prod(shape) * np.dtype(dtype).itemsize > _KEPT_BYTES
    return (np.zeros if cleared else np.empty)(shape, dtype), cleared


def paint(out: npt.NDArray[Any], spans: Spans, value: Any, complement: bool = False, cleared: bool = True) -> None:
    """Write `value` wherever the spans allow, or with `complement` wherever they do not, and zeros elsewhere.

    Args:
        out: C-contiguous array (..., rows, keys).
        spans: rows of shape `out.shape[:-1]`, limit `out.shape[-1]`.
        value: a scalar that `out` can hold.
        complement: whether to paint the other cells.
        cleared: whether `out` is all zeros, and these need not be written.
    """
    for lead in np.ndindex(*spans.shape[:-1]):
        plane, lo, hi = out[lead], *(ends[(slice(None), *lead)] for ends in (spans.lo, spans.hi))
        if not plane.size:
            continue
        if _alike(lo, hi):
            _paint_alike(plane, lo, hi, value, complement, cleared)
        elif (first := _stairs(lo, hi)) is not None:
            _paint_stairs(plane, first, lo[:, first], hi[:, first], value, complement, cleared)
        else:
            for row, rows, edges, steps in _bands(lo, hi):
                band = plane[row : row + rows]
                if len(edges) <= _FEW_EDGES and not any(steps):
                    _repeat(band, edges, value, complement, cleared)
                else:
                    _paint_band(band, _strips(edges, steps, plane.shape[1], complement), value, cleared)


def slide(out: npt.NDArray[Any], edges: list[int], value: Any, complement: bool = False, cleared: bool = True) -> None:
    """Write `value` where `edges[0] <= key - row < edges[1]`, or between any other two, or with `complement` elsewhere.

    Args:
        out: array (rows, keys), its rows contiguous.
        edges: in ascending order.
        value, complement, cleared: as for `paint`.
    """
    _paint_band(out, [_Strip(0, out.shape[1], 1, edges, complement)], value, cleared)


def filled(out: npt.NDArray[Any], value: Any, multiple: int = 1) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    """The first row and the array of some rows at a time, all `value`: what is written next meets them in the cache.

    Args:
        out: array (rows, keys).
        value: a scalar that it can hold.
        multiple: of so many rows, but for the last ones.
    """
    line = np.full(out.shape[1], value, out.dtype)  # a row is copied in less time than a scalar is spread
    tile = max(_tile_rows(line.nbytes) // multiple, 1) * multiple
    for row in range(0, len(out), tile):
        part = out[row : row + tile]
        part[...] = line
        yield row, part


def _tile_rows(row_bytes: int) -> int:
    """Rows whose memory stays in the cache until everything is painted in them."""
    return max(_TILE, _TILE_BYTES // row_bytes // _TILE * _TILE)


def last_end(spans: Spans) -> int:
    """Behind the last key that any row sees."""
    return max(int(np.where(lo < hi, hi, 0).max(initial=0)) for lo, hi in spans)


def _alike(lo: Column, hi: Column) -> bool:
    """Whether every row is the first one moved, without a gap that were better left out."""
    first = lo[0]
    if first[0] == first[-1] or (lo[1:, 0] - hi[:-1, 0]).max(initial=0) > _PAGE:
        return False
    return all((apart == apart[:, :1]).all() for apart in (hi - first, lo - first))


def _paint_alike(out: npt.NDArray[Any], lo: Column, hi: Column, value: Any, complement: bool, cleared: bool) -> None:
    """Put the same cells into every row, each time at another place."""
    (rows, keys), size = out.shape, out.itemsize
    starts, ends = (lo[:, 0] - lo[0, 0]).tolist(), (hi[:, 0] - lo[0, 0]).tolist()
    length = ends[-1]
    cells = np.full(length, value if complement else 0, out.dtype)
    for start, end in zip(starts, ends, strict=True):
        cells[start:end] = 0 if complement else value
    places = lo[0] + np.arange(rows) * keys
    windows = np.ndarray((rows * keys - length + 1, length), out.dtype, out, 0, (size, size))
    if complement:
        for row, part in filled(out, value):
            windows[places[row : row + len(part)]] = cells
    else:
        if not cleared:
            out[...] = 0
        windows[places] = cells


def _stairs(lo: Column, hi: Column) -> Ints | None:
    """Where most rows are the same as the one before, the first of all that are the same."""
    if len(lo) * 2 > _FEW_EDGES:
        return None
    differs = (lo[:, 1:] != lo[:, :-1]).any(axis=0) | (hi[:, 1:] != hi[:, :-1]).any(axis=0)
    changes = np.flatnonzero(differs) + 1
    return np.append(0, changes) if len(changes) * _STAIRS < lo.shape[1] else None


def _paint_stairs(
    out: npt.NDArray[Any], first: Ints, lo: Column, hi: Column, value: Any, complement: bool, cleared: bool
) -> None:
    """Write some rows, each again and again up to the first of the next."""
    bands = zip(first.tolist(), [*first[1:].tolist(), len(out)], strict=True)
    if cleared:
        edges = np.stack([lo, hi], axis=1).reshape(-1, len(first)).T.tolist()
        for (row, behind), edges_here in zip(bands, edges, strict=True):
            _repeat(out[row:behind], edges_here, value, complement, cleared)
        return
    keys = out.shape[1]
    unit = np.gcd.reduce(np.stack([lo, hi]), axis=None, initial=keys)  # in blocks of so many keys all are alike
    lines = Spans(lo // unit, hi // unit, keys // unit).to_bool() != complement
    if out.dtype != np.bool_:
        lines = np.where(lines, value, out.dtype.type(0))
    for (row, behind), some in zip(bands, _several(lines.repeat(unit, axis=1)), strict=True):
        _spread(out[row:behind], some)


def _repeat(band: npt.NDArray[Any], edges: list[int], value: Any, complement: bool, cleared: bool) -> None:
    """The same row again and again."""
    line = np.zeros(band.shape[1], band.dtype)
    stretches = [*zip(*_stretches(edges, complement, 0, len(line)), strict=True)]
    for start, end in stretches:
        line[start:end] = value
    if cleared:
        for start, end in stretches:
            band[:, start:end] = line[start:end]
    else:
        _spread(band, _several(line[None])[0] if len(band) > 1 else line)


def _several(lines: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Each row as often as makes a long one: memory is copied twice as fast in pieces of 16 KiB as of 4."""
    count, keys = lines.shape
    times = max(1, _PIECE_BYTES // (keys * lines.itemsize))
    return np.broadcast_to(lines[:, None], (count, times, keys)).reshape(count, -1)


def _spread(band: npt.NDArray[Any], some: npt.NDArray[Any]) -> None:
    """Write a row, here given several times over, again and again."""
    rows, keys = band.shape
    rest = rows % (len(some) // keys)
    if rest:
        band[rows - rest :] = some[:keys]
    band[: rows - rest].reshape(-1, len(some))[...] = some


def _paint_band(band: npt.NDArray[Any], strips: list[_Strip], value: Any, cleared: bool) -> None:
    rows, size = len(band), band.itemsize
    tile = _tile_rows(band.shape[1] * size)
    patterns = [
        (
            strip,
            _pattern(strip, rows, band.dtype, value),
            [*_pieces(strip, tile * size)] if cleared else [(strip.left, 0, strip.right, 0)],
        )
        for strip in strips
    ]
    for first in range(0, rows, tile):
        last = min(first + tile, rows) - 1
        for strip, pattern, pieces in patterns:
            for piece in pieces:
                _copy(band, strip, pattern, piece, first, last)


def _copy(
    band: npt.NDArray[Any],
    strip: _Strip,
    pattern: npt.NDArray[Any],
    piece: tuple[int, int, int, int],
    first: int,
    last: int,
) -> None:
    """Write a piece of a strip in the rows `first .. last`."""
    start, start_step, end, end_step = piece
    lo = max(start + start_step * (first if start_step > 0 else last), strip.left)
    hi = min(end + end_step * (last if end_step > 0 else first), strip.right)
    moves, size = 0, band.itemsize
    if start_step == end_step and hi - lo == end - start + abs(end_step) * (last - first):
        # It keeps its width and stays within the strip: only its own cells are written.
        moves, lo, hi = start_step, start + start_step * first, end + end_step * first
    if lo < hi:
        shape, line = (last + 1 - first, hi - lo), band.strides[0]
        cells = np.ndarray(shape, band.dtype, band, first * line + lo * size, (line + moves * size, size))
        # Where column 0 of row `first` stands in the pattern; every row starts `step` cells before the last one.
        origin = max(strip.step * (len(band) - 1), 0) - strip.left - strip.step * first
        cells[...] = np.ndarray(shape, band.dtype, pattern, (origin + lo) * size, ((moves - strip.step) * size, size))


def _pattern(strip: _Strip, rows: int, dtype: Any, value: Any) -> npt.NDArray[Any]:
    """The cells of a strip over which its rows slide."""
    reach = strip.step * (rows - 1)
    shift = max(reach, 0) - strip.left
    pattern = np.zeros(strip.right - strip.left + abs(reach), dtype)
    edges = [edge + shift for edge in strip.edges] if shift else strip.edges
    for start, end in zip(*_stretches(edges, strip.painted, 0, len(pattern)), strict=True):
        pattern[start:end] = value
    return pattern


def _pieces(strip: _Strip, column_bytes: int) -> Iterator[tuple[int, int, int, int]]:
    """What to write of a strip: from where and to where in the first row, and how both move."""
    starts, ends = _stretches(strip.edges, strip.painted, strip.left, strip.right)
    least_gap = _GAP_BYTES // column_bytes
    if not strip.step and all(map(ge, starts, ends)):
        return
    firsts = [i for i, gap in enumerate(map(sub, starts[1:], ends), 1) if gap > least_gap]
    open_end = len(strip.edges) % 2 != strip.painted
    for first, behind in pairwise([0, *firsts, len(starts)] if starts else []):
        end_step = 0 if open_end and behind == len(starts) else strip.step
        yield starts[first], 0 if strip.painted and first == 0 else strip.step, ends[behind - 1], end_step


def _stretches(edges: list[int], painted: bool, left: int, right: int) -> tuple[list[int], list[int]]:
    """Where painted cells begin and where they end, up to the sides."""
    starts, ends = ([left, *edges[1::2]], edges[0::2]) if painted else (edges[0::2], edges[1::2])
    return starts, ends if len(ends) == len(starts) else [*ends, right]


def _strips(edges: list[int], steps: list[int], keys: int, complement: bool) -> list[_Strip]:
    """A band cut at edges that stay, so that in every strip all edges move alike.

    Cells between two edges belong to the strip of either; where one moves and one stays the cut is at the latter.
    """
    step = steps[0] if steps else 0
    if steps.count(step) == len(steps):
        return [_Strip(0, keys, step, edges, complement)]
    strips, left, number = [], 0, 0
    groups = [(step, len(list(group))) for step, group in groupby(steps)]
    for place, (step, count) in enumerate(groups):
        here = edges[number : number + count]
        if place == len(groups) - 1:
            right = keys
        else:
            right = edges[number + count] if step else here[-1]
        if left < right:
            strips.append(_Strip(left, right, step, here, (number % 2 == 1) != complement))
        left, number = right, number + count
    return strips


def _bands(lo: Column, hi: Column) -> Iterator[tuple[int, int, list[int], list[int]]]:
    """Bands of rows in which every edge moves by a constant step.

    First row, number of rows, and the edges of that first row, starts and ends in turn, with their steps.
    """
    turns = np.zeros(max(lo.shape[1] - 1, 0), np.bool_)
    for ends in (lo, hi):
        step = np.diff(ends)
        turns[1:] |= (step[:, 1:] != step[:, :-1]).any(axis=0)
    row, rows = _runs(turns)
    edges, following = (
        np.stack([lo[:, at], hi[:, at]], axis=-1).swapaxes(0, 1).reshape(len(at), -1)
        for at in (row, np.minimum(row + 1, row + rows - 1))
    )
    steps = following - edges
    for first, count, all_edges, all_steps in zip(*(x.tolist() for x in (row, rows, edges, steps)), strict=True):
        used = len(all_edges)
        while used and _stays_empty(all_edges[used - 2 : used], all_steps[used - 2 : used], count):
            used -= 2
        some_edges, some_steps = all_edges[:used], all_steps[:used]
        if _slides(some_steps):
            yield first, count, some_edges, some_steps
            continue
        for i in range(count):
            yield first + i, 1, [edge + i * step for edge, step in zip(some_edges, some_steps, strict=True)], [0] * used


def _stays_empty(interval: list[int], steps: list[int], rows: int) -> bool:
    size = interval[1] - interval[0]
    return size <= 0 and size + (steps[1] - steps[0]) * (rows - 1) <= 0


def _slides(steps: list[int]) -> bool:
    """Whether no two neighbouring edges move by different steps: then there is a fixed edge to cut at."""
    if len({0, *steps}) <= 2:
        return True
    return all(a == b or not (a and b) for a, b in pairwise(steps))


def _runs(turns: Bools) -> tuple[Ints, Ints]:
    """Rows cut into runs of even steps, each as long as it can be, from the first row on.

    `turns` says which steps differ from the one before; there is one row more than steps.
    Returns the first row of every run, and how many it has.
    """
    rows = len(turns) + 1
    begins = turns.copy()
    begins[:1] = True
    start = np.flatnonzero(begins)  # stretches of equal steps
    end = np.append(start[1:], len(turns))[: len(start)]
    # Two stretches share a row, which is the earlier one's. A stretch of one step is then left with a single row,
    # and so gives way to the next: of several such in a row every other one is a run.
    known = end - start > 1
    known[:1] = True
    number = np.arange(len(start))
    latest = np.maximum.accumulate(np.where(known, number, 0))
    is_run = (number - latest) % 2 == 0
    late = np.append(False, is_run)[:-1]
    first, size = (start + late)[is_run], (end + 1 - start - late)[is_run]
    behind = first + size
    gap_start = np.append(0, behind)
    gap = np.append(first, rows) - gap_start
    alone = np.repeat(gap_start + gap - np.cumsum(gap), gap) + np.arange(gap.sum())
    return np.append(first, alone), np.append(size, np.ones_like(alone))
