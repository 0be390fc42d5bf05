"""Items into plain data, without loss, which `maskkit.configs.reading` reads; and into files of every kind."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from maskkit.arrays.fields import as_plain
from maskkit.arrays.libraries import fetched, is_array
from maskkit.configs.fields import own_first
from maskkit.errors import ConfigError
from maskkit.masks.pattern import Pattern
from maskkit.outputs import write_figure, written
from maskkit.registry.item import Item, Settings
from maskkit.registry.loader import registry

if TYPE_CHECKING:
    from maskkit.registry.hookspecs import Picture

SUFFIXES = (".png", ".svg", ".pdf", ".txt", ".npy", ".npz", ".json", ".yaml", ".yml")
"""Of the files that `write` makes."""
_TEXT_FILE = 200
"""Columns of a picture in a text file."""


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


# -- files ------------------------------------------------------------------------------------------------------------


def checked(path: Path) -> Path:
    """A path that `write` takes."""
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"{path}: unknown suffix {path.suffix!r}; use one of {', '.join(SUFFIXES)}")
    return path


def write(path: Path, item: Item, picture: Picture, blocked: bool) -> None:
    """Write an item in the form of the suffix: its picture, the arrays of that, or, for `maskkit.load`, itself.

    `blocked` says that the picture is of the complement, as which the item then is saved.
    """
    suffix = checked(path).suffix.lower()
    if suffix in (".png", ".pdf"):
        write_figure(path, picture.figure(), dpi=120)
    elif suffix in (".npy", ".npz"):
        _write_arrays(path, picture)
    else:
        try:
            text = _as_text(item, picture, blocked, suffix)
        except RecursionError as error:
            raise ConfigError(f"{path}: what is to be saved is nested too deeply") from error
        with written(path) as file:
            file.write(text.encode())


def _as_text(item: Item, picture: Picture, blocked: bool, suffix: str) -> str:
    if suffix == ".svg":
        return picture.svg()
    if suffix == ".txt":
        return picture.text(_TEXT_FILE) + "\n"
    saved = {"not": to_dict(item)} if blocked else to_dict(item)
    if suffix == ".json":
        return json.dumps(saved, indent=2) + "\n"
    import yaml

    class Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
        """Writes everything out: readers have a limit on what aliases stand for."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

    return str(yaml.dump(saved, Dumper=Dumper, sort_keys=False, default_flow_style=None, allow_unicode=True, width=120))


def _write_arrays(path: Path, picture: Picture) -> None:
    arrays: dict[str, Any] = dict(picture.arrays())
    if path.suffix.lower() == ".npy" and len(arrays) > 1:
        raise ConfigError(f"{path}: a .npy file holds one array, and this gives {len(arrays)}; use .npz")
    with written(path) as file:
        if path.suffix.lower() == ".npz":
            np.savez_compressed(file, **arrays)
        else:
            np.save(file, *arrays.values())
