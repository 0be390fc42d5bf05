"""YAML, TOML and JSON files: read into plain data, with file and line when they are malformed."""

from __future__ import annotations

import json
import math
import re
import sys
import tomllib
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from maskkit.errors import ConfigError, did_you_mean
from maskkit.validators import shown

SUFFIXES = (".yaml", ".yml", ".toml", ".json")
_MOST_VALUES = 10**5
"""What aliases may stand for: with them a few lines of YAML are as large as one likes."""


def read_section(path: str | PathLike[str], key: str | None = None) -> Any:
    """The content of a file, or of the section that a dotted key names."""
    if not isinstance(key, (str, type(None))):
        raise ConfigError(f"key must be the dotted path of a section, such as 'model.attention', got {shown(key)}")
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
    try:
        path = Path(path)
    except TypeError:
        raise ConfigError(f"the path of a file must be a string, got {shown(path)}") from None
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"{path}: unknown suffix {path.suffix!r}; use {', '.join(SUFFIXES)}")
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text: {error}; save it as UTF-8") from error
    except ValueError as error:  # a NUL, or half a character
        raise ConfigError(f"{str(path)!r} is no path of a file: {error}") from error
    return parse_text(text, path.suffix.lower(), str(path))


def parse_text(text: str, suffix: str, name: str) -> Any:
    """Plain data from text in the format of a suffix; duplicate keys are errors in all three.

    The byte order mark that Windows writes before a text is no part of it.
    """
    read_as = {".toml": _toml, ".json": _json}.get(suffix, _yaml)
    try:
        found = read_as(text.removeprefix("\ufeff"), name)
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
        where = line.partition(",")[0] or text.count("\n") + 1  # or it is "(at end of document"
        raise ConfigError(
            f"{name}, line {where}: malformed TOML: {what.removesuffix(' (at end of document')}"
        ) from error
    except ValueError as error:  # of integers that nobody can mean
        raise ConfigError(f"{name}{_digits(text)}: malformed TOML: {error}") from error


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
    except ValueError as error:
        raise ConfigError(f"{name}{_digits(text)}: malformed JSON: {error}") from error
    if duplicates:  # JSON is YAML, whose parser knows the line, but for its tabs
        _yaml(text.replace("\t", " "), name, "JSON")
        raise ConfigError(f"{name}: malformed JSON: a key stands twice in {shown(duplicates[0])}")
    return found


def _digits(text: str) -> str:
    """Where the integer stands that has too many digits for Python."""
    found = re.search(rf"[0-9_]{{{sys.get_int_max_str_digits()},}}", text)
    return f", line {text.count(chr(10), 0, found.start()) + 1}" if found else ""


def _yaml(text: str, name: str, language: str = "YAML") -> Any:
    import yaml
    from maskkit.configs.yaml_loader import Loader

    try:
        found = yaml.load(text, Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f", line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{name}{where}: malformed {language}: {error.problem}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(
            f"{name}, line {line}: malformed {language}: {error.reason}: {text[error.position]!r}"
        ) from error
    size = _size(found, {})
    if size == math.inf:
        raise ConfigError(f"{name}: an alias stands for what it is part of")
    if size > _MOST_VALUES + len(text):
        raise ConfigError(f"{name}: its aliases stand for {size:,} values, the limit is {_MOST_VALUES:,}")
    return found


def _size(value: Any, known: dict[int, float]) -> float:
    """How many values there are when every alias is written out, without writing them out."""
    if not isinstance(value, (dict, list)):
        return 1
    if id(value) not in known:
        known[id(value)] = math.inf  # while it is counted: what is part of itself has no end
        known[id(value)] = 1 + sum(
            _size(part, known) for part in (value.values() if isinstance(value, dict) else value)
        )
    return known[id(value)]
