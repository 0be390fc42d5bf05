"""The name of a mask that was seen: the shortest expression that is equal, or the nearest, and where it departs."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from attrs import field, frozen
from maskkit import ConfigError, Mask, Spans, from_array, stack
from maskkit.arrays import is_array
from maskkit_audit._atoms import Named, ask, shortest
from maskkit_audit._patterns import count, differing, spans_of, widened
from maskkit_audit._search import Budget, Search

_FEW_WORDS = 3
"""An expression of so many names and parameters is short enough."""
_SHOWN = 8
"""Rows that are named where a mask departs from its nearest."""
NOTHING = "nothing is allowed"
EVERYTHING = "everything is allowed"


@frozen(kw_only=True)
class Recognition:
    """What a mask was recognised as.

    Attributes:
        expression: as `maskkit.parse(expression, seq_len=...)` reads it. One that is a slice of it stands before one,
            `causal[-1:, :]`; of several heads or samples it is a `stack` of them.
        mask: the mask that the expression stands for; None where nothing is like it.
        exact: whether it is equal to what was given.
        rows: where it is not, the indices of the rows that differ, (n, axes but the last).
        pairs: how many positions differ.
    """

    expression: str
    mask: Mask | None = field(repr=False)
    exact: bool
    rows: npt.NDArray[np.int64] = field(eq=False, repr=False, factory=lambda: np.zeros((0, 1), np.int64))
    pairs: int = 0

    def __bool__(self) -> bool:
        return self.exact

    def __str__(self) -> str:
        if self.exact:
            return self.expression
        if self.mask is None:
            return "no installed mask"
        first = ", ".join(str(row.tolist() if len(row) > 1 else int(row[0])) for row in self.rows[:_SHOWN])
        more = f" and {len(self.rows) - _SHOWN:,} more" if len(self.rows) > _SHOWN else ""
        return f"near {self.expression}, but for {self.pairs:,} pairs in rows {first}{more}"


def recognize(array_or_mask: Any, *, true: str = "allowed", axes: Any = None) -> Recognition:
    """The shortest expression of installed masks that is equal to a mask; else the nearest, and where it departs.

    Every installed mask is asked for its parameters (see `Mask.recognize`), and combinations of up to three of them
    are searched, as operations on spans, for about a second at most.

    Args:
        array_or_mask: a mask, or booleans of any array library.
        true: what True means in an array: "allowed", or "blocked".
        axes: the names of its axes, as `maskkit.from_array` takes them.
    """
    if isinstance(array_or_mask, Mask):
        mask = array_or_mask.astype("bool")
    elif is_array(array_or_mask) or isinstance(array_or_mask, (list, tuple)):
        array = array_or_mask if is_array(array_or_mask) else np.asarray(array_or_mask)
        mask = from_array(array, true=true, axes=axes)
    else:
        raise ConfigError(f"recognize takes a mask or an array of booleans, got {type(array_or_mask).__name__}")
    return _Target(mask, Budget()).recognition


class _Target:
    """A mask whose name is looked for."""

    def __init__(self, mask: Mask, budget: Budget) -> None:
        self.budget = budget
        self.mask, self.axes, self.shape = mask, mask.axes, mask.shape
        self.spans = spans_of(mask)

    @property
    def recognition(self) -> Recognition:
        total = count(self.spans)
        if total == 0:
            return Recognition(expression=NOTHING, mask=self.mask, exact=True)
        if total == np.prod(self.shape):
            return Recognition(expression=EVERYTHING, mask=self.mask, exact=True)
        if self.axes[-2:] != ("query", "key"):
            found = shortest(one for one in ask(self.spans, self.axes) if one.spans == self.spans)
            return self._told(found)
        if "head" in self.axes:
            return self._of_planes("head")
        if "batch" in self.axes and (same := self._without_batch) is not None:
            return same
        found = self._search()
        if "batch" in self.axes and (found is None or found.spans != self.spans):
            apart = self._of_planes("batch")
            if apart.exact:
                return apart
        return self._told(found)

    @cached_property
    def _without_batch(self) -> Recognition | None:
        """That of one sample, where all are equal."""
        first = Spans(self.spans.lo[:, :1], self.spans.hi[:, :1], self.spans.limit)
        if widened(first, self.spans.shape) != self.spans:
            return None
        return _Target(self.mask[0], self.budget).recognition

    def _search(self) -> Named | None:
        """Over the ways in which a pattern can be a part of a square; the nearest of them where none is equal."""
        near: list[Named] = []
        for square in _squares(self.spans):
            search = Search(square.spans, self.axes, self.budget)
            near += square.candidates(self.axes)
            if (found := search.run()) is not None:
                near.append(square.cut(found))
            best = shortest(one for one in near if one.spans == self.spans)
            if best is not None and best.words <= _FEW_WORDS:
                break
            if best is None and (other := search.nearest()) is not None:
                near.append(square.cut(other))
        exact = [one for one in near if one.spans == self.spans]
        return shortest(exact) or min(
            near, key=lambda one: (int(differing(one.spans, self.spans).sum()) * one.parts, one.cost), default=None
        )

    def _of_planes(self, axis: str) -> Recognition:
        """Each head, or each sample, by itself."""
        planes = [self.mask[_at(self.axes, axis, i)] for i in range(self.shape[self.axes.index(axis)])]
        known: dict[bytes, Recognition] = {}
        found = []
        for plane in planes:
            spans = spans_of(plane)
            key = spans.lo.tobytes() + spans.hi.tobytes()
            if key not in known:
                known[key] = _Target(plane, self.budget).recognition
            found.append(known[key])
        if any(one.mask is None for one in found):
            return Recognition(expression="", mask=None, exact=False)
        if len(known) == 1:
            return found[0] if found[0].exact else self._told(Named(found[0].expression, found[0].mask, self.spans))
        text = f"stack([{', '.join(one.expression for one in found)}], axis={axis!r})"
        mask = stack([_one_sample(one.mask) if axis == "batch" else one.mask for one in found], axis=axis)
        if all(one.exact for one in found):
            return Recognition(expression=text, mask=mask, exact=True)
        return self._told(Named(text, mask, spans_of(mask)))

    def _told(self, found: Named | None) -> Recognition:
        if found is None:
            return Recognition(expression="", mask=None, exact=False)
        apart = differing(widened(found.spans, self.spans.shape), self.spans)
        return Recognition(
            expression=found.text,
            mask=found.mask,
            exact=not apart.any(),
            rows=np.argwhere(apart > 0),
            pairs=int(apart.sum()),
        )


def _one_sample(mask: Any) -> Mask:
    """Without the batch of one that some masks always have."""
    return mask[0] if "batch" in mask.axes else mask


def _at(axes: tuple[str, ...], axis: str, index: int) -> tuple[Any, ...]:
    return tuple(index if own == axis else slice(None) for own in axes)


# -- rectangles -------------------------------------------------------------------------------------------------------


@frozen
class _Square:
    """A square that a pattern is a part of: the rows from `first`, and the first `keys` keys."""

    spans: Spans
    first: int
    rows: int
    keys: int

    def cut(self, one: Named) -> Named:
        """The part of a mask of the square that the pattern is."""
        size = self.spans.limit
        if (self.first, self.rows, self.keys) == (0, self.spans.shape[-1], size):
            return one
        spans = one.spans[self.first : self.first + self.rows]
        if self.keys < size:
            spans = Spans.cut(spans.lo, spans.hi, self.keys)
        down = f"-{self.rows}:" if self.first else f":{self.rows}" if self.rows < size else ":"
        across = f":{self.keys}" if self.keys < size else ":"
        text = f"({one.text})" if " " in one.text.partition("(")[0] or " & " in one.text else one.text
        mask = one.mask[..., self.first : self.first + self.rows, : self.keys]
        return Named(f"{text}[{down}, {across}]", mask, spans, one.parts)

    def candidates(self, axes: tuple[str, ...]) -> list[Named]:
        """Of a rectangle, what depends on no parameter, whatever the rows are that are not seen."""
        if self.spans.shape[-1] != self.spans.limit or self.rows == self.keys:
            return []
        whole = widened(Spans.interval(0, np.arange(self.spans.limit) + 1).within(self.spans.limit), self.spans.shape)
        return [self.cut(one) for one in ask(whole, axes) if one.text == "causal"]


def _squares(spans: Spans) -> list[_Square]:
    """A square itself; else also those whose other rows go on as the first or the last one does, or are like it."""
    rows, keys = spans.shape[-1], spans.limit
    if rows == keys:
        return [_Square(spans, 0, rows, keys)]
    found = [_Square(spans, 0, rows, keys)]  # some masks have queries and keys in any number
    if rows > keys:
        cut = Spans.cut(spans.lo, np.where(spans.lo < keys, spans.hi, spans.lo), rows)
        return [*found, _Square(cut, 0, rows, keys)]
    missing = keys - rows
    before, after = np.arange(missing), np.arange(missing) + 1
    for moved in (0, 1):
        up = _moved(spans[:1], (before - missing) * moved, keys)
        down = _moved(spans[rows - 1 :], after * moved, keys)
        found.append(_Square(Spans.join([up, spans]), missing, rows, keys))
        found.append(_Square(Spans.join([spans, down]), 0, rows, keys))
    return found


def _moved(row: Spans, by: Any, keys: int) -> Spans:
    """A row again and again, each time moved by so many keys."""
    some = row.lo < row.hi
    lo, hi = (np.where(some, ends, 0) + np.where(some, by, 0) for ends in (row.lo, row.hi))
    return Spans.cut(lo, hi, keys)
