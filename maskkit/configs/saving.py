"""Items into plain data, without loss: what JSON, YAML and TOML hold, and `maskkit.configs.reading` reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from maskkit.arrays.fields import as_plain
from maskkit.arrays.libraries import fetched, is_array
from maskkit.configs.fields import own_first
from maskkit.errors import ConfigError
from maskkit.masks.pattern import Pattern
from maskkit.registry.item import Item, Settings
from maskkit.registry.loader import registry


def to_dict(obj: Item, /) -> dict[str, Any]:
    """A mask or config as plain data: `from_dict(to_dict(x)) == x`.

    Short names are used where they are unambiguous among what is installed, else full ones.
    """
    if not isinstance(obj, Item):
        raise ConfigError(f"to_dict takes a mask or a config, got {type(obj).__name__}")
    if isinstance(obj, Pattern) and (saved := obj.saved(plain)) is not None:
        return saved
    name = obj.name if len(registry.offered_as(obj.name)) == 1 else f"{obj.kind}.{obj.name}"
    return {"type": name, **fields_of(obj)}


def fields_of(item: Item) -> dict[str, Any]:
    """The parameters of a config, as plain data, in order."""
    return {a.alias or a.name: plain(getattr(item, a.name)) for a in own_first(type(item)) if a.init}


def plain(value: Any) -> Any:
    """A value as JSON and YAML can hold it: lists, numbers, strings, booleans, None and mappings."""
    if isinstance(value, Settings):
        return fields_of(value)
    if isinstance(value, Item):
        return to_dict(value)
    if is_array(value):
        return as_plain(fetched(value))
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (tuple, list)):
        return [plain(v) for v in value]
    if isinstance(value, Mapping):
        return {key: plain(v) for key, v in value.items()}
    return value
