"""What a class must be to be an item, told before anybody builds one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Integral
from typing import Any

import attrs
from maskkit.registry.item import Item, Kind


def _texts(value: Any) -> bool:
    return isinstance(value, (tuple, list)) and all(isinstance(one, str) for one in value)


def _whole(value: Any, least: int) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least


def _words(value: Any) -> bool:
    return isinstance(value, Mapping) and _texts([*value, *value.values()])


def _samples(value: Any) -> bool:
    return isinstance(value, (tuple, list)) and all(isinstance(one, Mapping) and _texts([*one]) for one in value)


def is_shape(value: Any) -> bool:
    """Whether it is the size of each axis."""
    return isinstance(value, tuple) and all(_whole(size, 1) for size in value)


_ATTRIBUTES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "samples": (_samples, "a tuple of parameters, such as (dict(seq_len=16),)"),
    "aliases": (_words, "a mapping of spellings to parameters"),
    "rules": (lambda value: isinstance(value, (tuple, list)), "a tuple of rules"),
    "axes": (_texts, 'a tuple of names, such as ("query", "key")'),
    "shape": (is_shape, "a tuple of positive integers"),
    "period": (lambda value: _whole(value, 0), "an integer that is not negative"),
    "masks": (_texts, 'a tuple of words, such as ("keys",)'),
    "sizes": (lambda value: isinstance(value, Mapping), "a mapping of letters to sizes"),
    **dict.fromkeys(
        ("category", "layer_class", "library", "no_picture", "sampler_class", "shapes", "use_case"),
        (lambda value: isinstance(value, str), "a string"),
    ),
}
"""Of class attributes, what they may be; fields and properties of these names are told by their values."""


def contract_problem(cls: Any, kind: Kind | None = None) -> str:
    """What is wrong with a class that a plugin offers, in words; empty if nothing is."""
    if not isinstance(cls, type) or not issubclass(cls, Item):
        return f"{cls!r} is not a class that derives from a maskkit base class"
    if kind and getattr(cls, "kind", None) != kind.name:
        return f"{cls.__qualname__} is of kind {getattr(cls, 'kind', None)!r}, not {kind.name!r}"
    if kind and not issubclass(cls, kind.base):
        return f"{cls.__qualname__} does not derive from {kind.base.__qualname__}"
    if not isinstance(getattr(cls, "kind", None), str):
        return f"{cls.__qualname__} has no kind; derive it from a base class that has, such as maskkit.AttentionMask"
    if "__attrs_attrs__" not in vars(cls):
        return f"{cls.__qualname__} is not decorated with @attrs.frozen(kw_only=True)"
    if not attrs.inspect(cls).is_frozen:
        return f"{cls.__qualname__} must be frozen: decorate it with @attrs.frozen(kw_only=True)"
    if reserved := {"type", "kind", "name"} & attrs.fields_dict(cls).keys():
        return f"{cls.__qualname__} has a field {reserved.pop()!r}, which means something else here; call it otherwise"
    name = getattr(cls, "name", None)
    if not isinstance(name, str) or not name.isidentifier():
        return f"{cls.__qualname__} needs a class attribute name, an identifier, got {name!r}"
    for attribute, (good, what) in _ATTRIBUTES.items():
        value = getattr(cls, attribute, None)
        if not (value is None or hasattr(value, "__get__") or good(value)):
            return f"{cls.__qualname__}.{attribute} must be {what}, got {value!r}"
    return ""
