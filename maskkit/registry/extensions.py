"""Backends and exporters by name: the core's own, else those that plugins add through `maskkit_backends`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from maskkit.arrays.backends import BUILT_IN, Backend, built_in
from maskkit.errors import ConfigError, did_you_mean
from maskkit.registry.loader import registry


@cache
def backend(name: str) -> Backend:
    """The backend of this name.

    Raises:
        ConfigError: no installed backend has it, or its library is missing.
    """
    found: Backend = built_in(name) if name in BUILT_IN else extension(name, "backend", "from_host", BUILT_IN)
    return found


def extension(name: Any, what: str, method: str, known: Mapping[str, Any] | tuple[str, ...]) -> Any:
    """What a plugin offers under a name.

    Args:
        name: as the user gave it.
        what: "backend" or "form", for the message.
        method: which one it has, and the other does not.
        known: names of the core's own.

    Raises:
        ConfigError: no plugin offers it.
    """
    offered = {found.name: found for found in registry.backends() if hasattr(found, method)}
    if name not in offered:
        names = [*known, *sorted(offered)]
        raise ConfigError(f"unknown {what} {name!r}; choose from {', '.join(names)}{did_you_mean(str(name), names)}")
    return offered[name]
