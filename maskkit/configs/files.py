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
_MOST_VALUES = 10**6
"""What a file may stand for: YAML's aliases can make a few lines as large as one likes."""


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
    try:
        size = _size(found, {})
    except RecursionError as error:
        raise ConfigError(f"{name}: an alias stands for what it is part of") from error
    if size > _MOST_VALUES:
        raise ConfigError(f"{name}: its aliases stand for {size:,} values, the limit is {_MOST_VALUES:,}")
    if found is None or found == {}:
        raise ConfigError(f'{name}: is empty; a config says what it is by its type, such as "type: causal"')
    return found


def _size(value: Any, known: dict[int, int]) -> int:
    """How many values there are when every alias is written out, without writing them out."""
    if not isinstance(value, (dict, list)):
        return 1
    if id(value) not in known:
        parts = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_size(part, known) for part in parts)
    return known[id(value)]


def _toml(text: str, name: str) -> Any:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        what, _, line = str(error).removesuffix(")").partition(" (at line ")  # tomllib says it nowhere else
        where = line.partition(",")[0] or text.count("\n") + 1  # or it is "(at end of document"
        raise ConfigError(
            f"{name}, line {where}: malformed TOML: {what.removesuffix(' (at end of document')}"
        ) from error


def _json(text: str, name: str) -> Any:
    duplicates = []

    def noted(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            duplicates.append(found)
        return found

    try:
        found = json.loads(text, object_pairs_hook=noted)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{name}, line {error.lineno}: malformed JSON: {error.msg} (column {error.colno})") from error
    if duplicates:  # JSON is YAML, whose parser knows the line, but for its tabs
        _yaml(text.replace("\t", " "), name, "JSON")
        raise ConfigError(f"{name}: malformed JSON: a key stands twice in {duplicates[0]!r}")
    return found


def _yaml(text: str, name: str, language: str = "YAML") -> Any:
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

        def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
            try:
                return super().construct_object(node, deep)
            except ValueError as error:  # such as a date of the thirteenth month
                raise yaml.MarkedYAMLError(problem=str(error), problem_mark=node.start_mark) from error

    try:
        return yaml.load(text, Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f", line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{name}{where}: malformed {language}: {error.problem}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(
            f"{name}, line {line}: malformed {language}: {error.reason}: {text[error.position]!r}"
        ) from error
