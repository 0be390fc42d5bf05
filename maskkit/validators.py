"""One vocabulary of validators, for `attrs.field(validator=...)`, with one style of message.

Each is called as attrs does it, `(instance, attribute, value)`, raises `ConfigError`, and has a `rule`: the words that
follow the parameter's name in messages, help and `maskkit show`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from attrs import Attribute, evolve, frozen
from maskkit.arrays import is_array
from maskkit.dtypes import dtype_name
from maskkit.errors import ConfigError, did_you_mean


def message(owner: Any, name: str, rule: str, value: Any) -> str:
    """`window_size must be positive, got -1`; attention layers say `Parameter 'num_heads' must be positive, got -1`."""
    subject = f"Parameter '{name}'" if getattr(owner, "kind", "mask") == "attention" else name
    return f"{subject} {rule}, got {shown(value)}"


def shown(value: Any) -> str:
    """The value in a message: short, and for arrays their shape and dtype."""
    if is_array(value):
        return f"an array of shape {tuple(value.shape)} and dtype {value.dtype}"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


@frozen
class Rule:
    """A validator: a test and the words for it."""

    rule: str
    test: Callable[[Any], bool]
    number: bool = False
    hint: Callable[[Any], str] | None = None
    none: bool = False

    def __call__(self, instance: Any, attribute: Attribute[Any], value: Any) -> None:
        """Raise ConfigError unless the value passes."""
        if self.none and value is None:
            return
        if self.number:
            check_number(instance, attribute, value)
        if not self.test(value):
            hint = self.hint(value) if self.hint else ""
            raise ConfigError(message(instance, attribute.name, self.rule, value) + hint)


def check_number(instance: Any, attribute: Attribute[Any], value: Any) -> None:
    """Refuse what is no number, booleans, and fractions where the field is an integer."""
    if attribute.type in (int, "int", int | None, "int | None"):
        if not is_integer(value):
            raise ConfigError(message(instance, attribute.name, "must be an integer", value))
    elif not is_number(value):
        raise ConfigError(message(instance, attribute.name, "must be a number", value))


def is_integer(value: Any) -> bool:
    """Integers of any library; True is no integer, and 2.0 is none either."""
    if isinstance(value, (bool, float, str)) or value is None or "bool" in str(getattr(value, "dtype", "")):
        return False
    try:
        operator.index(value)
    except TypeError:
        return False
    return True


def is_number(value: Any) -> bool:
    """Integers and real numbers of any library, not booleans, not NaN."""
    if is_integer(value):
        return True
    if isinstance(value, (bool, str)) or not hasattr(value, "__float__"):
        return False
    return bool(value == value)


_MOST = 2**62
"""Sums and differences of two such integers still are 64-bit integers."""


def _fits(value: Any) -> bool:
    return not is_integer(value) or value < _MOST


def _too_large(value: Any) -> str:
    return "" if _fits(value) else "; integers must be less than 2**62"


positive = Rule("must be positive", lambda value: value > 0 and _fits(value), number=True, hint=_too_large)
non_negative = Rule("must not be negative", lambda value: value >= 0 and _fits(value), number=True, hint=_too_large)
probability = Rule("must be in [0, 1]", lambda value: 0 <= value <= 1, number=True)
rate = Rule("must be between 0.0 and 1.0", lambda value: 0 <= value <= 1, number=True)
odd = Rule("must be odd and positive", lambda value: value > 0 and value % 2 == 1, number=True)

seed = Rule("must be in [0, 2**64)", lambda value: 0 <= value < 2**64, number=True)


def optional(rule: Rule) -> Rule:
    """None, or what the rule allows."""
    return evolve(rule, rule=f"{rule.rule}, or None", none=True)


def one_of(*choices: Any) -> Rule:
    """One of a few values; the message names them."""
    return Rule(
        f"must be one of {', '.join(map(repr, choices))}",
        lambda value: any(value is c or (type(value) is type(c) and value == c) for c in choices),
        hint=lambda value: did_you_mean(str(value), map(str, choices)),
    )


def _is_range(value: Any, most: float) -> bool:
    pair = isinstance(value, (tuple, list)) and len(value) == 2 and all(map(is_number, value))
    return pair and 0 < value[0] <= value[1] <= most


scale_range = Rule("must be a pair (low, high) with 0 < low <= high <= 1", lambda value: _is_range(value, 1))
ratio_range = Rule("must be a pair (low, high) with 0 < low <= high", lambda value: _is_range(value, float("inf")))


def array(ndim: int | tuple[int, ...] | None = None, dtype: str | None = None) -> Rule:
    """An array of any library (lists are converted by `field(converter=as_array)`), by number of axes and dtype.

    Only shape and dtype are looked at, so tracers pass and no device is waited for. `dtype` is "bool", "integer" or
    "floating".
    """
    axes = (ndim,) if isinstance(ndim, int) else ndim
    kinds = {None: (), "bool": ("bool",), "integer": ("int", "uint"), "floating": ("float", "bfloat")}[dtype]
    article = {None: "array", "bool": "boolean array", "integer": "integer array", "floating": "floating array"}[dtype]
    words = f"must be {'an' if article[0] in 'ai' else 'a'} {article}"
    if axes:
        words += f" with {' or '.join(map(str, axes))} ax{'is' if axes == (1,) else 'es'}"

    def check(value: Any) -> bool:
        if not is_array(value) or (axes and len(value.shape) not in axes) or 0 in value.shape:
            return False
        return not kinds or dtype_name(value.dtype).startswith(kinds)

    def hint(value: Any) -> str:
        return "; no axis may be empty" if is_array(value) and 0 in value.shape else ""

    return Rule(words, check, hint=hint)
