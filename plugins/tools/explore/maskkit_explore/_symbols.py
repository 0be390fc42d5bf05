"""Symbols: fields and indices of a mask that keep what is done to them, so that a predicate becomes an expression.

Where Python itself must know a field (`if`, `range`, `min`), they ask the path that is taken: see `_paths.py`.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from maskkit.validators import is_integer

if TYPE_CHECKING:
    from maskkit_explore._paths import Paths

STEPS = 4
"""Where a field says how often something is done, it is written out for so many times."""
ENTRIES = 12
"""Arrays that Python goes through have at most so many entries."""
_DOUBLINGS = 5
"""And where it halves them again and again, 2 to the power of this."""
COMPARISONS = {"<": "lt", "<=": "le", ">": "gt", ">=": "ge", "==": "eq", "!=": "ne"}
LOGIC = {"&": "and_", "|": "or_", "^": "xor"}
ARITHMETIC = {"+": "add", "-": "sub", "*": "mul", "//": "floordiv", "%": "mod", "/": "truediv"}
_UFUNCS = {
    "less": "<",
    "less_equal": "<=",
    "greater": ">",
    "greater_equal": ">=",
    "equal": "==",
    "not_equal": "!=",
    "add": "+",
    "subtract": "-",
    "multiply": "*",
    "floor_divide": "//",
    "remainder": "%",
    "absolute": "abs",
    "bitwise_and": "&",
    "bitwise_or": "|",
    "bitwise_xor": "^",
    "invert": "~",
    "logical_not": "~",
    "minimum": "minimum",
    "maximum": "maximum",
}
_FUNCTIONS = ("repeat", "flatnonzero", "cumsum")


class Untraceable(AttributeError, TypeError):
    """Something was done that no expression can keep; `fields` are the fields it was done to."""

    def __init__(self, text: str, fields: frozenset[str] = frozenset()) -> None:
        super().__init__(text)
        self.fields = fields


class TooLong(Untraceable):
    """An array has more entries than are followed; the text says so to whoever typed it."""


def _all_fields(op: str, args: tuple[Any, ...]) -> frozenset[str]:
    return frozenset(args[:1]) if op == "field" else frozenset().union(*(getattr(a, "fields", ()) for a in args))


def unkept(self: Any, *_: Any, **__: Any) -> Any:
    """What cannot be kept."""
    code = sys._getframe(1).f_code
    raise Untraceable(f"{code.co_qualname}, line {sys._getframe(1).f_lineno}", fields_of(self))


class Symbol:
    """A number that is not known: `op` is "field", "index", an operator as Python writes it, or a function's name.

    `level`: 0 where fields alone decide, 1 where a row's index does too, 2 where that of the key does. `type`: "bool",
    "int" or "float".
    """

    __array_ufunc__ = None  # so that NumPy's numbers and arrays leave operators to us
    __slots__ = ("args", "fields", "level", "op", "paths", "type")

    def __init__(self, paths: Paths, op: str, args: tuple[Any, ...], type: str, level: int) -> None:
        self.paths, self.op, self.args, self.type, self.level = paths, op, args, type, level
        self.fields = _all_fields(op, args)

    def kept(self, op: str, *args: Any) -> Any:
        """The operation, kept instead of done; the same on the same is one symbol."""
        return self.paths.node(op, args)

    def bit_length(self) -> Any:
        """As of an integer."""
        return self.kept("bit_length", self)

    def __neg__(self) -> Any:
        return self.kept("-", 0, self)

    def __pos__(self) -> Any:
        return self

    def __round__(self, digits: int | None = None) -> Any:
        return self.kept("round", self) if digits is None else unkept(self)

    def __bool__(self) -> bool:
        return bool(self.paths.decide(self, (False, True)))

    def __index__(self) -> int:
        if self.type == "float":
            raise TypeError("a float is no integer")
        if sys._getframe(1).f_code is is_integer.__code__:
            return 0  # it asks whether this is an integer, not which one
        most = {"size": ENTRIES, "bit_length": _DOUBLINGS}.get(self.op, STEPS)
        return int(self.paths.decide(self, range(most + 1)))

    __int__ = __index__

    def __lshift__(self, by: Any) -> Any:
        return self * 2**by if type(by) is int else unkept(self)

    def __rshift__(self, by: Any) -> Any:
        return self // 2**by if type(by) is int else unkept(self)

    def __format__(self, spec: str) -> str:
        return self.paths.hole(self, spec)

    def __repr__(self) -> str:
        return self.paths.hole(self, "")

    __str__ = __repr__
    __float__ = __hash__ = __iter__ = __array__ = __pow__ = __rpow__ = unkept


def _operator(op: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    def left(self: Any, *others: Any) -> Any:
        if op in ("==", "!=") and (others[0] is None or isinstance(others[0], (str, tuple))):
            return op == "!="
        return self.kept(op, self, *others)

    def right(self: Any, other: Any) -> Any:
        if op == "*" and isinstance(other, str):
            return other * bool(self)
        return self.kept(op, other, self)

    return left, right


for _op, _name in (COMPARISONS | LOGIC | ARITHMETIC | {"~": "invert", "abs": "abs"}).items():
    _left, _right = _operator(_op)
    setattr(Symbol, f"__{_name.rstrip('_')}__", _left)
    setattr(Symbol, f"__r{_name.rstrip('_')}__", _right)


class _Nothing:
    """What stands in the memory of a table: whatever NumPy does with it fails."""


for _name in (
    "lt",
    "le",
    "gt",
    "ge",
    "eq",
    "ne",
    "add",
    "sub",
    "mul",
    "bool",
    "int",
    "float",
    "hash",
    "and",
    "or",
    "neg",
):
    setattr(_Nothing, f"__{_name}__", unkept)
    setattr(_Nothing, f"__r{_name}__", unkept)


class Table(np.ndarray):
    """An array whose numbers are not known: a field, or made of fields. It has a dtype and a number of axes."""

    paths: Paths
    op: str
    args: tuple[Any, ...]
    level = 0

    @classmethod
    def of(cls, paths: Paths, op: str, args: tuple[Any, ...], ndim: int, dtype: Any) -> Table:
        """A table; its sizes are symbols."""
        made = np.ndarray.__new__(cls, (1,) * ndim, object)
        nothing = _Nothing()
        nothing.op, nothing.args, nothing.fields = op, args, _all_fields(op, args)
        np.ndarray.fill(made, nothing)
        made.paths, made.op, made.args, made._axes, made._dtype = paths, op, args, ndim, np.dtype(dtype)
        made.fields = nothing.fields
        return made

    @property
    def dtype(self) -> Any:  # type: ignore[override]
        return self._dtype

    @property
    def type(self) -> str:
        """As of a symbol, of what it holds."""
        return {"b": "bool", "i": "int", "u": "int", "f": "float"}[self.dtype.kind]

    @property
    def shape(self) -> Any:  # type: ignore[override]
        return tuple(self.paths.node("size", (self, axis)) for axis in range(self._axes))

    @property
    def ndim(self) -> int:  # type: ignore[override]
        return self._axes

    @property
    def size(self) -> Any:  # type: ignore[override]
        return math.prod(self.shape[1:], start=self.shape[0])

    @property
    def flat(self) -> Any:  # type: ignore[override]
        return self if self._axes == 1 else unkept(self)

    def kept(self, op: str, *args: Any) -> Any:
        return self.paths.node(op, args)

    def astype(self, dtype: Any, **_: Any) -> Any:  # type: ignore[override]
        return self if np.dtype(dtype).kind in "iu" and self.dtype.kind in "iu" else unkept(self)

    def nonzero(self) -> Any:
        return (self.kept("flatnonzero", self),) if self._axes == 1 else unkept(self)

    def tolist(self) -> Any:
        return [one for one in self.__iter__()]  # noqa: C416 (list() would ask for the length first)

    def __len__(self) -> int:
        return int(self.paths.decide(self.shape[0], range(ENTRIES + 1)))

    def __iter__(self) -> Iterator[Any]:
        size = self.shape[0]
        for i in range(ENTRIES):
            if not size > i:
                return
            yield self.kept("take", self, i)
        raise TooLong(f"{', '.join(sorted(self.fields))}: this page takes at most {ENTRIES} entries", self.fields)

    def __getitem__(self, index: Any) -> Any:
        index = index if isinstance(index, tuple) else (index,)
        known = all(isinstance(i, Symbol) or (type(i) is int and i >= 0) for i in index)
        return self.kept("take", self, *index) if known and len(index) == self._axes else unkept(self)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        if method != "__call__" or ufunc.__name__ not in _UFUNCS or options:
            return unkept(self)
        return self.kept(_UFUNCS[ufunc.__name__], *inputs)

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        if function.__name__ not in _FUNCTIONS or options:
            return unkept(self)
        return self.kept(function.__name__, *args)

    def __format__(self, spec: str) -> str:
        return self.paths.hole(self, spec)

    __repr__ = __str__ = lambda self: self.paths.hole(self, "")
    __bool__ = __int__ = __float__ = __index__ = unkept


def _reduction(name: str) -> Callable[..., Any]:
    return lambda self, *args, **options: unkept(self) if args or options else self.kept(name, self)


for _name in ("all", "any", "sum", "max", "min"):
    setattr(Table, _name, _reduction(_name))
for _name in set(dir(np.ndarray)) - set(vars(Table)):
    if not _name.startswith("__"):
        setattr(Table, _name, property(unkept))


def is_kept(x: Any) -> bool:
    """Whether this is a symbol or a table of them."""
    return isinstance(x, (Symbol, Table))


def fields_of(x: Any) -> frozenset[str]:
    """The fields that a value hangs on."""
    return getattr(x, "fields", frozenset())
