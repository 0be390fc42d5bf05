"""`use_mask`: a mask of yours over the layers of a model."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from transformers import PreTrainedModel
from maskkit import ConfigError, Mask, Template, find, validators
from maskkit_transformers.setting import NAME, ROLES, Setting, bound, implementations, role

_OWN = ("combine", "replace")
_TRIED = 8, 9
"""Lengths at which a template is bound for a try, to find out at once what is wrong with it; two, for a part with a
length of its own fits one of them at most."""


def use_mask(model: Any, template: Any, *, own: str = "combine", kernel: str | None = None) -> Any:
    """Let a model attend as a mask says, and return it.

    The mask is a template of the model's text: bound to the length of each call, cut to what a cache has not seen, and
    counted from the first token of each text, wherever padding or packing puts it. It lies over self-attention: of a
    model with images or sound over that of its text, of one with encoder and decoder over that of the decoder.

    Args:
        model: a `PreTrainedModel` whose attention goes through transformers' `AttentionInterface`.
        template: an expression, a mapping as `maskkit.create` takes it, a mask or a `maskkit.Template`, without
            `seq_len` or with one that no text exceeds; of queries and keys, and heads if it differs between them.
            Or a mapping of layer types to such: "full_attention", "sliding_attention", "chunked_attention", whatever
            the config names, and in a model with both "encoder" and "cross". Or a list with one for each layer. Layers
            that are not named, or have None, keep the model's own mask.
        own: what becomes of the pattern that the model itself asks for. "combine" allows what both allow. "replace"
            lets the template stand for it, causal, window and image blocks alike; padding stays invisible, and packed
            texts apart.
        kernel: the name of a kernel of `maskkit.attend`; None takes the cheapest that fits.

    Raises:
        ConfigError: the template is none of a text, does not fit the layers, or the model attends in a way that it
            could not be laid over.
        UnknownName: no kernel of this name is installed.
    """
    validators.one_of(*_OWN).check("own", own)
    if kernel is not None and kernel != "reference":
        find(kernel, kind="kernel")
    layers = _layers(model)
    sided = bool(getattr(model.config, "is_encoder_decoder", False))
    if sided:
        _check_sides(layers)
    roles = {name: role(module, sided) for name, module in layers.items()}
    templates, listed = _over(template, list(layers.values()), list(dict.fromkeys(roles.values())), sided)
    setting = Setting(own=own, kernel=kernel, sided=sided, templates=templates, layers=listed)
    for module in layers.values():
        if (mask := setting.template(module)) is not None:
            _check_heads(mask, module)
    model.set_attn_implementation(NAME)
    _save(model, layers.values(), setting)
    return model


# -- the model --------------------------------------------------------------------------------------------------------


def _layers(model: Any) -> dict[str, Any]:
    """The attention modules over which a template may lie, by name: those of the model's text."""
    if not isinstance(model, PreTrainedModel):
        raise ConfigError(f"model must be a PreTrainedModel of transformers, got {type(model).__name__}")
    text = model.config.get_text_config()
    found, hidden = {}, []
    for name, module in model.named_modules():
        if isinstance(module, PreTrainedModel) and type(module.config) in (type(text), type(model.config)):
            if module._is_stateful:
                raise ConfigError(
                    f"{type(module).__name__} mixes tokens in layers that are no attention, past any mask; "
                    'attn_implementation="maskkit" runs its attention under its own masks'
                )
        if not _is_attention(type(module)):
            continue
        if not _uses_interface(type(module)):
            hidden.append((name, module))
        elif type(getattr(module, "config", None)) is type(text):
            found[name] = module
    for name, module in hidden:
        inside = any(other.startswith((f"{name}.", f"{name.rpartition('.')[0]}.")) for other in found)
        if not inside and _of(model, name, type(text)):
            raise ConfigError(f"{name}, a {type(module).__name__}, does not attend through AttentionInterface")
    if not found:
        raise ConfigError(f"{type(model).__name__} has no attention over text that goes through AttentionInterface")
    return found


def _of(model: Any, name: str, config: type) -> bool:
    """Whether a module is in a part of a model that has this class of config."""
    parts = [(other, module) for other, module in model.named_modules() if isinstance(module, PreTrainedModel)]
    _, last = max((one for one in parts if f"{name}.".startswith(f"{one[0]}." if one[0] else "")), key=lambda x: len(x[0]))
    return type(last.config) is config


def _is_attention(cls: type) -> bool:
    return "Attention" in cls.__name__ and "Output" not in cls.__name__


@lru_cache(maxsize=512)
def _uses_interface(cls: Any) -> bool:
    """Whether the attention of a class goes through transformers' `AttentionInterface`."""
    try:
        return "ALL_ATTENTION_FUNCTIONS" in inspect.getsource(cls.forward)
    except (OSError, TypeError):
        return False


def _check_sides(layers: Mapping[str, Any]) -> None:
    """Whether what an attention module says of its side agrees with where it stands."""
    for name, module in layers.items():
        sides = {"encoder", "decoder"} & set(name.split("."))
        known = hasattr(module, "is_decoder") and hasattr(module, "is_causal") and len(sides) == 1
        if not known or ("encoder" in sides) != (role(module, True) == "encoder"):
            raise ConfigError(
                f"{name}, a {type(module).__name__}, does not say whether it belongs to the encoder or the decoder"
            )


# -- the template -----------------------------------------------------------------------------------------------------


def _over(given: Any, layers: list[Any], roles: list[str], sided: bool) -> tuple[Any, Any]:
    """Templates by role, or by layer."""
    self_attention = [name for name in roles if name not in ROLES]
    if isinstance(given, Mapping) and not {"type", "and", "or", "xor", "not"} & set(given) and _names_roles(given, roles):
        if unknown := set(given) - set(roles):
            raise ConfigError(
                f"template names {', '.join(map(repr, sorted(unknown)))}; this model has layers of "
                f"{', '.join(map(repr, roles))}"
            )
        return tuple((name, _checked(one)) for name, one in given.items() if one is not None), None
    if isinstance(given, Sequence) and not isinstance(given, str):
        count = 1 + max(getattr(module, "layer_idx", None) or 0 for module in layers)
        if len(given) != count:
            raise ConfigError(f"template has {len(given)} entries, and the model {count} layers; give one for each")
        if any(getattr(module, "layer_idx", None) is None for module in layers if role(module, sided) not in ROLES):
            raise ConfigError("the model's layers have no numbers; give one template, or one for each layer type")
        return (), tuple(None if one is None else _checked(one) for one in given)
    one = _checked(given)
    return tuple((name, one) for name in self_attention), None


def _names_roles(given: Mapping[str, Any], roles: list[str]) -> bool:
    """Whether a mapping is one of layers: it has the name of one, or names that no saved mask has."""
    known = {*roles, *ROLES}
    return bool(known & set(given)) or all(str(name).endswith("_attention") for name in given)


def _checked(given: Any) -> Template:
    """A template, if it is one of a text."""
    mask = Template.of(given)
    if set(mask.open) - {"seq_len"}:
        others = " and ".join(size for size in mask.open if size != "seq_len")
        raise ConfigError(f"{given!r} leaves {others} open, which a text has not")
    for length in _TRIED if mask.open else (0,):
        axes = bound(mask, length).axes
        if axes[-2:] != ("query", "key") or "batch" in axes:
            raise ConfigError(f"{given!r} gives a mask of {', '.join(axes)}; a model's is of queries and keys")
    return mask


def _check_heads(template: Template, module: Any) -> None:
    mask: Mask = bound(template, _TRIED[0] if template.open else 0)
    heads = module.config.num_attention_heads
    count = dict(zip(mask.axes, mask.shape, strict=True)).get("head", 1)
    if count not in (1, heads):
        raise ConfigError(f"{mask!r} has {count} heads, and the layers of the model {heads}")


# -- in the configs ---------------------------------------------------------------------------------------------------


def _save(model: Any, layers: Iterator[Any] | Any, setting: Setting) -> None:
    """Write a setting into the configs that layers read, and into those that are saved."""
    text = model.config.get_text_config()
    for config in {id(one): one for one in (text, *(module.config for module in layers))}.values():
        setattr(config, NAME, {**setting.saved(), "attn_implementation": NAME})
    if text is not model.config:
        setattr(model.config, NAME, {"attn_implementation": implementations(model.config)})
