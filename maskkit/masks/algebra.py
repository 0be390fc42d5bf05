"""Masks made of masks by `& | ^ ~`."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable
from functools import cached_property, reduce
from itertools import chain
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from attrs import evolve, frozen
from maskkit import limits
from maskkit.masks.axes import Sized, is_attention, own_index, plane_ids, together
from maskkit.masks.mask import AttentionMask, Mask
from maskkit.masks.spans import Spans

Operation = Literal["and", "or", "xor", "not"]

_APPLY: dict[str, Callable[..., Any]] = {"and": operator.and_, "or": operator.or_, "xor": operator.xor}
SYMBOLS = {"and": " & ", "or": " | ", "xor": " ^ "}


@frozen
class Several(Sized, Mask):
    """A mask made of several, whose axes meet by name: one that a part lacks, or has in size 1, serves all."""

    parts: tuple[Mask, ...]

    @property
    def plane_ids(self) -> npt.NDArray[np.int64]:
        axes, shape = self.axes, self.shape
        if not is_attention(axes):
            return super().plane_ids
        ids = np.stack([plane_ids(part, axes, shape).ravel() for part in self.parts])
        found: npt.NDArray[np.int64] = np.unique(ids, axis=1, return_inverse=True)[1].reshape(shape[:-2])
        return found

    @property
    def intervals(self) -> int:
        return max(part.intervals for part in self.parts)

    @property
    def on_host(self) -> bool:
        return all(part.on_host for part in self.parts)

    def with_parts(self, parts: tuple[Any, ...]) -> Any:
        return evolve(self, parts=parts)

    def _found_of(self, part: Mask, rows: tuple[Any, ...], loose: bool) -> Spans | None:
        """What is found of a part, for the rows and keys of the whole."""
        axes, (*_, keys) = self.axes, self.shape
        own = own_index(part, axes, rows)
        shape = np.broadcast_shapes(*(np.shape(r) for r in rows))
        if part.axes[-1] == axes[-1] and part.shape[-1] == keys:
            found = part.found(own, loose)
            return None if found is None else found.within(keys, shape)
        allowed = part.allows(*own, *(own[0] * 0,) * (len(part.axes) - len(own)))  # one answer serves all keys
        return Spans.interval(0, np.where(allowed, keys, 0)).within(keys, shape)


@frozen
class Combination(Several):
    """Masks under one operation, on what is allowed; each part decides for itself, at the last moment."""

    name = "combined"
    operation: Operation

    @cached_property
    def sizes(self) -> dict[str, int]:
        return together(self.parts, _COMBINE.format(self.operation))

    def allows(self, *index: Any) -> Any:
        axes = self.axes
        results = [part.allows(*own_index(part, axes, index)) for part in self.parts]
        return ~results[0] if self.operation == "not" else reduce(_APPLY[self.operation], results)

    def _found(self, rows: tuple[Any, ...], loose: bool) -> Spans | None:
        if not loose or self.intervals <= limits.intervals:
            exact = [self._found_of(part, rows, loose=False) for part in self.parts]
            if None not in exact:
                return ~exact[0] if self.operation == "not" else reduce(_APPLY[self.operation], exact)  # type: ignore[operator]
        if not loose or self.operation == "not":
            return None
        found = [self._found_of(part, rows, loose=True) for part in self.parts]
        if self.operation == "and":
            known = [reach for reach in found if reach is not None]
            return reduce(operator.and_, known) if known else None
        return None if None in found else reduce(operator.or_, found)

    @property
    def period(self) -> int:
        whole = self.shape
        return math.lcm(*(part.period for part in self.parts)) if all(p.shape == whole for p in self.parts) else 0

    def saved(self, save: Callable[[Any], Any]) -> dict[str, Any]:
        return {self.operation: save(self.parts[0] if self.operation == "not" else self.parts)}

    def bracketed(self) -> str:
        return repr(self) if self.operation == "not" else f"({self!r})"

    def __repr__(self) -> str:
        if self.operation == "not":
            return f"~{self.parts[0].bracketed()}"
        return SYMBOLS[self.operation].join(part.bracketed() for part in self.parts)


_COMBINE = "combine under {!r}"


@frozen(repr=False)
class Combined(Combination):
    """Masks of pixels, queries or tokens, combined."""


@frozen(repr=False)
class AttentionCombined(Combination, AttentionMask):
    """Attention masks, combined."""


def combine(operation: str, *masks: Mask) -> Mask:
    """One mask from several, of the dtype that all agree on, else bool.

    Simplifies by form: `~~a` is `a`, `a & a` is `a`, and `(a & b) & c` is one `&`, as `|` and `^` are one.

    Raises:
        ConfigError: two differ in the size of an axis, or are not of the same things; it names the axis.
    """
    masks, dtype = of_one_dtype(masks)
    if dtype != "bool":
        return combine(operation, *masks).astype(dtype)
    if operation == "not":
        inner = masks[0]
        if isinstance(inner, Combination) and inner.operation == "not":
            return inner.parts[0]
    sizes = together(masks, _COMBINE.format(operation))
    flat = [mask.parts if isinstance(mask, Combination) and mask.operation == operation else (mask,) for mask in masks]
    if operation == "xor":
        parts = tuple(chain(*flat))
    elif len(flat) == 2:  # those of each are different already, which keeps `m = m & other` quick in a loop
        parts = (*flat[0], *(part for part in flat[1] if part not in flat[0]))
    else:
        parts = tuple(dict.fromkeys(chain(*flat)))
    if len(parts) == 1 and operation != "not":
        return parts[0]
    found = (AttentionCombined if is_attention(tuple(sizes)) else Combined)(parts, operation)  # type: ignore[arg-type]
    object.__setattr__(found, "sizes", sizes)  # known here, and long to find again where parts are many
    return found


def of_one_dtype(masks: Iterable[Mask]) -> tuple[tuple[Mask, ...], str]:
    """Masks without dtypes of their own, and that of what is made of them: the one that all agree on, else bool."""
    masks = tuple(masks)
    dtypes = {mask.array_dtype for mask in masks}
    if dtypes != {"bool"}:
        masks = tuple(mask.astype("bool") for mask in masks)
    return masks, dtypes.pop() if len(dtypes) == 1 else "bool"
