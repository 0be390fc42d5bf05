"""Masks made of masks: `& | ^ ~`, views by slices, and arrays from elsewhere."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from functools import reduce
from typing import Any, Literal

import numpy as np
from attrs import evolve, field, frozen
from maskkit.arrays import as_array, by_content, take
from maskkit.errors import ConfigError
from maskkit.mask import AttentionMask, Mask
from maskkit.spans import Spans
from maskkit.typed import Typed, common_dtype, typed, untyped
from maskkit.validators import array, is_integer, one_of

Operation = Literal["and", "or", "xor", "not"]

_APPLY: dict[str, Callable[..., Any]] = {"and": operator.and_, "or": operator.or_, "xor": operator.xor}
SYMBOLS = {"and": " & ", "or": " | ", "xor": " ^ "}


# -- & | ^ ~ ----------------------------------------------------------------------------------------------------------


@frozen(repr=False)
class Combined(Mask):
    """Masks under one operation, on what is allowed; each part decides for itself, at the last moment."""

    name = "combined"
    operation: Operation
    parts: tuple[Mask, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return np.broadcast_shapes(*(part.shape for part in self.parts))

    def allows(self, *index: Any) -> Any:
        results = [part.allows(*_own_index(part, index)) for part in self.parts]
        return ~results[0] if self.operation == "not" else reduce(_APPLY[self.operation], results)

    def spans(self, *rows: Any) -> Spans | None:
        return self._combine_spans([self._part_spans(part.spans, part, rows) for part in self.parts])

    def cover(self, *rows: Any) -> Spans | None:
        exact = self.spans(*rows)
        if exact is not None or self.operation == "not":
            return exact
        covers = [self._part_spans(part.cover, part, rows) for part in self.parts]
        if self.operation == "and":
            known = [cover for cover in covers if cover is not None]
            return reduce(operator.and_, known) if known else None
        return None if None in covers else reduce(operator.or_, covers)

    @property
    def period(self) -> int:
        return math.lcm(*(part.period for part in self.parts))

    def _combine_spans(self, spans: list[Spans | None]) -> Spans | None:
        if any(s is None for s in spans):
            return None
        return ~spans[0] if self.operation == "not" else reduce(_APPLY[self.operation], spans)  # type: ignore[operator]

    def _part_spans(self, find: Callable[..., Spans | None], part: Mask, rows: tuple[Any, ...]) -> Spans | None:
        found = find(*_own_index(part, rows, rows_only=True))
        return (
            None if found is None else found.within(self.shape[-1], np.broadcast_shapes(*(np.shape(r) for r in rows)))
        )

    @property
    def on_host(self) -> bool:
        return all(part.on_host for part in self.parts)

    def __repr__(self) -> str:
        if self.operation == "not":
            return f"~{_bracketed(self.parts[0])}"
        return SYMBOLS[self.operation].join(_bracketed(part) for part in self.parts)


@frozen(repr=False)
class AttentionCombined(Combined, AttentionMask):
    """The same, of attention masks."""


def combine(operation: str, *masks: Mask) -> Mask:
    """One mask from several. Simplifies by form: `~~a` is `a`, `a & a` is `a`, `(a & b) & c` is one `&`."""
    if any(isinstance(mask, Typed) for mask in masks):
        return typed(combine(operation, *map(untyped, masks)), common_dtype(*masks))
    if operation == "not":
        inner = masks[0]
        if isinstance(inner, Combined) and inner.operation == "not":
            return inner.parts[0]
    _check_shapes(operation, masks)
    parts: list[Mask] = []
    for mask in masks:
        same = isinstance(mask, Combined) and mask.operation == operation != "xor"
        for part in mask.parts if same else (mask,):  # type: ignore[attr-defined]
            if operation == "xor" or part not in parts:
                parts.append(part)
    if len(parts) == 1 and operation != "not":
        return parts[0]
    attention = all(isinstance(part, AttentionMask) for part in parts)
    return (AttentionCombined if attention else Combined)(operation, tuple(parts))  # type: ignore[arg-type]


def _check_shapes(operation: str, masks: tuple[Mask, ...]) -> None:
    """Equal shapes, where a batch of masks may meet one mask for all."""
    first = masks[0]
    for mask in masks[1:]:
        longer, shorter = sorted((first.shape, mask.shape), key=len, reverse=True)
        batched = isinstance(first, AttentionMask) and isinstance(mask, AttentionMask)
        same_plane = longer[-len(shorter) :] == shorter and (len(longer) == len(shorter) or batched)
        one_for_all = batched and longer[-2:] == shorter[-2:] and 1 in (longer[0], shorter[0])
        if not (same_plane or one_for_all):
            raise ConfigError(
                f"masks of shapes {first.shape} and {mask.shape} do not combine under {operation!r}; "
                "give both the same lengths, or cut one with a slice: mask[:rows, :keys]"
            )


def _own_index(part: Mask, index: tuple[Any, ...], rows_only: bool = False) -> tuple[Any, ...]:
    """The part's own indices: without the batch if it has none, and 0 if it has one for all."""
    axes = len(part.shape) - rows_only
    own = index[len(index) - axes :]
    return (own[0] * 0, *own[1:]) if len(part.shape) == 3 and part.shape[0] == 1 else own


def _bracketed(mask: Mask) -> str:
    return f"({mask!r})" if isinstance(mask, Combined) and mask.operation != "not" else repr(mask)


# -- views ------------------------------------------------------------------------------------------------------------


@frozen(repr=False)
class View(Mask):
    """Some rows and some keys of a mask: for every axis a start, a step and a count."""

    name = "view"
    base: Mask
    axes: tuple[tuple[int, int, int], ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(count for _, _, count in self.axes)

    def _base_index(self, index: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(i * step + start for i, (start, step, _) in zip(index, self.axes, strict=False))

    def allows(self, *index: Any) -> Any:
        return self.base.allows(*self._base_index(index))

    def spans(self, *rows: Any) -> Spans | None:
        return self._seen(self.base.spans(*self._base_index(rows)))

    def cover(self, *rows: Any) -> Spans | None:
        return self._seen(self.base.cover(*self._base_index(rows)))

    @property
    def period(self) -> int:
        steps = [step for _, step, _ in self.axes[-2:]]
        return self.base.period // math.gcd(self.base.period, steps[0]) if steps[0] == steps[-1] else 0

    def _seen(self, spans: Spans | None) -> Spans | None:
        return None if spans is None else spans.within(self.base.shape[-1]).stride(*self.axes[-1])

    @property
    def on_host(self) -> bool:
        return self.base.on_host

    def __repr__(self) -> str:
        slices = ", ".join(_slice_text(axis, size) for axis, size in zip(self.axes, self.base.shape, strict=True))
        return f"{_bracketed(self.base)}[{slices}]"


@frozen(repr=False)
class AttentionView(View, AttentionMask):
    """The same, of an attention mask."""


@frozen(repr=False)
class Sample(AttentionMask):
    """One mask of a batch: `mask[2]`."""

    name = "sample"
    base: AttentionMask
    index: int

    @property
    def shape(self) -> tuple[int, ...]:
        return self.base.shape[1:]

    def allows(self, q: Any, k: Any) -> Any:
        return self.base.allows(q * 0 + self.index, q, k)

    def spans(self, q: Any) -> Spans | None:
        return self.base.spans(q * 0 + self.index, q)

    def cover(self, q: Any) -> Spans | None:
        return self.base.cover(q * 0 + self.index, q)

    @property
    def on_host(self) -> bool:
        return self.base.on_host

    def __repr__(self) -> str:
        return f"{_bracketed(self.base)}[{self.index}]"


def view(mask: Mask, key: Any) -> Mask:
    """`mask[key]`: slices, `...`, and for the batch of an attention mask an integer."""
    if isinstance(mask, Typed):
        return typed(view(mask.base, key), mask.array_dtype)
    keys = _full_key(mask, key)
    if isinstance(mask, AttentionMask) and len(mask.shape) == 3 and not isinstance(keys[0], slice):
        sample = Sample(mask, range(mask.shape[0])[operator.index(keys[0])])
        return view(sample, tuple(keys[1:]))
    for k in keys:
        if not isinstance(k, slice):
            raise TypeError(f"a mask is cut by slices, got {k!r}; write mask[{k!r}:{k!r} + 1, :] for one row")
    cut = [range(size)[k] for k, size in zip(keys, mask.shape, strict=True)]
    if any(len(r) == 0 for r in cut):
        raise IndexError(f"mask[{key!r}] of a mask with shape {mask.shape} is empty")
    if all(r == range(size) for r, size in zip(cut, mask.shape, strict=True)):
        return mask
    axes = tuple((r.start, r.step, len(r)) for r in cut)
    if isinstance(mask, View):
        steps = zip(mask.axes, axes, strict=True)
        axes = tuple((start + first * step, step * by, count) for (start, step, _), (first, by, count) in steps)
        return evolve(mask, axes=axes)
    return (AttentionView if isinstance(mask, AttentionMask) else View)(mask, axes)


def slices(axes: Any) -> tuple[slice, ...]:
    """The slices that give a view of these `(start, step, count)`."""
    found = []
    for axis in axes:
        if not (isinstance(axis, (list, tuple)) and len(axis) == 3 and all(map(is_integer, axis))):
            raise ConfigError(f"axes of a view must be lists [start, step, count], got {axis!r}")
        start, step, count = axis
        stop = start + step * count
        found.append(slice(start, stop if stop >= 0 else None, step))
    return tuple(found)


def _full_key(mask: Mask, key: Any) -> list[Any]:
    """One entry per axis."""
    keys = list(key) if isinstance(key, tuple) else [key]
    axes = len(mask.shape)
    if Ellipsis in keys:
        at = keys.index(Ellipsis)
        keys[at : at + 1] = [slice(None)] * (axes - len(keys) + 1)
    keys += [slice(None)] * (axes - len(keys))
    if len(keys) != axes:
        raise IndexError(f"a mask of shape {mask.shape} takes {axes} slices, got {len(keys)}")
    return keys


def _slice_text(axis: tuple[int, int, int], size: int) -> str:
    start, step, count = axis
    stop = start + step * count
    if (start, step, count) == (0, 1, size):
        return ":"
    return f"{start}:{stop if stop >= 0 else ''}" + (f":{step}" if step != 1 else "")


# -- foreign arrays ---------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class ArrayMask(Mask):
    """A boolean array of any library, taken as it is.

    Attributes:
        array: booleans.
        true: what True means in it: "allowed" or "blocked".
    """

    name = "array"
    array: Any = field(converter=as_array, validator=array(dtype="bool"), eq=by_content)
    true: str = field(validator=one_of("allowed", "blocked"))

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.array.shape)

    def allows(self, *index: Any) -> Any:
        value = take(self.array, *index)
        return value if self.true == "allowed" else ~value


@frozen(kw_only=True)
class AttentionArrayMask(ArrayMask, AttentionMask):
    """The same, for arrays `(q_len, kv_len)` and `(batch, q_len, kv_len)`."""


def from_array(x: Any, true: str) -> Mask:
    """A mask from a boolean array of any library: the one door for arrays made elsewhere.

    Args:
        x: booleans, `(q_len, kv_len)` or `(batch, q_len, kv_len)` for attention, else one or four axes.
        true: what True means in `x`: "allowed" (Keras, Torch SDPA, JAX) or "blocked" (`nn.MultiheadAttention`).
            There is no default: which way round is what goes wrong.

    Raises:
        ConfigError: `x` is not boolean, or `true` is neither of the two.
    """
    x = as_array(x)
    attention = getattr(x, "ndim", None) in (2, 3)
    return (AttentionArrayMask if attention else ArrayMask)(array=x, true=true)
