"""Flashmask: masks as blocked rows of every key, for FlashMask."""

from typing import Any

import numpy as np
from maskkit import ConfigError, Mask, Spans, from_spans, hookimpl, plane_spans


class Flashmask:
    """Of every key the rows that are blocked, for `flashmask_attention` of PaddlePaddle.

    Source: Wang et al. 2024 (FlashMask), arXiv:2410.01359, section 4.
    """

    name = "flashmask"

    def export(self, mask: Mask) -> dict[str, Any]:
        """`startend_row_indices`, int32 (B, H, K, n), and `causal`; n is the least that holds the mask.

        Blocked are, of a causal one, the rows before the key and of n = 1 [a, Q), of n = 2 [a, b); else of n = 2
        [a, Q) and [0, b), of n = 4 [a, b) and [c, d).
        """
        found = plane_spans(mask.T)
        if found is None:
            raise ConfigError(f"{mask!r} has no few intervals of rows per key; use allowed() or to_flex()")
        planes, of = found
        problems = []
        for causal, columns in ((True, 1), (True, 2), (False, 2), (False, 4)):
            tables = [_table(spans, causal, columns) for spans in planes]
            bad = [int(np.flatnonzero(wrong)[0]) for _, wrong in tables if wrong.any()]
            if not bad:
                table = np.stack([table for table, _ in tables]).astype(np.int32)
                return {"startend_row_indices": table[of], "causal": causal}
            problems = bad
        raise ConfigError(f"{mask!r} is no FlashMask: key {problems[0]} is blocked in more than two runs of rows")

    def read(self, value: dict[str, Any], q_len: int) -> Mask:
        """The mask of such indices for so many queries."""
        table, causal = np.asarray(value["startend_row_indices"]).astype(np.int64), bool(value["causal"])
        if table.ndim != 4 or (causal, table.shape[-1]) not in ((True, 1), (True, 2), (False, 2), (False, 4)):
            raise ConfigError(
                f"startend_row_indices must be (B, H, K, n), n of 1, 2 or 4, got {table.shape}, {causal=}"
            )
        transposed = from_spans([[_allowed(plane, causal, q_len) for plane in heads] for heads in table])
        return transposed.T


def _blocked(table: Any, causal: bool, rows: int) -> Spans:
    """The rows that are blocked of each key."""
    key, end, zero = np.arange(len(table)), np.full(len(table), rows), np.zeros(len(table), int)
    runs = [(zero, key)] if causal else []
    if causal:
        runs.append((table[:, 0], table[:, 1] if table.shape[1] == 2 else end))
    elif table.shape[1] == 2:
        runs += [(table[:, 0], end), (zero, table[:, 1])]
    else:
        runs += [(table[:, 0], table[:, 1]), (table[:, 2], table[:, 3])]
    lo, hi = (np.stack(ends) for ends in zip(*runs, strict=True))
    return Spans.intervals(lo, np.maximum(lo, hi)).within(rows)


def _allowed(table: Any, causal: bool, rows: int) -> Spans:
    return ~_blocked(table, causal, rows)


def _table(spans: Spans, causal: bool, columns: int) -> tuple[Any, Any]:
    """The indices of a plane, and which keys they do not say; `spans` has the rows that see each key."""
    rows, keys = spans.limit, spans.shape[0]
    key = np.minimum(np.arange(keys), rows)
    blocked = ~spans
    if causal:  # the rows before a key are blocked anyway
        blocked = (blocked | Spans.interval(np.zeros(keys, int), key).within(rows)) & Spans.interval(
            key, np.full(keys, rows)
        ).within(rows)
    lo, hi = (
        np.concatenate([x[:2].astype(int), np.full((max(0, 2 - len(x)), keys), rows)]) for x in (blocked.lo, blocked.hi)
    )
    first = lo[0] < hi[0]
    table = np.zeros((keys, columns), int)
    if columns == 1 or (causal and columns == 2):
        table[:, 0] = np.where(first, lo[0], rows)
        table[:, 1:] = np.where(first, hi[0], rows)[:, None]
    elif columns == 2:
        above = first & (lo[0] == 0)
        below = np.where(above, 1, 0)
        at = np.arange(keys)
        table[:, 0] = np.where(lo[below, at] < hi[below, at], lo[below, at], rows)
        table[:, 1] = np.where(above, hi[0], 0)
    else:
        two = lo[1] < hi[1]
        lower = np.where(two | (first & (lo[0] == 0)), 1, 0)
        at = np.arange(keys)
        table[:, 0], table[:, 1] = lo[lower, at], hi[lower, at]
        table[:, 2], table[:, 3] = np.where(lower == 1, lo[0], 0), np.where(lower == 1, hi[0], 0)
    said = _blocked(table, causal, rows)
    return table, _differ(~said, spans)


def _differ(one: Spans, other: Spans) -> Any:
    apart = one ^ other
    return (apart.lo < apart.hi).any(axis=0)


@hookimpl
def maskkit_backends():
    return [Flashmask()]
