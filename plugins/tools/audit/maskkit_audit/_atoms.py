"""Single installed masks as candidates: every class is asked to read its parameters off what is allowed."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np
from attrs import NOTHING, field, fields, frozen
from maskkit import AttentionMask, BrokenPlugin, ConfigError, Mask, Spans, find, names
from maskkit.arrays import fetched, is_array
from maskkit_audit._patterns import spans_of, widened

log = logging.getLogger("maskkit.audit")

GIVEN = {"seq_len"}
"""Parameters that an expression leaves to `maskkit.parse(expression, seq_len=...)`."""
_FEW = 4
"""Entries of lists that count as a word more: a list that says everything is no name."""
_SIDES = {"q_len", "k_len", "key_ids"}
"""Parameters of masks whose queries and keys may differ in number."""
_LONG = 40
"""Letters from which on another name for the same is looked for."""


@frozen
class Named:
    """A mask, the expression that it is, and what it allows."""

    text: str
    mask: Mask
    spans: Spans = field(eq=False, repr=False)
    parts: int = 1

    @property
    def words(self) -> int:
        """How many names and parameters it has."""
        return self.parts + self.text.count("=") + self.text.count(",") // _FEW

    @property
    def cost(self) -> tuple[int, int, str]:
        """Shorter ones come first: with fewer names and parameters, then with fewer letters."""
        return self.words, len(self.text), self.text


@cache
def _classes(installed: tuple[str, ...]) -> tuple[type[Mask], ...]:
    found = []
    for name in installed:
        try:
            cls = find(name, "mask")
        except (BrokenPlugin, ConfigError):
            continue  # `maskkit doctor` tells
        if issubclass(cls, Mask):
            found.append(cls)
    return tuple(found)


def ask(spans: Spans, axes: tuple[str, ...], again: bool = True) -> list[Named]:
    """What the classes of installed masks make of a pattern with these axes; each may be the pattern, or more."""
    found: dict[str, Named] = {}
    if not (spans.lo < spans.hi).any():
        return []
    for cls in _classes(tuple(names("mask"))):
        if issubclass(cls, AttentionMask) != (axes[-1] == "key"):
            continue
        if axes[-1] == "key" and spans.shape[-1] != spans.limit and not _SIDES & {a.name for a in fields(cls)}:
            continue
        mask = _guess(cls, spans)
        if mask is None or not _fits(mask, axes, spans):
            continue
        named = Named(text_of(mask), mask, widened(_like(spans_of(mask), spans), spans.shape))
        found[named.text] = named
    for one in [one for one in found.values() if again and len(one.text) > _LONG and _around(one.spans, spans)]:
        for other in ask(one.spans, axes, again=False):  # documents of equal length are blocks
            if other.spans == one.spans and len(other.text) < len(one.text):
                found[other.text] = other
    return list(found.values())


def _around(outer: Spans, inner: Spans) -> bool:
    """Whether this allows all of the other, and more."""
    return outer != inner and (outer & inner) == inner


def _guess(cls: type[Mask], spans: Spans) -> Mask | None:
    try:
        params = cls.recognize(spans)
        return None if params is None else cls(**params)
    except ConfigError:
        return None  # the guess breaks a rule of the class, so it is none
    except Exception:
        log.warning("%s.recognize failed; it is left out", cls.__name__, exc_info=True)
        return None


def _fits(mask: Mask, axes: tuple[str, ...], spans: Spans) -> bool:
    """Whether it is of the same things, and as many; a batch of one stands for none."""
    own = dict(zip(mask.axes, mask.shape, strict=True))
    wanted = dict(zip(axes, (*spans.shape, spans.limit), strict=True))
    if own.get("batch") == 1 and "batch" not in wanted:
        del own["batch"]
    return (
        own.keys() <= wanted.keys()
        and all(size in (1, wanted[axis]) for axis, size in own.items())
        and ({axis for axis in wanted if axis != "batch"} <= own.keys())
    )


def _like(found: Spans, spans: Spans) -> Spans:
    """Without a batch of one, where there is none."""
    return found.reshape(found.shape[1:]) if len(found.shape) > len(spans.shape) else found


def text_of(mask: Any) -> str:
    """A mask as `maskkit.parse` reads it: its name, and what is neither its default nor `seq_len`."""
    given = []
    for a in type(mask).__attrs_attrs__:
        value, default = getattr(mask, a.name), a.default
        if a.alias in GIVEN or value is None or (default is not NOTHING and not is_array(value) and value == default):
            continue
        given.append(f"{a.alias}={_plain(value)!r}")
    return f"{mask.name}({', '.join(given)})" if given else mask.name


def _plain(value: Any) -> Any:
    """Arrays as lists, which an expression can hold."""
    if is_array(value):
        return fetched(value).tolist()
    if isinstance(value, np.generic):
        return value.item()
    return list(value) if isinstance(value, tuple) else value


def shortest(found: Iterable[Named]) -> Named | None:
    """The one with the fewest names and parameters, and of these the one with the fewest letters."""
    return min(found, key=lambda named: named.cost, default=None)
