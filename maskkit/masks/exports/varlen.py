"""Packed documents, as attention of variable length takes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from maskkit import limits
from maskkit.errors import ConfigError
from maskkit.masks.axes import check_attention
from maskkit.masks.pattern import Pattern
from maskkit.masks.rows import planes, spans_of

Ints = npt.NDArray[np.int64]

_INSTEAD = "use to_flex() or allowed()"


class Varlen:
    """Packed documents as variable-length kernels take them: FlashAttention's `flash_attn_varlen_func`, xFormers.

    Options: causal (None), whether the documents are causal inside, False or True; None is whichever the mask is.
    """

    name = "varlen"

    def export(self, mask: Pattern, causal: bool | None = None) -> dict[str, Any]:
        """The keyword arguments cu_seqlens_q, cu_seqlens_k (int32), max_seqlen_q, max_seqlen_k and causal.

        Document i has the queries `cu_seqlens_q[i] .. cu_seqlens_q[i + 1] - 1` and the keys between the same ends of
        `cu_seqlens_k`. All of its queries see all of its keys; or, if causal, the last query all of them, and every
        query before it one key less (FlashAttention's alignment to the bottom right). Keys that nobody sees are
        documents without queries, and queries that see nothing, whose output is zero, documents without keys. The
        samples of a batch follow each other: give queries and keys reshaped from (batch, length) to (batch * length).

        `numpy.diff(cu_seqlens_q).tolist()` are the lengths that xFormers' `BlockDiagonalMask.from_seqlens` takes.

        Raises:
            ConfigError: the mask is not made of such documents; it names the first row that is not.
        """
        check_attention(mask)
        problems: dict[str, None] = {}
        for one in (False, True) if causal is None else (causal,):
            try:
                queries, keys = packed(mask, one)
            except ConfigError as error:
                problems[str(error).removesuffix(f"; {_INSTEAD}")] = None
                continue
            longest_q, longest_k = (int(np.diff(ends).max()) for ends in (queries, keys))
            return dict(
                cu_seqlens_q=queries, cu_seqlens_k=keys, max_seqlen_q=longest_q, max_seqlen_k=longest_k, causal=one
            )
        raise ConfigError(f"{'; '.join(problems)}; {_INSTEAD}")


def packed(mask: Pattern, causal: bool) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Where the documents of a mask begin among the queries and among the keys, with both numbers at the ends."""
    what = f"made of packed documents{' that are causal inside' if causal else ''}"
    lo, hi = row_intervals(mask, what)
    total = len(lo) * mask.shape[-1]
    if max(total, lo.size) >= 2**31:
        raise ConfigError(f"{mask!r} is too long: {lo.size} queries and {total} keys, and the ends are int32")
    offset = np.arange(len(lo))[:, None] * mask.shape[-1]
    sees, lo, hi = (lo < hi).ravel(), (lo + offset).ravel(), (hi + offset).ravel()
    goes_on = (lo[1:] == lo[:-1]) & (hi[1:] == hi[:-1] + causal) & sees[1:] & sees[:-1] | ~(sees[1:] | sees[:-1])
    taken = np.maximum.accumulate(np.append(0, np.where(sees, hi, 0)[:-1]))  # keys that the rows before have
    begins = np.append(True, ~goes_on)
    for row in np.flatnonzero(begins & sees & (lo < taken)):
        raise ConfigError(_out_of_place(mask, what, int(row), sees, lo, hi))
    first = np.flatnonzero(begins)
    behind = np.append(first[1:], len(lo))
    first_key, behind_key = np.where(sees, lo, taken)[first], np.where(sees, hi, taken)[behind - 1]
    queries, keys = _ends(first, behind, len(lo)), _ends(first_key, behind_key, total)
    moved = np.append(True, (np.diff(queries) > 0) | (np.diff(keys) > 0))
    return queries[moved].astype(np.int32), keys[moved].astype(np.int32)


def _ends(first: Any, behind: Any, total: int) -> Any:
    """Where documents begin and end, and what lies between and beside them, in order."""
    return np.concatenate([[0], np.stack([first, behind], axis=1).ravel(), [total]])


def _out_of_place(mask: Pattern, what: str, row: int, sees: Any, lo: Ints, hi: Ints) -> str:
    """Why a row is in no document: its keys, beside those of the row before that has some of them."""
    queries, keys = mask.shape[-2:]
    before = next(earlier for earlier in range(row - 1, -1, -1) if sees[earlier] and hi[earlier] > lo[row])

    def told(one: int) -> str:
        where = f"row {one % queries}" + (f" of sample {one // queries}" if len(sees) > queries else "")
        first = lo[one] - one // queries * keys
        return f"{where} sees keys {first} .. {first + hi[one] - lo[one] - 1}"

    return f"{mask!r} is not {what}: {told(row)}, and {told(before)}; {_INSTEAD}"


def cu_seqlens(mask: Pattern, causal: bool = False) -> npt.NDArray[np.int32]:
    """See `AttentionMask.cu_seqlens`."""
    if len(mask.shape) != 2 or mask.shape[0] != mask.shape[1]:
        raise ConfigError(
            f"{mask!r} is not packed documents: its shape is {mask.shape}, and must be square, without a batch"
        )
    lo, hi = (ends[0] for ends in row_intervals(mask, "packed documents"))
    for row in np.flatnonzero(lo >= hi):
        raise ConfigError(f"{mask!r} is not packed documents: row {row} sees nothing; {_INSTEAD}")
    rows = np.arange(len(lo))
    starts = np.append(np.unique(lo), len(lo))
    document = np.searchsorted(starts, rows, side="right") - 1
    expected = rows + 1 if causal else starts[document + 1]
    what = "documents that are causal inside" if causal else "documents"
    check_intervals(f"{mask!r} is not made of packed {what}", lo, hi, starts[document], expected)
    return starts.astype(np.int32)


def check_intervals(what: str, lo: Any, hi: Any, first: Any, behind: Any) -> None:
    """Raise `what` with the first row that does not see the keys from `first` up to `behind`.

    All are arrays `(rows,)`, or `(samples, rows)`; a row that sees nothing has no end before its first key.
    """
    differs = ((lo != first) | (hi != behind)) & ((lo < hi) | (first < behind))
    for place in np.argwhere(differs):
        row, where = tuple(place), f" of sample {place[0]}" if len(place) > 1 and len(lo) > 1 else ""
        sees = f"keys {lo[row]} .. {hi[row] - 1}" if lo[row] < hi[row] else "nothing"
        expected = f"{first[row]} .. {behind[row] - 1}" if first[row] < behind[row] else "none"
        raise ConfigError(f"{what}: row {place[-1]}{where} sees {sees}, not {expected}; {_INSTEAD}")


def row_intervals(mask: Pattern, form: str) -> tuple[Ints, Ints]:
    """The one interval of every row, `(samples, rows)`: lo and hi, with lo >= hi where a row sees nothing."""
    axes = getattr(mask, "axes", ())
    if "head" in axes and mask.shape[axes.index("head")] > 1:
        raise ConfigError(f"{mask!r} is not {form}: its heads have masks of their own; take one head, or {_INSTEAD}")
    limits.check_rows(mask.shape[-2])
    rows, found = np.arange(mask.shape[-2]), []
    for sample, plane in enumerate(planes(mask)):
        spans = spans_of(mask, plane, rows)
        if spans is None:
            raise ConfigError(f"{mask!r} is not {form}: it has no interval structure; {_INSTEAD}")
        if len(spans) > 1:
            row = int(np.flatnonzero(spans.lo[1] < spans.hi[1])[0])
            where = f"row {row}" + (f" of sample {sample}" if len(mask.shape) > 2 else "")
            more = f"{where} sees {len(spans.row(row))} intervals of keys"
            raise ConfigError(f"{mask!r} is not {form}: {more}; {_INSTEAD}")
        found.append((spans.lo[0], spans.hi[0]))
    lo, hi = (np.stack(ends).astype(np.int64) for ends in zip(*found, strict=True))
    return lo, hi
