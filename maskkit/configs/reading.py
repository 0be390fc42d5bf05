"""Mappings into items: single configs, and trees of masks under `and`, `or`, `xor`, `not` and what else is saved."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from inspect import signature
from typing import Any, NamedTuple

from maskkit import limits
from maskkit.configs.fields import CONVERTER, build, left_open, parameters
from maskkit.errors import ConfigError, config_error, problems_of
from maskkit.masks.algebra import combine
from maskkit.masks.beside import direct_sum, replaced, restacked
from maskkit.masks.given import IntervalMask, from_array
from maskkit.masks.mask import AttentionMask, Mask
from maskkit.masks.padding import PaddingMask
from maskkit.masks.places import as_slices
from maskkit.masks.views import pick
from maskkit.registry.item import Item, Settings
from maskkit.registry.loader import registry
from maskkit.validators import shown


class Form(NamedTuple):
    """How a mask is saved that no plugin makes: under a key stand the masks in it, and parameters beside.

    Attributes:
        inside: what stands under the key: "many" masks in a list, "one" mask, or none but a "value".
        build: what makes the mask, of what stands under the key and of the parameters.
    """

    inside: str
    build: Callable[..., Any]

    @property
    def beside(self) -> dict[str, bool]:
        """The parameters, and whether each is needed."""
        _, *parameters = signature(self.build).parameters.values()
        return {parameter.name: parameter.default is parameter.empty for parameter in parameters}


FORMS = {
    "and": Form("many", lambda parts: combine("and", *parts)),
    "or": Form("many", lambda parts: combine("or", *parts)),
    "xor": Form("many", lambda parts: combine("xor", *parts)),
    "not": Form("one", lambda part: ~part),
    "view": Form("one", lambda part, slices: part[as_slices(slices, part.shape)]),
    "pick": Form("one", pick),
    "at": Form("one", lambda part, query=None, key=None: part.at(query, key)),
    "T": Form("one", lambda part: part.T),
    "key_tokens": Form("one", lambda part, others: part.keys(others)),
    "query_tokens": Form("one", lambda part, others: part.queries(others)),
    "stack": Form("many", restacked),
    "direct_sum": Form("many", direct_sum),
    "grid": Form("many", replaced),
    "astype": Form("one", lambda part, dtype: part.astype(dtype)),
    "array": Form("value", from_array),
    "intervals": Form("value", lambda ends, k_len: IntervalMask(ends=ends, k_len=k_len)),
    "lengths": Form("value", lambda n, seq_len, padding: PaddingMask(lengths=n, seq_len=seq_len, padding=padding)),
}
"""What `Pattern.saved` writes."""
_LOGIC = ("and", "or", "xor", "not")


def form_of(node: Mapping[str, Any]) -> str:
    """The key of the form that a mapping is in; empty if there is none."""
    return next((key for key in FORMS if key in node), "")


def changed(node: Any, change: Callable[[Mapping[str, Any]], Any], forms: Iterable[str] = FORMS) -> Any:
    """The tree with the config of every single item changed that stands under these forms alone.

    What is malformed is left for `config` to name.
    """
    node = {"type": node} if isinstance(node, str) else node
    if not isinstance(node, Mapping):
        return node
    if "type" in node:
        return change(node)
    key = form_of(node)
    if key not in forms or FORMS[key].inside == "value":
        return dict(node)
    if isinstance(node[key], (list, tuple)):
        return {**node, key: [changed(part, change, forms) for part in node[key]]}
    return {**node, key: changed(node[key], change, forms)}


def leaves(node: Any, forms: Iterable[str] = FORMS) -> list[Mapping[str, Any]]:
    """The configs of single items in a tree that stand under these forms alone."""
    found: list[Mapping[str, Any]] = []
    changed(node, found.append, forms)
    return found


def config(name_or_mapping: Any, /, *, kind: str | None = None, **params: Any) -> Any:
    """Only validate: the attrs config that `create` builds from (for masks the mask itself). Arguments as `create`."""
    if isinstance(name_or_mapping, Item):
        raise ConfigError(f"{name_or_mapping!r} is built already; give a name or a mapping")
    try:
        if isinstance(name_or_mapping, Mapping):
            return _Reader(params).read(name_or_mapping, kind)
        return build(_found(name_or_mapping, kind), params)
    except RecursionError as error:
        raise ConfigError(f"a config is nested too deeply to be read; masks go {limits.depth} deep") from error


def _found(name: Any, kind: str | None) -> type[Item]:
    """The class of a name."""
    if not isinstance(name, str):
        raise ConfigError(f"a name must be a string, got {shown(name)}")
    return registry.find(name, kind)


class _Reader:
    """Reads one tree, and keeps all that is wrong with it until the end.

    `shared` are parameters for every mask that has them: at the top they win over the mapping, below they fill in.
    """

    def __init__(self, shared: Mapping[str, Any]) -> None:
        self.shared = shared
        self.takers: set[str] = set()
        self.problems: list[tuple[str, ConfigError]] = []
        self.length_hidden = False
        """Whether a mask may miss its length only because another, whose length it would take, is wrong."""

    def read(self, mapping: Mapping[str, Any], kind: str | None) -> Any:
        found = self._node(mapping, kind, "")
        for name in sorted(set(self.shared) - self.takers) if found is not None else ():
            self.problems.append(("", ConfigError(f"no mask in it takes the parameter {name!r}")))
        if not self.problems:
            return found
        if self.length_hidden:
            self.problems = [(path, rest) for path, error in self.problems if (rest := _but_length(error))]
        path, error = self.problems[0]
        if len(self.problems) == 1 and (not path or len(problems_of(error)) == 1):
            raise type(error)(f"{path}: {error}") if path else error
        texts = [f"{path}: {text}" if path else text for path, error in self.problems for text in problems_of(error)]
        raise config_error(texts, "the config")

    def _node(self, node: Any, kind: str | None, path: str) -> Any:
        """One node; None if something is wrong with it or below it."""
        try:
            if isinstance(node, str):
                node = {"type": node}
            if not isinstance(node, Mapping):
                raise ConfigError(f"expected a mapping with a type, or a name, got {shown(node)}")
            if "type" in node:
                return self._item(node, kind, path)
            if key := form_of(node):
                return self._form(key, node, path)
            raise ConfigError(f"a mapping needs 'type' (or one of {', '.join(FORMS)}), got {shown(dict(node))}")
        except ConfigError as error:
            self.problems.append((path, error))
            return None

    def _item(self, node: Mapping[str, Any], kind: str | None, path: str) -> Any:
        cls = _found(node["type"], kind)
        own = {name: value for name, value in node.items() if name != "type"}
        for name in parameters(cls).keys() & self.shared.keys() if path else self.shared:
            self.takers.add(name)
            if not (path and name in own):
                own[name] = self.shared[name]
        return build(cls, own)

    def _form(self, key: str, node: Mapping[str, Any], path: str) -> Any:
        """A mask that no plugin makes."""
        node = self._with_lengths(key, node)
        inside, make = FORMS[key]
        beside, own = FORMS[key].beside, {name: value for name, value in node.items() if name != key}
        if own.keys() - beside or any(needed and name not in own for name, needed in beside.items()):
            needs = (
                f"needs {', '.join(sorted(beside))} beside it, and no more" if beside else "stands alone in its mapping"
            )
            raise ConfigError(f"{key!r} {needs}, got {shown(dict(node))}")
        if inside == "value":
            return _made(key, make, node[key], own)
        below = f"{path}.{key}" if path else key
        if inside == "one":
            part = self._mask(node[key], below)
            return None if part is None else _made(key, make, part, own)
        if not isinstance(node[key], (list, tuple)) or not node[key]:
            raise ConfigError(f"{key!r} takes a list of masks, got {shown(node[key])}")
        parts = [self._mask(part, f"{below}[{i}]") for i, part in enumerate(node[key])]
        return None if any(part is None for part in parts) else _made(key, make, parts, own)

    def _with_lengths(self, key: str, node: Mapping[str, Any]) -> Mapping[str, Any]:
        """Under `& | ^ ~`, masks that are not told their length take it from the others, where all have the same."""
        below = leaves(node, _LOGIC)
        if key not in _LOGIC or not any(map(self._lacks_length, below)):
            return node
        found: list[int] = []
        for leaf in below:
            try:
                mask = None if self._lacks_length(leaf) else _Reader(self.shared)._item(leaf, "mask", "in it")
                found += mask.shape[-2:] if isinstance(mask, AttentionMask) else ()
            except ConfigError:
                self.length_hidden = True
        alike = found[::2] == found[1::2] and (1 not in found or {*found} == {1})
        if not found or not alike:
            return node
        length = {"seq_len": found[0]}  # where others differ from it, they cannot meet, which says more
        filled: Mapping[str, Any] = changed(
            node, lambda leaf: {**leaf, **length} if self._lacks_length(leaf) else leaf, _LOGIC
        )
        return filled

    def _lacks_length(self, leaf: Mapping[str, Any]) -> bool:
        try:
            cls = registry.find(leaf["type"], "mask")
        except ConfigError:
            return False  # for its own turn to name
        field = left_open(cls, (*leaf, *self.shared)).get("seq_len")
        return field is not None and field.required

    def _mask(self, node: Any, path: str) -> Mask | None:
        """A node that must be one mask."""
        found = self._node(node, "mask", path)
        if found is not None and not isinstance(found, Mask):
            raise ConfigError(f"{found.name} gives several masks; name the one that is meant")
        return found


def _but_length(error: ConfigError) -> ConfigError | None:
    """The error without the problem that a length is missing; None if there is no other."""
    problems = problems_of(error)
    rest = [text for text in problems if not text.startswith("seq_len required for ")]
    return error if rest == problems else config_error(rest, "the config") if rest else None


def _made(key: str, make: Callable[..., Any], inside: Any, beside: Mapping[str, Any]) -> Any:
    """What a form makes; what cannot be done with so odd a mask or parameter is a ConfigError."""
    try:
        return make(inside, **beside)
    except (TypeError, AttributeError, LookupError, ArithmeticError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{key!r} cannot be made of {shown(inside)} and {shown(dict(beside))}: {error}") from error


def from_dict(d: Mapping[str, Any], /) -> Any:
    """The mask or config that `to_dict` saved."""
    if not isinstance(d, Mapping):
        raise ConfigError(f"from_dict takes a mapping, got {type(d).__name__}")
    return config(d)


def _item_inside(value: Any, kind: Any) -> Any:
    """An item inside a config: as it is, or its name or mapping."""
    return value if isinstance(value, kind) else config(value, kind=kind.kind)


def _is_item(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Item) and not issubclass(kind, Settings)


CONVERTER.register_structure_hook_func(_is_item, _item_inside)
