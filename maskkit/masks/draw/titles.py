"""Titles of pictures: in lines that fit, and free of what neither a font nor a file can hold."""

from __future__ import annotations

import textwrap
import unicodedata
from typing import Any

_MOST_LINES = 12
"""Of a title; arrays print long."""


def name_of(mask: Any) -> str:
    """A mask as it prints, in one line."""
    return " ".join(repr(mask).split())


def wrapped(title: str, columns: int) -> list[str]:
    """A title in lines of at most so many characters; its own line breaks stay."""
    clean = "".join("\N{REPLACEMENT CHARACTER}" if _is_odd(character) else character for character in title)
    lines = [part for line in clean.split("\n") for part in _parts(line, max(columns, 1)) or [""]]
    return lines if len(lines) <= _MOST_LINES else [*lines[: _MOST_LINES - 1], "..."]


def _parts(line: str, columns: int) -> list[str]:
    return textwrap.wrap(line, columns, break_on_hyphens=False)


def _is_odd(character: str) -> bool:
    """Control characters, halves of characters, and those that are none: XML has no word for them."""
    return character != "\n" and (unicodedata.category(character) in ("Cc", "Cs") or character in "\ufffe\uffff")
