"""A predicate as an expression: `allows` run once on symbols, and after how many rows it repeats."""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from typing import Any, NoReturn

import numpy as np
from maskkit.arrays.indices import maximum, minimum, take
from maskkit.arrays.randomness import random_bits
from maskkit.errors import ConfigError

LOGIC = {"&": "and_", "|": "or_", "^": "xor"}
COMPARISONS = {"<": "lt", "<=": "le", ">": "gt", ">=": "ge", "==": "eq", "!=": "ne"}
_ARITHMETIC = {"+": "add", "-": "sub", "*": "mul", "//": "floordiv", "%": "mod"}
_OPERATORS = LOGIC | COMPARISONS | _ARITHMETIC | {"~": "invert", "abs": "abs"}
APPLY: dict[str, Callable[..., Any]] = {op: getattr(operator, name) for op, name in _OPERATORS.items()}
APPLY |= {function.__name__: function for function in (take, minimum, maximum, random_bits)}


class Symbol:
    """A node of an expression: `op` is "index", an operator as Python writes it, or the name of a function for
    predicates; `args` is what it is applied to (of an index: its axis). `has_key`: the last index is in it."""

    __array_ufunc__ = None  # so that NumPy's numbers and arrays leave operators to us
    __slots__ = ("args", "has_key", "is_bool", "known", "op")

    def __init__(self, op: str, args: tuple[Any, ...], known: dict[Any, Symbol], has_key: bool = False) -> None:
        self.op, self.args, self.known = op, args, known
        self.has_key = has_key or any(map(has_key_in, args))
        of_bools = op in ("take", "~", *LOGIC) and all(map(_is_bool, args[:1] if op == "take" else args))
        self.is_bool = op in COMPARISONS or of_bools

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


def has_key_in(x: Any) -> bool:
    """Whether the last index is in an expression."""
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


class Unsolvable(Exception):
    """The answer cannot be told from the expression, or has too many intervals."""


def period(condition: Any) -> int:
    """After how many rows a mask of queries by keys repeats, moved by as many keys; 0 if that cannot be told."""
    with suppress(Unsolvable, RecursionError):
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
            c = APPLY[x.op](*growth)
        elif x.op == "*" and (first or last):
            c = sum(growth) * (first or last)
        elif x.op in ("//", "%") and last > 0:
            p = math.lcm(p, (last / growth[0]).numerator if growth[0] else 1)
            c = growth[0] / last if x.op == "//" else c
        elif any(growth) and not (same and x.op in COMPARISONS):
            raise Unsolvable
        seen[id(x)] = p, c
    return seen[id(x)]
