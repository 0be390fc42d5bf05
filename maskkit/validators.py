"""One vocabulary of validators for `attrs.field(validator=...)` and of `rules` between fields, in one style of message.

Each validator is called as attrs does it, `(instance, attribute, value)`, raises `ConfigError`, and has a `rule`: the
words that follow the parameter's name in messages, help and `maskkit show`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
from attrs import Attribute, evolve, frozen
from maskkit.arrays.dtypes import dtype_name
from maskkit.arrays.libraries import host, is_array, is_sparse
from maskkit.errors import ConfigError, did_you_mean


def message(owner: Any, name: str, rule: str, value: Any) -> str:
    """`window_size must be positive, got -1`; attention layers say `Parameter 'num_heads' must be positive, got -1`."""
    return f"{subject(owner, name)} {rule}, got {shown(value)}"


def subject(owner: Any, name: str) -> str:
    """A parameter's name as messages begin with it."""
    return f"Parameter '{name}'" if getattr(owner, "kind", "mask") == "attention" else name


def shown(value: Any) -> str:
    """The value in a message: short, and for arrays their shape and dtype."""
    if is_array(value):
        return f"an array of shape {tuple(value.shape)} and dtype {value.dtype}"
    try:
        text = repr(value)
    except (ValueError, RecursionError) as error:  # of thousands of digits, or as deep
        return f"a value of type {type(value).__name__} that is too large to print ({error})"
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

    def check(self, name: str, value: Any) -> None:
        """The same for an argument of a function, which is no field."""
        argument: Any = SimpleNamespace(name=name, type=None)
        self(None, argument, value)


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
    return not getattr(value, "shape", ())  # an array of one integer is none


def is_number(value: Any) -> bool:
    """Integers and real numbers of any library, not booleans, not NaN."""
    if is_integer(value):
        return True
    if isinstance(value, (bool, str)) or not hasattr(value, "__float__"):
        return False
    return bool(value == value)


_MOST = 2**53
"""Products with a few rows, and sums as floating-point numbers, still are exact."""


def _fits(value: Any) -> bool:
    return not is_integer(value) or value < _MOST


def _too_large(value: Any) -> str:
    return "" if _fits(value) else "; integers must be less than 2**53"


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


def _no_plain_array(value: Any) -> str:
    """Why an array does not say what each of its values is, and the way out; empty for most."""
    if isinstance(value, np.ndarray) and hasattr(value, "filled"):
        return "; of a masked array it would not be known what its masked values mean: give array.filled(...)"
    if is_sparse(value):
        return "; it is sparse: give array.to_dense(), or .toarray(), or .todense()"
    return ""


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
        if not is_array(value) or (axes and len(value.shape) not in axes) or 0 in value.shape or _no_plain_array(value):
            return False
        return not kinds or dtype_name(value.dtype).startswith(kinds)

    def hint(value: Any) -> str:
        if not is_array(value):
            return ""
        return _no_plain_array(value) or ("; no axis may be empty" if 0 in value.shape else "")

    return Rule(words, check, hint=hint)


# -- rules between fields ---------------------------------------------------------------------------------------------


@frozen
class FieldRule:
    """What must hold between fields of one config, for `rules = (...)` on its class.

    Attributes:
        fields: those that are looked at; messages name the first.
        rule: the words that follow its name in messages and in `maskkit show`.
        problem: what is wrong with a config, as a message; empty if nothing is.
    """

    fields: tuple[str, ...]
    rule: str
    problem: Callable[[Any], str]


def _rule(name: str, others: tuple[str, ...], words: str, wrong: Callable[..., str]) -> FieldRule:
    """A rule of one field by others: `wrong(value, *others' values)` is what comes after the name, or empty.

    Where one of them is None, for it need not be given, nothing is asked.
    """

    def problem(config: Any) -> str:
        value, limits = getattr(config, name), tuple(getattr(config, other) for other in others)
        found = "" if any(one is None for one in (value, *limits)) else wrong(value, *limits)
        return f"{subject(config, name)} {found}" if found else ""

    return FieldRule((name, *others), words, problem)


def at_most(name: str, *others: str) -> FieldRule:
    """A number must not be over any of the others."""

    def wrong(value: Any, *limits: Any) -> str:
        most = " and ".join(f"{other}={limit!r}" for other, limit in zip(others, limits, strict=True))
        return f"must be at most {most}, got {shown(value)}" if value > min(limits) else ""

    return _rule(name, others, f"must be at most {' and '.join(others)}", wrong)


def multiple(name: str, of: str) -> FieldRule:
    """An integer must be divisible by another."""

    def wrong(value: Any, step: Any) -> str:
        rest = value % step
        near = f"{value - rest} and {value - rest + step} are" if value > step else f"{step} is"
        return f"must be divisible by {of}={step!r}, got {shown(value)} ({near})" if rest else ""

    return _rule(name, (of,), f"must be divisible by {of}", wrong)


def below(name: str, limit: str) -> FieldRule:
    """A number, or each of several, must be less than another."""

    def wrong(value: Any, most: Any) -> str:
        beyond = [one for one in (value if isinstance(value, (tuple, list)) else (value,)) if one >= most]
        return f"must be below {limit}={most!r}, got {beyond[0]}" if beyond else ""

    return _rule(name, (limit,), f"must be below {limit}", wrong)


def within(name: str, low: int, high: str) -> FieldRule:
    """An integer, or each of a one-dimensional array on the host, must be in `low..high`."""
    words = f"must be in {low}..{high}"

    def wrong(value: Any, most: Any) -> str:
        numbers = host(value) if is_array(value) else np.asarray(value)
        if numbers is None or numbers.dtype.kind == "b":
            return ""
        outside = np.flatnonzero((numbers < low) | (numbers > most))
        if not len(outside):
            return ""
        where = f" for sample {outside[0]}" if numbers.ndim else ""
        return f"{words} ({low}..{most}), got {numbers.flat[outside[0]]}{where}"

    return _rule(name, (high,), words, wrong)


def shaped(name: str, *sizes: str) -> FieldRule:
    """An array of as many axes must have as many entries along each as fields say; what else there is passes."""
    words = f"must have shape ({', '.join(sizes)})" if len(sizes) > 1 else f"must have {sizes[0]} entries"

    def wrong(value: Any, *shape: Any) -> str:
        if not is_array(value) or len(value.shape) != len(shape) or tuple(value.shape) == shape:
            return ""
        if len(sizes) == 1:
            return f"must have {sizes[0]} ({shape[0]}) entries, got {value.shape[0]}"
        return f"{words} = {shape}, got {tuple(value.shape)}"

    return _rule(name, sizes, words, wrong)


def exactly_one(*names: str, hint: str = "") -> FieldRule:
    """One of the fields must be given, and the others not; `hint` says how they differ."""
    words = f"must be given where {' and '.join(names[1:])} is not, and only there"

    def problem(config: Any) -> str:
        given = [name for name in names if getattr(config, name) is not None]
        if len(given) == 1:
            return ""
        count = "neither" if not given else "both" if len(names) == 2 else " and ".join(given)
        return f"{config.name} takes either {' or '.join(names)}, got {count}" + (f"; {hint}" if hint else "")

    return FieldRule(names, words, problem)


def only_with(name: str, **given: Any) -> FieldRule:
    """A field must be given where another has this value, and nowhere else: `only_with("levels", kind="ranked")`."""
    ((other, wanted),) = given.items()

    def problem(config: Any) -> str:
        value, actual = getattr(config, name), getattr(config, other)
        if (value is not None) == (actual == wanted):
            return ""
        if value is None:
            return f"{name} required for {other} {wanted!r}"
        return f"{subject(config, name)} must be None for {other} {actual!r}, got {shown(value)}"

    return FieldRule((name, other), f"must be given for {other} {wanted!r}, and only there", problem)
