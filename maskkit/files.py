"""YAML, TOML and JSON files: read into plain data, with file and line when they are malformed."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from maskkit.errors import ConfigError, did_you_mean

SUFFIXES = (".yaml", ".yml", ".toml", ".json")


def read_section(path: str | PathLike[str], key: str | None = None) -> Any:
    """The content of a file, or of the section that a dotted key names."""
    section = read(path)
    done = ""
    for part in key.split(".") if key else ():
        if not isinstance(section, Mapping) or part not in section:
            known = list(map(str, section)) if isinstance(section, Mapping) else []
            there = f"it has {', '.join(known)}" if known else "it has no sections"
            hint = did_you_mean(part, known)
            raise ConfigError(f"{path}: no section {part!r}{f' in {done}' if done else ''}; {there}{hint}")
        section = section[part]
        done = f"{done}.{part}" if done else part
    return section


def read(path: str | PathLike[str]) -> Any:
    """The content of a file; the suffix decides how it is read."""
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"{path}: unknown suffix {path.suffix!r}; use {', '.join(SUFFIXES)}")
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text: {error}") from error
    return parse_text(text, path.suffix.lower(), str(path))


def parse_text(text: str, suffix: str, name: str) -> Any:
    """Plain data from text in the format of a suffix; duplicate keys are errors in all three."""
    read_as = {".toml": _toml, ".json": _json}.get(suffix, _yaml)
    try:
        found = read_as(text, name)
    except RecursionError as error:
        raise ConfigError(f"{name}: nested too deeply to be read") from error
    if found is None or found == {}:
        raise ConfigError(f'{name}: is empty; a config says what it is by its type, such as "type: causal"')
    return found


def _toml(text: str, name: str) -> Any:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        what, _, line = str(error).removesuffix(")").partition(" (at line ")  # tomllib says it nowhere else
        where = f", line {line.partition(',')[0]}" if line else ""
        raise ConfigError(f"{name}{where}: malformed TOML: {what}") from error


def _json(text: str, name: str) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        for key in keys:
            if keys.count(key) > 1:
                raise ConfigError(f"{name}: duplicate key {key!r}")
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{name}, line {error.lineno}: malformed JSON: {error.msg} (column {error.colno})") from error


def _yaml(text: str, name: str) -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """Safe YAML in which a key stands once."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            seen = set()
            for key_node, _ in node.value:
                if not isinstance(key_node, yaml.ScalarNode):
                    raise yaml.MarkedYAMLError(problem="a key must be a word", problem_mark=key_node.start_mark)
                if key_node.value in seen and key_node.tag != "tag:yaml.org,2002:merge":
                    raise yaml.MarkedYAMLError(
                        problem=f"duplicate key {key_node.value!r}", problem_mark=key_node.start_mark
                    )
                seen.add(key_node.value)
            return super().construct_mapping(node, deep)

    try:
        return yaml.load(text, Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f", line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{name}{where}: malformed YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: malformed YAML: {error}") from error
