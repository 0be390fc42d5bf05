"""Hstu: masks as interval functions of rows, which block-sparse kernels on Blackwell read."""

from typing import Any

import numpy as np
from maskkit import ConfigError, Mask, Spans, from_spans, hookimpl, plane_spans

PADDING = 256
"""Entries behind the last row, which the kernel may read and not use."""


class Hstu:
    """Functions F of the row: row i sees the keys [0, F0) and [F1, F2) and [F3, F4) and so on.

    int32 (B, H, 2n - 1, Q + 256), with 1 where the mask has no batch or heads; as the interval form of MagiAttention's
    Blackwell backend.
    """

    name = "hstu"

    def export(self, mask: Mask, n_func: int | None = None) -> Any:
        """`n_func` is how many functions there are, an odd number; None is as many as the mask needs."""
        found = plane_spans(mask)
        if found is None:
            raise ConfigError(f"{mask!r} has no few intervals per row; use allowed() or to_flex()")
        planes, of = found
        needed = 2 * max(_pairs(spans).max(initial=0) for spans in planes) + 1
        if n_func is not None and (n_func % 2 == 0 or n_func < needed):
            row = max(int(_pairs(spans).argmax()) for spans in planes)
            raise ConfigError(
                f"n_func must be odd and hold every row, got {n_func}; row {row} needs {needed}, give n_func={needed}"
            )
        tables = np.stack([_functions(spans, n_func or needed) for spans in planes])
        return tables[of]

    def read(self, value: Any, k_len: int) -> Mask:
        """The mask of such functions over so many keys."""
        value = np.asarray(value)
        if value.ndim != 4 or value.shape[2] % 2 == 0 or value.shape[3] <= PADDING:
            raise ConfigError(f"functions must be (B, H, 2n - 1, Q + {PADDING}), got {value.shape}")
        rows = value[..., : value.shape[3] - PADDING].astype(np.int64)
        first = np.concatenate([np.zeros_like(rows[:, :, :1]), rows[:, :, 1::2]], axis=2)
        behind = rows[:, :, ::2]
        return from_spans(
            [[_spans(lo, hi, k_len) for lo, hi in zip(*some, strict=True)] for some in zip(first, behind, strict=True)]
        )


def _pairs(spans: Spans) -> Any:
    """Of every row, how many intervals do not begin with the first key."""
    real = spans.lo < spans.hi
    return (real & (spans.lo > 0)).sum(axis=0)


def _functions(spans: Spans, count: int) -> Any:
    out = np.full((count, spans.shape[0] + PADDING), 0, np.int32)
    starts = (spans.lo[0] == 0) & (spans.hi[0] > 0)
    out[0, : len(starts)] = np.where(starts, spans.hi[0], 0)
    out[1:, : len(starts)] = spans.limit
    for shift, rows in enumerate((~starts, starts)):  # the intervals that are left stand one slot earlier or not
        for slot in range(shift, len(spans)):
            place = 2 * (slot - shift) + 1
            real = rows & (spans.lo[slot] < spans.hi[slot])
            if real.any():
                at = np.flatnonzero(real)
                out[place, at], out[place + 1, at] = spans.lo[slot][at], spans.hi[slot][at]
    return out


def _spans(lo: Any, hi: Any, k_len: int) -> Spans:
    return Spans.intervals(lo, np.maximum(lo, hi)).within(k_len)


@hookimpl
def maskkit_backends():
    return [Hstu()]
