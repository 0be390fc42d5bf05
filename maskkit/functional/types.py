"""What is installed, for the functions: `MaskType` and `AttentionType`, and a page about each item.

The core knows no plugin by name, so both enums are made when they are first asked for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import StrEnum
from functools import cache
from typing import Any

from maskkit.api import info, names
from maskkit.configs.describe import Info
from maskkit.errors import BrokenPlugin, ConfigError, UnknownName
from maskkit.registry.loader import registry

_KINDS = {"MaskType": "mask", "AttentionType": "attention"}


def __getattr__(name: str) -> Any:
    if name in _KINDS:
        return type_of(_KINDS[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@cache
def type_of(kind: str) -> type[StrEnum]:
    """The enum of a kind's names: `MaskType.CAUSAL`, `MaskType("causal")`, `MaskType("mask.causal")`.

    Its members are what is there when it is made; a name that is registered afterwards is taken too, and not listed.

    Raises:
        ConfigError: by the enum, `Invalid mask_type: ...`, an UnknownName where nothing has the name.
    """

    class Names(StrEnum):
        @classmethod
        def _missing_(cls, value: object) -> StrEnum:
            """A full name, or one that came after the enum."""
            if not isinstance(value, str):
                raise ConfigError(f"Invalid {kind}_type: {value!r}, a name is needed {how_to_list(kind)}")
            try:
                short = registry.resolve(str(value), kind).partition(".")[2]
            except UnknownName as error:
                rest = str(error).removeprefix(f"Unknown {kind} type {value!r}")
                raise UnknownName(f"Invalid {kind}_type: {value}{rest}") from None
            if short != value:
                return cls(short)
            later = str.__new__(cls, short)
            later._name_, later._value_ = short.upper(), short
            return later

    make: Any = Names  # called with members, an enum without any makes one with them
    made: type[StrEnum] = make(
        f"{kind.capitalize()}Type", {name.upper(): name for name in names(kind)}, module=__name__
    )
    return made


def how_to_list(kind: str) -> str:
    """Where to look for the right name."""
    return f"({len(names(kind))} installed: maskkit list --kind {kind})"


def info_of_all(kind: str, more: Callable[[Info], dict[str, Any]], log: logging.Logger) -> dict[str, dict[str, Any]]:
    """A page about each name of a kind, with what `more` tells of it; what is broken, or offered twice, is skipped with
    a warning."""
    found = {}
    for name in names(kind):
        try:
            known = info(name, kind)
            found[name] = {
                "description": known.summary,
                "required_params": [p.name for p in known.parameters if p.required],
                "optional_params": {p.name: p.default for p in known.parameters if not p.required},
                **more(known),
            }
        except (BrokenPlugin, ConfigError) as error:
            log.warning("skipped: %s", error)
    return found
