"""A predicate as an expression: `allows` run once on symbols, and a function for each thing that follows from it."""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from fractions import Fraction
from functools import reduce
from typing import Any, NoReturn

import numpy as np
from maskkit import limits
from maskkit.arrays.indices import maximum, minimum, take
from maskkit.arrays.libraries import host, is_array
from maskkit.arrays.randomness import random_bits
from maskkit.errors import ConfigError
from maskkit.masks.spans import Spans

_LOGIC = {"&": "and_", "|": "or_", "^": "xor"}
_COMPARISONS = {"<": "lt", "<=": "le", ">": "gt", ">=": "ge", "==": "eq", "!=": "ne"}
_ARITHMETIC = {"+": "add", "-": "sub", "*": "mul", "//": "floordiv", "%": "mod"}
_OPERATORS = _LOGIC | _COMPARISONS | _ARITHMETIC | {"~": "invert", "abs": "abs"}
_APPLY: dict[str, Callable[..., Any]] = {op: getattr(operator, name) for op, name in _OPERATORS.items()}
_APPLY |= {function.__name__: function for function in (take, minimum, maximum, random_bits)}


class Symbol:
    """A node of an expression: `op` is "index", an operator as Python writes it, or the name of a function for
    predicates; `args` is what it is applied to (of an index: its axis). `has_key`: the last index is in it."""

    __array_ufunc__ = None  # so that NumPy's numbers and arrays leave operators to us
    __slots__ = ("args", "has_key", "is_bool", "known", "op")

    def __init__(self, op: str, args: tuple[Any, ...], known: dict[Any, Symbol], has_key: bool = False) -> None:
        self.op, self.args, self.known = op, args, known
        self.has_key = has_key or any(map(_has_key, args))
        of_bools = op in ("take", "~", *_LOGIC) and all(map(_is_bool, args[:1] if op == "take" else args))
        self.is_bool = op in _COMPARISONS or of_bools

    def kept(self, op: str, *args: Any) -> Symbol:
        """The operation, kept instead of done; the same on the same is one node."""
        key = (op, *((arg,) if type(arg) is int else id(arg) for arg in args))
        return self.known.setdefault(key, Symbol(op, args, self.known))

    def __neg__(self) -> Symbol:
        return self.kept("-", 0, self)

    def __array__(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("a symbol is no array")

    def _refuse(self, *_: Any) -> NoReturn:
        frame = sys._getframe(1)
        raise ConfigError(
            f"{frame.f_code.co_filename}, line {frame.f_lineno}: allows() must not ask what an index is, or whether a "
            "condition on it is true; write `&`, `|`, `~` for `and`, `or`, `not`, `(a < b) & (b < c)` for `a < b < c`, "
            "`a & b | ~a & c` for `if`, and maskkit.take(table, index) for a look-up"
        )

    __bool__ = __int__ = __index__ = __iter__ = __hash__ = _refuse


for _op, _name in _OPERATORS.items():
    setattr(Symbol, f"__{_name.rstrip('_')}__", lambda a, *b, op=_op: a.kept(op, a, *b))
    setattr(Symbol, f"__r{_name.rstrip('_')}__", lambda b, a, op=_op: b.kept(op, a, b))


def _has_key(x: Any) -> bool:
    return isinstance(x, Symbol) and x.has_key


def _is_bool(x: Any) -> bool:
    return x.is_bool if isinstance(x, Symbol) else str(getattr(x, "dtype", type(x).__name__)).endswith("bool")


def trace(allows: Callable[..., Any], axes: int) -> Any:
    """Run a predicate on symbols: the condition that it gives; None if it does what they cannot keep (calls of NumPy).

    Raises:
        ConfigError: it asks in Python what an index is; the message says in which line, and what to write.
    """
    known: dict[Any, Symbol] = {}
    try:
        return allows(*(Symbol("index", (axis,), known, has_key=axis == axes - 1) for axis in range(axes)))
    except (TypeError, AttributeError, IndexError, RecursionError):
        return None


class _Unsolvable(Exception):
    """The answer cannot be told from the expression, or has too many intervals."""


def period(condition: Any) -> int:
    """After how many rows a mask of queries by keys repeats, moved by as many keys; 0 if that cannot be told."""
    with suppress(_Unsolvable, RecursionError):
        return _growth(condition, {})[0]
    return 0


def _growth(x: Any, seen: dict[int, tuple[int, Fraction]]) -> tuple[int, Fraction]:
    """`(p, c)`: whenever all indices grow by a multiple m of p, x grows by c * m."""
    if not isinstance(x, Symbol) or x.op == "index":
        return 1, Fraction(isinstance(x, Symbol))
    if id(x) not in seen:
        args = x.args[1:] if x.op == "take" else x.args
        periods, growth = zip(*(_growth(arg, seen) for arg in args), strict=True)
        p, c, same = math.lcm(*periods), Fraction(0), len({*growth}) == 1
        first, last = (int(arg) if isinstance(arg, (int, np.integer)) else 0 for arg in (args[0], args[-1]))
        if x.op in ("+", "-"):
            c = _APPLY[x.op](*growth)
        elif x.op == "*" and (first or last):
            c = sum(growth) * (first or last)
        elif x.op in ("//", "%") and last > 0:
            p = math.lcm(p, (last / growth[0]).numerator if growth[0] else 1)
            c = growth[0] / last if x.op == "//" else c
        elif any(growth) and not (same and x.op in _COMPARISONS):
            raise _Unsolvable
        seen[id(x)] = p, c
    return seen[id(x)]


_FAR = 2**61  # beyond every value of an expression
# Where a - b lies if a and b compare so: from one of the first numbers to that of the others.
_RANGES = {"<": ([-_FAR], [-1]), "<=": ([-_FAR], [0]), ">": ([1], [_FAR]), ">=": ([0], [_FAR]), "==": ([0], [0])}
_RANGES["!="] = [-_FAR, 1], [-1, _FAR]
_NEGATED = {"<": ">=", ">=": "<", ">": "<=", "<=": ">", "==": "!=", "!=": "=="}
_MOST_CELLS = 2**22  # values of tables that are looked at together


def spans(condition: Any, rows: tuple[Any, ...], keys: int, *, loose: bool = False) -> Spans | None:
    """The keys that rows may see, one index given for each axis but the last; None if they are not a few intervals.

    With `loose`, those outside which they see nothing: what cannot be solved counts as allowed."""
    some = _Rows(rows, keys, loose)
    with suppress(_Unsolvable, RecursionError):
        return some.where(condition, True, some.blank, some.blank + keys).within(keys, some.blank.shape[1:])
    return None


class _Rows:
    """Some rows, in which conditions are solved for the key. Bounds are arrays that broadcast to `(several, *rows)`."""

    def __init__(self, rows: tuple[Any, ...], keys: int, loose: bool) -> None:
        self.keys, self.given_up = keys, (_Unsolvable,) * loose
        self.key = Symbol("index", (len(rows),), {}, has_key=True)
        self.values: dict[int, Any] = {axis: np.asarray(row, np.int64)[None] for axis, row in enumerate(rows)}
        self.blank = np.broadcast_to(np.int64(0), (1, *np.broadcast_shapes(*map(np.shape, rows))))

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
        for a, least, most in sorted(ranges.values(), key=lambda one: (one[0].op in _LOGIC, not _is_line(one[0]))):
            with suppress(*self.given_up):
                if a.op in _LOGIC and (least == most).all():
                    found.append(self.either(a, least.all(), lo, hi))
                elif len((ends := self.keys_in(a, least, most, lo, hi))[0]) == 1 and not found:
                    lo, hi = ends
                else:
                    found.append(Spans.intervals(*ends).within(self.keys))
        return reduce(operator.and_, found) if found else Spans.intervals(lo, hi).within(self.keys)

    def either(self, x: Symbol, wanted: bool, lo: Any, hi: Any) -> Spans:
        """The same of a condition that leaves a choice."""
        if x.op != "^" and x.is_bool:
            return Spans.union([self.where(part, not sign, lo, hi) for part, sign in _conjuncts(x, not wanted)])
        if not x.is_bool or self.given_up:
            raise _Unsolvable
        return self.where(x.args[0], True, lo, hi) ^ self.where(x.args[1], wanted, lo, hi)

    def as_range(self, x: Any, wanted: bool) -> tuple[Any, Any, Any]:
        """A condition as `(a, least, most)`, which says that a lies in least..most."""
        if not _has_key(x):
            here = np.asarray(self.value(x), np.bool_) == wanted
            return self.key, np.where(here, self.blank, _FAR), self.blank + _FAR
        if x.op not in _COMPARISONS:
            return x, self.blank + wanted, self.blank + wanted
        ranges = _RANGES[x.op if wanted else _NEGATED[x.op]]
        least, most = (np.reshape(bound, (-1, *(1,) * (self.blank.ndim - 1))) for bound in ranges)
        return self.undone(x.kept("-", *x.args), least, most, lo=None, hi=None)

    def keys_in(self, a: Any, least: Any, most: Any, lo: Any, hi: Any) -> tuple[Any, Any]:
        """Ends of the intervals of keys, between lo and hi, for which `a` lies in a range least..most."""
        while a.op != "index":
            a, least, most = self.undone(a, least, most, lo, hi)
        if len(least) > 1 and (least[0] > least[-1]).all():
            least, most = least[::-1], most[::-1]  # spans are quickest where they ascend
        return np.maximum(lo, least), np.minimum(hi, most + 1)

    def undone(self, a: Symbol, least: Any, most: Any, lo: Any, hi: Any) -> tuple[Any, Any, Any]:
        """`a` is an operation on x, which has the key, and a number n: the ranges in which x must lie."""
        if a.op == "take":
            return self.looked_up(a, least, most, lo, hi)
        second = _has_key(a.args[-1])
        x, n = a.args[-second], self.number(a.args[second - 1]) if len(a.args) == 2 else self.blank
        match a.op:
            case "abs" if (least <= 0).all():
                return x, -most, most
            case "abs":
                _, least, most = np.broadcast_arrays(self.blank, np.maximum(least, 0), most)
                return x, np.concatenate([-most, least]), np.concatenate([-least, most])
            case "+":
                return x, least - n, most - n
            case "-":
                return (x, n - most, n - least) if second else (x, least + n, most + n)
            case "*" if (n > 0).all():
                return x, -(-least // n), most // n
            case "//" if not second and (n > 0).all():
                least, most = (np.clip(bound, -_FAR // n, _FAR // n) * n for bound in (least, most))
                return x, least, most + (n - 1)
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
        raise _Unsolvable

    def looked_up(self, a: Symbol, least: Any, most: Any, lo: Any, hi: Any) -> tuple[Any, Any, Any]:
        """The same of `table[.., x, ..]`: x lies in one of the runs of the table that lie in least..most."""
        table, *rows, x = a.args[0], *map(self.number, a.args[1:-1]), a.args[-1]
        values = host(table) if is_array(table) else np.asarray(table)
        from_end = x.op != "index" and any((end < 0).any() for end in self.ends(x, lo, hi))
        if from_end or values is None or values.dtype not in (np.bool_, np.int32, np.int64):  # narrow ones wrap around
            raise _Unsolvable
        if all(i.size == 1 for i in rows):
            line = values[tuple(int(i.item()) for i in rows)]
            if (line[1:] >= line[:-1]).all():
                return x, np.searchsorted(line, least), np.searchsorted(line, most, "right") - 1
        _, *asked = np.broadcast_arrays(self.blank, *rows, least, most)
        (*rows, least, most), of_row = np.unique(np.reshape(asked, (len(asked), -1)), axis=1, return_inverse=True)
        if len(least) * values.shape[-1] > _MOST_CELLS:
            raise _Unsolvable
        found = np.atleast_2d(values[tuple(rows)])
        runs = Spans.from_bool((least[:, None] <= found) & (found <= most[:, None]))
        several = self.few(len(runs), len(asked[0])) * len(asked[0]), *asked[0].shape[1:]
        first, behind = (end.take(of_row.ravel(), 1).reshape(several).astype(np.int64) for end in (runs.lo, runs.hi))
        return x, first, behind - 1

    def few(self, count: int, times: int) -> int:
        """The count, unless rows should not have so many intervals so many times; nor where it is for their reach."""
        if count * times > limits.intervals and (self.given_up or not limits.fit_spans(count * times, self.blank)):
            raise _Unsolvable
        return int(count)

    def number(self, x: Any) -> Any:
        """The integers that an expression without the key is in these rows."""
        value = None if _has_key(x) else np.asarray(self.value(x))
        if value is None or value.dtype.kind not in "biu" or (abs(value) > _FAR // 64).any():
            raise _Unsolvable
        return value.astype(np.int64, copy=False)

    def value(self, x: Any, values: dict[int, Any] | None = None) -> Any:
        """What an expression is where its indices are known; parts that it shares with others once."""
        values = self.values if values is None else values
        if not isinstance(x, Symbol):
            return x
        name = x.args[0] if x.op == "index" else id(x)
        if name not in values:
            values[name] = _APPLY[x.op](*(self.value(arg, values) for arg in x.args))
        return values[name]

    def ends(self, x: Any, lo: Any, hi: Any) -> Iterator[Any]:
        """What an expression is at the first key and at the last; at all others it lies between."""
        if not _is_line(x):
            raise _Unsolvable
        return (self.value(x, self.values | {self.key.args[0]: key}) for key in (lo, np.maximum(lo, hi - 1)))


def _conjuncts(x: Any, wanted: bool) -> Iterator[tuple[Any, bool]]:
    """The conditions, and what each must be, that hold together where x is `wanted`."""
    if _has_key(x) and x.is_bool and x.op in ("~", "&" if wanted else "|"):
        for arg in x.args:
            yield from _conjuncts(arg, wanted ^ (x.op == "~"))
    else:
        yield x, wanted


def _is_line(x: Any) -> bool:
    """Whether an expression never turns back while the key grows."""
    keyed = [arg for arg in x.args if _has_key(arg)]
    steady = len(keyed) == 1 and (x.op in ("+", "-", "*") or (x.op == "//" and keyed[0] is x.args[0]))
    return x.op == "index" or (steady and _is_line(keyed[0]))
