"""Torch FlexAttention: block masks from spans, without work that grows with the square of the length."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.attention.flex_attention import BlockMask
from maskkit.evaluate import planes, spans_of
from maskkit.mask import AttentionMask
from maskkit.spans import Spans

Ints = npt.NDArray[np.int32]
MaskMod = Callable[[Any, Any, Any, Any], Any]

_FEW_RUNS = 8
"""Up to here rows of an index table are copied run by run; above, a stable sort is quicker."""
_SHORT_ROW = 256
"""So it is for rows of up to so many blocks, whatever their runs."""


def block_mask(mask: AttentionMask, block_size: int, device: Any) -> BlockMask:
    """The `BlockMask` that `create_block_mask` would make, equal in all of its arrays.

    Args:
        mask: of shape (q_len, kv_len), or (batch, q_len, kv_len); the same for all heads.
        block_size: queries and keys per block.
        device: where its tensors live; None is the cpu.
    """
    blocks = mask.blocks(block_size)
    partial = blocks.touched & ~blocks.full
    arrays = {}
    for name, spans in (("kv", partial), ("full_kv", blocks.full)):
        arrays[f"{name}_num_blocks"], arrays[f"{name}_indices"] = _tables(spans)
        by_key = name.replace("kv", "q")
        arrays[f"{by_key}_num_blocks"], arrays[f"{by_key}_indices"] = _tables(_transposed(spans))
    return BlockMask(
        seq_lengths=mask.shape[-2:],
        BLOCK_SIZE=(block_size, block_size),
        mask_mod=mask_mod(mask, device),
        **{name: torch.from_numpy(array).to(device or "cpu") for name, array in arrays.items()},
    )


def _transposed(spans: Spans) -> list[Spans]:
    return [sample.transpose() for sample in _samples(spans)]


def _samples(spans: Spans) -> list[Spans]:
    """The spans of each sample of a batch."""
    if len(spans.shape) == 1:
        return [spans]
    return [spans.take(i) for i in range(spans.shape[0])]


def _tables(spans: Spans | list[Spans]) -> tuple[Ints, Ints]:
    """(batch, 1, rows) counts, and (batch, 1, rows, columns) indices: those in the set ascending, then the others."""
    samples = spans if isinstance(spans, list) else _samples(spans)
    counts = np.stack([sample.counts() for sample in samples])[:, None].astype(np.int32)
    indices = np.empty((len(samples), 1, samples[0].shape[0], samples[0].limit), np.int32)
    for table, sample in zip(indices[:, 0], samples, strict=True):
        long_runs = len(sample) <= _FEW_RUNS and sample.limit > _SHORT_ROW
        (_copy_runs if long_runs else _sort_rows)(table, sample)
    return counts, indices


def _copy_runs(table: Ints, spans: Spans) -> None:
    """Write each row piece by piece, every number once: its runs, then the gaps between them."""
    columns = np.arange(spans.limit, dtype=np.int32)
    all_starts, all_ends = (zip(*(column.tolist() for column in ends), strict=True) for ends in (spans.lo, spans.hi))
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


def _sort_rows(table: Ints, spans: Spans) -> None:
    """Write all rows by one stable sort."""
    outside = ~spans.contains(np.arange(spans.limit)[:, None]).T
    table[:] = np.argsort(outside, axis=1, kind="stable")


# -- the predicate ----------------------------------------------------------------------------------------------------


def mask_mod(mask: AttentionMask, device: Any = None) -> MaskMod:
    """A plain function (b, h, q, kv) that FlexAttention traces.

    For a mask with few intervals it is one function whatever the mask: `lo[q] <= kv < hi[q]` over captured tensors, so
    that other masks and other lengths compile nothing new. Other masks give their own predicate.
    """
    ends = _ends(mask) if mask.on_host else None
    if ends is None:
        return _predicate(mask)
    lo, hi = (torch.from_numpy(end).to(device or "cpu") for end in ends)
    return _any_interval(lo, hi, batched=len(mask.shape) == 3)


def _ends(mask: AttentionMask) -> tuple[Ints, Ints] | None:
    """lo and hi, (intervals, [batch,] rows); None where there are no spans, or too many to be worth it."""
    rows = np.arange(mask.shape[-2])
    found = []
    for plane in planes(mask):
        spans = spans_of(mask, plane, rows)
        if spans is None or len(spans) > _FEW_RUNS:
            return None
        found.append(spans)
    most = max(map(len, found))
    lo, hi = np.full((2, most, len(found), len(rows)), mask.shape[-1], np.int32)
    for plane_number, spans in enumerate(found):
        for i, (starts, ends) in enumerate(spans):
            lo[i, plane_number], hi[i, plane_number] = starts, ends
    return (lo, hi) if len(mask.shape) == 3 else (lo[:, 0], hi[:, 0])


def _any_interval(lo: Any, hi: Any, *, batched: bool) -> MaskMod:
    """Two tensors however many intervals: Torch 2.13 miscompiles for the CPU when more of unknown size are captured."""
    intervals = len(lo)

    def mask_mod(b: Any, h: Any, q: Any, kv: Any) -> Any:
        row = (b, q) if batched else (q,)
        allowed = (lo[(0, *row)] <= kv) & (kv < hi[(0, *row)])
        for i in range(1, intervals):
            allowed = allowed | ((lo[(i, *row)] <= kv) & (kv < hi[(i, *row)]))
        return allowed

    return mask_mod


def _predicate(mask: AttentionMask) -> MaskMod:
    if len(mask.shape) == 3:

        def mask_mod(b: Any, h: Any, q: Any, kv: Any) -> Any:
            return mask.allows(b, q, kv)

    else:

        def mask_mod(b: Any, h: Any, q: Any, kv: Any) -> Any:
            return mask.allows(q, kv)

    return mask_mod
