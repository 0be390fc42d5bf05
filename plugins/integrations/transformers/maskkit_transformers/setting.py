"""What `use_mask` has set: as plain data in a model's config, so that it is saved and loaded with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from attrs import frozen
from transformers import PreTrainedConfig
from maskkit import ConfigError, Mask, Template

NAME = "maskkit"
"""Of the attention implementation, and of the attribute of a config."""
ROLES = ("encoder", "cross")
"""Layers that an encoder-decoder has beside those of its decoder, which are named by their layer type."""


@frozen
class Setting:
    """Which template lies over which layers.

    Attributes:
        own: "combine" or "replace": what becomes of the model's own pattern.
        kernel: the name of a kernel; None is the cheapest that fits.
        sided: whether the model has an encoder and a decoder.
        templates: by layer type, "encoder" or "cross"; where there is none, the model's own mask.
        layers: by layer, instead; None is the model's own mask.
    """

    own: str
    kernel: str | None
    sided: bool
    templates: tuple[tuple[str, Template], ...] = ()
    layers: tuple[Template | None, ...] | None = None

    def saved(self) -> dict[str, Any]:
        """As plain data."""
        if self.layers is not None:
            masks: Any = [None if one is None else one.tree() for one in self.layers]
        else:
            masks = {role: one.tree() for role, one in self.templates}
        return {"masks": masks, "own": self.own, "kernel": self.kernel, "sided": self.sided}

    @classmethod
    def of(cls, config: Any) -> Setting | None:
        """That of a config, if it has one."""
        saved = getattr(config, NAME, None)
        return None if not saved or "masks" not in saved else _read(json.dumps(saved, sort_keys=True))

    def template(self, module: Any) -> Template | None:
        """The one for a layer, by its attention module."""
        if self.layers is not None and role(module, self.sided) not in ROLES:
            return self.layers[module.layer_idx]
        return dict(self.templates).get(role(module, self.sided))


@lru_cache(maxsize=64)
def _read(saved: str) -> Setting:
    """From its text: every layer of every forward pass asks for it."""
    found = json.loads(saved)
    masks, rest = found["masks"], {name: found[name] for name in ("own", "kernel", "sided")}
    if isinstance(masks, list):
        return Setting(layers=tuple(None if one is None else Template.of(one) for one in masks), **rest)
    return Setting(templates=tuple((name, Template.of(one)) for name, one in masks.items()), **rest)


def role(module: Any, sided: bool) -> str:
    """What an attention module is: "cross", "encoder", or a layer type as configs write it."""
    decoder = bool(getattr(module, "is_decoder", False))
    crossing = getattr(module, "is_cross_attention", False) or "Cross" in type(module).__name__
    if crossing or (decoder and not getattr(module, "is_causal", True)):
        return "cross"
    if sided and not decoder:
        return "encoder"
    config = module.config
    types, layer = getattr(config, "layer_types", None), getattr(module, "layer_idx", None)
    if types and (layer is not None or len(set(types)) == 1):
        return str(types[layer or 0])
    if getattr(config, "sliding_window", None) is not None:
        return "sliding_attention"
    return "full_attention" if getattr(config, "attention_chunk_size", None) is None else "chunked_attention"


def bound(template: Template, queries: int, keys: int | None = None) -> Mask:
    """The mask of a text of so many tokens; one whose length is its own may be longer.

    Raises:
        ConfigError: it has a length of its own, and is shorter.
    """
    if template.open:
        return template.bind(queries, keys)
    mask = template.sized()
    wanted = (queries, queries if keys is None else keys)
    if any(size < want for size, want in zip(mask.shape[-2:], wanted, strict=True)):
        raise ConfigError(
            f"{mask!r} is for {mask.shape[-2]:,} queries and {mask.shape[-1]:,} keys, and the text has {wanted[0]:,} "
            f"and {wanted[1]:,}; give use_mask a mask that is longer, or one without seq_len"
        )
    return mask


# -- in configs -------------------------------------------------------------------------------------------------------


class _Saved:
    """The attribute of configs: what it is given is saved with them, and so is the attention implementation.

    transformers saves no implementation, but reads one from a config.json that names it. Loading sets this attribute
    again, so that it stands there too when a loaded model is saved.
    """

    def __get__(self, config: Any, owner: Any = None) -> Any:
        if config is None:
            return self
        if NAME not in config.__dict__:
            raise AttributeError(f"{type(config).__name__!r} object has no attribute {NAME!r}")
        return config.__dict__[NAME]

    def __set__(self, config: Any, value: Mapping[str, Any]) -> None:
        config.__dict__[NAME] = value
        config.__dict__["attn_implementation"] = value.get("attn_implementation", NAME)

    def __delete__(self, config: Any) -> None:
        for name in (NAME, "attn_implementation"):
            config.__dict__.pop(name, None)


def add_to_configs() -> None:
    """Give the configs of all models the attribute."""
    setattr(PreTrainedConfig, NAME, _Saved())


def implementations(config: Any) -> Any:
    """Which of a config and those in it attend as we do, as transformers reads it."""
    below = {key: getattr(config, key, None) for key in config.sub_configs}
    found = {key: implementations(sub) for key, sub in below.items() if sub is not None}
    found = {key: value for key, value in found.items() if value}
    own = config._attn_implementation == NAME
    if not found:
        return NAME if own else {}
    return {"": NAME, **found} if own else found
