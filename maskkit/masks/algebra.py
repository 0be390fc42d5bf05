"""Masks made of masks by `& | ^ ~`."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from functools import reduce
from typing import Any, Literal

import numpy as np
from attrs import evolve, frozen
from maskkit.errors import ConfigError
from maskkit.masks.mask import AttentionMask, Mask
from maskkit.masks.pattern import Pattern
from maskkit.masks.spans import Spans

Operation = Literal["and", "or", "xor", "not"]

_APPLY: dict[str, Callable[..., Any]] = {"and": operator.and_, "or": operator.or_, "xor": operator.xor}
SYMBOLS = {"and": " & ", "or": " | ", "xor": " ^ "}


@frozen(repr=False)
class Combination(Mask):
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
        found = [self._of(part, part.spans, rows) for part in self.parts]
        if any(spans is None for spans in found):
            return None
        return ~found[0] if self.operation == "not" else reduce(_APPLY[self.operation], found)  # type: ignore[operator]

    @property
    def intervals(self) -> int:
        return max(part.intervals for part in self.parts)

    def reach(self, *rows: Any) -> Spans | None:
        exact = super().reach(*rows)
        if exact is not None or self.operation == "not":
            return exact
        found = [self._of(part, part.reach, rows) for part in self.parts]
        if self.operation == "and":
            known = [reach for reach in found if reach is not None]
            return reduce(operator.and_, known) if known else None
        return None if None in found else reduce(operator.or_, found)

    def _of(self, part: Mask, find: Callable[..., Spans | None], rows: tuple[Any, ...]) -> Spans | None:
        """Spans of a part, for the rows and keys of the whole."""
        found = find(*_own_index(part, rows, rows_only=True))
        shape = np.broadcast_shapes(*(np.shape(r) for r in rows))
        return None if found is None else found.within(self.shape[-1], shape)

    @property
    def period(self) -> int:
        return math.lcm(*(part.period for part in self.parts))

    @property
    def on_host(self) -> bool:
        return all(part.on_host for part in self.parts)

    def with_parts(self, parts: tuple[Any, ...]) -> Any:
        return evolve(self, parts=parts)

    def saved(self, save: Callable[[Any], Any]) -> dict[str, Any]:
        parts = [save(part) for part in self.parts]
        return {self.operation: parts[0] if self.operation == "not" else parts}

    def bracketed(self) -> str:
        return repr(self) if self.operation == "not" else f"({self!r})"

    def __repr__(self) -> str:
        if self.operation == "not":
            return f"~{self.parts[0].bracketed()}"
        return SYMBOLS[self.operation].join(part.bracketed() for part in self.parts)


class Combined(Combination):
    """Masks of pixels, queries or tokens, combined."""


class AttentionCombined(Combination, AttentionMask):
    """Attention masks, combined."""


def combine(operation: str, *masks: Mask) -> Mask:
    """One mask from several, of the dtype that all agree on, else bool.

    Simplifies by form: `~~a` is `a`, `a & a` is `a`, `(a & b) & c` is one `&`.
    """
    dtypes = {mask.array_dtype for mask in masks}
    if dtypes != {"bool"}:
        plain = combine(operation, *(mask.astype("bool") for mask in masks))
        return plain.astype(dtypes.pop() if len(dtypes) == 1 else "bool")
    if operation == "not":
        inner = masks[0]
        if isinstance(inner, Combination) and inner.operation == "not":
            return inner.parts[0]
    _check_shapes(operation, masks)
    parts: list[Mask] = []
    for mask in masks:
        same = isinstance(mask, Combination) and mask.operation == operation != "xor"
        for part in mask.parts if same else (mask,):
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


def _own_index(part: Pattern, index: tuple[Any, ...], rows_only: bool = False) -> tuple[Any, ...]:
    """The part's own indices: without the batch if it has none, and 0 if it has one for all."""
    axes = len(part.shape) - rows_only
    own = index[len(index) - axes :]
    return (own[0] * 0, *own[1:]) if len(part.shape) == 3 and part.shape[0] == 1 else own
