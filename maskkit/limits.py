"""Bounds that a program may set; read each time they are needed."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from threading import Lock
from typing import Any

import numpy as np
from maskkit.errors import ConfigError, TooLarge

dense_bytes: int = 8 * 2**30
"""The largest dense array, in bytes, that a mask turns into. Set `maskkit.limits.dense_bytes` to change it."""

rows: int = 2**30
"""The most rows of a mask, or of its blocks, that are gone through: 2**30 take some ten seconds. Set
`maskkit.limits.rows` to change it."""

plan_bytes: int = 2**28
"""What `maskkit.attend` keeps at most to compute the same again: plans by mask and shapes, the oldest go first."""

depth: int = 100
"""How many masks may stand one inside of the other: to go down to the last takes several calls for each, and Python has
a thousand. A list under one operation, such as `a & b & c`, is one level, however long."""

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


def check_rows(count: int, what: str = "the mask") -> None:
    """Raise TooLarge if there are more rows than are gone through."""
    if count > rows:
        raise TooLarge(
            f"{what} has {count:,} rows, the limit is {rows:,}; take some of them, such as mask[-1024:, :], or raise "
            "maskkit.limits.rows (.text() and other pictures sample rows)"
        )


def check_depth(parts: Iterable[Any]) -> int:
    """The depth of a mask that is made of these; raise ConfigError if they stand in each other too deep."""
    found = 1 + max((part.depth for part in parts), default=0)
    if found > depth:
        raise ConfigError(
            f"masks stand {found} deep inside of each other, the limit is {depth}; combine them in another order, so "
            'that one operation has many, or put maskkit.from_array(mask.allowed(), true="allowed") for the inner ones'
        )
    return found


_MOST_RESULTS = 1024
"""However small: training on packed documents asks for other masks at every step."""


class Recent:
    """Results by key, until together they are over `plan_bytes` or too many; then the oldest go."""

    def __init__(self) -> None:
        self._found: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._lock = Lock()
        self.nbytes = 0

    def get(self, key: Hashable, make: Callable[[], Any], kept: Callable[[Any], Hashable] | None = None) -> Any:
        """The result for a key: as it was made before, or what `make` gives; its `nbytes` say how large it is.

        `kept` tells from the result an equal key, which is kept in its place.
        """
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
                return self._found[key][0]
        result = make()
        key = key if kept is None else kept(result)
        with self._lock:
            if key not in self._found:
                self._found[key] = result, result.nbytes
                self.nbytes += result.nbytes
            while self._found and (self.nbytes > plan_bytes or len(self._found) > _MOST_RESULTS):
                self.nbytes -= self._found.popitem(last=False)[1][1]
        return result
