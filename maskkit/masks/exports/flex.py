"""Torch FlexAttention: block masks from spans, without work that grows with the square of the length."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.attention.flex_attention import BlockMask
from maskkit import limits
from maskkit.arrays.backends import built_in
from maskkit.masks.axes import HEADS, LEADING, own_index, sizes
from maskkit.masks.blocks import block_map
from maskkit.masks.pattern import Pattern
from maskkit.masks.rows import plane_of, planes, spans_of
from maskkit.masks.spans import Spans

built_in("torch")  # before anything is traced, which may look it up, and not import it

Ints = npt.NDArray[np.int32]
Table = tuple[Ints, Ints]
MaskMod = Callable[[Any, Any, Any, Any], Any]

_FEW_RUNS = 8
"""Up to here a mask is exported as intervals, and rows of a large index table are copied run by run."""
_LONG = 2**13
"""Up to so many rows a map from few of them saves no time where their intervals are few."""
_SMALL_TABLE = 2**20
"""Up to so many blocks the kinds of all of them are held as an array."""
_BEHIND = 2**30
"""Added to what is sorted behind all that is not; any power of two above the number of blocks in a row."""


def block_mask(mask: Pattern, block_size: int, device: Any) -> BlockMask:
    """The `BlockMask` that `create_block_mask` would make, equal in all of its arrays.

    Args:
        mask: of any attention axes; of a batch or of heads where it names them, else the same for all.
        block_size: queries and keys per block.
        device: where its tensors live; None is the cpu.
    """
    long = mask.shape[-2] > _LONG
    few = mask.intervals <= _FEW_RUNS and (not mask.period or not long or _few_intervals(mask))
    if mask.period and (long or not few):  # its map does without most rows' spans
        blocks, function = block_map(mask, block_size), _mask_mod(mask, _all_spans(mask) if few else [None], device)
    else:
        chunks: list[Spans | None] = []
        blocks = block_map(mask, block_size, lambda _, rows: chunks.append(rows if isinstance(rows, Spans) else None))
        function = _mask_mod(mask, chunks, device)
    of = plane_of(mask).ravel()
    first = np.unique(of, return_index=True)[1]
    kinds = [spans.reshape((-1, blocks.shape[-2])).take(first) for spans in (blocks.touched, blocks.full)]
    small = len(first) * math.prod(blocks.shape[-2:]) <= _SMALL_TABLE
    leading = tuple(sizes(mask).get(axis, 1) for axis in LEADING)
    tables = (_from_array if small else _from_spans)(*kinds)
    same = slice(None) if len(of) == len(first) else of
    tensors = {
        f"{name}_{what}": torch.from_numpy(array[same].reshape(*leading, *array.shape[1:])).to(device or "cpu")
        for name, table in zip(("kv", "full_kv", "q", "full_q"), tables, strict=True)
        for what, array in zip(("num_blocks", "indices"), table, strict=True)
    }
    return BlockMask(seq_lengths=mask.shape[-2:], BLOCK_SIZE=(block_size, block_size), mask_mod=function, **tensors)


# -- the tables: (planes, rows) counts, and (planes, rows, columns) indices, those in the set ascending, then the
#    others; of the partial and the full blocks by rows, then of both by columns


def _from_array(touched: Spans, full: Spans) -> list[Table]:
    some, whole = touched.to_bool(), full.to_bool()
    found = np.stack([some & ~whole, whole])  # (kinds, planes, rows, columns)
    tables = [_members_first(kinds) for kinds in (found, np.ascontiguousarray(found.swapaxes(2, 3)))]
    return [(counts[kind], indices[kind]) for counts, indices in tables for kind in range(2)]


def _members_first(found: npt.NDArray[np.bool_]) -> Table:
    columns = np.arange(found.shape[-1], dtype=np.int32)
    indices = np.where(found, columns, columns + np.int32(_BEHIND))
    indices.sort(axis=-1)  # sorting numbers is vectorised, sorting indices is not
    indices &= _BEHIND - 1
    return found.sum(axis=-1, dtype=np.int32), indices


def _from_spans(touched: Spans, full: Spans) -> list[Table]:
    """The same for more blocks than an array should hold."""
    kinds = [_planes(touched & ~full), _planes(full)]
    return [_table(some) for some in (*kinds, *([spans.transpose() for spans in kind] for kind in kinds))]


def _planes(spans: Spans) -> list[Spans]:
    """The spans of each plane."""
    return [spans.take(i) for i in range(spans.shape[0])]


def _table(planes: list[Spans]) -> Table:
    counts = np.stack([plane.counts() for plane in planes]).astype(np.int32)
    indices = np.empty((len(planes), *planes[0].shape, planes[0].limit), np.int32)
    for table, sample in zip(indices, planes, strict=True):
        if len(sample) <= _FEW_RUNS:
            _copy_runs(table, sample)
            continue
        slab = max(1, _SMALL_TABLE // sample.limit)
        for start in range(0, len(table), slab):
            table[start : start + slab] = _members_first(sample[start : start + slab].to_bool())[1]
    return counts, indices


def _copy_runs(table: Ints, spans: Spans) -> None:
    """Write each row piece by piece, every number once: its runs, then the gaps between them."""
    columns = np.arange(spans.limit, dtype=np.int32)
    all_starts, all_ends = (zip(*ends.tolist(), strict=True) for ends in (spans.lo, spans.hi))
    for row, starts, ends in zip(table, all_starts, all_ends, strict=True):
        runs = [(lo, hi) for lo, hi in zip(starts, ends, strict=True) if lo < hi]
        gaps = zip((0, *(hi for _, hi in runs)), (*(lo for lo, _ in runs), spans.limit), strict=True)
        place = 0
        for lo, hi in _joined([*runs, *gaps]):
            row[place : place + hi - lo] = columns[lo:hi]
            place += hi - lo


def _joined(pieces: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Pieces that follow each other as one: the usual row of a causal mask is a single piece."""
    joined: list[tuple[int, int]] = []
    for lo, hi in pieces:
        if joined and joined[-1][1] == lo:
            lo = joined.pop()[0]
        if lo < hi:
            joined.append((lo, hi))
    return joined


# -- the predicate ----------------------------------------------------------------------------------------------------


def mask_mod(mask: Pattern, device: Any = None) -> MaskMod:
    """A plain function (b, h, q, kv) that FlexAttention traces.

    For a mask with few intervals it is one function whatever the mask: `lo[q] <= kv < hi[q]` over captured tensors, so
    that other masks and other lengths compile nothing new. Other masks give their own predicate.
    """
    return _mask_mod(mask, _all_spans(mask) if _few_intervals(mask) else [None], device)


def _all_spans(mask: Pattern) -> Iterator[Spans | None]:
    """The spans of all rows of the different planes, one after the other."""
    limits.check_rows(mask.shape[-2])
    rows = np.arange(mask.shape[-2])
    return (spans_of(mask, plane, rows) for plane in planes(mask))


def _few_intervals(mask: Pattern) -> bool:
    """Whether there are spans, and not too many to be worth it, as far as the last row tells: that saves the others."""
    last = np.array([mask.shape[-2] - 1])
    found = (spans_of(mask, plane, last) for plane in planes(mask))
    return all(spans is not None and len(spans) <= _FEW_RUNS for spans in found)


def _mask_mod(mask: Pattern, chunks: Iterable[Spans | None], device: Any) -> MaskMod:
    """The function, from the spans of all rows in order; None for rows that have none."""
    ends = _ends(mask, chunks)
    if ends is None:
        return _predicate(mask)
    lo, hi = (torch.from_numpy(end).to(device or "cpu") for end in ends)
    return _any_interval(lo, hi, *(sizes(mask).get(axis, 1) for axis in LEADING))


def _ends(mask: Pattern, chunks: Iterable[Spans | None]) -> tuple[Ints, Ints] | None:
    """lo and hi, (intervals, [batch * heads,] rows); None where there are no spans, or too many to be worth it."""
    found = []
    for spans in chunks:
        if spans is None or len(spans) > _FEW_RUNS:
            return None
        found.append(spans)
    rows = mask.shape[-2]
    planes = plane_of(mask).ravel()
    shape = (len(planes), rows) if len(planes) > 1 else (rows,)
    spans = Spans.join(found).reshape((-1, rows)).take(planes).reshape(shape)
    lo, hi = (np.require(ends, np.int32, ["C", "W"]) for ends in (spans.lo, spans.hi))
    return lo, hi


def _any_interval(lo: Any, hi: Any, batch: int, heads: int) -> MaskMod:
    """Two tensors however many intervals, of three axes at most: Torch 2.13 miscompiles for the CPU where more tensors,
    or more axes, of unknown size are captured."""
    intervals, batched, by_head = len(lo), batch > 1, heads > 1

    def mask_mod(b: Any, h: Any, q: Any, kv: Any) -> Any:
        row = (b * heads + h, q) if batched and by_head else (b, q) if batched else (h, q) if by_head else (q,)
        allowed = (lo[(0, *row)] <= kv) & (kv < hi[(0, *row)])
        for i in range(1, intervals):
            allowed = allowed | ((lo[(i, *row)] <= kv) & (kv < hi[(i, *row)]))
        return allowed

    return mask_mod


def _predicate(mask: Pattern) -> MaskMod:
    def mask_mod(b: Any, h: Any, q: Any, kv: Any) -> Any:
        return mask.allows(*own_index(mask, HEADS, (b, h, q, kv)))

    return mask_mod
