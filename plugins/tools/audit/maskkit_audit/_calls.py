"""One call of attention as it was seen, whoever made it: what it allowed, in as few planes as differ."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from attrs import field, frozen
from maskkit import AttentionMask, by_content, from_array

Bools = npt.NDArray[np.bool_]

AXES = ("batch", "head", "query", "key")


@frozen(kw_only=True)
class Call:
    """What one attention did, once.

    Attributes:
        name: the module that called it, as its model names it.
        via: the function that computed it.
        allowed: booleans (batch, heads, queries, keys), with 1 where all samples or all heads are equal.
        batch, heads: how many there were.
        notes: what else is worth saying.
        claims_causal: whether the module says of itself that it is causal.
    """

    name: str
    via: str
    allowed: Bools = field(eq=by_content)
    batch: int
    heads: int
    notes: tuple[str, ...] = ()
    claims_causal: bool = False

    @property
    def mask(self) -> AttentionMask:
        """The same as a mask, without axes along which all is equal."""
        kept = [i for i, size in enumerate(self.allowed.shape) if size > 1 or i > 1]
        array = self.allowed.reshape([self.allowed.shape[i] for i in kept])
        return from_array(array, true="allowed", axes=[AXES[i] for i in kept])  # type: ignore[return-value]


def reduced(allowed: Bools) -> Bools:
    """Booleans (batch, heads, queries, keys), with 1 for samples or heads that are all equal."""
    for axis in (1, 0):
        first = allowed.take([0], axis)
        if allowed.shape[axis] > 1 and (allowed == first).all():
            allowed = first
    return allowed


def planes_of(array: Any) -> tuple[list[tuple[int, int]], npt.NDArray[np.int64]]:
    """Of booleans (batch, heads, queries, keys) the places of planes that differ, and for each plane which it is.

    What is expanded along an axis is compared once.
    """
    numbers: dict[bytes, int] = {}
    places: list[tuple[int, int]] = []
    of = np.zeros(array.shape[:2], np.int64)
    for place in np.ndindex(*array.shape[:2]):
        content = np.packbits(array[place]).tobytes()
        if content not in numbers:
            numbers[content] = len(places)
            places.append(place)  # type: ignore[arg-type]
        of[place] = numbers[content]
    return places, of


def heads_of(module: Any) -> int | None:
    """How many heads a module says it has; None if it does not say."""
    for holder in (module, getattr(module, "config", None)):
        for word in ("num_heads", "num_attention_heads", "n_heads", "n_head", "nhead", "heads"):
            count = getattr(holder, word, None)
            if isinstance(count, int) and not isinstance(count, bool) and count > 0:
                return count
    return None


def in_four_axes(allowed: Bools, heads: int | None) -> tuple[Bools, str]:
    """Booleans (..., queries, keys) as (batch, heads, queries, keys), and what to say of it.

    Three axes are samples and heads in one, as the module counts heads; of five, the heads are in groups.
    """
    *leading, queries, keys = allowed.shape
    if len(leading) == 2:
        return allowed, ""
    if len(leading) == 3:
        return allowed.reshape(leading[0], -1, queries, keys), ""
    if len(leading) == 1 and heads and leading[0] % heads == 0:
        return allowed.reshape(-1, heads, queries, keys), ""
    count = int(np.prod(leading, dtype=np.int64))
    note = f"{count} planes without a name are taken for samples" if count > 1 else ""
    return allowed.reshape(count, 1, queries, keys), note
