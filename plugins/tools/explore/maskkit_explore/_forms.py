"""Forms: in which kinds of values a mask takes its parameters, and its JavaScript for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from attrs import evolve
import maskkit
from maskkit import ConfigError, MaskkitError
from maskkit_explore._agreement import Beyond, check
from maskkit_explore._javascript import Function, message, tree
from maskkit_explore._paths import Message, Paths, explore
from maskkit_explore._symbols import TooLong, Untraceable, fields_of

GIVEN_UP = (TypeError, AttributeError, LookupError, ValueError, RecursionError, ArithmeticError)
"""What comes of symbols where they are not followed."""
_MOST_AXES = 2
"""Arrays of more axes cannot be typed, and stay as they are given."""


class Kind(NamedTuple):
    """What a field holds: "int", "float", "bool", "choice", "list", "array", or a "constant" that stays as it is.

    `more`: of a choice its options, of a list the kind of each entry, of an array its axes and dtype, of a constant its
    value.
    """

    name: str
    more: Any = None

    def value(self, paths: Paths, name: str, *item: int) -> Any:
        """The field on one path: where Python would tell apart, one of the values, else a symbol."""
        if self.name in ("int", "float"):
            return paths.field(name, self.name, *item)
        if self.name in ("bool", "choice"):
            return paths.choose(paths.field(name, "bool", *item), (False, True) if self.name == "bool" else self.more)
        if self.name == "list":
            return tuple(kind.value(paths, name, i) for i, kind in enumerate(self.more))
        return paths.table(name, *self.more) if self.name == "array" else self.more

    def words(self, name: str) -> str:
        """The field with its kind, for people."""
        if self.name == "constant":
            text = (
                ""
                if self.more is None
                else str(maskkit.arrays.host(self.more) if maskkit.arrays.is_array(self.more) else self.more)
            )
            return f"{name}={' '.join(text.split())}" if text else ""
        if self.name == "list":
            return f"{name} [{len(self.more)}]"
        return f"{name} {'[[..]]' if self.more[0] > 1 else '[..]'}" if self.name == "array" else name


class Form(NamedTuple):
    """One of the ways to give a mask its parameters.

    Attributes:
        kinds: of each field.
        sample: plain values to begin with.
        make: JavaScript, `(p) => ({axes, shape, row, box})`.
        checks: JavaScript, expressions of `p`: what is wrong, or the empty text.
        unchecked: fields whose validators, or "" if rules between them, could not be followed.
    """

    kinds: dict[str, Kind]
    sample: dict[str, Any]
    make: str
    checks: list[str]
    unchecked: list[str]


def forms_of(cls: Any, more: Sequence[Any] = ()) -> list[Form]:
    """The forms of a mask class: those of its samples, and of masks that are given besides.

    Raises:
        Untraceable: it has none, for no sample can be followed; with the reason.
    """
    found: dict[Any, Form] = {}
    fixed: set[tuple[str, str]] = set()
    for mask in (*more, *(maskkit.build(cls, sample) for sample in cls.samples)):
        form = _form(cls, mask, fixed, must_hold=not found or any(mask is one for one in more))
        found.setdefault(repr(form.kinds), form)
    if not found:
        raise Untraceable("it has no samples")
    return list(found.values())


def kind_of(cls: Any, name: str, value: Any) -> Kind:
    """The kind of a field that holds this."""
    field = maskkit.parameters(cls)[name]
    if isinstance(value, str):
        return Kind("choice", choices) if (choices := options(field)) else Kind("constant", value)
    if maskkit.arrays.is_array(value):
        array = maskkit.arrays.host(value)
        known = array is not None and 0 < array.ndim <= _MOST_AXES and array.dtype.kind in "biuf"
        return Kind("array", (array.ndim, array.dtype.name)) if known else Kind("constant", value)
    if isinstance(value, tuple) and value and not any(isinstance(one, (str, tuple)) for one in value):
        kinds = tuple(_plain(one, None) for one in value)
        known = {kind.name for kind in kinds if kind} <= {"int", "float"} and None not in kinds
        return Kind("list", kinds) if known else Kind("constant", value)
    return _plain(value, field.type) or Kind("constant", value)


def _plain(value: Any, type: Any) -> Kind | None:
    if isinstance(value, (bool, np.bool_)):
        return Kind("bool")
    if isinstance(value, (int, float, np.number)):
        whole = isinstance(value, (int, np.integer)) and type not in (float, float | None)
        return Kind("int" if whole else "float")
    return None


def options(field: Any) -> list[str]:
    """The choices of a field, where its validator names a few words."""
    head, _, words = getattr(field.attribute.validator, "rule", "").partition("must be one of ")
    found = [word.strip().strip("'") for word in words.split(",")] if not head else []
    return [word for word in found if word and _passes(field, word)]


def _passes(field: Any, value: Any) -> bool:
    try:
        field.attribute.validator(None, field.attribute, value)
    except ConfigError:
        return False
    return True


def _form(cls: Any, mask: Any, fixed: set[tuple[str, str]], must_hold: bool) -> Form:
    """The form of one mask, which it must hold if so asked; other samples may be beyond what is written out.

    `fixed` are the fields, with their kinds, that cannot be followed, as far as is known.
    """
    names = [attribute.name for attribute in cls.__attrs_attrs__]
    kinds = {name: kind_of(cls, name, getattr(mask, name)) for name in names}
    kinds |= {name: Kind("constant", getattr(mask, name)) for name in names if (name, kinds[name].name) in fixed}
    while True:
        try:
            make = _make(cls, kinds, mask, must_hold)
            break
        except Untraceable as problem:
            free = {name for name in names if kinds[name].name != "constant"}
            kept = free & problem.fields or free
            if not kept:
                raise
            if not isinstance(problem, Beyond):
                fixed |= {(name, kinds[name].name) for name in kept}
            kinds |= {name: Kind("constant", getattr(mask, name)) for name in kept}
    checks, unchecked = _checks(cls, kinds)
    sample = {name: value for name, value in maskkit.to_dict(mask).items() if name != "type"}
    return Form(kinds, sample, make, checks, unchecked)


def _instance(cls: Any, kinds: Mapping[str, Kind], paths: Paths) -> Any:
    """The mask with symbols for fields; nothing is validated."""
    made = object.__new__(cls)
    for name, kind in kinds.items():
        object.__setattr__(made, name, kind.value(paths, name))
    return made


def _make(cls: Any, kinds: Mapping[str, Kind], mask: Any, must_hold: bool) -> str:
    """The predicate, with axes and shape; compared with the mask, which it must hold if so asked."""
    functions: dict[str, str] = {}
    problems: list[Exception] = []
    asked: set[str] = set()

    def run(paths: Paths) -> Any:
        made = _instance(cls, kinds, paths)
        try:
            shape, axes = tuple(made.shape), tuple(made.axes)
            indices = [paths.index(axis, axis == len(axes) - 1) for axis in range(len(axes))]
            return axes, shape, made.allows(*indices)
        except GIVEN_UP as problem:
            if getattr(problem, "fields", ()):
                raise
            problems.append(problem)
            asked.update(*(fields_of(one) for one, options, _ in paths.trail if isinstance(options, range)))
            return None

    def end(found: Any) -> str:
        if found is None:
            return "R.refuse()"  # a combination of fields that rules between them forbid, as a rule
        return f"{functions.setdefault(Function().write(*found), f'f{len(functions)}')}(p)"

    followed = explore(run)
    text = tree(followed, end)
    if not functions:
        raise Untraceable(f"{type(problems[0]).__name__}: {problems[0]}", frozenset(asked)) from problems[0]
    try:
        check(followed, mask)
    except Beyond:
        if must_hold:
            raise
    before = "".join(f"const {name} = {source};" for source, name in functions.items())
    return f"(() => {{{before}return (p) => {text};}})()"


def _checks(cls: Any, kinds: Mapping[str, Kind]) -> tuple[list[str], list[str]]:
    """What validators of fields and rules between them say, as JavaScript."""
    parameters = maskkit.parameters(cls)
    runs: dict[str, Callable[[Any], Any]] = {
        name: lambda made, name=name: _validate(cls, parameters[name], getattr(made, name))
        for name, kind in kinds.items()
        if kind.name != "constant" and name in parameters
    }
    if vars(cls).get("__attrs_post_init__"):
        runs[""] = lambda made: made.__attrs_post_init__()
    else:
        runs |= {f"rule {i}": lambda made, rule=rule: _hold(rule, made) for i, rule in enumerate(cls.rules)}
    checks, unchecked = [], []
    for name, validate in runs.items():

        def run(paths: Paths, validate: Any = validate) -> Message | None:
            try:
                validate(_instance(cls, kinds, paths))
            except (MaskkitError, TooLong) as problem:
                return paths.message(str(problem))
            return None

        text = _written(run)
        if text is None:
            unchecked.append(name if name in parameters else "")
        elif text != '""':
            checks.append(text)
    return checks, unchecked


def _hold(rule: Any, made: Any) -> None:
    if problem := rule.problem(made):
        raise ConfigError(problem)


def _validate(cls: Any, field: Any, value: Any) -> None:
    """As the field does it; without the hint at the way out where that cannot be followed."""
    try:
        field.validate(cls, value)
    except GIVEN_UP as problem:
        if isinstance(problem, (MaskkitError, TooLong)):
            raise
        evolve(field.attribute.validator, hint=None)(cls, field.attribute, value)


def _written(run: Callable[[Paths], Any]) -> str | None:
    try:
        return tree(explore(run), message)
    except GIVEN_UP:
        return None
