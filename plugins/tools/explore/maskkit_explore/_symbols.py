"""Symbols: fields and indices that keep what is done to them, and all paths that Python takes where it asks a field.

What a predicate does with indices becomes an expression. Where Python itself must know a field (`if`, `range`, `min`),
the run is repeated for every answer, and the answers become branches.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from maskkit.validators import is_integer

STEPS = 4
"""Where a field says how often something is done, it is written out for so many times."""
ENTRIES = 12
"""Arrays that Python goes through have at most so many entries."""
_DOUBLINGS = 5
"""And where it halves them again and again, 2 to the power of this."""
_PATHS = 400
"""Masks whose fields are asked in more combinations than these are not followed."""
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


def _unkept(self: Any, *_: Any, **__: Any) -> Any:
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
        return self.kept("round", self) if digits is None else _unkept(self)

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
        return self * 2**by if type(by) is int else _unkept(self)

    def __rshift__(self, by: Any) -> Any:
        return self // 2**by if type(by) is int else _unkept(self)

    def __format__(self, spec: str) -> str:
        return self.paths.hole(self, spec)

    def __repr__(self) -> str:
        return self.paths.hole(self, "")

    __str__ = __repr__
    __float__ = __hash__ = __iter__ = __array__ = __pow__ = __rpow__ = _unkept


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
    setattr(_Nothing, f"__{_name}__", _unkept)
    setattr(_Nothing, f"__r{_name}__", _unkept)


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
        return self if self._axes == 1 else _unkept(self)

    def kept(self, op: str, *args: Any) -> Any:
        return self.paths.node(op, args)

    def astype(self, dtype: Any, **_: Any) -> Any:  # type: ignore[override]
        return self if np.dtype(dtype).kind in "iu" and self.dtype.kind in "iu" else _unkept(self)

    def nonzero(self) -> Any:
        return (self.kept("flatnonzero", self),) if self._axes == 1 else _unkept(self)

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
        return self.kept("take", self, *index) if known and len(index) == self._axes else _unkept(self)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        if method != "__call__" or ufunc.__name__ not in _UFUNCS or options:
            return _unkept(self)
        return self.kept(_UFUNCS[ufunc.__name__], *inputs)

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        if function.__name__ not in _FUNCTIONS or options:
            return _unkept(self)
        return self.kept(function.__name__, *args)

    def __format__(self, spec: str) -> str:
        return self.paths.hole(self, spec)

    __repr__ = __str__ = lambda self: self.paths.hole(self, "")
    __bool__ = __int__ = __float__ = __index__ = _unkept


def _reduction(name: str) -> Callable[..., Any]:
    return lambda self, *args, **options: _unkept(self) if args or options else self.kept(name, self)


for _name in ("all", "any", "sum", "max", "min"):
    setattr(Table, _name, _reduction(_name))
for _name in set(dir(np.ndarray)) - set(vars(Table)):
    if not _name.startswith("__"):
        setattr(Table, _name, property(_unkept))


def is_kept(x: Any) -> bool:
    """Whether this is a symbol or a table of them."""
    return isinstance(x, (Symbol, Table))


def fields_of(x: Any) -> frozenset[str]:
    """The fields that a value hangs on."""
    return getattr(x, "fields", frozenset())


class Branch(NamedTuple):
    """Where paths part: what is asked, and for each answer what comes then."""

    asked: Any
    ways: dict[Any, Any]


class Message(NamedTuple):
    """A text with holes: what stands in hole i is `holes[i]`, a value and how it is formatted."""

    text: str
    holes: list[tuple[Any, str]]


class Paths:
    """One run: the answers that are given, and what was asked."""

    def __init__(self, answers: Sequence[int] = ()) -> None:
        self.answers, self.trail, self.holes = answers, [], []
        self._nodes: dict[Any, Any] = {}
        self._decided: dict[int, Any] = {}

    def field(self, name: str, type: str, *item: int) -> Symbol:
        """A number of the mask, or one of several."""
        return self._nodes.setdefault((name, *item), Symbol(self, "field", (name, *item), type, 0))

    def table(self, name: str, ndim: int, dtype: Any) -> Table:
        """An array of the mask."""
        return Table.of(self, "field", (name,), ndim, dtype)

    def index(self, axis: int, last: bool) -> Symbol:
        """The index along an axis."""
        return Symbol(self, "index", (axis,), "int", 2 if last else 1)

    def choose(self, asked: Any, options: Sequence[Any]) -> Any:
        """One of the options: another on every path."""
        at = len(self.trail)
        answer = self.answers[at] if at < len(self.answers) else 0
        self.trail.append((asked, options, answer))
        return options[answer]

    def decide(self, asked: Any, options: Sequence[Any]) -> Any:
        """What Python is told of a value that it must know."""
        if asked.level:
            frame = sys._getframe(2)
            raise Untraceable(f"{frame.f_code.co_qualname}, line {frame.f_lineno}, asks what an index is")
        if id(asked) not in self._decided:
            self._decided[id(asked)] = self.choose(asked, options)
        return self._decided[id(asked)]

    def hole(self, value: Any, spec: str) -> str:
        """A place in a text."""
        self.holes.append((value, spec))
        return f"\ue000{len(self.holes) - 1}\ue001"

    def message(self, text: str) -> Message:
        """A text with its holes."""
        return Message(text, self.holes)

    def node(self, op: str, args: tuple[Any, ...]) -> Any:
        """An operation on symbols, tables and constants."""
        for arg in args:
            if not is_kept(arg) and not isinstance(arg, (bool, int, float, np.generic, np.ndarray)):
                _unkept(next(filter(is_kept, args)))
        args = tuple(self._as_size(arg, args) if type(arg) is np.ndarray else arg for arg in args)
        if op in ("==", "<=", ">=") and args[0] is args[1]:
            return True
        if op in ("*", "//") and type(args[-1]) is int and args[-1] == 1 and type_of(args[0]) == "int":
            return args[0]
        if op == "*" and type(args[0]) is int and args[0] == 1 and type_of(args[1]) == "int":
            return args[1]
        key = (op, *(id(a) if is_kept(a) or isinstance(a, np.ndarray) else (type(a), a) for a in args))
        if key not in self._nodes:
            self._nodes[key] = self._made(op, args)
        return self._nodes[key]

    def _as_size(self, constant: Any, args: tuple[Any, ...]) -> Any:
        """The array 0, 1, 2 .. as one of a size that is known on this path: then paths of other sizes say the same."""
        if constant.ndim != 1 or not np.array_equal(constant, np.arange(len(constant))):
            return constant
        beside = frozenset().union(*map(fields_of, args))
        for asked, options, answer in self.trail:
            if (
                getattr(asked, "op", "") == "size"
                and type(options[answer]) is int
                and options[answer] == len(constant)
                and asked.fields <= beside
            ):
                return self._nodes.setdefault(("arange", id(asked)), Table.of(self, "arange", (asked,), 1, np.int64))
        return constant

    def _made(self, op: str, args: tuple[Any, ...]) -> Any:
        type = _type(op, args)
        whole = {"take": args[1:], "size": (), "all": (), "any": (), "sum": (), "max": (), "min": ()}.get(op, args)
        tables = [arg for arg in whole if isinstance(arg, np.ndarray)]
        level = max((arg.level for arg in args if is_kept(arg)), default=0)
        if not tables:
            return Symbol(self, op, args, type, level)
        if level:
            raise Untraceable(f"{op} of an array and an index", fields_of(tables[0]))
        dtype = {"bool": np.bool_, "int": np.int64, "float": np.float64}[type]
        return Table.of(self, op, args, max(table.ndim for table in tables), dtype)


def type_of(x: Any) -> str:
    """ "bool", "int" or "float"."""
    if is_kept(x):
        return x.type
    kind = "i" if type(x) is int else np.asarray(x).dtype.kind
    if kind not in "biuf":
        raise Untraceable(f"{x!r} is no number")
    return {"b": "bool", "f": "float"}.get(kind, "int")


def _type(op: str, args: tuple[Any, ...]) -> str:
    types = [type_of(arg) for arg in args]
    if op in COMPARISONS or op in ("all", "any"):
        return "bool"
    if op in ("take", "max", "min"):
        return types[0]
    if op == "/":
        return "float"
    if op in ("size", "random_bits", "bit_length", "round", "flatnonzero"):
        return "int"
    if op == "repeat":
        return types[0]
    if (op in LOGIC or op == "~") and set(types) == {"bool"}:
        return "bool"
    return "float" if "float" in types else "int"


def explore(run: Callable[[Paths], Any]) -> Any:
    """What `run` gives on every path: a tree of branches, with what it gave at the ends.

    Raises:
        Untraceable: it did what cannot be kept, or asks too much.
    """
    ends: list[tuple[list[Any], Any]] = []
    answers: list[int] = []
    while True:
        paths = Paths(answers)
        with _repeat_asks_both():
            ends.append((paths.trail, run(paths)))
        if len(ends) > _PATHS:
            asked = frozenset().union(*(fields_of(one[0]) for one in paths.trail))
            raise Untraceable("it takes a path of its own for too many values", asked)
        trail = paths.trail
        while trail and trail[-1][2] + 1 == len(trail[-1][1]):
            trail = trail[:-1]
        if not trail:
            return _tree(ends, 0)
        answers = [*(one[2] for one in trail[:-1]), trail[-1][2] + 1]


@contextmanager
def _repeat_asks_both() -> Iterator[None]:
    """NumPy's own repeat asks its first argument alone whether it is an array of another kind."""
    plain = np.repeat

    def repeat(a: Any, repeats: Any, *more: Any, **options: Any) -> Any:
        given = isinstance(repeats, Table) and not more and not options
        return repeats.kept("repeat", a, repeats) if given else plain(a, repeats, *more, **options)

    np.repeat = repeat
    try:
        yield
    finally:
        np.repeat = plain


def _tree(ends: list[tuple[list[Any], Any]], depth: int) -> Any:
    trail, end = ends[0]
    if len(trail) == depth:
        return end
    asked, options, _ = trail[depth]
    ways: dict[Any, Any] = {}
    for option, value in enumerate(options):
        ways[value] = _tree([one for one in ends if one[0][depth][2] == option], depth + 1)
    return Branch(asked, ways)
