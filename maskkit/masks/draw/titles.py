"""Titles of pictures: in lines that fit, and free of what neither a font nor a file can hold."""

from __future__ import annotations

import textwrap
from typing import Any

from maskkit.outputs import printable

_MOST_LINES = 12
"""Of a title; arrays print long."""


def name_of(mask: Any) -> str:
    """A mask as it prints, in one line."""
    return " ".join(repr(mask).split())


def wrapped(title: str, columns: int) -> list[str]:
    """A title in lines of at most so many characters; its own line breaks stay."""
    lines = [part for line in printable(title).split("\n") for part in _parts(line, max(columns, 1)) or [""]]
    return lines if len(lines) <= _MOST_LINES else [*lines[: _MOST_LINES - 1], "..."]


def _parts(line: str, columns: int) -> list[str]:
    return textwrap.wrap(line, columns, break_on_hyphens=False)
