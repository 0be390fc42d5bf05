"""What is installed, from metadata alone: no plugin is imported, nor are attrs, pluggy or NumPy."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import Any, NamedTuple

from maskkit.registry.item import KINDS

GROUP = "maskkit"
KIND = "kind"
"""The prefix of entry points that bring a kind."""
BACKEND, COMMAND = "backend", "command"
"""Prefixes of entry points that offer backends or forms, and commands; without any prefix a module may offer both."""
_NO_ITEMS = (KIND, BACKEND, COMMAND, "")


class Entry(NamedTuple):
    """One entry point of one distribution.

    `kind` is "backend", "command" or empty for modules that offer other hooks, and "kind" for those that bring a kind
    of their own; `blocked_by` is the environment variable that switches it off.
    """

    kind: str
    name: str
    provider: str
    version: str
    summary: str
    entry_point: EntryPoint
    blocked_by: str | None = None

    @property
    def full_name(self) -> str:
        """`"mask.causal"`."""
        return f"{self.kind}.{self.name}" if self.kind else self.name

    @property
    def missing(self) -> bool:
        """Whether the module is not even there (a look at the file system; nothing is imported)."""
        try:
            return find_spec(self.entry_point.module.partition(".")[0]) is None
        except (ImportError, ValueError):
            return True


def _blocked_by(full_name: str, provider: str) -> str | None:
    """Blocking wins over allowing; an empty list of allowed plugins allows none."""
    if _listed("MASKKIT_BLOCK", full_name, provider):
        return "MASKKIT_BLOCK"
    if "MASKKIT_PLUGINS" in os.environ and not _listed("MASKKIT_PLUGINS", full_name, provider):
        return "MASKKIT_PLUGINS"
    return None


def _listed(variable: str, full_name: str, provider: str) -> bool:
    words = [word.strip() for word in os.environ.get(variable, "").split(",")]
    return any(word in ("*", full_name) or (word and _normal(word) == _normal(provider)) for word in words)


def _normal(distribution: str) -> str:
    """Distribution names are equal up to case and `-_.`"""
    return re.sub(r"[-_.]+", "-", distribution).lower()


@cache
def entries() -> tuple[Entry, ...]:
    """All entry points of all installed distributions, sorted by kind, name and provider."""
    points = entry_points(group=GROUP)
    kinds = kind_names(point.name for point in points)
    order = (*kinds, *_NO_ITEMS)
    return tuple(sorted(_scan(points, kinds), key=lambda e: (order.index(e.kind), e.name, e.provider)))


def kind_names(names: Iterable[str]) -> tuple[str, ...]:
    """The core's kinds, then those that entry points of these names bring."""
    added = {name.partition(".")[2] for name in names if name.startswith(f"{KIND}.")}
    return (*KINDS, *sorted(added - KINDS.keys() - {*_NO_ITEMS}))


def items() -> list[Entry]:
    """The entries of items: those whose kind is known."""
    return [entry for entry in entries() if entry.kind not in _NO_ITEMS]


def offering(prefix: str) -> list[Entry]:
    """The entries whose modules may offer backends, or commands."""
    return [entry for entry in entries() if entry.kind in (prefix, "")]


def _scan(points: Iterable[EntryPoint], kinds: Sequence[str]) -> Iterator[Entry]:
    for point in points:
        kind, dot, name = point.name.partition(".")
        if not dot or kind not in (*kinds, *_NO_ITEMS):
            kind, name = "", point.name
        told: Any = point.dist.metadata if point.dist else {}
        provider, version, summary = told.get("Name", "?"), told.get("Version", "?"), told.get("Summary", "")
        entry = Entry(kind, name, provider, version, summary, point)
        yield entry._replace(blocked_by=_blocked_by(entry.full_name, provider))


def quick_status(entry: Entry, installed: Sequence[Entry]) -> tuple[str, str]:
    """`("ok" | "blocked" | "conflict" | "broken", why)`, as far as metadata tell."""
    if entry.blocked_by:
        return "blocked", f"switched off by {entry.blocked_by}"
    rivals = [e for e in installed if entry.kind and e.full_name == entry.full_name and not e.blocked_by]
    if len(rivals) > 1:
        return "conflict", conflict_text(rivals)
    if entry.missing:
        return "broken", f"there is no module {entry.entry_point.module}"
    return "ok", ""


def conflict_text(rivals: Sequence[Entry]) -> str:
    """Who offers the same name, and the way out."""
    providers = " and ".join(f"{entry.provider} {entry.version}" for entry in rivals)
    return f"{rivals[0].full_name} is offered by {providers}; uninstall one, or MASKKIT_BLOCK={rivals[-1].provider}"
