"""Backends and exporters by name: the core's own, else those that plugins add through `maskkit_backends`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from maskkit.arrays.backends import BUILT_IN, Backend, built_in
from maskkit.errors import ConfigError, did_you_mean
from maskkit.registry.catalog import BACKEND, how_to_install
from maskkit.registry.loader import registry


@cache
def backend(name: str) -> Backend:
    """The backend of this name.

    Raises:
        ConfigError: no installed backend has it, or its library is missing.
    """
    return built_in(name) if name in BUILT_IN else extension(name, "backend", "from_host", BUILT_IN)


def extension(name: Any, what: str, method: str, known: Mapping[str, Any] | tuple[str, ...]) -> Any:
    """What a plugin offers under a name.

    Args:
        name: as the user gave it.
        what: "backend" or "form", for the message.
        method: which one it has, and the other does not.
        known: names of the core's own.

    Raises:
        ConfigError: no plugin offers it, or several do.
    """
    offered = [found for found in registry.backends() if hasattr(found, method)]
    found = [one for one in offered if one.name == name]
    if not found:
        names = [*known, *sorted({one.name for one in offered})]
        if what == "form" and (hint := how_to_install([f"{BACKEND}.{name}"])):
            raise ConfigError(hint)
        raise ConfigError(f"unknown {what} {name!r}; choose from {', '.join(names)}{did_you_mean(str(name), names)}")
    if len(found) > 1:
        modules = " and ".join(sorted(type(one).__module__ for one in found))
        raise ConfigError(f"{what} {name!r} is offered by {modules}; uninstall one, or switch one off by MASKKIT_BLOCK")
    return found[0]
