"""The functions that users call: one path, `config`, under all of them."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, overload

from maskkit.configs.describe import Info, describe
from maskkit.configs.expressions import tree
from maskkit.configs.files import read_section
from maskkit.configs.reading import config, from_dict
from maskkit.configs.saving import fields_of, to_dict
from maskkit.errors import ConfigError
from maskkit.registry.item import Item
from maskkit.registry.loader import registry

__all__ = ["config", "create", "find", "from_dict", "info", "load", "names", "parse", "register", "to_dict"]

if TYPE_CHECKING:
    from maskkit.masks.mask import Mask
    from maskkit.registry.item import Kernel

log = logging.getLogger("maskkit.create")


@overload
def create(name_or_mapping: Any, /, *, kind: Literal["mask"], **params: Any) -> Mask: ...
@overload
def create(name_or_mapping: Any, /, *, kind: Literal["kernel"], **params: Any) -> Kernel: ...
@overload
def create(name_or_mapping: Any, /, *, kind: str | None = None, **params: Any) -> Any: ...
def create(name_or_mapping: Any, /, *, kind: str | None = None, **params: Any) -> Any:
    """Build an item: a mask, an attention layer or a strategy.

    Args:
        name_or_mapping: a short name, a full name (`"mask.causal"`), or a mapping `{"type": name, **params}`; masks may
            be combined: `{"and": [..]}`, `{"or": [..]}`, `{"xor": [..]}`, `{"not": {..}}`.
        kind: "mask", "attention", "strategy" or another, where a short name alone is ambiguous.
        params: the item's parameters; they win over those of a mapping, and in a combination go to every mask that has
            them and was not given them.

    Raises:
        UnknownName: no installed item has this name.
        ConfigError: the parameters, with all problems at once; or the name is ambiguous or in conflict.
        BrokenPlugin: the plugin that offers the item cannot be imported.
    """
    built = config(name_or_mapping, kind=kind, **params)
    if built.kind == "attention":
        log.info("Creating %r layer with parameters: %s", built.name, fields_of(built))
    return built.build()


def load(path: str | PathLike[str], /, key: str | None = None) -> Any:
    """Build what a YAML, TOML or JSON file says.

    Args:
        path: the file; its suffix decides how it is read.
        key: dotted path of the section that is meant, such as `"model.attention"`.

    Raises:
        ConfigError: the file cannot be read or parsed (with line), the section is not there, or its content is wrong.
    """
    section = read_section(path, key)
    try:
        return create(section)
    except ConfigError as error:
        raise type(error)(f"{path}{f' at {key}' if key else ''}: {error}") from error


def parse(expression: str, /, **shared: Any) -> Mask:
    """A mask from an expression: `parse("causal & ~banded(band_width=5)", seq_len=64)`.

    Args:
        expression: names, calls with literal keywords, `& | ^ ~` and parentheses; read with `ast`, never evaluated.
        shared: parameters that go to every mask in it that has them and was not given them in the expression.

    Raises:
        ConfigError: the expression holds anything else, or a mask's parameters are wrong.
    """
    return create(tree(expression), kind="mask", **shared)


def names(kind: str | None = None) -> list[str]:
    """Sorted full names of all items; with a kind the short names of that kind. From metadata: imports no plugin."""
    full = registry.full_names(kind)
    return full if kind is None else [name.partition(".")[2] for name in full]


def info(name: str, kind: str | None = None) -> Info:
    """What there is to know of an item: kind, name, summary, category, parameters, provider, version, reference."""
    full_name = registry.resolve(name, kind)
    return describe(registry.find(full_name), registry.entry(full_name))


def find(name: str, kind: str | None = None) -> type[Item]:
    """The class of an item, its plugin imported if it was not yet. Arguments and errors as `create`."""
    return registry.find(name, kind)


def register(cls: type[Item]) -> ExitStack:
    """Add an item without a package: until what this gives is closed, or as a context manager for its block."""
    return registry.register(cls)
