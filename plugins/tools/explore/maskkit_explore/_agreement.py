"""Agreement: what was followed gives, for the mask that it was followed with, what the mask itself gives.

A field that is asked in a way that symbols do not notice would make another mask; such a one is refused here.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import maskkit
from maskkit_explore._paths import Branch
from maskkit_explore._symbols import ARITHMETIC, COMPARISONS, LOGIC, Untraceable, fields_of, is_kept

_PAIRS = 4096
"""Of larger masks so many positions are compared."""
_APPLY: dict[str, Callable[..., Any]] = {
    **{op: getattr(operator, name) for op, name in (COMPARISONS | LOGIC | ARITHMETIC | {"~": "invert"}).items()},
    "abs": np.abs,
    "minimum": np.minimum,
    "maximum": np.maximum,
    "repeat": np.repeat,
    "arange": np.arange,
    **{name: getattr(np, name) for name in ("flatnonzero", "cumsum", "all", "any", "sum", "max", "min")},
    "take": lambda table, *index: table[index],
    "size": lambda table, axis: table.shape[axis],
    "round": round,
    "bit_length": lambda x: int(x).bit_length(),
    "random_bits": maskkit.random_bits,
}


class Beyond(Untraceable):
    """The mask takes a path that is not written out."""


def check(found: Any, mask: Any) -> None:
    """Raise Untraceable unless a tree of `(axes, shape, condition)` gives what the mask gives.

    Raises:
        Beyond: the tree says nothing of this mask, for a number is too large.
    """
    values: dict[int, Any] = {}
    while isinstance(found, Branch):
        answer = _plain(_value(found.asked, mask, (), values))
        if answer not in found.ways:
            raise Beyond(f"it is followed up to {list(found.ways)[-1]}, and has {answer}", fields_of(found.asked))
        found = found.ways[answer]
    if found is None:
        raise Untraceable("its own sample takes a path that cannot be followed")
    axes, shape, condition = found
    own = tuple(int(_value(size, mask, (), values)) for size in shape)
    if (tuple(axes), own) != (tuple(mask.axes), tuple(mask.shape)):
        raise Untraceable(f"it is followed to axes {axes} and shape {own}, and has {mask.axes} and {mask.shape}")
    random = np.random.default_rng(0)
    index = [random.integers(0, size, _PAIRS) for size in own]
    with np.errstate(all="ignore"):
        same = np.array_equal(_value(condition, mask, index, {}), mask.allows(*index))
    if not same:
        raise Untraceable("what is followed allows other pairs than it does", fields_of(condition))


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _value(x: Any, mask: Any, index: Any, known: dict[int, Any]) -> Any:
    """A symbol or table, of the mask's fields and of positions."""
    if not is_kept(x):
        return np.bool_(x) if isinstance(x, bool) else x
    if id(x) not in known:
        if x.op == "index":
            known[id(x)] = index[x.args[0]]
        elif x.op == "field":
            name, *item = x.args
            value = getattr(mask, name)
            value = maskkit.arrays.host(value) if maskkit.arrays.is_array(value) else value
            known[id(x)] = value[item[0]] if item else value
        else:
            known[id(x)] = _APPLY[x.op](*(_value(arg, mask, index, known) for arg in x.args))
    return known[id(x)]
