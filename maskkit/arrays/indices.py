"""What predicates are written with, for indices of any library: look-ups in tables, and the smaller and the larger."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from maskkit.arrays.backends import built_in
from maskkit.arrays.libraries import host, is_array, library, symbol_of


def take(table: Any, *index: Any) -> Any:
    """`table[index]` for tables and indices of any library: in a predicate, the value that belongs to a position.

    Args:
        table: an array (a mask's field); with several axes, give as many indices.
        index: integer arrays that broadcast against each other.
    """
    if (symbol := symbol_of(*index)) is not None:
        return symbol.kept("take", table, *index)
    table = _beside(table, next((i for i in index if is_array(i) and library(i) != "numpy"), None))
    if library(table) == "keras":
        return _take_keras(table, index)
    found = table[index if len(index) > 1 else index[0]]
    return found.long() if str(found.dtype) in _ONLY_HELD else found


_ONLY_HELD = ("torch.uint16", "torch.uint32", "torch.uint64")
"""Dtypes that Torch holds, and does not compute with."""


def _beside(table: Any, index: Any) -> Any:
    """The table as an array of the index's library (None: NumPy's), if it can be read here."""
    kind = "numpy" if index is None else library(index)
    values = None if library(table) == kind else host(table)
    if values is None or kind == "numpy":
        return table if values is None else values
    module = sys.modules.get(f"maskkit.arrays.backends.{kind}")  # torch.compile traces a look-up, and no import
    return (module.BACKEND if module else built_in(kind)).like(values, index)


def _take_keras(table: Any, index: tuple[Any, ...]) -> Any:
    """TensorFlow tensors do not index by tensors: gather from the flattened table."""
    from keras import ops

    flat = index[0]
    for size, i in zip(table.shape[1:], index[1:], strict=True):
        flat = flat * size + i
    return ops.take(ops.reshape(table, (-1,)), flat)


def minimum(a: Any, b: Any) -> Any:
    """The smaller of two integers or integer arrays of any library, for predicates."""
    return _either("minimum", -1, a, b)


def maximum(a: Any, b: Any) -> Any:
    """The larger of two integers or integer arrays of any library, for predicates."""
    return _either("maximum", 1, a, b)


def _either(name: str, sign: int, a: Any, b: Any) -> Any:
    if (symbol := symbol_of(a, b)) is not None:
        return symbol.kept(name, a, b)
    if isinstance(a, (np.ndarray, int)) and isinstance(b, (np.ndarray, int)) and not (type(a) is type(b) is int):
        return getattr(np, name)(a, b)
    return (a + b + sign * abs(a - b)) // 2
