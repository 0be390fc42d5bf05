"""Masks from arrays that were made elsewhere: of booleans, or of intervals."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np
from attrs import field, frozen
from maskkit import limits
from maskkit.arrays.fields import as_array, as_flags, by_content
from maskkit.arrays.indices import take
from maskkit.arrays.libraries import host
from maskkit.errors import ConfigError
from maskkit.masks.axes import HEADS, is_attention
from maskkit.masks.mask import AttentionMask, Mask
from maskkit.masks.spans import Spans
from maskkit.validators import Rule, array, one_of, positive, shown

_BOOLEANS = array(dtype="bool")
_FEW_CELLS = 2**20
"""Booleans of an array whose runs are looked for at once."""
_TWO_ENDS = Rule(
    "must have 2 entries along its first axis, the first keys and those behind the last", lambda x: len(x) == 2
)
_USUAL: dict[int, tuple[str, ...]] = {1: ("query",), 2: ("query", "key"), 4: HEADS}
"""The axes of arrays whose number of axes leaves no choice."""


@frozen(kw_only=True)
class Given(Mask):
    """A boolean array of any library, taken as it is.

    Attributes:
        array: booleans.
        true: what True means in it: "allowed" or "blocked".
        axes: the name of each of its axes.
    """

    name = form = "array"
    array: Any = field(converter=as_flags, validator=_BOOLEANS, eq=by_content)
    true: str = field(validator=one_of("allowed", "blocked"))
    axes: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the array."""
        return tuple(self.array.shape)

    def allows(self, *index: Any) -> Any:
        """What the array says there."""
        value = take(self.array, *index)
        return value if self.true == "allowed" else ~value

    def spans(self, *rows: Any) -> Spans | None:
        """The runs of a few rows are soon found in the array itself."""
        values = host(self.array)
        count = np.broadcast(*rows).size if len(rows) > 1 else np.size(rows)
        if values is None or count * self.shape[-1] > _FEW_CELLS:
            return self._found(rows, loose=False)
        return Spans.from_bool(values[rows] if self.true == "allowed" else ~values[rows])

    @property
    def intervals(self) -> int:
        """As three rows tell."""
        return self._traced.intervals if self.on_host else 1


@frozen(kw_only=True, repr=False)
class ArrayMask(Given):
    """Of pixels or queries."""


@frozen(kw_only=True, repr=False)
class AttentionArrayMask(Given, AttentionMask):
    """Of queries and keys."""


@frozen(kw_only=True)
class IntervalMask(AttentionMask):
    """Of queries and keys: query q sees the keys `ends[0, i, q] .. ends[1, i, q] - 1` for every i.

    Attributes:
        ends: integers (2, intervals, queries): the first key of each, and behind the last; an interval may be empty.
        k_len: number of keys.
    """

    name = form = "intervals"
    ends: Any = field(converter=as_array, validator=[array(ndim=3, dtype="integer"), _TWO_ENDS], eq=by_content)
    k_len: int = field(validator=positive)

    @property
    def shape(self) -> tuple[int, ...]:
        """`(queries, k_len)`."""
        return (self.ends.shape[-1], self.k_len)

    def allows(self, q: Any, k: Any) -> Any:
        """Whether any interval of q has k."""
        first, behind = self.ends
        every = ((take(lo, q) <= k) & (k < take(hi, q)) for lo, hi in zip(first, behind, strict=True))
        return reduce(lambda a, b: a | b, every)


def of_spans(spans: Spans) -> Mask:
    """The mask of one plane: of intervals, or of booleans where a row has more of them than spans should."""
    if len(spans) > limits.intervals:
        return from_array(spans.to_bool(), true="allowed")
    return IntervalMask(ends=np.stack([spans.lo, spans.hi]), k_len=spans.limit)


def from_array(x: Any, true: str, axes: Sequence[str] | None = None) -> Mask:
    """A mask from a boolean array of any library: the one door for arrays made elsewhere.

    Args:
        x: booleans, or integers that are 0 and 1.
        true: what True (1) means in `x`: "allowed" (Keras, Torch SDPA, JAX) or "blocked" (`nn.MultiheadAttention`).
            There is no default: which way round is what goes wrong.
        axes: the name of each axis of `x`: for attention query and key, before them batch, head or both. None where
            their number leaves no choice: one is query, two are query and key, four are batch, head, query, key. The
            three of `("batch", "query", "key")` and of `("head", "query", "key")` must be named, and so must
            `("height", "width")`.

    Raises:
        ConfigError: `x` holds something else, `true` is neither of the two, or the axes do not fit.
    """
    x = as_flags(x)
    _BOOLEANS.check("array", x)
    count = len(x.shape)
    if axes is None and count not in _USUAL:
        raise ConfigError(
            f"an array of {count} axes does not say what they are; give axes=('batch', 'query', 'key') or "
            "axes=('head', 'query', 'key')"
            if count == 3
            else f"an array of {count} axes needs their names; give axes=(...)"
        )
    found = _USUAL[count] if axes is None else axes
    named = isinstance(found, (tuple, list)) and all(isinstance(axis, str) for axis in found)
    if not named or len(found) != count or len(set(found)) != count:
        raise ConfigError(f"axes must name each of the {count} axes of the array once, got {shown(axes)}")
    if {"key"} & set(found) and not is_attention(found):
        raise ConfigError(
            f"axes with key must be query and key at the end, and before them batch, head, or both in this order, "
            f"got {shown(axes)}; move the array's axes"
        )
    return (AttentionArrayMask if is_attention(found) else ArrayMask)(array=x, true=true, axes=tuple(found))
