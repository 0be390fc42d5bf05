"""Masks made of one mask: cut, one sample or head of it, at other positions, transposed, of another dtype."""

from __future__ import annotations

import math
import operator
from functools import cached_property, reduce
from typing import Any

import numpy as np
import numpy.typing as npt
from attrs import evolve, field, frozen
from maskkit import limits
from maskkit.arrays.dtypes import mask_dtype
from maskkit.arrays.fields import as_array, by_content
from maskkit.arrays.indices import maximum, minimum, take
from maskkit.arrays.libraries import host
from maskkit.errors import ConfigError
from maskkit.masks.axes import HEADS, LEADING, Sized, own_index, sizes
from maskkit.masks.mask import AttentionMask, Mask
from maskkit.masks.places import full_key, runs, slice_text
from maskkit.masks.spans import Spans
from maskkit.validators import array, is_integer, optional, positive, shown


def _of_base(name: str) -> Any:
    """A property that is the base's."""
    return property(lambda self: getattr(self.base, name))  # which Torch traces, as it does not an attrgetter


@frozen
class Derived(Mask):
    """A mask that asks another one, at other places. Subclasses say where, and what then is seen."""

    base: Mask
    axes = _of_base("axes")
    shape = _of_base("shape")
    intervals = _of_base("intervals")
    plane_ids = _of_base("plane_ids")
    on_host = _of_base("on_host")

    def _at(self, index: tuple[Any, ...]) -> tuple[Any, ...]:
        """Where the base is asked; an index may be of the rows alone."""
        return index

    def _seen(self, spans: Spans) -> Spans:
        """What the base's spans are here."""
        return spans

    def allows(self, *index: Any) -> Any:
        return self.base.allows(*self._at(index))

    def _found(self, rows: tuple[Any, ...], loose: bool) -> Spans | None:
        found = self.base.found(self._at(rows), loose)
        return None if found is None else self._seen(found)

    @property
    def parts(self) -> tuple[Mask, ...]:
        return (self.base,)

    def with_parts(self, parts: tuple[Any, ...]) -> Any:
        return evolve(self, base=parts[0])


# -- slices -----------------------------------------------------------------------------------------------------------


@frozen
class Slices(Derived):
    """Some rows and some keys of a mask: for every axis a start, a step and a count."""

    name = form = "view"
    slices: tuple[tuple[int, int, int], ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(count for _, _, count in self.slices)

    def _at(self, index: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(i * step + start for i, (start, step, _) in zip(index, self.slices, strict=False))

    def _seen(self, spans: Spans) -> Spans:
        return spans.within(self.base.shape[-1]).stride(*self.slices[-1])

    @property
    def plane_ids(self) -> npt.NDArray[np.int64]:
        ids = self.base.plane_ids
        for axis, (start, step, count) in enumerate(self.slices[:-2]):
            ids = ids.take(start + step * np.arange(count), axis)
        return ids

    @property
    def period(self) -> int:
        steps = [step for _, step, _ in self.slices[-2:]]
        return self.base.period // math.gcd(self.base.period, steps[0]) if steps[0] == steps[-1] else 0

    def __repr__(self) -> str:
        texts = (slice_text(one, size) for one, size in zip(self.slices, self.base.shape, strict=True))
        return f"{self.base.bracketed()}[{', '.join(texts)}]"


@frozen(repr=False)
class View(Slices):
    """Of pixels, queries or tokens."""


@frozen(repr=False)
class AttentionView(Slices, AttentionMask):
    """Of queries and keys."""


@frozen
class Pick(Derived, AttentionMask):
    """One sample of a batch, or one head: `mask[2]`."""

    name = form = "pick"
    axis: str
    index: int

    @property
    def _place(self) -> int:
        return self.base.axes.index(self.axis)

    @property
    def axes(self) -> tuple[str, ...]:
        return tuple(axis for axis in self.base.axes if axis != self.axis)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.base.shape[: self._place] + self.base.shape[self._place + 1 :]

    def _at(self, index: tuple[Any, ...]) -> tuple[Any, ...]:
        return (*index[: self._place], index[0] * 0 + self.index, *index[self._place :])

    @property
    def plane_ids(self) -> npt.NDArray[np.int64]:
        return np.asarray(self.base.plane_ids.take(self.index, self._place))

    def __repr__(self) -> str:
        return f"{self.base.bracketed()}[{':, ' * self._place}{self.index}]"


def view(mask: Mask, key: Any) -> Mask:
    """`mask[key]`: slices, `...`, and for the batch and the heads of an attention mask an integer."""
    if mask.array_dtype != "bool":
        return view(mask.astype("bool"), key).astype(mask.array_dtype)
    keys = full_key(mask.axes, key)
    for place, (axis, k) in enumerate(zip(mask.axes, keys, strict=True)):
        if isinstance(k, slice):
            continue
        if not (isinstance(mask, AttentionMask) and axis in LEADING):
            raise TypeError(f"the axis {axis!r} is cut by slices, got {k!r}; write {k!r}:{k!r} + 1 for one")
        return view(pick(mask, axis, operator.index(k)), (*keys[:place], *keys[place + 1 :]))
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


def pick(mask: Mask, axis: str, index: int) -> Mask:
    """One sample, or one head; a negative index counts from the end."""
    found = sizes(mask)
    if axis not in found or axis not in LEADING or not is_integer(index):
        raise ConfigError(f"{mask!r} has no {axis!r} of which {index!r} could be picked; it has {', '.join(found)}")
    return Pick(mask, axis, range(found[axis])[index])


# -- at other positions -----------------------------------------------------------------------------------------------

_POSITIONS = optional(array(ndim=(1, 2), dtype="integer"))


@frozen
class At(Sized, Derived, AttentionMask):
    """A mask whose queries and keys stand at other positions: `mask.at(query=..., key=...)`."""

    name = form = "at"
    query: Any = field(default=None, converter=as_array, validator=_POSITIONS, eq=by_content)
    key: Any = field(default=None, converter=as_array, validator=_POSITIONS, eq=by_content)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        for axis, positions in self._given.items():
            size, values = sizes(self.base)[axis], host(positions)
            if values is not None and values.size and values.max() >= size:
                raise ConfigError(
                    f"{axis} positions must be less than the {size} of {self.base!r}, got {values.max()}; "
                    "make it for longer sequences, or give a negative position to what is nowhere"
                )
        _ = self.sizes

    @property
    def _given(self) -> dict[str, Any]:
        return {axis: found for axis, found in (("query", self.query), ("key", self.key)) if found is not None}

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Those of the base; positions of a batch add one where it has none."""
        found = sizes(self.base)
        for axis, positions in self._given.items():
            *batch, found[axis] = positions.shape
            for count in batch:
                if 1 not in (count, found.get("batch", 1)) and count != found["batch"]:
                    raise ConfigError(f"{axis} positions of a batch of {count} do not fit a batch of {found['batch']}")
                found["batch"] = max(count, found.get("batch", 1))
        return {axis: found[axis] for axis in HEADS if axis in found}

    def _moved(self, axis: str, positions: Any, index: dict[str, Any]) -> tuple[Any, Any]:
        """Where the base is asked along an axis, and whether there is such a place."""
        lead = [index["batch"] * (positions.shape[0] > 1)] if len(positions.shape) == 2 else []
        place = take(positions, *lead, index[axis]) + index[axis] * 0  # as wide as an index
        last = sizes(self.base)[axis] - 1
        return minimum(maximum(place, 0), last), (place >= 0) & (place <= last)

    def allows(self, *index: Any) -> Any:
        moved, inside = dict(zip(self.axes, index, strict=True)), []
        for axis, positions in self._given.items():
            moved[axis], here = self._moved(axis, positions, moved)
            inside.append(here)
        found = self.base.allows(*own_index(self.base, self.axes, tuple(moved.values())))
        return reduce(operator.and_, inside, found)

    def _found(self, rows: tuple[Any, ...], loose: bool) -> Spans | None:
        moved = dict(zip(self.axes, rows, strict=False))
        shape = np.broadcast_shapes(*(np.shape(r) for r in rows))
        inside = np.ones(shape, np.bool_)
        if self.query is not None:
            moved["query"], here = self._moved("query", host(self.query), moved)
            inside = inside & here
        runs = None if self.key is None else self._runs
        if runs is not None and not limits.fit_spans(runs.shape[1], np.empty(shape)):
            return None
        found = self.base.found(own_index(self.base, self.axes, tuple(moved.values())), loose)
        if found is None:
            return None
        found = found.within(self.base.shape[-1], shape).only(inside)
        if runs is None:
            return found
        start, first, count = runs[..., np.broadcast_to(moved.get("batch", 0) * (runs.shape[-1] > 1), shape)]
        lo = np.maximum(found.lo[:, None], first) - first + start
        hi = np.minimum(found.hi[:, None], first + count) - first + start
        return Spans.intervals(*(ends.reshape(-1, *shape) for ends in (lo, hi)))

    @cached_property
    def _runs(self) -> npt.NDArray[np.int64]:
        return runs(np.atleast_2d(np.asarray(host(self.key), np.int64)))

    @property
    def intervals(self) -> int:
        return self.base.intervals * (1 if self.key is None or not self.on_host else max(self._runs.shape[1], 1))

    plane_ids = AttentionMask.plane_ids

    @property
    def on_host(self) -> bool:
        return self.base.on_host and all(host(positions) is not None for positions in self._given.values())

    def __repr__(self) -> str:
        given = ", ".join(f"{axis}={shown(positions)}" for axis, positions in self._given.items())
        return f"{self.base.bracketed()}.at({given})"


@frozen
class Transposed(Derived, AttentionMask):
    """Queries and keys exchanged: `mask.T`."""

    name = form = "T"
    period = _of_base("period")
    _found = AttentionMask._found  # its keys are the base's queries

    @property
    def shape(self) -> tuple[int, ...]:
        *leading, queries, keys = self.base.shape
        return (*leading, keys, queries)

    def _at(self, index: tuple[Any, ...]) -> tuple[Any, ...]:
        *leading, q, k = index
        return (*leading, k, q)

    def __repr__(self) -> str:
        return f"{self.base.bracketed()}.T"


@frozen
class OfKeys(Derived, AttentionMask):
    """A mask of tokens said of the keys, whatever the query: `mask.keys()`; of the queries it is said by its `T`."""

    name, form = "keys", "key_tokens"
    others: int

    @property
    def axes(self) -> tuple[str, ...]:
        return (*self.base.axes[:-1], *HEADS[-2:])

    @property
    def shape(self) -> tuple[int, ...]:
        *leading, tokens = self.base.shape
        return (*leading, self.others, tokens)

    def _at(self, index: tuple[Any, ...]) -> tuple[Any, ...]:
        query = len(self.base.axes) - 1
        return index[:query] + index[query + 1 :]

    def allows(self, *index: Any) -> Any:
        return super().allows(*index) & (index[-2] >= 0)  # every query; it gives the answer its shape

    plane_ids = AttentionMask.plane_ids

    def __repr__(self) -> str:
        return f"{self.base.bracketed()}.keys(q_len={self.others})"


def of_tokens(mask: Mask, axis: str, others: int | None) -> AttentionMask:
    """`mask.keys(q_len)`, or `mask.queries(k_len)`, which is its transpose."""
    if mask.axes[-1:] != ("token",):
        raise ConfigError(f"{mask!r} is a mask of {', '.join(mask.axes)}; only one of tokens can be said of {axis}s")
    count = mask.shape[-1] if others is None else others
    positive.check("q_len" if axis == "key" else "k_len", count)
    said = OfKeys(mask, operator.index(count))
    return said if axis == "key" else Transposed(said)


# -- dtypes -----------------------------------------------------------------------------------------------------------


@frozen
class Cast(Derived):
    """The same mask, which gives arrays of a dtype of its own where none is asked for."""

    name = form = "astype"
    array_dtype: str = field(alias="dtype")
    period = _of_base("period")

    def __repr__(self) -> str:
        return f"{self.base.bracketed()}.astype({self.array_dtype!r})"


@frozen(repr=False)
class CastMask(Cast):
    """Of pixels, queries or tokens."""


@frozen(repr=False)
class AttentionCast(Cast, AttentionMask):
    """Of queries and keys."""


def astype(mask: Mask, dtype: Any) -> Mask:
    """`mask.astype(dtype)`; bool is the mask as it is without one."""
    base, name = mask.base if isinstance(mask, Cast) else mask, mask_dtype(dtype)
    if name == base.array_dtype:
        return base
    return (AttentionCast if isinstance(base, AttentionMask) else CastMask)(base, name)
