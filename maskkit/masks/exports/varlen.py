"""Packed documents, as attention of variable length takes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from maskkit.errors import ConfigError
from maskkit.masks.pattern import Pattern
from maskkit.masks.rows import spans_of


class Varlen:
    """Packed documents as variable-length kernels take them: FlashAttention's `flash_attn_varlen_func`, xFormers.

    Options: causal (False), for documents that are causal inside.
    """

    name = "varlen"

    def export(self, mask: Pattern, causal: bool = False) -> dict[str, Any]:
        """The keyword arguments cu_seqlens_q, cu_seqlens_k (int32), max_seqlen_q, max_seqlen_k and causal.

        `numpy.diff(cu_seqlens_q).tolist()` are the lengths that xFormers' `BlockDiagonalMask.from_seqlens` takes.
        """
        ends = cu_seqlens(mask, causal)
        longest = int(np.diff(ends).max())
        queries = dict(cu_seqlens_q=ends, max_seqlen_q=longest)
        return queries | dict(cu_seqlens_k=ends, max_seqlen_k=longest, causal=causal)


def cu_seqlens(mask: Pattern, causal: bool = False) -> npt.NDArray[np.int32]:
    """See `AttentionMask.cu_seqlens`."""
    lo, hi = single_interval(mask, "packed documents")
    rows = np.arange(len(lo))
    starts = np.append(np.unique(lo), len(lo))
    document = np.searchsorted(starts, rows, side="right") - 1
    expected = rows + 1 if causal else starts[document + 1]
    what = "documents that are causal inside" if causal else "documents"
    check_intervals(f"{mask!r} is not made of packed {what}", lo, hi, starts[document], expected)
    return starts.astype(np.int32)


def check_intervals(what: str, lo: Any, hi: Any, first: Any, behind: Any) -> None:
    """Raise `what` with the first row that does not see the keys from `first` up to `behind`."""
    for row in np.flatnonzero((lo != first) | (hi != behind)):
        sees, expected = f"{lo[row]} .. {hi[row] - 1}", f"{first[row]} .. {behind[row] - 1}"
        raise ConfigError(f"{what}: row {row} sees keys {sees}, not {expected}; use to_flex() or allowed()")


def single_interval(mask: Pattern, form: str) -> tuple[Any, Any]:
    """The one interval of every row of a square mask."""
    if len(mask.shape) != 2 or mask.shape[0] != mask.shape[1]:
        raise ConfigError(f"{mask!r} is not {form}: its shape is {mask.shape}, and must be square, without a batch")
    spans = spans_of(mask, (), np.arange(mask.shape[0]))
    if spans is None or len(spans) > 1:
        why = "it has no interval structure" if spans is None else f"some rows see {len(spans)} intervals of keys"
        raise ConfigError(f"{mask!r} is not {form}: {why}; use to_flex() or allowed()")
    lo, hi = spans.lo[0].astype(np.int64), spans.hi[0].astype(np.int64)
    empty = np.flatnonzero(lo >= hi)
    if len(empty):
        raise ConfigError(f"{mask!r} is not {form}: row {int(empty[0])} sees nothing; use to_flex() or allowed()")
    return lo, hi
