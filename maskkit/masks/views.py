"""Masks made of one mask: some of its rows and keys, one sample of a batch, or with arrays of another dtype."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

from attrs import evolve, frozen
from maskkit.arrays.dtypes import mask_dtype
from maskkit.errors import ConfigError
from maskkit.masks.mask import AttentionMask, Mask
from maskkit.masks.spans import Spans
from maskkit.validators import is_integer


@frozen(repr=False)
class Derived(Mask):
    """A mask that asks another one, at other places. Subclasses say where, and what then is seen."""

    base: Mask

    def _at(self, index: tuple[Any, ...]) -> tuple[Any, ...]:
        """Where the base is asked; an index may be of the rows alone."""
        return index

    def _seen(self, spans: Spans) -> Spans:
        """What the base's spans are here."""
        return spans

    @property
    def shape(self) -> tuple[int, ...]:
        return self.base.shape

    def allows(self, *index: Any) -> Any:
        return self.base.allows(*self._at(index))

    def spans(self, *rows: Any) -> Spans | None:
        spans = self.base.spans(*self._at(rows))
        return None if spans is None else self._seen(spans)

    @property
    def intervals(self) -> int:
        return self.base.intervals

    def reach(self, *rows: Any) -> Spans | None:
        spans = self.base.reach(*self._at(rows))
        return None if spans is None else self._seen(spans)

    @property
    def on_host(self) -> bool:
        return self.base.on_host

    @property
    def parts(self) -> tuple[Mask, ...]:
        return (self.base,)

    def with_parts(self, parts: tuple[Any, ...]) -> Any:
        return evolve(self, base=parts[0])


# -- slices -----------------------------------------------------------------------------------------------------------


@frozen(repr=False)
class Slices(Derived):
    """Some rows and some keys of a mask: for every axis a start, a step and a count."""

    name = "view"
    slices: tuple[tuple[int, int, int], ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(count for _, _, count in self.slices)

    def _at(self, index: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(i * step + start for i, (start, step, _) in zip(index, self.slices, strict=False))

    def _seen(self, spans: Spans) -> Spans:
        return spans.within(self.base.shape[-1]).stride(*self.slices[-1])

    @property
    def period(self) -> int:
        steps = [step for _, step, _ in self.slices[-2:]]
        return self.base.period // math.gcd(self.base.period, steps[0]) if steps[0] == steps[-1] else 0

    def saved(self, save: Callable[[Any], Any]) -> dict[str, Any]:
        return {"view": save(self.base), "slices": [list(one) for one in self.slices]}

    def __repr__(self) -> str:
        texts = (_slice_text(one, size) for one, size in zip(self.slices, self.base.shape, strict=True))
        return f"{self.base.bracketed()}[{', '.join(texts)}]"


class View(Slices):
    """Of pixels, queries or tokens."""


class AttentionView(Slices, AttentionMask):
    """Of queries and keys."""


@frozen(repr=False)
class Sample(Derived, AttentionMask):
    """One mask of a batch: `mask[2]`."""

    name = "sample"
    index: int

    @property
    def shape(self) -> tuple[int, ...]:
        return self.base.shape[1:]

    def _at(self, index: tuple[Any, ...]) -> tuple[Any, ...]:
        return (index[0] * 0 + self.index, *index)

    def saved(self, save: Callable[[Any], Any]) -> dict[str, Any]:
        return {"sample": save(self.base), "index": self.index}

    def __repr__(self) -> str:
        return f"{self.base.bracketed()}[{self.index}]"


def view(mask: Mask, key: Any) -> Mask:
    """`mask[key]`: slices, `...`, and for the batch of an attention mask an integer."""
    if mask.array_dtype != "bool":
        return view(mask.astype("bool"), key).astype(mask.array_dtype)
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
    slices = tuple((r.start, r.step, len(r)) for r in cut)
    if isinstance(mask, Slices):
        steps = zip(mask.slices, slices, strict=True)
        slices = tuple((start + first * step, step * by, count) for (start, step, _), (first, by, count) in steps)
        return evolve(mask, slices=slices)
    return (AttentionView if isinstance(mask, AttentionMask) else View)(mask, slices)


def as_slices(saved: Any) -> tuple[slice, ...]:
    """The slices that give a view of these `[start, step, count]`."""
    found = []
    for one in saved:
        if not (isinstance(one, (list, tuple)) and len(one) == 3 and all(map(is_integer, one))):
            raise ConfigError(f"slices of a view must be lists [start, step, count], got {one!r}")
        start, step, count = one
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


def _slice_text(one: tuple[int, int, int], size: int) -> str:
    start, step, count = one
    stop = start + step * count
    if one == (0, 1, size):
        return ":"
    return f"{start}:{stop if stop >= 0 else ''}" + (f":{step}" if step != 1 else "")


# -- dtypes -----------------------------------------------------------------------------------------------------------


@frozen(repr=False)
class Cast(Derived):
    """The same mask, which gives arrays of a dtype of its own where none is asked for."""

    name = "astype"
    array_dtype: str

    @property
    def period(self) -> int:
        return self.base.period

    def saved(self, save: Callable[[Any], Any]) -> dict[str, Any]:
        return {"astype": save(self.base), "dtype": self.array_dtype}

    def __repr__(self) -> str:
        return f"{self.base.bracketed()}.astype({self.array_dtype!r})"


class CastMask(Cast):
    """Of pixels, queries or tokens."""


class AttentionCast(Cast, AttentionMask):
    """Of queries and keys."""


def astype(mask: Mask, dtype: Any) -> Mask:
    """`mask.astype(dtype)`; bool is the mask as it is without one."""
    base, name = mask.base if isinstance(mask, Cast) else mask, mask_dtype(dtype)
    if name == base.array_dtype:
        return base
    return (AttentionCast if isinstance(base, AttentionMask) else CastMask)(base, name)
