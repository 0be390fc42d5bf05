"""Mappings into items and back: single configs, and trees of masks under `and`, `or`, `xor` and `not`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from maskkit.configs import build, config_error, fields_of, parameters, problems_of
from maskkit.errors import ConfigError
from maskkit.item import Item
from maskkit.registry import registry

OPERATIONS = ("and", "or", "xor", "not")
_DERIVED = {
    "array": {"true"},
    "lengths": {"seq_len", "padding"},
    "view": {"axes"},
    "sample": {"index"},
    "typed": {"dtype"},
}
"""Saved forms of masks that no plugin makes, and what stands beside their key."""


def config(name_or_mapping: Any, /, *, kind: str | None = None, **params: Any) -> Any:
    """Only validate: the attrs config that `create` builds from (for masks the mask itself). Arguments as `create`."""
    if isinstance(name_or_mapping, Item):
        raise ConfigError(f"{name_or_mapping!r} is built already; give a name or a mapping")
    if isinstance(name_or_mapping, Mapping):
        return _Reader(params).read(name_or_mapping, kind)
    return build(registry.find(name_or_mapping, kind), params)


class _Reader:
    """Reads one tree, and keeps all that is wrong with it until the end.

    `shared` are parameters for every mask that has them: at the top they win over the mapping, below they fill in.
    """

    def __init__(self, shared: Mapping[str, Any]) -> None:
        self.shared = shared
        self.takers: set[str] = set()
        self.problems: list[tuple[str, ConfigError]] = []

    def read(self, mapping: Mapping[str, Any], kind: str | None) -> Any:
        found = self._node(mapping, kind, "")
        for name in sorted(set(self.shared) - self.takers) if found is not None else ():
            self.problems.append(("", ConfigError(f"no mask in it takes the parameter {name!r}")))
        if not self.problems:
            return found
        if len(self.problems) == 1:
            path, error = self.problems[0]
            raise type(error)(f"{path}: {error}") if path else error
        texts = [f"{path}: {text}" if path else text for path, error in self.problems for text in problems_of(error)]
        raise config_error(texts, "the config")

    def _node(self, node: Any, kind: str | None, path: str) -> Any:
        """One node; None if something is wrong with it or below it."""
        try:
            if isinstance(node, str):
                node = {"type": node}
            if not isinstance(node, Mapping):
                raise ConfigError(f"expected a mapping with a type, or a name, got {node!r}")
            if "type" in node:
                return self._item(node, kind, path)
            for key in (*OPERATIONS, *_DERIVED):
                if key in node:
                    return (self._combination if key in OPERATIONS else self._derived)(key, node, path)
            raise ConfigError(f"a mapping needs 'type' (or one of {', '.join(OPERATIONS)}), got {dict(node)!r}")
        except ConfigError as error:
            self.problems.append((path, error))
            return None

    def _item(self, node: Mapping[str, Any], kind: str | None, path: str) -> Any:
        cls = registry.find(node["type"], kind)
        own = {name: value for name, value in node.items() if name != "type"}
        for name in parameters(cls).keys() & self.shared.keys() if path else self.shared:
            self.takers.add(name)
            if not (path and name in own):
                own[name] = self.shared[name]
        return build(cls, own)

    def _combination(self, key: str, node: Mapping[str, Any], path: str) -> Any:
        from maskkit.algebra import combine
        from maskkit.mask import Mask

        if len(node) > 1:
            raise ConfigError(f"{key!r} stands alone in its mapping, got {dict(node)!r}")
        nodes = [node[key]] if key == "not" else node[key]
        if not isinstance(nodes, (list, tuple)) or not nodes:
            raise ConfigError(f"{key!r} takes a list of masks, got {nodes!r}")
        below = f"{path}.{key}" if path else key
        parts = [self._node(n, "mask", below if key == "not" else f"{below}[{i}]") for i, n in enumerate(nodes)]
        if any(part is None for part in parts):
            return None
        for part in parts:
            if not isinstance(part, Mask):
                raise ConfigError(f"{part.name} gives several masks; name the one that is meant")
        return combine(key, *parts)

    def _derived(self, key: str, node: Mapping[str, Any], path: str) -> Any:
        """The saved forms of arrays, padded batches, views, samples of a batch, and masks with a dtype."""
        from maskkit import algebra, pad
        from maskkit.typed import typed

        own = {name: value for name, value in node.items() if name != key}
        if set(own) != _DERIVED[key]:
            raise ConfigError(
                f"a mapping with {key!r} needs {', '.join(sorted(_DERIVED[key]))} and no more, got {', '.join(own)}"
            )
        if key == "array":
            return algebra.from_array(node[key], **own)
        if key == "lengths":
            return pad.PaddingMask(lengths=node[key], **own)
        base = self._node(node[key], "mask", f"{path}.{key}" if path else key)
        if base is None:
            return None
        if key == "typed":
            return typed(base, own["dtype"])
        return base[own["index"]] if key == "sample" else base[algebra.slices(own["axes"])]


def to_dict(obj: Item, /) -> dict[str, Any]:
    """A mask or config as plain data: `from_dict(to_dict(x)) == x`.

    Short names are used where they are unambiguous among what is installed, else full ones.
    """
    from maskkit import algebra, pad
    from maskkit.typed import Typed

    if isinstance(obj, algebra.Combined):
        parts = [to_dict(part) for part in obj.parts]
        return {obj.operation: parts[0] if obj.operation == "not" else parts}
    if isinstance(obj, algebra.View):
        return {"view": to_dict(obj.base), "axes": [list(axis) for axis in obj.axes]}
    if isinstance(obj, algebra.Sample):
        return {"sample": to_dict(obj.base), "index": obj.index}
    if isinstance(obj, Typed):
        return {"typed": to_dict(obj.base), "dtype": obj.array_dtype}
    if isinstance(obj, (algebra.ArrayMask, pad.PaddingMask)):
        return fields_of(obj)
    if not isinstance(obj, Item):
        raise ConfigError(f"to_dict takes a mask or a config, got {type(obj).__name__}")
    same = [full for full in registry.full_names() if full.partition(".")[2] == obj.name]
    return {"type": obj.name if len(same) == 1 else f"{obj.kind}.{obj.name}", **fields_of(obj)}


def from_dict(d: Mapping[str, Any], /) -> Any:
    """The mask or config that `to_dict` saved."""
    if not isinstance(d, Mapping):
        raise ConfigError(f"from_dict takes a mapping, got {type(d).__name__}")
    return config(d)
