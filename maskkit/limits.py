"""Bounds that a program may set; read each time they are needed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from maskkit.errors import TooLarge

dense_bytes: int = 8 * 2**30
"""The largest dense array, in bytes, that a mask turns into. Set `maskkit.limits.dense_bytes` to change it."""

intervals: int = 32
"""The most intervals per row that a mask gives as spans: at 65,536 tokens `stats()` takes half a second for 32 of
them, and eight for 256."""

few_intervals: int = 2**15
"""So many intervals, of all rows that are asked for together, a mask gives as spans whatever the number per row."""


def fit_spans(per_row: int, rows: Any) -> bool:
    """Whether spans should hold so many intervals in each of the rows (an array of them)."""
    return per_row <= intervals or per_row * np.size(rows) <= few_intervals


def human_bytes(count: int) -> str:
    """`1234567` -> `"1.2 MiB"`."""
    size, units = float(count), ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"]
    while size >= 1024 and len(units) > 1:
        size /= 1024
        units.pop(0)
    return f"{size:.0f} {units[0]}" if units[0] == "bytes" else f"{size:.1f} {units[0]}"


def check_dense(what: str, shape: tuple[int, ...], itemsize: int) -> None:
    """Raise TooLarge if a dense array of this shape is over the limit."""
    count = math.prod(shape) * itemsize
    if count > dense_bytes:
        raise TooLarge(
            f"a dense {what} of shape {shape} takes {human_bytes(count)}, the limit is {human_bytes(dense_bytes)}; "
            "use .blocks(), .stats(), .text(), a slice such as mask[:1024, :], or raise maskkit.limits.dense_bytes"
        )
