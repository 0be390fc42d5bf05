"""Paths: a run of Python for every answer that it may get where it asks a field; the answers become branches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from maskkit_explore._symbols import COMPARISONS, LOGIC, Symbol, Table, Untraceable, fields_of, is_kept, unkept

_PATHS = 400
"""Masks whose fields are asked in more combinations than these are not followed."""


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
                unkept(next(filter(is_kept, args)))
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
