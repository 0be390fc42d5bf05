"""Masks whose length is not known yet: plain config without `seq_len`, bound to the length of each call."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from attrs import frozen
from maskkit.arrays.randomness import seed_or_new
from maskkit.configs.expressions import tree as read_expression
from maskkit.configs.fields import left_open, parameters
from maskkit.configs.reading import changed, config
from maskkit.configs.saving import plain, to_dict
from maskkit.errors import ConfigError, config_error, problems_of
from maskkit.masks.mask import AttentionMask, Mask, MaskGroup
from maskkit.masks.padding import is_of_tokens
from maskkit.registry.item import Item
from maskkit.registry.loader import registry
from maskkit.validators import shown

SIZES = {"seq_len", "height", "width"}
"""Parameters that a template may leave open."""


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
        mask = self.sized(seq_len=max(queries, keys))
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

    def sized(self, **sizes: int) -> Mask:
        """The mask with these of `SIZES` where it left them open; equal templates and sizes give one mask."""
        return _bound(self, tuple(sorted(sizes.items())))


@lru_cache(maxsize=256)
def _bound(template: Template, sizes: tuple[tuple[str, int], ...]) -> Mask:
    mask: Mask = config(changed(template.tree(), lambda node: _filled(node, dict(sizes))), kind="mask")
    return mask


class _Draft:
    """The masks of a template, and the sizes that it leaves open."""

    def __init__(self) -> None:
        self.classes: list[type[Item]] = []
        self.open: set[str] = set()
        self.sizes: dict[str, str] = {}  # the words that say that a size is missing -> the size

    def settled(self, node: Mapping[str, Any]) -> Mapping[str, Any]:
        """The config of one mask, with its seed drawn: the same mask at every length, and when it is loaded again."""
        try:
            cls = registry.find(node["type"], "mask")
        except ConfigError:
            return node  # for `check` to name
        self.classes.append(cls)
        for size in left_open(cls, node).keys() & SIZES:
            self.sizes[f"{size} required for {cls.name.replace('_', ' ')} mask"] = size
        if "seed" in parameters(cls) and node.get("seed") is None:
            return {**node, "seed": seed_or_new(None)}
        return node

    def check(self, tree: Any) -> None:
        """Raise all that is wrong with the tree, but for the sizes that are open."""
        problems: list[str] = []
        try:
            config(tree, kind="mask")
        except ConfigError as error:
            for text in problems_of(error):
                missing = [size for words, size in self.sizes.items() if text.endswith(words)]
                self.open.update(missing)
                problems += [] if missing else [text]
            if problems == problems_of(error):
                raise
        groups = [cls.name for cls in self.classes if issubclass(cls, MaskGroup)]
        if problems := problems or [f"{name} gives several masks; name the one that is meant" for name in groups]:
            raise config_error(problems, "mask")


def _filled(node: Mapping[str, Any], sizes: Mapping[str, int]) -> dict[str, Any]:
    """The config of one mask, with the sizes that it left open."""
    missing = left_open(registry.find(node["type"], "mask"), node)
    return {**node, **{name: size for name, size in sizes.items() if name in missing}}
