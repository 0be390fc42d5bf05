"""The page: one HTML file with its style, its script and the catalogue inside."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

import maskkit
from maskkit import ConfigError, Mask
from maskkit_explore._catalogue import as_javascript, catalogue
from maskkit_explore._kernels import BLOCK, rules

MOST_BYTES = 300_000
"""What a page should not be larger than; more masks make it larger."""
SCRIPTS = ("numbers.js", "masks.js", "text.js", "measure.js")
"""What computes, and needs no page; then follow the catalogue, and what draws."""
_DRAWN = ("canvas.js", "controls.js", "figures.js", "page.js")


def source(name: str) -> str:
    """A file of the page."""
    return files("maskkit_explore").joinpath("page", name).read_text(encoding="utf-8")


def _lean(text: str) -> str:
    """The same without comments on lines of their own, and without indentation."""
    text = re.sub(r"^\s*/\*\*.*?\*/\n", "", text, flags=re.MULTILINE | re.DOTALL)
    lines = (line.strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("//")) + "\n"


def _harmless(text: str) -> str:
    """A script that does not end the page, whatever is said in its texts."""
    return re.sub(r"<(?=/script|!--)", r"<\\", _lean(text), flags=re.IGNORECASE)


def script(names: Sequence[str] | None = None) -> str:
    """What computes masks, with a catalogue of these names, or of all: runs in a page, or in Node."""
    return "".join(map(source, SCRIPTS)) + catalogue(names=names).javascript


def page(mask: Any = None) -> str:
    """The page as HTML. It begins with `mask`, whose parameters are among those offered.

    Raises:
        ConfigError: the mask is not one that the explorer can hold, with the reason.
    """
    leaves = _leaves(mask)
    found = catalogue(leaves)
    for leaf in leaves:
        if leaf.name not in found.names:
            raise ConfigError(
                f"{leaf.name} is not in the explorer: {found.absent.get(leaf.name, 'it has no name there')}"
            )
    kernels, absent = rules()
    data = dict(
        START=maskkit.to_dict(mask) if leaves else None,  # then the page begins with what it has
        KERNELS=dict(block=BLOCK, rules=[rule._asdict() for rule in kernels], absent=absent),
    )
    about = (
        f"Written by maskkit {maskkit.__version__} with {len(found.names)} masks, each from its own predicate: "
        "<code>allows(query, key)</code>, run once on symbols, is the JavaScript of this page."
    )
    constants = "".join(f"const {name} = {as_javascript(value)};\n" for name, value in data.items())
    parts = {
        "css": _lean(source("page.css")),
        "about": about,
        "script": _harmless("".join([*map(source, SCRIPTS), found.javascript, constants, *map(source, _DRAWN)])),
    }
    return _filled(source("page.html"), parts)


def _leaves(mask: Any) -> list[Any]:
    """The masks that one is made of."""
    if mask is None:
        return []
    if not isinstance(mask, Mask):
        raise ConfigError(f"the explorer shows one mask, got {mask!r}; name the one that is meant")
    return [leaf for part in mask.parts for leaf in _leaves(part)] if mask.parts else [mask]


def _filled(text: str, parts: Mapping[str, str]) -> str:
    """The page with what stands at its marks."""
    for name, part in parts.items():
        before, mark, after = text.partition(f"/*{{{name}}}*/")
        if not mark:
            raise ValueError(f"page.html has no place for {escape(name)}")
        text = before + part + after
    return text
