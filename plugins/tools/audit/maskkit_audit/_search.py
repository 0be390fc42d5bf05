"""Compositions of up to three masks that give a pattern: intersections of the smallest masks around it, unions inside.

Classes answer with the smallest mask of their kind that allows all of a pattern. So where the pattern is `a & b`, the
answers of both lie between it and `a`, and between it and `b`, and their intersection is the pattern: all pairs and
triples of answers are tried, as operations on spans. Of a union one part is taken from what holds along whole
diagonals, or for whole columns, and the other one is asked for what is left.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, islice

import numpy as np
from maskkit import Mask, Spans
from maskkit_audit._atoms import Named, ask, shortest
from maskkit_audit._patterns import (
    along_diagonals,
    count,
    differing,
    down_columns,
    of_distances,
    of_keys,
    over_batch,
    widened,
)

_MOST_HULLS, _MOST_AROUND, _MOST_NEAR = 14, 6, 8
"""How many of the smallest masks around a pattern are tried with each other, with further parts, and for a near one."""
_FEW_WORDS, _MANY_WORDS = 2, 12
"""Words with which an expression is short enough not to be intersected further, and not to be taken apart."""
_ASKED = 40
"""Of 1,024 tokens all classes are asked in 10 to 20 ms."""
_NEARLY = 0.9
"""The share of a pattern that is nearly all of it."""
_MOST_COLUMNS = 64
"""Intervals per row up to which combinations are looked for."""


class Budget:
    """How often all classes may be asked: not seconds, so that what is found is the same on every machine."""

    def __init__(self) -> None:
        self.left = _ASKED

    @property
    def is_spent(self) -> bool:
        """Whether no more than single masks may be asked for."""
        return self.left <= 0


class Search:
    """The names of one pattern.

    Args:
        spans: (rows,) or (batch, rows), as many rows as keys.
        axes: ("query", "key"), or with "batch" before them.
        budget: how often classes may be asked; what it has found by then counts.
    """

    def __init__(self, spans: Spans, axes: tuple[str, ...], budget: Budget) -> None:
        self.spans, self.axes = spans, axes
        self.total = count(spans)
        self.everything = int(np.prod(spans.shape)) * spans.limit
        self.budget = budget
        self.seen: dict[str, Named] = {}

    def run(self) -> Named | None:
        """The shortest expression that is the pattern, if there is one."""
        found = list(self._single())
        if len(self.spans) > _MOST_COLUMNS:
            return shortest(found)
        for enough, tried in (
            (_FEW_WORDS, self._pairs),
            (_MANY_WORDS, self._differences),
            (_MANY_WORDS, self._unions),
            (_MANY_WORDS, self._triples),
        ):
            best = shortest(found)
            if (best and best.words <= enough) or self.budget.is_spent:
                break
            found += tried()
        return shortest(found)

    def nearest(self) -> Named | None:
        """Of all that was seen, and of what holds for the most part, the one that differs in the fewest pairs."""
        if len(self.spans) <= _MOST_COLUMNS:
            self._majority()
        near = self._nearest(list(self.seen.values()))
        both = [_both(one, other) for one, other in combinations(self._nearly_around(), 2)]
        return next(iter(self._nearest([*near, *both])), None)

    def _nearly_around(self) -> list[Named]:
        """The smallest that allow nearly all of the pattern, for what is an intersection but for a few pairs."""
        if len(self.spans) > _MOST_COLUMNS:
            return []
        wide = [
            one
            for one in _distinct(list(self.seen.values()))
            if count(one.spans & self.spans) >= _NEARLY * self.total and count(one.spans) < self.everything
        ]
        return sorted(wide, key=lambda one: (count(one.spans), one.cost))[:_MOST_NEAR]

    def _nearest(self, some: list[Named]) -> list[Named]:
        """Those that differ in the fewest pairs; of most of them the numbers of keys in each row tell enough."""
        own = self.spans.counts()
        some = sorted(_distinct(some), key=lambda one: (int(abs(one.spans.counts() - own).sum()), one.cost))
        return sorted(some[:_MOST_HULLS], key=lambda one: (self._apart(one) * one.parts, one.cost))

    # -- exact ----------------------------------------------------------------------------------------------------

    def _single(self) -> Iterator[Named]:
        self.hulls = []
        for one in self._ask(self.spans):
            if one.spans == self.spans:
                yield one
            elif len(self.spans) <= _MOST_COLUMNS and self._is_around(one.spans):
                self.hulls.append(one)
        rest = ~self.spans
        for one in self._ask(rest):
            if one.spans == rest:
                yield _not(one)

    def _pairs(self) -> Iterator[Named]:
        self.hulls = _distinct(self.hulls)[:_MOST_HULLS]
        for one, other in combinations(self.hulls, 2):
            if (both := _both(one, other)).spans == self.spans:
                yield both

    def _differences(self) -> Iterator[Named]:
        for around in self.hulls[:_MOST_AROUND]:
            if self.budget.is_spent:
                return
            yield from self._without(around)

    def _without(self, around: Named) -> Iterator[Named]:
        """`around & ~other`."""
        for other in self._ask(around.spans & ~self.spans):
            if around.spans & ~other.spans == self.spans:
                yield _both(around, _not(other))

    def _unions(self) -> Iterator[Named]:
        """`a | b`, and `around & (a | b)`."""
        for around in [None, *self.hulls[:_MOST_AROUND]]:
            room = self.spans if around is None else self.spans | ~around.spans
            for inner in self._cores(room):
                rest = self.spans & ~inner.spans
                for other in self._ask(rest):
                    union = _either(inner, other)
                    whole = union if around is None else _both(around, union)
                    if whole.spans == self.spans:
                        yield whole
            if self.budget.is_spent:
                return

    def _triples(self) -> Iterator[Named]:
        for three in combinations(self.hulls, 3):
            if self.budget.is_spent:
                return
            whole = _both(_both(three[0], three[1]), three[2])
            if whole.spans == self.spans:
                yield whole
        for one, other in islice(combinations(self.hulls[:_MOST_AROUND], 2), 15):
            if self.budget.is_spent:
                return
            yield from self._without(_both(one, other))

    def _cores(self, room: Spans) -> Iterator[Named]:
        """The largest masks inside of a pattern that hold along diagonals, or for columns."""
        rows = room.shape[-1]
        found, whole = along_diagonals(room)
        inside = of_distances(found == whole, rows, room.limit)
        parts = [inside, of_keys(down_columns(room) == rows, rows)]
        for part in parts:
            if part is None:
                continue
            part = widened(part, self.spans.shape)
            if best := shortest(one for one in self._ask(part) if one.spans == part):
                yield best

    # -- not quite ------------------------------------------------------------------------------------------------

    def _majority(self) -> None:
        """What neighbours see of each other; what holds for more than half of a diagonal, and then of a column."""
        rows = self.spans.shape[-1]
        near = of_distances(abs(np.arange(-(rows - 1), self.spans.limit)) <= 1, rows, self.spans.limit)
        if near is not None:  # one pair that is astray joins two documents, but seldom neighbours
            self._ask(self.spans & widened(near, self.spans.shape))
        found, whole = along_diagonals(self.spans)
        usual = of_distances(2 * found > whole, rows, self.spans.limit)
        if usual is None:
            return
        usual = widened(usual, self.spans.shape)
        bands = self._ask(usual)
        if self._apart_of(usual) and bands:
            best = min(bands, key=lambda one: (self._apart(one), one.cost))
            columns, possible = down_columns(self.spans & best.spans), down_columns(best.spans)
            self._ask(of_keys(2 * columns > possible, rows))

    def _apart(self, one: Named) -> int:
        return self._apart_of(one.spans)

    def _apart_of(self, spans: Spans) -> int:
        return int(differing(spans, self.spans).sum())

    # -- the rest -------------------------------------------------------------------------------------------------

    def _ask(self, spans: Spans) -> list[Named]:
        """What classes say of a pattern, and of what any of its samples allows."""
        self.budget.left -= len(self.axes) - 1
        found = ask(spans, self.axes)
        if len(self.axes) > 2:
            whole = over_batch(spans)
            shared = ask(whole, self.axes[1:])
            found += [Named(one.text, one.mask, widened(one.spans, spans.shape)) for one in shared]
        for one in found:
            self._keep(one)
        return found

    def _keep(self, one: Named) -> None:
        self.seen.setdefault(one.text, one)

    def _is_around(self, spans: Spans) -> bool:
        """Whether these allow all that the pattern does, and block something."""
        allowed = count(spans)
        return self.total < allowed < self.everything and (spans & self.spans) == self.spans


def _distinct(some: list[Named]) -> list[Named]:
    """Of equal ones the shortest, and the shortest first."""
    found: dict[tuple[bytes, bytes], Named] = {}
    for one in sorted(some, key=lambda one: one.cost):
        found.setdefault((one.spans.lo.tobytes(), one.spans.hi.tobytes()), one)
    return list(found.values())


def _in_order(one: Named, other: Named) -> list[Named]:
    """Short ones first, and behind them those of arrays."""
    return sorted((one, other), key=lambda part: ("[" in part.text, len(part.text), part.text))


def _both(one: Named, other: Named) -> Named:
    one, other = _in_order(one, other)
    text = " & ".join(_bracketed(part, "|") for part in (one, other))
    return Named(text, _mask(one) & _mask(other), one.spans & other.spans, one.parts + other.parts)


def _either(one: Named, other: Named) -> Named:
    one, other = _in_order(one, other)
    text = " | ".join(_bracketed(part, "&") for part in (one, other))
    return Named(text, _mask(one) | _mask(other), one.spans | other.spans, one.parts + other.parts)


def _not(one: Named) -> Named:
    return Named(f"~{_bracketed(one, '&|')}", ~_mask(one), ~one.spans, one.parts)


def _bracketed(one: Named, operators: str) -> str:
    return f"({one.text})" if any(f" {operator} " in one.text for operator in operators) else one.text


def _mask(one: Named) -> Mask:
    return one.mask
