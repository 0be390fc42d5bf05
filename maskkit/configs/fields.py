"""Parameters of a class, and a validated config from plain data: strict, with all that is wrong with it at once."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Iterable, Mapping
from types import SimpleNamespace
from typing import Any, Union

import attrs
import numpy as np
from cattrs import Converter
from cattrs.errors import BaseValidationError
from cattrs.v import transform_error
from maskkit.errors import ConfigError, config_error, did_you_mean, problems_of
from maskkit.registry.contract import is_shape
from maskkit.registry.item import Item, Settings
from maskkit.validators import is_integer, is_number, message, shown

# -- plain data -> config ---------------------------------------------------------------------------------------------


def build(cls: type[Item], params: Mapping[str, Any]) -> Item:
    """A validated config; all that is wrong with the parameters is reported together.

    Raises:
        ConfigError: with `.problems`, one text for each.
    """
    fields = parameters(cls)
    values: dict[str, Any] = {}
    params, problems = _canonical(cls, params)
    problems += [_unknown(cls, name, fields) for name in params if name not in fields]
    missing = []
    for name, field in fields.items():
        if name not in params:
            if field.required:
                missing.append(name)
            continue
        try:
            value = field.structure(params[name])
            field.validate(cls, value)
            values[name] = value
        except ConfigError as error:
            problems += problems_of(error)
        except (RecursionError, MemoryError):
            raise
        except Exception as error:
            problems.append(_explain(cls, field, params[name], error))
    problems = _missing(cls, missing) + problems
    if problems:
        problems += _broken_rules(cls, fields, values, params)
    else:
        try:
            return _sound(cls(**values))
        except ConfigError as error:
            problems = problems_of(error)
    raise config_error(problems, f"{cls.name} {cls.kind}")


def _sound(made: Item) -> Item:
    """What was made; the shape of a mask is known now, and a wrong one fails deep inside, and does not say whose."""
    shape = getattr(made, "shape", None) if made.kind == "mask" else None
    if shape is not None and not is_shape(shape):
        raise ConfigError(f"{made.name} {made.kind}: its shape must be a tuple of positive integers, got {shape!r}")
    return made


def _broken_rules(
    cls: type[Item], fields: Mapping[str, Field], values: Mapping[str, Any], params: Mapping[str, Any]
) -> list[str]:
    """What is wrong between fields that are right by themselves, where others are wrong."""
    known = SimpleNamespace(kind=cls.kind, name=cls.name)
    for name, field in fields.items():
        if name in values:
            setattr(known, field.attribute.name, values[name])
        elif name not in params and not field.required:
            setattr(known, field.attribute.name, field.default())
    rules = [rule for rule in cls.rules if all(hasattr(known, name) for name in rule.fields)]
    return [problem for rule in rules if (problem := rule.problem(known))]


def _canonical(cls: type[Item], params: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The parameters under their own names; two spellings of one are a problem."""
    renamed: dict[str, Any] = {}
    spelling: dict[str, str] = {}
    problems = []
    for name, value in params.items():
        own = cls.aliases.get(name, name)
        if own in renamed:
            problems.append(f"{spelling[own]!r} and {name!r} are the same parameter; give one of them")
        renamed[own], spelling[own] = value, name
    return renamed, problems


def _missing(cls: type[Item], names: list[str]) -> list[str]:
    if not names:
        return []
    if cls.kind == "mask":
        return [f"{name} required for {cls.name.replace('_', ' ')} mask" for name in names]
    return [f"Required parameters for '{cls.name}' are missing: {names}"]


def _unknown(cls: type[Item], name: Any, fields: Mapping[str, Any]) -> str:
    takes = f"{cls.name} takes {', '.join(fields) or 'no parameters'}"
    hint = did_you_mean(name, [*fields, *cls.aliases]) if isinstance(name, str) else ""
    return f"unknown parameter {shown(name)}{hint} ({takes})"


def _explain(cls: type[Item], field: Field, value: Any, error: Exception) -> str:
    if isinstance(error, BaseValidationError):
        inner = "; ".join(transform_error(error, path="", format_exception=lambda exc, _: str(exc)))
        return message(cls, field.name, f"must be {type_words(field.type)} ({inner})", value)
    rule = getattr(field.attribute.validator, "rule", "") if field.type is Any else ""
    return message(cls, field.name, rule or f"must be {type_words(field.type)}", value)


class Field:
    """One parameter: how it is read and checked."""

    def __init__(self, attribute: attrs.Attribute[Any], kind: Any) -> None:
        self.name = attribute.alias or attribute.name
        self.type = kind
        self.required = attribute.default is attrs.NOTHING
        self.is_made = isinstance(attribute.default, attrs.Factory)  # type: ignore[arg-type]
        self.attribute = attribute.evolve(type=kind)

    def default(self) -> Any:
        """What the class has where the parameter is not given; None where that depends on other fields."""
        value: Any = self.attribute.default
        if self.is_made:
            if value.takes_self:
                return None
            value = value.factory()
        return self.attribute.converter(value) if callable(self.attribute.converter) else value

    def structure(self, value: Any) -> Any:
        """The value in the field's type, or an error."""
        if callable(self.attribute.converter):
            value = self.attribute.converter(value)
        return value if self.type is Any else CONVERTER.structure(value, self.type)

    def validate(self, cls: type[Item], value: Any) -> None:
        """Ask the field's validator; the class stands in for the instance that is not there yet."""
        if self.attribute.validator is not None:
            self.attribute.validator(cls, self.attribute, value)


def parameters(cls: type[Item]) -> dict[str, Field]:
    """The parameters of a class, by the name that the constructor takes."""
    if cls not in _PARAMETERS:
        hints = typing.get_type_hints(cls, include_extras=True)
        found = (Field(a, hints.get(a.name, Any)) for a in own_first(cls) if a.init)
        _PARAMETERS[cls] = {field.name: field for field in found}
    return _PARAMETERS[cls]


_PARAMETERS: dict[type[Item], dict[str, Field]] = {}


def left_open(cls: type[Item], given: Iterable[str]) -> dict[str, Field]:
    """The parameters of a class that are not given, in whatever spelling."""
    own = {cls.aliases.get(name, name) for name in given}
    return {name: field for name, field in parameters(cls).items() if name not in own}


def own_first(cls: type[Item]) -> list[attrs.Attribute[Any]]:
    """The attributes in the order of interest: what a class adds before what it shares with others."""
    return sorted(attrs.fields(cls), key=lambda attribute: attribute.inherited)


# -- strict conversion ------------------------------------------------------------------------------------------------


def _strictly(value: Any, kind: Any) -> Any:
    """A value of one of the plain types, and of no other."""
    if not _PLAIN[kind](value):
        raise ValueError(f"expected {_WORDS[kind]}, got {shown(value)}")
    return kind(value)


_PLAIN: dict[type, Callable[[Any], bool]] = {
    int: is_integer,
    float: is_number,
    bool: lambda value: isinstance(value, (bool, np.bool_)),
    str: lambda value: isinstance(value, str),
}


def _union(value: Any, kind: Any) -> Any:
    """The first member that takes the value as it is."""
    if value is None and type(None) in typing.get_args(kind):
        return None
    for member in typing.get_args(kind):
        if member is not type(None):
            try:
                return CONVERTER.structure(value, member)
            except (ValueError, TypeError, BaseValidationError):
                continue
    raise ValueError(f"expected {type_words(kind)}, got {shown(value)}")


def _settings(value: Any, kind: Any) -> Any:
    """Settings inside a config: as they are, or their mapping."""
    return value if isinstance(value, kind) else build(kind, value)


def _is_union(kind: Any) -> bool:
    return typing.get_origin(kind) in (Union, types.UnionType)


CONVERTER = Converter(forbid_extra_keys=True)
for _kind in _PLAIN:
    CONVERTER.register_structure_hook(_kind, _strictly)
CONVERTER.register_structure_hook_func(_is_union, _union)
CONVERTER.register_structure_hook_func(lambda kind: isinstance(kind, type) and issubclass(kind, Settings), _settings)

_WORDS = {
    int: "an integer",
    float: "a number",
    bool: "True or False",
    str: "a string",
    type(None): "None",
    Any: "anything",
}

_MANY = {int: "integers", float: "numbers", bool: "booleans", str: "strings"}


def type_words(kind: Any) -> str:
    """`tuple[float, float]` -> `"a list of 2 numbers"`: a type in the words of messages and help."""
    if kind in _WORDS:
        return _WORDS[kind]
    origin, members = typing.get_origin(kind), typing.get_args(kind)
    if _is_union(kind):
        return " or ".join(type_words(member) for member in members)
    if origin is typing.Literal:
        return "one of " + ", ".join(map(repr, members))
    if origin in (tuple, list):
        many = [m for m in members if m is not Ellipsis]
        count = "" if Ellipsis in members or origin is list else f"{len(many)} "
        return f"a list of {count}{_MANY.get(many[0], 'values')}" if many else "a list"
    if isinstance(kind, type) and issubclass(kind, Item):
        return f"a {kind.kind}: its name, or a mapping with a type"
    return getattr(kind, "__name__", str(kind))
