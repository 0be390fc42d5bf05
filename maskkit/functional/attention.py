"""The functional interface to attention layers: thin over `maskkit.config`, with log lines and one kind of error."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from maskkit.api import config as build_config
from maskkit.api import names
from maskkit.configs.describe import Info
from maskkit.configs.fields import parameters
from maskkit.configs.saving import fields_of
from maskkit.errors import ConfigError, UnknownName
from maskkit.functional.types import info_of_all
from maskkit.registry.item import KERAS_OPTIONS, Attention, lazy
from maskkit.registry.loader import registry

log = logging.getLogger("maskkit.attention")

__getattr__ = lazy("maskkit.functional", "AttentionType", source="types")  # made when it is first asked for


def create_attention_layer(attention_type: str = "", /, name: str | None = None, **params: Any) -> Any:
    """Build an attention layer.

    Args:
        attention_type: the layer's name, or an AttentionType. It may be a keyword, unless the layer has a parameter of
            that name, as `attention_block` does.
        name: of the Keras layer.
        params: the layer's parameters, and Keras' (`dtype`, `trainable`, `activity_regularizer`).

    Raises:
        ConfigError: a ValueError; the type or the parameters are wrong. The text ends with the original error.
        BrokenPlugin: the plugin that offers the layer, or Keras, cannot be imported.
    """
    attention_type, params = _type_first(attention_type, params)
    try:
        config, options = _validated(attention_type, params)
        log.info("Creating %r layer with parameters: %s", attention_type, _merged(config, params, name))
        return config.layer(**options, **({} if name is None else {"name": name}))
    except (ValueError, TypeError) as error:
        failure = _wrapped(attention_type, params, error)
        log.error("%s", failure)
        raise failure from error


def create_attention_from_config(config: Mapping[str, Any]) -> Any:
    """Build an attention layer from a mapping `{"type": name, **params}`, which may hold a `"name"` too.

    Raises:
        ConfigError: it is no mapping, has no type, or as `create_attention_layer`.
    """
    if not isinstance(config, Mapping):
        raise ConfigError(f"Config must be a dictionary, got {type(config).__name__}")
    if "type" not in config:
        raise ConfigError(f"Config must include a 'type' key, got the keys {list(config)}")
    params = {key: value for key, value in config.items() if key != "type"}
    return create_attention_layer(config["type"], **params)


def validate_attention_config(attention_type: str = "", /, **params: Any) -> None:
    """Check what `create_attention_layer` takes, without building anything.

    Raises:
        ConfigError: a ValueError, with all that is wrong.
    """
    attention_type, params = _type_first(attention_type, params)
    _validated(attention_type, params)
    log.debug("The parameters of %r are valid: %s", attention_type, params)


def get_attention_info() -> dict[str, dict[str, Any]]:
    """What is installed, by name.

    Returns:
        For each type `description`, `required_params` (names), `optional_params` (names and defaults), `use_case`, and
        `class`, the Keras layer. Yours to change.
    """

    def more(known: Info) -> dict[str, Any]:
        cls = _config_class(known.name)
        return {"use_case": cls.use_case, "class": cls.find_layer_class()}

    return info_of_all("attention", more, log)


def _type_first(attention_type: str, params: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """With no type in the first place, the keyword `attention_type` is the type and not the layer's parameter."""
    if attention_type == "":
        if "attention_type" not in params:
            raise TypeError("missing the attention type: create_attention_layer('multi_head', embed_dim=256)")
        attention_type = params["attention_type"]
        params = {key: value for key, value in params.items() if key != "attention_type"}
    # Logs and messages show the name, not the member of an enum.
    return str(attention_type) if isinstance(attention_type, str) else attention_type, params


def _config_class(attention_type: str) -> type[Attention]:
    try:
        return registry.find(attention_type, "attention")  # type: ignore[return-value]
    except UnknownName as error:
        raise UnknownName(f"{error}. Available types: {names('attention')}") from error


def _validated(attention_type: str, params: Mapping[str, Any]) -> tuple[Attention, dict[str, Any]]:
    """The config, and what is for Keras."""
    _config_class(attention_type)
    options = {key: value for key, value in params.items() if key in KERAS_OPTIONS}
    own = {key: value for key, value in params.items() if key not in KERAS_OPTIONS}
    return build_config(attention_type, kind="attention", **own), options


def _merged(config: Attention, params: Mapping[str, Any], name: str | None) -> dict[str, Any]:
    """The caller's parameters first, then the name, then the defaults."""
    merged = fields_of(config)
    given = {key: merged.get(key, value) for key, value in params.items()}
    return given | ({} if name is None else {"name": name}) | merged


def _wrapped(attention_type: Any, params: Mapping[str, Any], error: Exception) -> ConfigError:
    if isinstance(error, UnknownName):
        return UnknownName(f"Failed to create layer. Unknown type {attention_type!r}. Error: {error}")
    try:
        cls = _config_class(attention_type)
    except ConfigError:
        return ConfigError(f"Failed to create layer. Type {attention_type!r}. Error: {error}")
    required = [name for name, field in parameters(cls).items() if field.required]
    layer_class = cls.layer_class.rpartition(":")[2] or cls.__name__
    return ConfigError(
        f"Failed to create {attention_type!r} layer ({layer_class}). Required: {required}. Provided: {list(params)}. "
        f"Please check parameter compatibility. Original error: {error}"
    )
