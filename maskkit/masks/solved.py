"""Predicates solved for the key: the spans of many rows at once, and how far each row reaches."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import reduce
from typing import Any

import numpy as np
from maskkit import limits
from maskkit.arrays.libraries import host, is_array
from maskkit.masks.predicate import APPLY, COMPARISONS, LOGIC, Symbol, Unsolvable, has_key_in
from maskkit.masks.spans import Spans


def _each(change: Callable[[Any], Any], least: Any, most: Any) -> tuple[Any, Any]:
    """Both ends of a range changed, once where they are one."""
    first = change(least)
    return first, first if most is least else change(most)


_FAR = 2**61  # beyond every value of an expression
# Where a - b lies if a and b compare so: from one of the first numbers to that of the others.
_RANGES = {"<": ([-_FAR], [-1]), "<=": ([-_FAR], [0]), ">": ([1], [_FAR]), ">=": ([0], [_FAR]), "==": ([0],) * 2}
_RANGES["!="] = [-_FAR, 1], [-1, _FAR]
_BOUNDS = {op: _each(np.array, *ranges) for op, ranges in _RANGES.items()}
_NEGATED = {"<": ">=", ">=": "<", ">": "<=", "<=": ">", "==": "!=", "!=": "=="}
_MOST_CELLS = 2**22  # values of tables that are looked at together


def spans(condition: Any, rows: tuple[Any, ...], keys: int, *, loose: bool = False) -> Spans | None:
    """The keys that rows may see, one index given for each axis but the last; None if they are not a few intervals.

    With `loose`, those outside which they see nothing: what cannot be solved counts as allowed."""
    some = _Rows(rows, keys, loose)
    with suppress(Unsolvable, RecursionError):
        return some.where(condition, True, some.blank, some.one_by_one + keys).within(keys, some.blank.shape[1:])
    return None


class _Rows:
    """Some rows, in which conditions are solved for the key. Bounds are arrays that broadcast to `(several, *rows)`."""

    def __init__(self, rows: tuple[Any, ...], keys: int, loose: bool) -> None:
        self.keys, self.given_up = keys, (Unsolvable,) * loose
        self.key = Symbol("index", (len(rows),), {}, has_key=True)
        self.values: dict[int, Any] = {axis: np.asarray(row, np.int64)[None] for axis, row in enumerate(rows)}
        self.blank = np.zeros((1, *(np.broadcast(*rows).shape if rows else ())), np.int64)
        self.one_by_one = np.zeros((1,) * self.blank.ndim, np.int64)

    def where(self, x: Any, wanted: bool, lo: Any, hi: Any) -> Spans:
        """Between lo and hi, the keys for which a condition is `wanted`: all that it asks for holds together."""
        ranges: dict[int, Any] = {}  # what comparisons say of one expression is one range
        for part, sign in _conjuncts(x, wanted):
            with suppress(*self.given_up):
                a, least, most = self.as_range(part, sign)
                if len(least) == 1 and id(a) in ranges:
                    least, most = np.maximum(least, ranges[id(a)][1]), np.minimum(most, ranges[id(a)][2])
                ranges[id(a if len(least) == 1 else part)] = a, least, most
        found: list[Spans] = []
        # What narrows lo and hi comes first, what leaves a choice last.
        for a, least, most in sorted(ranges.values(), key=lambda one: (one[0].op in LOGIC, not _is_line(one[0]))):
            with suppress(*self.given_up):
                if a.op in LOGIC and (least == most).all():
                    found.append(self.either(a, least.all(), lo, hi))
                elif len((ends := self.keys_in(a, least, most, lo, hi))[0]) == 1 and not found:
                    lo, hi = ends
                else:
                    found.append(self.between(*ends))
        return reduce(operator.and_, found) if found else self.between(lo, hi)

    def between(self, lo: Any, hi: Any) -> Spans:
        """Spans of these ends."""
        return Spans.intervals(lo, hi).within(self.keys)

    def either(self, x: Symbol, wanted: bool, lo: Any, hi: Any) -> Spans:
        """The same of a condition that leaves a choice."""
        if x.op != "^" and x.is_bool:
            parts = [(part, not sign) for part, sign in _conjuncts(x, not wanted)]
            if all(has_key_in(part) and part.op in COMPARISONS for part, _ in parts):
                ranges = [self.as_range(part, sign) for part, sign in parts]
                if all(a is ranges[0][0] and _is(-_FAR, least) for a, least, _ in ranges):  # below the largest
                    most = reduce(np.maximum, [most for _, _, most in ranges])
                    return self.between(*self.keys_in(*ranges[0][:2], most, lo, hi))
            return Spans.union([self.where(part, sign, lo, hi) for part, sign in parts])
        if not x.is_bool or self.given_up:
            raise Unsolvable
        return self.where(x.args[0], True, lo, hi) ^ self.where(x.args[1], wanted, lo, hi)

    def as_range(self, x: Any, wanted: bool) -> tuple[Any, Any, Any]:
        """A condition as `(a, least, most)`, which says that a lies in least..most."""
        if not has_key_in(x):
            here = np.asarray(self.value(x), np.bool_) == wanted
            return self.key, np.where(here, self.blank, _FAR), self.blank + _FAR
        if x.op not in COMPARISONS:
            return x, self.blank + wanted, self.blank + wanted
        bounds = _BOUNDS[x.op if wanted else _NEGATED[x.op]]
        least, most = _each(lambda bound: bound.reshape(-1, *self.one_by_one.shape[1:]), *bounds)
        return self.undone(x.kept("-", *x.args), least, most, lo=None, hi=None)

    def keys_in(self, a: Any, least: Any, most: Any, lo: Any, hi: Any) -> tuple[Any, Any]:
        """Ends of the intervals of keys, between lo and hi, for which `a` lies in a range least..most."""
        while a.op != "index":
            a, least, most = self.undone(a, least, most, lo, hi)
        if len(least) > 1 and (least[0] > least[-1]).all():
            least, most = least[::-1], most[::-1]  # spans are quickest where they ascend
        return lo if _is(-_FAR, least) else np.maximum(lo, least), hi if _is(_FAR, most) else np.minimum(hi, most + 1)

    def undone(self, a: Symbol, least: Any, most: Any, lo: Any, hi: Any) -> tuple[Any, Any, Any]:
        """`a` is an operation on x, which has the key, and a number n: the ranges in which x must lie."""
        if a.op == "take":
            return self.looked_up(a, least, most, lo, hi)
        second = has_key_in(a.args[-1])
        x, n = a.args[-second], self.number(a.args[second - 1]) if len(a.args) == 2 else self.blank
        match a.op:
            case "abs" if (least <= 0).all():
                return x, -most, most
            case "abs":
                _, least, most = np.broadcast_arrays(self.blank, np.maximum(least, 0), most)
                return x, np.concatenate([-most, least]), np.concatenate([-least, most])
            case "+":
                return x, *_each(lambda bound: _moved(bound, -n), least, most)
            case "-" if second:
                return x, *_each(lambda bound: _moved(-bound, n), most, least)
            case "-":
                return x, *_each(lambda bound: _moved(bound, n), least, most)
            case "*" if (n > 0).all():
                return x, -(-least // n), most // n
            case "//" if not second and (n > 0).all():
                least, most = _each(lambda bound: _times(bound, n), least, most)
                return x, least, _moved(most, n - 1)
            case "%" if not second and (n > 0).all() and (least <= 0).all() and (most >= n - 1).all():  # as all do
                return x, least - _FAR, most + _FAR
            case "%" if not second and (n > 0).all() and not self.given_up:
                first, last = (np.broadcast_to(end // n, self.blank.shape) for end in self.ends(x, lo, hi))
                turns = self.few(np.max(abs(last - first), initial=0) + 1, len(least))
                turn = np.arange(turns).reshape(-1, *(1,) * first.ndim)
                start = (first + np.where(first <= last, turn, -turn)) * n  # of every turn through n from lo to hi
                bounds = start + np.maximum(least, 0), start + np.minimum(most, n - 1)
                return x, *(bound.reshape(-1, *bound.shape[2:]) for bound in bounds)
            case "minimum":
                return x, np.where(least > n, _FAR, least), np.where(most >= n, _FAR, most)
            case "maximum":
                return x, np.where(least <= n, -_FAR, least), np.where(most < n, -_FAR - 1, most)
        raise Unsolvable

    def looked_up(self, a: Symbol, least: Any, most: Any, lo: Any, hi: Any) -> tuple[Any, Any, Any]:
        """The same of `table[.., x, ..]`: x lies in one of the runs of the table that lie in least..most."""
        table, *rows, x = a.args[0], *map(self.number, a.args[1:-1]), a.args[-1]
        values = host(table) if is_array(table) else np.asarray(table)
        from_end = x.op != "index" and any((end < 0).any() for end in self.ends(x, lo, hi))
        if from_end or values is None or values.dtype not in (np.bool_, np.int32, np.int64):  # narrow ones wrap around
            raise Unsolvable
        if all(i.size == 1 for i in rows):
            line = values[tuple(int(i.item()) for i in rows)]
            if (line[1:] >= line[:-1]).all():
                return x, np.searchsorted(line, least), np.searchsorted(line, most, "right") - 1
        _, *asked = np.broadcast_arrays(self.blank, *rows, least, most)
        (*rows, least, most), of_row = np.unique(np.reshape(asked, (len(asked), -1)), axis=1, return_inverse=True)
        if len(least) * values.shape[-1] > _MOST_CELLS:
            raise Unsolvable
        found = np.atleast_2d(values[tuple(rows)])
        runs = Spans.from_bool((least[:, None] <= found) & (found <= most[:, None]))
        several = self.few(len(runs), len(asked[0])) * len(asked[0]), *asked[0].shape[1:]
        first, behind = (end.take(of_row.ravel(), 1).reshape(several).astype(np.int64) for end in (runs.lo, runs.hi))
        return x, first, behind - 1

    def few(self, count: int, times: int) -> int:
        """The count, unless rows should not have so many intervals so many times; nor where it is for their reach."""
        if count * times > limits.intervals and (self.given_up or not limits.fit_spans(count * times, self.blank)):
            raise Unsolvable
        return int(count)

    def number(self, x: Any) -> Any:
        """The integers that an expression without the key is in these rows."""
        value = None if has_key_in(x) else np.asarray(self.value(x))
        if value is None or value.dtype.kind not in "biu" or not _within(value, _FAR // 64):
            raise Unsolvable
        return value.astype(np.int64, copy=False)

    def value(self, x: Any, values: dict[int, Any] | None = None) -> Any:
        """What an expression is where its indices are known; parts that it shares with others once."""
        values = self.values if values is None else values
        if not isinstance(x, Symbol):
            return x
        name = x.args[0] if x.op == "index" else id(x)
        if name not in values:
            values[name] = APPLY[x.op](*(self.value(arg, values) for arg in x.args))
        return values[name]

    def ends(self, x: Any, lo: Any, hi: Any) -> Iterator[Any]:
        """What an expression is at the first key and at the last; at all others it lies between."""
        if not _is_line(x):
            raise Unsolvable
        return (self.value(x, self.values | {self.key.args[0]: key}) for key in (lo, np.maximum(lo, hi - 1)))


def _is(number: int, bound: Any) -> bool:
    return bool(bound.size == 1 and bound.item() == number)


def _moved(bound: Any, n: Any) -> Any:
    """A bound that is none stays so, without a pass over all rows."""
    return bound if _is(_FAR, bound) or _is(-_FAR, bound) else bound + n


def _times(bound: Any, n: Any) -> Any:
    if _is(_FAR, bound) or _is(-_FAR, bound):
        return bound
    most = int(_FAR // np.max(n, initial=1))
    return (bound if _within(bound, most) else np.clip(bound, -most, most)) * n


def _within(values: Any, most: int) -> bool:
    return not values.size or (bool(-most <= values.min()) and bool(values.max() <= most))


def _conjuncts(x: Any, wanted: bool) -> Iterator[tuple[Any, bool]]:
    """The conditions, and what each must be, that hold together where x is `wanted`."""
    if has_key_in(x) and x.is_bool and x.op in ("~", "&" if wanted else "|"):
        for arg in x.args:
            yield from _conjuncts(arg, wanted ^ (x.op == "~"))
    else:
        yield x, wanted


def _is_line(x: Any) -> bool:
    """Whether an expression never turns back while the key grows."""
    keyed = [arg for arg in x.args if has_key_in(arg)]
    steady = len(keyed) == 1 and (x.op in ("+", "-", "*") or (x.op == "//" and keyed[0] is x.args[0]))
    return x.op == "index" or (steady and _is_line(keyed[0]))
