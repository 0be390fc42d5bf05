"""Block maps: which blocks of a mask are empty, partial and full, in memory that follows the touched runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from attrs import field, frozen
from maskkit import limits
from maskkit.errors import ConfigError
from maskkit.evaluate import iterate_rows, planes
from maskkit.spans import Spans
from maskkit.validators import is_integer

if TYPE_CHECKING:
    from maskkit.mask import AttentionMask

Ints = npt.NDArray[np.int64]


@frozen(eq=False)
class Runs:
    """Runs of blocks: run `i` covers the blocks `lo[i] .. hi[i] - 1` of block row `row[i]`; sorted, disjoint, maximal.

    Rows of a batched mask follow each other: row `b * rows + r` is block row `r` of sample `b`.
    """

    row: Ints
    lo: Ints
    hi: Ints

    @property
    def blocks(self) -> int:
        """The number of blocks in all runs."""
        return int((self.hi - self.lo).sum())

    @classmethod
    def join(cls, parts: list[Runs]) -> Runs:
        """All runs, in the order of the parts."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("row", "lo", "hi")))

    def moved(self, rows: int) -> Runs:
        """The same runs, a number of block rows further down."""
        return Runs(self.row + rows, self.lo, self.hi)


@frozen(eq=False)
class BlockMap:
    """Every block of a mask is empty (all blocked), full (all allowed) or partial.

    A block that overhangs the edge is never full.

    Attributes:
        shape: blocks per axis, `([batch,] rows, columns)`.
        block_size: queries and keys per block.
        touched: the blocks that are not empty, as runs.
        full: the full blocks, as runs.
    """

    shape: tuple[int, ...]
    block_size: int
    touched: Runs = field(repr=False)
    full: Runs = field(repr=False)

    def counts(self) -> dict[str, int]:
        """How many blocks are "empty", "partial" and "full"."""
        total = int(np.prod(self.shape, dtype=object))
        touched, full = self.touched.blocks, self.full.blocks
        return {"empty": total - touched, "partial": touched - full, "full": full}

    def dense(self) -> npt.NDArray[np.int8]:
        """int8 of `shape`: 0 empty, 1 partial, 2 full."""
        limits.check_dense("block map", self.shape, 1)
        # Each run adds its value at its start and takes it back behind its end; the sum along the row is the map.
        rows = int(np.prod(self.shape[:-1]))
        steps = np.zeros((rows, self.shape[-1] + 1), np.int8)
        for runs in (self.touched, self.full):
            np.add.at(steps, (runs.row, runs.lo), 1)
            np.subtract.at(steps, (runs.row, runs.hi), 1)
        np.cumsum(steps, axis=1, dtype=np.int8, out=steps)
        return steps[:, :-1].reshape(self.shape)


def block_map(mask: AttentionMask, block_size: int) -> BlockMap:
    """The block map of a mask, from its spans; for masks without spans from the predicate, tile by tile."""
    if not is_integer(block_size) or block_size < 1:
        raise ConfigError(f"block_size must be a positive integer, got {block_size!r}")
    *batch, rows, keys = mask.shape
    block_rows, block_keys = -(-rows // block_size), -(-keys // block_size)
    first_row = {plane: i * block_rows for i, plane in enumerate(planes(mask))}
    touched, full = [], []
    for plane, chunk, allowed in iterate_rows(mask, multiple=block_size):
        if isinstance(allowed, Spans):
            some, all_ = _span_runs(allowed, block_size, block_keys)
        else:
            some, all_ = _bool_runs(allowed, block_size, block_keys)
        offset = first_row[plane] + chunk.start // block_size
        touched.append(some.moved(offset))
        full.append(all_.moved(offset))
    return BlockMap((*batch, block_rows, block_keys), block_size, Runs.join(touched), Runs.join(full))


def _span_runs(spans: Spans, size: int, block_keys: int) -> tuple[Runs, Runs]:
    """Touched and full runs of some rows; the first row begins a block."""
    touched = _touched(spans, size, block_keys)
    # A block is full where nothing in it is blocked; beyond the last key and the last row all is.
    blocked = ~spans.within(block_keys * size)
    not_full = _touched(blocked, size, block_keys)
    rows = -(-spans.shape[0] // size)
    if spans.shape[0] % size:
        ends = ((not_full.row, rows - 1), (not_full.lo, 0), (not_full.hi, block_keys))
        not_full = _covered(*(np.append(values, last) for values, last in ends))
    return touched, _complement(not_full, rows, block_keys)


def _touched(spans: Spans, size: int, block_keys: int) -> Runs:
    """The runs of blocks that hold an allowed pair."""
    rows = np.arange(spans.shape[0])
    block_start = rows % size == 0
    found: list[tuple[Any, Any, Any]] = []
    for lo, hi in spans:
        first, behind = lo // size, -(-hi // size)
        # Neighbouring rows mostly touch the same blocks: keep the first of each kind in every block row.
        some = lo < hi
        fresh = block_start.copy()
        for column in (first, behind, some):
            fresh[1:] |= column[1:] != column[:-1]
        keep = np.flatnonzero(fresh & some)
        found.append((keep // size, first[keep], behind[keep]))
    return _covered(*(np.concatenate(part).astype(np.int64) for part in zip(*found, strict=True)))


def _covered(row: Ints, lo: Ints, hi: Ints) -> Runs:
    """The union of runs, as disjoint maximal runs."""
    width = int(hi.max(initial=0)) + 1  # with row * width added, one running maximum serves all rows
    start, end = row * width + lo, row * width + hi
    order = np.argsort(start, kind="stable")
    start, reach = start[order], np.maximum.accumulate(end[order])
    opens = np.ones(len(start), np.bool_)
    opens[1:] = start[1:] > reach[:-1]
    begin = start[opens]
    finish = reach[np.append(np.flatnonzero(opens)[1:] - 1, len(start) - 1)] if len(start) else reach
    return Runs(begin // width, begin % width, finish - begin // width * width)


def _complement(runs: Runs, rows: int, block_keys: int) -> Runs:
    """The blocks of `rows` block rows that lie in no run."""
    every = np.arange(rows)
    row = np.concatenate([every, runs.row])
    lo = np.concatenate([np.zeros(rows, np.int64), runs.hi])
    before = np.concatenate([runs.row, every])
    hi = np.concatenate([runs.lo, np.full(rows, block_keys)])
    # In every row the gaps begin at 0 and behind each run, and end before each run and at the last block.
    row, lo = _sorted_by(row, lo)
    _, hi = _sorted_by(before, hi)
    gap = lo < hi
    return Runs(row[gap], lo[gap], hi[gap])


def _sorted_by(row: Ints, value: Ints) -> tuple[Ints, Ints]:
    order = np.lexsort((value, row))
    return row[order], value[order]


def _bool_runs(allowed: npt.NDArray[np.bool_], size: int, block_keys: int) -> tuple[Runs, Runs]:
    """The same for rows given as booleans."""
    rows, keys = allowed.shape
    block_rows = -(-rows // size)
    padded = np.zeros((block_rows * size, block_keys * size), np.bool_)
    padded[:rows, :keys] = allowed
    tiles = padded.reshape(block_rows, size, block_keys, size)
    return _runs(np.any(tiles, axis=(1, 3))), _runs(np.all(tiles, axis=(1, 3)))


def _runs(blocks: Any) -> Runs:
    spans = Spans.from_bool(blocks)
    every = np.arange(len(blocks))
    parts = [(every[lo < hi], lo[lo < hi], hi[lo < hi]) for lo, hi in spans]
    return _covered(*(np.concatenate(part).astype(np.int64) for part in zip(*parts, strict=True)))
