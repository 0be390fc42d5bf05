"""Configs inside a strategy's config: other strategies, and lists of settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
import maskkit
from maskkit import Item, Settings, Strategy, build, parameters
from maskkit.errors import ConfigError, config_error, did_you_mean, problems_of
from maskkit.validators import is_number


def strategy_config(name: str) -> Callable[[Any], Strategy]:
    """A converter for the field of that name, which holds a strategy: its config as it is, or its name or mapping."""

    def convert(value: Any) -> Strategy:
        if isinstance(value, Strategy):
            return value
        if not isinstance(value, (str, Mapping)):
            raise ConfigError(f"{name} must be a strategy: its name, or a mapping with a type, got {value!r:.60}")
        try:
            found: Strategy = maskkit.config(value, kind="strategy")
        except ConfigError as error:
            raise config_error([f"{name}: {problem}" for problem in problems_of(error)], name) from error
        return found

    return convert


def with_seed(config: Any, seed: int) -> Any:
    """The same config with another seed: strategies inside a strategy are drawn from that one's seed."""
    return config if config.seed == seed else attrs.evolve(config, seed=seed)


def listed(name: str, cls: type[Settings], key: str, numbered: str = "") -> Callable[[Any], tuple[Any, ...]]:
    """A converter for a field that holds several settings, each under its own name.

    Args:
        name: of the field, for messages.
        cls: of the settings.
        key: which of their parameters is the name. `{"a": {...}}` is read as `[{key: "a", ...}]`.
        numbered: what settings without a name are called, with their number; empty if they must have one.
    """

    def convert(value: Any) -> tuple[Any, ...]:
        if isinstance(value, Mapping):
            value = [_named(name, key, own, given) for own, given in value.items()]
        if not isinstance(value, (list, tuple)) or not value:
            raise ConfigError(
                f"{name} must be a mapping of names to settings, or a list of settings, got {value!r:.60}"
            )
        found, problems = [], []
        for i, given in enumerate(value):
            try:
                found.append(_settings(cls, given, {key: f"{numbered}{i}"} if numbered else {}))
            except ConfigError as error:
                own = given.get(key, i) if isinstance(given, Mapping) else i
                problems += [f"{name}[{own!r}]: {problem}" for problem in problems_of(error)]
        if problems:
            raise config_error(problems, name)
        names = [getattr(settings, key) for settings in found]
        if len(set(names)) < len(names):
            raise ConfigError(f"{name}: each {key} may be given once, got {', '.join(map(repr, names))}")
        return tuple(found)

    return convert


def _named(name: str, key: str, own: Any, given: Any) -> Any:
    if not isinstance(given, Mapping):
        raise ConfigError(f"{name}[{own!r}] must be a mapping of parameters, got {given!r:.60}")
    return {key: own, **given}


def _settings(cls: type[Settings], given: Any, default: Mapping[str, Any]) -> Settings:
    if isinstance(given, cls):
        return given
    if not isinstance(given, Mapping):
        raise ConfigError(f"expected a mapping of parameters, got {given!r:.60}")
    found: Any = build(cls, {**default, **given})
    return found  # type: ignore[no-any-return]


def with_parameters(config: Any, values: Mapping[str, Any]) -> Any:
    """The same config with other values of some parameters, validated anew.

    Args:
        config: a config, or settings inside one.
        values: by the parameters' names; `masks.short.num_blocks` is one of the settings in `masks` that are labelled
            so. They are rounded where the parameter is an integer.

    Raises:
        ConfigError: there is no such parameter, or a value is refused.
    """
    inside: dict[str, dict[str, Any]] = {}
    for path, value in values.items():
        head, _, rest = path.partition(".")
        inside.setdefault(head, {})[rest] = value
    if isinstance(config, tuple):
        return _with_settings(config, inside)
    if not isinstance(config, Item):
        raise ConfigError(f"{', '.join(values)}: there are no parameters in {config!r:.60}")
    fields = parameters(type(config))
    changed = {name: getattr(config, field.attribute.name) for name, field in fields.items()}
    for head, below in inside.items():
        name = config.aliases.get(head, head)
        if name not in fields or name == "seed":
            known = [known for known in fields if known != "seed"]
            raise ConfigError(
                f"unknown parameter {head!r}{did_you_mean(head, known)} ({config.name} takes {', '.join(known)})"
            )
        value = below[""] if "" in below else with_parameters(changed[name], below)
        changed[name] = round(value) if is_number(value) and fields[name].type in (int, int | None) else value
    return build(type(config), changed)


def _with_settings(settings: tuple[Any, ...], inside: Mapping[str, Mapping[str, Any]]) -> tuple[Any, ...]:
    """Settings in a list, by their labels or numbers."""
    labels = [getattr(one, "label", str(i)) for i, one in enumerate(settings)]
    for label in inside:
        if label not in labels:
            raise ConfigError(f"there is no {label!r} among {', '.join(labels)}{did_you_mean(label, labels)}")
    return tuple(
        with_parameters(one, inside[label]) if label in inside else one
        for label, one in zip(labels, settings, strict=True)
    )
