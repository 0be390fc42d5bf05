"""Where an attention departs from what is known of the right mask, by kind."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from typing import Any

import numpy as np
from attrs import frozen
from maskkit_audit._calls import AXES, Call
from maskkit_audit._facts import Bools, Facts, Part

KINDS = {
    "exchanged": "the mask of a sample lies on a head, and that of a head on a sample",
    "inverted": "what should be allowed is blocked, and the other way round",
    "lost": "a mask that was given has no effect",
    "position": "positions are counted from the padding, not from the text",
    "alignment": "causal from the first key, where the queries are the last of the keys",
    "blocks": "the blocks of a block mask do not say what its predicate says",
    "padding": "real queries see padding",
    "document": "queries see other documents",
    "future": "queries see what comes after them",
    "window": "a window is too wide or too narrow",
    "extra": "pairs are allowed that should be blocked",
    "missing": "pairs are blocked that should be allowed",
    "empty": "real queries see nothing",
}
"""What each kind means."""
_BLOCKS = "the lists of blocks"


@frozen
class Leak:
    """One way in which an attention departs.

    Attributes:
        kind: one of `KINDS`.
        text: what is seen, with an example.
        pairs: how many pairs of a query and a key are concerned, over all samples and heads that differ.
    """

    kind: str
    text: str
    pairs: int

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


def leaks_of(call: Call, facts: Facts) -> tuple[Leak, ...]:
    """All that a call does otherwise than the facts say; empty if nothing is known to be wrong."""
    shape = (call.batch, call.heads, *call.allowed.shape[2:])
    parts = facts.parts(call.name, shape, call.claims_causal)
    if found := [Leak("blocks", note, 0) for note in call.notes if note.startswith(_BLOCKS)]:
        return tuple(found)  # whatever else is wrong follows from it
    return tuple(_Comparison(call, facts, parts, shape).leaks()) if parts else ()


class _Comparison:
    def __init__(self, call: Call, facts: Facts, parts: list[Part], shape: tuple[int, ...]) -> None:
        self.call, self.facts, self.parts, self.shape = call, facts, parts, shape
        self.rows = facts.real_rows(shape)
        self.is_exact = any(part.name != facts.source and part.name not in _BOUNDS for part in parts)
        self.wanted = _all(part.allowed for part in parts)
        self.extra = call.allowed & ~self.wanted & self.rows
        self.missing = ~call.allowed & self.wanted & self.rows if self.is_exact else np.zeros_like(self.extra)

    def leaks(self) -> list[Leak]:
        if not self.extra.any() and not self.missing.any():
            return self._empty()
        whole = self._exchanged() or self._inverted() or self._position() or self._alignment()
        if whole:
            return [whole]
        return [*self._lost_and_seen(), *self._missing(), *self._empty()]

    # -- one cause for all ----------------------------------------------------------------------------------------

    def _exchanged(self) -> Leak | None:
        batch, heads = self.shape[:2]
        own = self.call.allowed
        if batch != heads or batch == 1 or own.shape[:2] == (1, 1):
            return None
        swapped = own.swapaxes(0, 1)
        if self._differs(swapped):
            return None
        pairs = int(self.extra.sum() + self.missing.sum())
        return Leak("exchanged", f"with the axes batch and head ({batch} each) exchanged it would be right", pairs)

    def _inverted(self) -> Leak | None:
        for part in self.parts:
            others = _all([other.allowed for other in self.parts if other is not part], like=part.allowed)
            meant = self.call.allowed & part.allowed & others & self.rows
            seen = self.call.allowed & ~part.allowed & self.rows
            if not meant.any() and seen.any():
                return Leak("inverted", f"{part.name} is obeyed the other way round: {_example(seen)}", int(seen.sum()))
        return None

    def _position(self) -> Leak | None:
        parts = self.facts.in_row(self.call.name, self.shape)
        if not parts:
            return None
        in_row = _all([*(part.allowed for part in parts), *(p.allowed for p in self.parts if p.kind == "padding")])
        if ((self.call.allowed ^ in_row) & self.rows).any():
            return None
        pairs = int(self.extra.sum() + self.missing.sum())
        return Leak(
            "position", f"it is right in the row, and wrong in the text behind the padding: {pairs} pairs", pairs
        )

    def _alignment(self) -> Leak | None:
        *_, queries, keys = self.shape
        causal = any(part.kind == "future" for part in self.parts) or not (self.wanted & _future(queries, keys)).any()
        behind = np.arange(keys) > np.arange(queries)[:, None]
        if queries >= keys or self.extra.any() or not causal or (self.call.allowed & behind).any():
            return None
        text = f"query {queries - 1}, the last, sees no key behind {queries - 1} of {keys}"
        return Leak("alignment", text, int(self.missing.sum()))

    def _differs(self, allowed: Bools) -> bool:
        extra = allowed & ~self.wanted & self.rows
        return bool(extra.any() or (self.is_exact and (~allowed & self.wanted & self.rows).any()))

    # -- one by one -----------------------------------------------------------------------------------------------

    def _lost_and_seen(self) -> Iterator[Leak]:
        """Of every condition that is not met whether it is lost altogether; pairs that break several count once."""
        left = self.extra
        for part in sorted(self.parts, key=lambda part: _ORDER.index(part.kind)):
            seen = left & ~part.allowed
            if not seen.any():
                continue
            left = left & part.allowed
            if self._is_lost(part):
                yield Leak("lost", f"{part.name} blocks nothing: {_example(seen)}", int(seen.sum()))
            elif part.kind == "extra":
                yield from self._beyond(seen, part)
            else:
                yield Leak(part.kind, f"{_count(seen)} against {part.name}: {_example(seen)}", int(seen.sum()))

    def _is_lost(self, part: Part) -> bool:
        """Whether all that this condition alone blocks is allowed."""
        others = _all([other.allowed for other in self.parts if other is not part], like=part.allowed)
        alone = others & ~part.allowed & self.rows
        if self.is_exact or self.call.claims_causal:
            return part.kind != "document" and bool((self.call.allowed | ~alone).all())
        seen = (self.call.allowed & ~part.allowed & self.rows).any(axis=(1, 2))
        return part.kind == "padding" and bool((seen | part.allowed.all(axis=(1, 2))).all())

    def _beyond(self, seen: Bools, part: Part) -> Iterator[Leak]:
        """What a mask of another kind lets through: the future, whole distances, or pairs here and there."""
        ahead = seen & _future(*self.shape[2:])
        if ahead.any():
            yield Leak("future", f"{_count(ahead)} against {part.name}: {_example(ahead)}", int(ahead.sum()))
        beside = seen & ~ahead
        if beside.any():
            kind, text = self._along(beside, "allowed beyond")
            yield Leak(kind or "extra", text or f"{_count(beside)} against {part.name}: {_example(beside)}", _n(beside))

    def _missing(self) -> Iterator[Leak]:
        if self.missing.any():
            kind, text = self._along(self.missing, "blocked within")
            place = np.argwhere(self.missing)[0]
            where = _place(place, self.missing.shape[:2])
            said = f"{_count(self.missing)}: {where}query {place[2]} does not see key {place[3]}"
            yield Leak(kind or "missing", text or said, _n(self.missing))

    def _along(self, pairs: Bools, word: str) -> tuple[str, str]:
        """The kind "window" where the pairs are all that there are at a few distances, as far as they should differ."""
        *_, queries, keys = self.shape
        distance = np.arange(queries)[:, None] + keys - queries - np.arange(keys)
        found = np.unique(distance[pairs.any(axis=(0, 1))])
        if len(found) > _FEW or not len(found):
            return "", ""
        others = self.rows & _all([p.allowed for p in self.parts if p.kind != "extra"], like=pairs)
        if not (pairs | ~np.isin(distance, found) | ~others).all():
            return "", ""
        words = ", ".join(map(str, found))
        off = f" (off by {len(found)})"
        return "window", f"keys at the distance {words} are {word} the window{off}: {_example(pairs)}"

    def _empty(self) -> list[Leak]:
        rows = ~self.call.allowed.any(axis=-1, keepdims=True) & self.rows & self.wanted.any(axis=-1, keepdims=True)
        if not rows.any():
            return []
        first = np.argwhere(rows)[0]
        where = f"{_place(first, rows.shape[:2])}query {first[2]}"
        return [Leak("empty", f"{int(rows.sum()):,} real queries see nothing, the first is {where}", 0)]


_ORDER = ("padding", "document", "future", "extra")
_BOUNDS = ("documents", "is_causal of the module", "")
"""Conditions that say what must be blocked, and not what must be allowed."""
_FEW = 3
"""Distances by which a window may be wrong and still be called one."""


def _all(arrays: Any, like: Any = None) -> Bools:
    arrays = list(arrays)
    return reduce(np.logical_and, arrays) if arrays else np.ones_like(like)


def _future(queries: int, keys: int) -> Bools:
    return np.arange(keys) > np.arange(queries)[:, None] + keys - queries


def _n(pairs: Bools) -> int:
    return int(pairs.sum())


def _count(pairs: Bools) -> str:
    return "1 pair" if _n(pairs) == 1 else f"{_n(pairs):,} pairs"


def _place(index: Any, shape: tuple[int, ...]) -> str:
    """Which sample and which head, where there are several."""
    return "".join(f"{axis} {i}, " for axis, i, n in zip(AXES, index, shape, strict=False) if n > 1)


def _example(pairs: Bools) -> str:
    """The first of the pairs; of samples and heads only where there are several."""
    index = np.argwhere(pairs)[0]
    return f"{_place(index, pairs.shape[:2])}query {index[2]} sees key {index[3]}"
