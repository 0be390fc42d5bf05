"""JavaScript of expressions: for a single pair, and for a box of pairs at once.

For a pair every value is a number. For a box of queries and keys it is an interval `lo..hi` that holds the values of
all pairs in it; of a condition 1 says that it may be false, 2 that it may be true, 3 both. The functions `R.*` stand in
`page/numbers.js`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from itertools import count, product
from string import ascii_letters
from typing import Any

import numpy as np
from maskkit_explore._paths import Branch, Message, type_of
from maskkit_explore._symbols import COMPARISONS, Table, Untraceable, fields_of, is_kept

MOST = 2**31
"""Whole numbers of the page are no larger, but for seeds; what may grow beyond 2**53 is checked as it runs."""
_INDEX = 2**31


def literal(value: Any) -> str:
    """A constant."""
    if isinstance(value, np.ndarray):
        dtype = {"b": "bool", "f": "float"}.get(value.dtype.kind, "int")
        return f"R.table({json.dumps(value.tolist())},{value.ndim},{dtype!r})"
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, (int, np.integer)) and int(float(value)) != value:
        raise Untraceable(f"{value} is no double")
    return repr(value.item() if isinstance(value, np.generic) else value).replace("inf", "Infinity")


def _bound(x: Any, known: dict[int, float]) -> float:
    """No value of a whole number is farther from 0."""
    if id(x) not in known:
        known[id(x)] = _found_bound(x, known)
    return known[id(x)]


def _found_bound(x: Any, known: dict[int, float]) -> float:
    if not is_kept(x):
        return float(np.abs(np.asarray(x, dtype=np.float64)).max(initial=0))
    bounds = [_bound(arg, known) for arg in x.args] if x.op not in ("field", "index") else []
    if x.op in ("+", "-"):
        return sum(bounds)
    if x.op == "*":
        down, by = x.args
        rounded = getattr(down, "op", "") == "//" and down.args[1] is by  # a // b * b
        return _bound(down.args[0], known) + bounds[1] if rounded else math.prod(bounds)
    if x.op in ("//", "abs", "take", "repeat", "max", "min"):
        return bounds[0]
    if x.op == "%":
        return bounds[1]
    if x.op in ("minimum", "maximum"):
        return max(bounds)
    if x.op in ("&", "|", "^", "~"):
        return 2 * max(bounds) + 1
    return {"index": _INDEX, "random_bits": _INDEX, "size": _INDEX, "flatnonzero": _INDEX, "arange": _INDEX}.get(
        x.op, float(MOST)
    )


def number(op: str, args: list[str], types: list[str]) -> str:
    """An operation on numbers; `types` are those of the arguments."""
    a, b = args[0], args[-1]
    bools = set(types) == {"bool"}
    if op in COMPARISONS:
        return f"({a}{'===' if op == '==' else '!==' if op == '!=' else op}{b})"
    if op in ("&", "|", "^", "~") and bools:
        return f"!{a}" if op == "~" else f"({a}{({'&': '&&', '|': '||', '^': '!=='})[op]}{b})"
    if op in ("+", "-", "*", "/"):
        return f"({a}{op}{' ' if b.startswith('-') else ''}{b})"
    name = {"//": "div", "%": "mod", "&": "and", "|": "or", "^": "xor", "~": "not", "abs": "Math.abs"}.get(op, op)
    name = {"minimum": "Math.min", "maximum": "Math.max"}.get(name, name)
    return f"{name if '.' in name else 'R.' + name}({','.join(args)})"


def _short_names() -> Iterator[str]:
    """a, b, .. aa, ab ..; none that means something."""
    for size in count(1):
        for letters in product(ascii_letters, repeat=size):
            if (name := "".join(letters)) not in (
                "p",
                "R",
                "x",
                "y",
                "z",
                "do",
                "if",
                "in",
                "for",
                "let",
                "new",
                "try",
                "var",
            ):
                yield name


class Function:
    """One mask as JavaScript: statements by scope, and the names of values that were written already.

    Scopes: 0 the fields, 1 a row, 2 a pair; "box" 1 and 2 are the same for boxes.
    """

    def __init__(self, names_fields: bool = True) -> None:
        self._names_fields = names_fields
        self.lines: dict[Any, list[str]] = {scope: [] for scope in (0, 1, 2, "box1", "box2")}
        self._names: dict[Any, Any] = {}
        self._uses: dict[int, int] = {}
        self._bounds: dict[int, float] = {}
        self._kept: list[Any] = []  # so that no id is used twice
        self._free = _short_names()

    def _name(self, scope: Any, text: str) -> str:
        name = next(self._free)
        self.lines[scope].append(f"{name}={text}")
        return name

    # -- a single pair --------------------------------------------------------------------------------------------

    def pair(self, x: Any) -> str:
        """A value, for one pair."""
        if not is_kept(x):
            return self._constant(x) if isinstance(x, np.ndarray) else literal(x)
        if id(x) not in self._names:
            self._kept.append(x)
            text = self._text(x)
            plain = x.op == "index" or (x.op == "field" and not self._names_fields)
            once = self._uses.get(id(x), 1) < 2 and not isinstance(x, Table)
            self._names[id(x)] = text if plain or once else self._name(x.level, text)
        return str(self._names[id(x)])

    def _count_uses(self, x: Any) -> None:
        """How often the text of a value would stand in the others'; twice where it is outside of a loop that asks."""
        if id(x) in self._uses or not is_kept(x):
            return
        self._uses[id(x)] = 0
        for arg in x.args:
            self._count_uses(arg)
            if is_kept(arg):
                self._uses[id(arg)] += 1 if arg.level == x.level else 2

    def _constant(self, x: Any) -> str:
        if id(x) not in self._names:
            self._kept.append(x)
            self._names[id(x)] = self._name(0, literal(x))
        return str(self._names[id(x)])

    def _text(self, x: Any) -> str:
        if x.op == "index":
            return f"i{x.args[0]}"
        if x.op == "field":
            name, *item = x.args
            return f"p.{name}{''.join(f'[{i}]' for i in item)}"
        args = [self.pair(arg) for arg in x.args]
        types = [type_of(arg) for arg in x.args]
        if x.op == "size":
            return f"{args[0]}.shape[{x.args[1]}]"
        if x.op == "take" and not isinstance(x, Table):
            return self._element(x, self._flat(x, [[one] for one in args[1:]])[0])
        if x.op == "take":
            return f"R.each((x) => R.at({args[0]}, x), '{x.type}', {args[1]})"
        if x.op == "random_bits":
            return f"R.bits({self._words(x)}, {', '.join(args[1:])})"
        if x.op in ("all", "any", "sum", "max", "min", "repeat", "flatnonzero", "cumsum", "arange"):
            return f"R.{x.op}({', '.join(args)})"
        letters = [chr(ord("x") + i) for i in range(len(args))]
        if isinstance(x, Table):
            return f"R.each(({', '.join(letters)}) => {number(x.op, letters, types)}, '{x.type}', {', '.join(args)})"
        text = number(x.op, [self._as_number(a, t, x, types) for a, t in zip(args, types, strict=True)], types)
        if type_of(x) == "int" and x.op in ("+", "-", "*") and _bound(x, self._bounds) > 2**53:
            return f"R.safe({text})"
        return text

    @staticmethod
    def _as_number(arg: str, type: str, x: Any, types: list[str]) -> str:
        """A boolean among numbers counts as 0 or 1."""
        return f"(+{arg})" if type == "bool" and (set(types) != {"bool"} or x.op in ("+", "-", "*")) else arg

    def _words(self, x: Any) -> str:
        seed = x.args[0]
        key = ("words", id(seed) if is_kept(seed) else seed)
        if key not in self._names:
            given = self.pair(seed) if is_kept(seed) else f"{seed}n"
            self._names[key] = self._name(0, f"R.words({given})")
        return str(self._names[key])

    @staticmethod
    def _element(x: Any, index: str) -> str:
        table_type = type_of(x.args[0])
        return f"{'!!' if table_type == 'bool' else ''}{index}"

    def _flat(self, x: Any, indices: list[list[str]]) -> list[str]:
        """Look-ups at each of several indices; a table of more axes is flat."""
        table = self.pair(x.args[0])
        if len(indices) == 1:
            return [f"R.at({table}, {i})" for i in indices[0]]
        ends = indices[0]
        for axis, index in enumerate(indices[1:], 1):
            ends = [f"({a} * {table}.shape[{axis}] + {b})" for a, b in zip(ends, index, strict=True)]
        return [f"R.at({table}, {i})" for i in ends]

    # -- a box of pairs -------------------------------------------------------------------------------------------

    def box(self, x: Any, rows: int) -> tuple[str, str]:
        """A value for a box, as its ends; of a condition both are its code. `rows`: the axis of the rows."""
        if not is_kept(x) or x.level == 0:
            one = self.pair(x)
            return (f"({one} ? 2 : 1)",) * 2 if type_of(x) == "bool" else (one, one)
        key = ("box", id(x))
        if key not in self._names:
            self._names[key] = self._box(x, rows)
        found: tuple[str, str] = self._names[key]
        return found

    def _box(self, x: Any, rows: int) -> tuple[str, str]:
        if x.op == "index":
            return (f"i{x.args[0]}",) * 2 if x.level == 1 and x.args[0] != rows else (f"i{x.args[0]}", f"j{x.args[0]}")
        scope = f"box{x.level}"
        if x.op == "take":
            return self._box_take(x, rows, scope)
        ends = [self.box(arg, rows) for arg in (x.args[1:] if x.op == "random_bits" else x.args)]
        if x.op == "random_bits":
            same = " && ".join(f"{lo} === {hi}" for lo, hi in ends)
            bits = self._name(scope, f"{same} ? R.bits({self._words(x)}, {', '.join(lo for lo, _ in ends)}) : -1")
            return f"R.bits0({bits})", f"R.bits1({bits})"
        types = [type_of(arg) for arg in x.args]
        if x.op in COMPARISONS:
            ends = [self._numbers(end, type, scope) for end, type in zip(ends, types, strict=True)]
            return self._code(x, scope, f"({_compared(x.op, *ends[0], *ends[1])})")
        if x.op in ("&", "|", "^", "~") and set(types) == {"bool"}:
            name = {"&": "both", "|": "either", "^": "one", "~": "neither"}[x.op]
            return self._code(x, scope, f"R.{name}({','.join(lo for lo, _ in ends)})")
        ends = [self._numbers(end, type, scope) for end, type in zip(ends, types, strict=True)]
        lo, hi = _interval(x.op, ends)
        if x.op in ("+", "-", "*") and type_of(x) == "int" and _bound(x, self._bounds) > 2**53:
            lo, hi = f"R.safe({lo})", f"R.safe({hi})"
        return self._name(scope, lo), self._name(scope, hi)

    def _code(self, x: Any, scope: str, text: str) -> tuple[str, str]:
        """The code of a condition; where it is asked once it needs no name."""
        return (text if self._uses.get(id(x), 1) < 2 else self._name(scope, text),) * 2

    def _numbers(self, end: tuple[str, str], type: str, scope: str) -> tuple[str, str]:
        """A condition among numbers."""
        return (
            (self._name(scope, f"{end[0]} & 1 ? 0 : 1"), self._name(scope, f"{end[0]} >> 1")) if type == "bool" else end
        )

    def _box_take(self, x: Any, rows: int, scope: str) -> tuple[str, str]:
        table = self.pair(x.args[0])
        indices = [self.box(index, rows) for index in x.args[1:]]
        lo, hi = indices[0]
        for axis, (low, high) in enumerate(indices[1:], 1):
            lo, hi = f"({lo} * {table}.shape[{axis}] + {low})", f"({hi} * {table}.shape[{axis}] + {high})"
        lo, hi = self._name(scope, lo), self._name(scope, hi)
        least, most = (
            self._name(scope, f"R.least({table}, {lo}, {hi})"),
            self._name(scope, f"R.most({table}, {lo}, {hi})"),
        )
        if type_of(x) != "bool":
            return least, most
        code = self._name(scope, f"({least} ? 0 : 1) | ({most} ? 2 : 0)")
        return code, code

    # -- whole --------------------------------------------------------------------------------------------------

    def write(self, axes: tuple[str, ...], shape: tuple[Any, ...], condition: Any) -> str:
        """`(p) => ({axes, shape, row, box})`: see `page/masks.js`."""
        if type_of(condition) != "bool":
            raise Untraceable("allows() gives numbers, not booleans")
        rows, last = len(axes) - 2, len(axes) - 1
        self._count_uses(condition)
        sizes = ", ".join(self.pair(size) for size in shape)
        pair, code = self.pair(condition), self.box(condition, rows)[0]
        leading = [f"i{axis}" for axis in range(last)]
        ends = leading if rows < 0 else [*leading, f"j{rows}"]
        text = {scope: _constants(lines) for scope, lines in self.lines.items()}
        return (
            f"(p)=>{{{text[0]}return {{axes:{json.dumps(axes)},shape:[{sizes}],\n"
            f"row:({','.join(leading)})=>{{{text[1]}return (i{last})=>{{{text[2]}return {pair};}};}},\n"
            f"box:({','.join(ends)})=>{{{text['box1']}return (i{last},j{last})=>{{{text['box2']}return {code};}};}}"
            "};}"
        )


def _constants(lines: list[str]) -> str:
    return f"const {','.join(lines)};" if lines else ""


def _compared(op: str, a: str, b: str, c: str, d: str) -> str:
    """The code of a comparison of `a..b` with `c..d`."""
    if op in ("==", "!="):
        return f"R.{'equal' if op == '==' else 'unequal'}({a},{b},{c},{d})"
    if op in (">", ">="):
        return _compared({">": "<", ">=": "<="}[op], c, d, a, b)
    return f"{b}{op}{c}?2:{a}{op}{d}?3:1"


def _interval(op: str, ends: list[tuple[str, str]]) -> tuple[str, str]:
    """The ends of an operation on intervals."""
    (a, b), (c, d) = ends[0], ends[-1]
    if op == "+":
        return f"{a} + {c}", f"{b} + {d}"
    if op == "-":
        return f"{a} - {d}", f"{b} - {c}"
    if op == "~":
        return f"-1 - {b}", f"-1 - {a}"
    if op in ("minimum", "maximum"):
        name = {"minimum": "Math.min", "maximum": "Math.max"}[op]
        return f"{name}({a},{c})", f"{name}({b},{d})"
    if op == "abs":
        return f"R.abs0({a}, {b})", f"Math.max(Math.abs({a}), Math.abs({b}))"
    names = {"*": "mul", "//": "div", "%": "mod", "&": "and", "|": "or", "^": "xor"}
    if op not in names:
        raise Untraceable(f"{op} of an index")
    given = ",".join(lo if lo == hi else f"{lo},{hi}" for lo, hi in ends)  # of a number that is known the second goes
    if a == b:
        given = f"{a},{b},{c},{d}"
    return f"R.{names[op]}0({given})", f"R.{names[op]}1({given})"


# -- trees of paths -------------------------------------------------------------------------------------------------


def tree(found: Any, end: Callable[[Any], str]) -> str:
    """A tree of branches as one expression of the fields `p`; ways that are written alike are one."""
    if not isinstance(found, Branch):
        return end(found)
    ways = {value: tree(way, end) for value, way in found.ways.items()}
    if len(set(ways.values())) == 1:
        return next(iter(ways.values()))
    function = Function(names_fields=False)
    asked = function.pair(found.asked)
    before = _constants(function.lines[0])
    value = f"(() => {{{before}return {asked};}})()" if before else asked
    if set(ways) == {False, True}:
        return f"({value} ? {ways[True]} : {ways[False]})"
    answers: dict[str, list[Any]] = {}
    for answer, text in ways.items():
        answers.setdefault(text, []).append(answer)
    cases = "".join(
        f"{''.join(f'case {json.dumps(one)}: ' for one in those)}return {text};" for text, those in answers.items()
    )
    names, most = ", ".join(sorted(fields_of(found.asked))), json.dumps(list(ways)[-1])
    return f"(() => {{switch ({value}) {{{cases}default: return R.beyond({names!r}, {most});}}}})()"


def message(found: Message | None) -> str:
    """A message, as an expression; the empty text where there is none."""
    if found is None:
        return '""'
    function, parts = Function(names_fields=False), []
    for i, part in enumerate(found.text.split("\ue000")):
        if i:
            hole, _, part = part.partition("\ue001")
            value, spec = found.holes[int(hole)]
            parts.append(f"R.text({function.pair(value)}, {type_of(value)!r}, {json.dumps(spec)})")
        parts.append(json.dumps(part, ensure_ascii=False))
    text = " + ".join(part for part in parts if part != '""')
    before = _constants(function.lines[0])
    return f"(() => {{{before}return {text};}})()" if before else text or '""'
