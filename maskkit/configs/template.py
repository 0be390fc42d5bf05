"""Masks whose length is not known yet: plain config without `seq_len`, bound to the length of each call."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from attrs import frozen
from maskkit.arrays.indices import maximum
from maskkit.arrays.randomness import seed_or_new
from maskkit.configs.expressions import tree as read_expression
from maskkit.configs.fields import parameters
from maskkit.configs.reading import changed, config
from maskkit.configs.saving import plain, to_dict
from maskkit.errors import ConfigError, config_error, problems_of
from maskkit.masks.mask import AttentionMask, Mask, MaskGroup
from maskkit.masks.padding import is_of_tokens
from maskkit.registry.item import Item
from maskkit.registry.loader import registry
from maskkit.validators import shown

SIZES = ("seq_len", "height", "width")
"""Parameters that a template may leave open."""

_ANY = 2**30
"""Stands for a length that is a tensor, until the tensor takes its place."""


@frozen
class Template:
    """A mask, but for its length: equal, and bound to equal masks, by value.

    Attributes:
        text: the config as JSON, with every seed drawn.
        classes: of the masks in it.
        open: which of `SIZES` are left open.
    """

    text: str
    classes: tuple[type[Item], ...]
    open: tuple[str, ...]

    @classmethod
    def of(cls, mask: Any) -> Template:
        """The template that a mapping, an expression, a name or a mask (whose length is not open) stands for.

        Raises:
            ConfigError: anything is wrong with it but that sizes are missing, with all problems at once.
        """
        if isinstance(mask, Template):
            return mask
        if isinstance(mask, Item):
            mask = to_dict(mask)
        elif isinstance(mask, str):
            mask = read_expression(mask)
        if not isinstance(mask, Mapping):
            raise ConfigError(f"mask must be a mask, its config or an expression, got {shown(mask)}")
        draft = _Draft()
        tree = changed(plain(mask), draft.settled)
        draft.check(tree)
        try:
            return cls(json.dumps(tree, sort_keys=True), tuple(draft.classes), tuple(sorted(draft.open)))
        except TypeError as error:
            raise ConfigError(f"mask must be plain data, got {shown(mask)}: {error}") from error

    def tree(self) -> dict[str, Any]:
        """The config, as plain data."""
        found: dict[str, Any] = json.loads(self.text)
        return found

    def bind(self, queries: int, keys: int | None = None) -> Mask:
        """The mask of so many queries and keys (None: as many); both count from 0.

        Raises:
            ConfigError: a mask whose lengths are not open has others, or it has no queries and keys.
        """
        keys = queries if keys is None else keys
        mask = _bound(self, (("seq_len", max(queries, keys)),))
        if is_of_tokens(mask) and mask.shape[-1] == keys:
            return mask
        if not isinstance(mask, AttentionMask):
            raise ConfigError(f"{mask!r} of shape {mask.shape} is no mask of {queries} queries and {keys} keys")
        if "seq_len" in self.open and queries <= mask.shape[-2] and keys <= mask.shape[-1]:
            mask = mask[..., :queries, :keys]
        if mask.shape[-2:] != (queries, keys):
            raise ConfigError(
                f"{mask!r} is for {mask.shape[-2]} queries and {mask.shape[-1]} keys, but there are {queries} and "
                f"{keys}; a mask config without seq_len is bound to the length at hand"
            )
        return mask

    def bind_map(self, height: int, width: int) -> Mask:
        """The mask of a feature map: of its pixels (height, width), or of pairs of them (height * width, the same)."""
        mask = _bound(self, (("seq_len", height * width), ("height", height), ("width", width)))
        if mask.shape[-2:] not in ((height, width), (height * width, height * width)):
            raise ConfigError(f"{mask!r} of shape {mask.shape} is no mask of a map of {height} x {width} pixels")
        return mask

    def allowed_on(self, arange: Callable[[Any], Any], queries: Any, keys: Any) -> Any:
        """What is allowed where lengths are tensors: the predicate itself, on index tensors.

        Args:
            arange: makes the integers 0..n-1 of a library.
            queries: how many there are, a scalar of that library and of the dtype that `arange` gives.
            keys: likewise.

        Returns:
            Booleans that broadcast to ([batch,] queries, keys).
        """
        mask = _bound(self, (("seq_len", _ANY),))
        if not self.open:
            return mask.allowed("keras")
        if not isinstance(mask, AttentionMask):
            raise ConfigError(f"{mask!r} is no mask of queries and keys")
        index = [arange(queries)[:, None], arange(keys)[None, :]]
        if len(mask.shape) == 3:
            index = [arange(mask.shape[0])[:, None, None], *(i[None] for i in index)]
        return _with_length(mask, maximum(queries, keys)).allows(*index)


@lru_cache(maxsize=256)
def _bound(template: Template, sizes: tuple[tuple[str, int], ...]) -> Mask:
    """Equal templates and sizes give one mask, whoever asks."""
    mask: Mask = config(changed(template.tree(), lambda node: _filled(node, dict(sizes))), kind="mask")
    return mask


class _Draft:
    """The masks of a template, and the sizes that it leaves open."""

    def __init__(self) -> None:
        self.classes: list[type[Item]] = []
        self.open: set[str] = set()
        self.expected: list[str] = []

    def settled(self, node: Mapping[str, Any]) -> Mapping[str, Any]:
        """The config of one mask, with its seed drawn: the same mask at every length, and when it is loaded again."""
        try:
            cls = registry.find(node["type"], "mask")
        except ConfigError:
            return node  # for `check` to name
        self.classes.append(cls)
        fields, own = parameters(cls), _own(cls, node)
        for size in SIZES:
            if size in fields and fields[size].required and size not in own:
                self.open.add(size)
                self.expected.append(f"{size} required for {cls.name.replace('_', ' ')} mask")
        if "seed" in fields and node.get("seed") is None:
            return {**node, "seed": seed_or_new(None)}
        return node

    def check(self, tree: Any) -> None:
        """Raise all that is wrong with the tree, but for the sizes that are open."""
        problems = []
        try:
            config(tree, kind="mask")
        except ConfigError as error:
            problems = [text for text in problems_of(error) if not text.endswith(tuple(self.expected))]
            if problems == problems_of(error):
                raise
        groups = [cls.name for cls in self.classes if issubclass(cls, MaskGroup)]
        if problems := problems or [f"{name} gives several masks; name the one that is meant" for name in groups]:
            raise config_error(problems, "mask")


def _own(cls: type[Item], node: Mapping[str, Any]) -> set[str]:
    """The parameters that a config gives, by their own names."""
    return {cls.aliases.get(name, name) for name in node}


def _filled(node: Mapping[str, Any], sizes: Mapping[str, int]) -> dict[str, Any]:
    """The config of one mask, with the sizes that it left open."""
    cls = registry.find(node["type"], "mask")
    own, fields = _own(cls, node), parameters(cls)
    return {**node, **{name: size for name, size in sizes.items() if name in fields and name not in own}}


def _with_length(mask: Any, length: Any) -> Any:
    """The mask with a tensor as its length, of which only the predicate is asked."""
    if mask.parts:
        return mask.with_parts(tuple(_with_length(part, length) for part in mask.parts))
    if getattr(mask, "seq_len", None) != _ANY:
        raise ConfigError(f"{mask!r} has a length of its own, and so needs one that is known: keras.Input((128,))")
    if any(not attribute.init for attribute in mask.__attrs_attrs__):
        raise ConfigError(f"a {mask.name} mask makes tables of its length, which must be known: keras.Input((128,))")
    return _OfLength(mask, length)


class _OfLength:
    """The predicate of a mask whose length is a tensor, with the shape that it had before."""

    def __init__(self, mask: Mask, length: Any) -> None:
        self.mask = copy.copy(mask)
        object.__setattr__(self.mask, "seq_len", length)  # as it is: a validator would look at its value
        self.shape = mask.shape

    def allows(self, *index: Any) -> Any:
        try:
            return self.mask.allows(*index)
        except TypeError as error:  # as TensorFlow says it
            raise ConfigError(
                f"a {self.mask.name} mask counts up to its length in Python, which must be known: keras.Input((128,))"
            ) from error
