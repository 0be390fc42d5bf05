"""What is installed, from metadata alone: no plugin is imported, nor are attrs, pluggy or NumPy."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.metadata import Distribution, EntryPoint, distributions, entry_points
from importlib.util import find_spec
from typing import Any, NamedTuple

from maskkit.errors import plain
from maskkit.registry.item import KINDS
from maskkit.registry.published import PUBLISHED

GROUP = "maskkit"
KIND = "kind"
"""The prefix of entry points that bring a kind."""
BACKEND, COMMAND = "backend", "command"
"""Prefixes of entry points that offer backends or forms, and commands; without any prefix a module may offer both."""
_NO_ITEMS = (KIND, BACKEND, COMMAND, "")
_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*\s*(:|\[|$)")
_UNREADABLE = "?"
"""The value that stands for a list of entry points that cannot be read."""


class Entry(NamedTuple):
    """One entry point of one distribution.

    `kind` is "backend", "command" or empty for modules that offer other hooks, and "kind" for those that bring a kind
    of their own; `blocked_by` is the environment variable that switches it off, and `fault` what is wrong with the
    metadata. All texts are plain: one line each, without control characters.
    """

    kind: str
    name: str
    provider: str
    version: str
    summary: str
    entry_point: EntryPoint
    blocked_by: str | None = None
    fault: str = ""

    @property
    def full_name(self) -> str:
        """`"mask.causal"`."""
        return f"{self.kind}.{self.name}" if self.kind else self.name

    @property
    def missing(self) -> bool:
        """Whether the module is not even there (a look at the file system; nothing is imported)."""
        try:
            return find_spec(self.entry_point.module.partition(".")[0]) is None
        except Exception:  # finders are of strangers too
            return True

    @property
    def homeless(self) -> bool:
        """Whether its name begins like that of an item, but with no kind that there is."""
        return not self.kind and "." in self.name


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
    points = list(_points())
    kinds = kind_names(point.name for point, _ in points)
    order = (*kinds, *_NO_ITEMS)
    found = (_entry(point, dist, kinds) for point, dist in points)
    return tuple(sorted(found, key=lambda e: (order.index(e.kind), e.name, e.provider)))


def _points() -> Iterable[tuple[EntryPoint, Distribution | None]]:
    """Our entry points; of a distribution whose list of them cannot be read, one in its place."""
    try:
        return [(point, point.dist) for point in entry_points(group=GROUP)]
    except Exception:
        return [(point, dist) for dist in distributions() for point in _points_of(dist)]


def _points_of(dist: Distribution) -> Iterable[EntryPoint]:
    try:
        return dist.entry_points.select(group=GROUP)
    except UnicodeDecodeError as error:
        ours = f"[{GROUP}]".encode() in error.object
    except Exception:
        ours = f"[{GROUP}]" in (dist.read_text("entry_points.txt") or "")
    return [EntryPoint(_folder(dist), _UNREADABLE, GROUP)] if ours else []


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


def _entry(point: EntryPoint, dist: Distribution | None, kinds: Sequence[str]) -> Entry:
    kind, dot, name = point.name.partition(".")
    if not dot or kind not in (*kinds, *_NO_ITEMS):
        kind, name = "", point.name
    told, fault = _told(dist)
    if point.value == _UNREADABLE:
        fault = "its entry_points.txt cannot be read"
    elif not _MODULE.match(point.value):
        fault = f"its entry_points.txt says {point.value!r} where a module must stand"
    provider = plain(told.get("Name") or (_folder(dist) if dist else "?"))
    version, summary = plain(told.get("Version") or "?"), plain(told.get("Summary") or "")
    entry = Entry(kind, plain(name), provider, version, summary, point, fault=fault)
    return entry._replace(blocked_by=_blocked_by(entry.full_name, provider))


def _told(dist: Distribution | None) -> tuple[Any, str]:
    """The metadata of a distribution, and what is wrong with them."""
    try:
        told: Any = dist.metadata if dist else {}
        return told, "" if told.get("Name") or not dist else "its METADATA has no Name"
    except Exception as error:
        return {}, f"its METADATA cannot be read: {error}"


def _folder(dist: Distribution) -> str:
    """What a distribution without readable metadata is called: its folder, less the version."""
    path = getattr(dist, "_path", None)
    return path.name.partition("-")[0] if path else "?"


def quick_status(entry: Entry, installed: Sequence[Entry]) -> tuple[str, str]:
    """`("ok" | "blocked" | "conflict" | "broken", why)`, as far as metadata tell."""
    if entry.blocked_by:
        return "blocked", f"switched off by {entry.blocked_by}"
    rivals = [e for e in installed if entry.kind and e.full_name == entry.full_name and not e.blocked_by]
    if len(rivals) > 1:
        return "conflict", conflict_text(rivals)
    if entry.fault:
        return "broken", broken_text(entry, entry.fault)
    if entry.missing:
        return "broken", broken_text(entry, f"there is no module {entry.entry_point.module}")
    return "ok", ""


def broken_text(entry: Entry, why: str) -> str:
    """What is wrong with a plugin, and the way out."""
    return (
        f"plugin {entry.full_name} of {entry.provider} {entry.version} is broken: {plain(why)} "
        f"(pip uninstall {entry.provider}, or MASKKIT_BLOCK={entry.full_name})"
    )


def conflict_text(rivals: Sequence[Entry]) -> str:
    """Who offers the same name, and the way out."""
    providers = " and ".join(f"{entry.provider} {entry.version}" for entry in rivals)
    return f"{rivals[0].full_name} is offered by {providers}; uninstall one, or MASKKIT_BLOCK={rivals[-1].provider}"


def published(prefixes: Iterable[str]) -> list[str]:
    """The short names of all that our distributions offer under these prefixes, installed or not."""
    return [name for prefix in prefixes if prefix in PUBLISHED for name in PUBLISHED[prefix][2].split()]


def _ours(full_name: str) -> tuple[str, str]:
    """The distribution of ours that offers a name, and the extra that brings it; empty where none does."""
    prefix, _, name = full_name.partition(".")
    start, extra, offered = PUBLISHED.get(prefix, ("", "", ""))
    return (start + name.replace("_", "-"), extra) if name in offered.split() else ("", "")


def how_to_install(full_names: Iterable[str]) -> str:
    """`"'bigbird' is not installed: pip install ..."`, of names that our distributions offer; empty for others."""
    found = [(name, *ours) for name in full_names if (ours := _ours(name))[0]]
    if not found:
        return ""
    ways = [distribution for _, distribution, _ in found] + [f"'maskkit[{extra}]'" for *_, extra in found]
    return f"{found[0][0].partition('.')[2]!r} is not installed: pip install {', or '.join(ways)}"


def provider_of(full_name: str) -> str:
    """The distribution that offers `"mask.causal"`, installed or one of ours that is not; empty if there is none.

    Forms of other libraries are `"backend.<name>"`, commands `"command.<name>"`.
    """
    installed = (entry.provider for entry in entries() if entry.full_name == full_name)
    return next(installed, "") or _ours(full_name)[0]
