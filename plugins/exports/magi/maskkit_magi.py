"""Magi: masks as slices of queries and keys, for MagiAttention."""

from typing import Any

import numpy as np
from maskkit import ConfigError, Mask, Spans, from_spans, hookimpl, plane_spans

FULL, CAUSAL, INVERSE, BOTH = 0, 1, 2, 3
"""All pairs of a slice; causal from its bottom right corner; its mirror from the top left; a band between both."""


class Magi:
    """Slices of queries by keys, of one of four types each, that cover what is allowed, every pair once.

    Source: MagiAttention, flex_flash_attn_func: q_ranges, k_ranges, attn_type_map.
    """

    name = "magi"

    def export(self, mask: Mask) -> dict[str, Any]:
        """`q_ranges` and `k_ranges`, int32 (slices, 2), and `attn_type_map`, int32 (slices,)."""
        found = plane_spans(mask)
        if found is None:
            raise ConfigError(f"{mask!r} has no few intervals per row; use allowed() or to_flex()")
        planes, of = found
        if of.size > 1:
            axis = "heads" if of.shape[1] > 1 else "a batch"
            raise ConfigError(f"{mask!r} has {axis}, and slices are of one plane; export mask[i] of each")
        slices = [one for lo, hi in zip(planes[0].lo, planes[0].hi, strict=True) for one in _slices(lo, hi)]
        table = np.array(sorted(slices), np.int32).reshape(-1, 5)
        return {"q_ranges": table[:, :2], "k_ranges": table[:, 2:4], "attn_type_map": table[:, 4]}

    def read(self, value: dict[str, Any], q_len: int, k_len: int) -> Mask:
        """The mask of such slices."""
        lo, hi, row = [np.zeros(0, int)], [np.zeros(0, int)], [np.zeros(0, int)]
        for (q0, q1), (k0, k1), kind in zip(value["q_ranges"], value["k_ranges"], value["attn_type_map"], strict=True):
            if not (0 <= q0 <= q1 <= q_len and 0 <= k0 <= k1 <= k_len and 0 <= kind <= BOTH):
                raise ConfigError(
                    f"slice of queries {q0} .. {q1} and keys {k0} .. {k1} of type {kind} is not in {q_len} x {k_len}"
                )
            at = np.arange(q1 - q0)
            row.append(q0 + at)
            lo.append(np.maximum(k0 + (at if kind in (INVERSE, BOTH) else 0 * at), 0))
            hi.append(k1 - (q1 - q0 - 1 - at if kind in (CAUSAL, BOTH) else 0 * at))
        rows, first, behind = (np.concatenate(parts) for parts in (row, lo, hi))
        some = first < behind
        order = np.lexsort((first[some], rows[some]))
        rows, first, behind = (x[some][order] for x in (rows, first, behind))
        twice = np.flatnonzero((rows[1:] == rows[:-1]) & (first[1:] < behind[:-1]))
        if len(twice):
            raise ConfigError(
                f"slices must cover every pair once; row {rows[twice[0]]} has key {first[twice[0] + 1]} twice"
            )
        if not len(rows):
            return from_spans([[Spans.nothing((q_len,), k_len)]])
        spans = Spans.from_runs(rows, first, behind, (q_len,), k_len)
        return from_spans([[Spans.intervals(spans.lo, spans.hi).within(k_len)]])


def _slices(lo: Any, hi: Any) -> Any:
    """Runs of rows whose interval keeps its ends, or moves one or both by a key a row."""
    lo, hi = lo.astype(int), hi.astype(int)
    pace = np.stack([np.diff(lo), np.diff(hi)])
    changes = np.append(np.flatnonzero((pace[:, 1:] != pace[:, :-1]).any(axis=0)) + 1, len(lo) - 1).tolist()
    start, n = 0, len(lo)
    while start < n:
        if lo[start] >= hi[start]:
            start += 1
            continue
        stop, kind = start + 1, FULL
        if stop < n and set(pace[:, start].tolist()) <= {0, 1} and lo[stop] < hi[stop]:
            while changes[0] < start + 1:
                changes.pop(0)
            stop, kind = changes[0] + 1, int(pace[1, start] + 2 * pace[0, start])
            empty = np.flatnonzero(lo[start:stop] >= hi[start:stop])
            stop = start + int(empty[0]) if len(empty) else stop
        yield start, stop, int(lo[start]), int(hi[stop - 1]), kind if stop - start > 1 else FULL
        start = stop


@hookimpl
def maskkit_backends():
    return [Magi()]
