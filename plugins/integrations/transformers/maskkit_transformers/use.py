"""`use_mask`: a mask of yours over the layers of a model."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from transformers import PreTrainedModel
from maskkit import ConfigError, Mask, Template, find, validators
from maskkit_transformers.setting import NAME, ROLES, Setting, bound, implementations, role

_OWN = "combine", "replace"
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
    for name, module in layers.items():
        _check_role(name, module, sided)
    setting = Setting(own=own, kernel=kernel, sided=sided, **_over(template, list(layers.values()), sided))
    for module in layers.values():
        if (mask := setting.template(module)) is not None:
            _check_heads(mask, module)
    model.set_attn_implementation(NAME)
    if unset := [name for name, module in layers.items() if module.config._attn_implementation != NAME]:
        raise ConfigError(f"{type(model).__name__} does not let the attention of {unset[0]} be set")
    _save(model, list(layers.values()), setting)
    return model


# -- the model --------------------------------------------------------------------------------------------------------


def _layers(model: Any) -> dict[str, Any]:
    """The attention modules over which a template may lie, by name: those of the model's text."""
    if not isinstance(model, PreTrainedModel):
        raise ConfigError(
            f"model must be a PreTrainedModel of transformers, got {type(model).__name__}; of a wrapper give the model "
            "inside"
        )
    text = type(model.config.get_text_config())
    stateful = next((one for one in model.modules() if getattr(one, "_is_stateful", False)), None)
    if stateful is not None:
        raise ConfigError(
            f"{type(stateful).__name__} mixes tokens in layers that are no attention, past any mask; "
            'attn_implementation="maskkit" runs its attention under its own masks'
        )
    found = {
        name: module
        for name, module in model.named_modules()
        if _uses_interface(type(module)) and type(getattr(module, "config", None)) is text
    }
    for name, module in found.items():
        _check_layer(name, module)
    for name, module in model.named_modules():
        if "Attention" not in type(module).__name__ or _owner(model, name) is not text:
            continue
        if not any(f"{other}.".startswith(f"{name}.") or name.startswith(f"{other}.") for other in found):
            raise ConfigError(f"{name}, a {type(module).__name__}, does not attend through AttentionInterface")
    if all(role(module, False) == "cross" for module in found.values()):
        raise ConfigError(
            f"{type(model).__name__} has no self-attention over text that goes through AttentionInterface"
        )
    return found


@lru_cache(maxsize=512)
def _source(cls: Any) -> str:
    """Of the forward pass of a class of modules."""
    try:
        return inspect.getsource(cls.forward)
    except (OSError, TypeError):
        return ""


def _uses_interface(cls: Any) -> bool:
    """Whether the attention of a class goes through transformers' `AttentionInterface`."""
    return "ALL_ATTENTION_FUNCTIONS" in _source(cls)


def _owner(model: Any, name: str) -> Any:
    """The class of config of the part of a model that a module is in."""
    while not isinstance(module := model.get_submodule(name), PreTrainedModel):
        name = name.rpartition(".")[0]
    return type(module.config)


_KINDS = {"full_attention", "sliding_attention", "chunked_attention"}
_CHANGES = re.compile(r"^\s*\w*mask\w* = (?!encoder_attention_mask)", re.MULTILINE)
"""A line that makes another mask of the one that is given; to take that of the encoder instead is none."""


def _check_layer(name: str, module: Any) -> None:
    """Whether a layer attends under what its model asks for and no more, and says which layer it is."""
    what = f"{name}, a {type(module).__name__},"
    beside = vars(sys.modules[type(module).__module__])
    if not any(getattr(one, "__module__", None) == "transformers.masking_utils" for one in beside.values()):
        raise ConfigError(f"{what} has a mask that its model makes by itself")
    if _CHANGES.search(_source(type(module))):
        raise ConfigError(f"{what} changes the mask that it is given before it attends")
    types = set(getattr(module.config, "layer_types", None) or ())
    if others := types - _KINDS:
        raise ConfigError(
            f"the model has layers of {', '.join(map(repr, sorted(others)))}, where more than a mask says who sees whom"
        )
    layer = getattr(module, "layer_idx", None)
    if len(types) > 1 and not (layer is not None and layer < len(module.config.layer_types)):
        raise ConfigError(f"{what} does not say which of {', '.join(sorted(types))} it is")


_CROSSING = re.compile("cross|encoder_att|encdec", re.IGNORECASE)


def _check_role(name: str, module: Any, sided: bool) -> None:
    """Whether what an attention module says of itself agrees with where it stands."""
    found = role(module, sided)
    agrees = bool(_CROSSING.search(name)) == (found == "cross")
    if sided:
        sides = {"encoder", "decoder"} & set(name.split("."))
        agrees &= hasattr(module, "is_decoder") and len(sides) == 1 and ("encoder" in sides) == (found == "encoder")
    if not agrees:
        raise ConfigError(
            f"{name}, a {type(module).__name__}, does not say whether it is of an encoder, a decoder, or between them"
        )


# -- the template -----------------------------------------------------------------------------------------------------


def _over(given: Any, layers: list[Any], sided: bool) -> dict[str, Any]:
    """Templates by role, or by layer, as `Setting` takes them."""
    of = {role(module, sided): None for module in layers}
    text = [module for module in layers if role(module, sided) not in ROLES]
    if isinstance(given, Mapping) and (set(given) & {*of, *ROLES} or all(str(x).endswith("_attention") for x in given)):
        known = [one for one in of if sided or one != "cross"]
        if unknown := sorted(set(given) - set(known)):
            raise ConfigError(
                f"template names {', '.join(map(repr, unknown))}; this model has layers of "
                f"{', '.join(map(repr, known))}"
            )
        return {"templates": tuple((name, _checked(one)) for name, one in given.items() if one is not None)}
    if isinstance(given, Sequence) and not isinstance(given, str):
        if any(getattr(module, "layer_idx", None) is None for module in text):
            raise ConfigError("the model's layers have no numbers; give one template, or one for each layer type")
        if len(given) != (count := 1 + max(module.layer_idx for module in text)):
            raise ConfigError(f"template has {len(given)} entries, and the model {count} layers; give one for each")
        return {"layers": tuple(None if one is None else _checked(one) for one in given)}
    one = _checked(given)
    return {"templates": tuple(dict.fromkeys((role(module, sided), one) for module in text))}


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
    count = dict(zip(mask.axes, mask.shape, strict=True)).get("head", 1)
    if count > 1 and count != module.config.num_attention_heads:
        raise ConfigError(
            f"{mask!r} has {count} heads, and the layers of the model {module.config.num_attention_heads}"
        )


# -- in the configs ---------------------------------------------------------------------------------------------------


def _save(model: Any, layers: list[Any], setting: Setting) -> None:
    """Write a setting into the configs that layers read, and into those that are saved."""
    text = model.config.get_text_config()
    for config in {id(one): one for one in (text, *(module.config for module in layers))}.values():
        setattr(config, NAME, {**setting.saved(), "attn_implementation": NAME})
    if text is not model.config:
        setattr(model.config, NAME, {"attn_implementation": implementations(model.config)})
