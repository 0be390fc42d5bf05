"""What is installed: `list`, `show`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from maskkit.cli import tables

if TYPE_CHECKING:
    from maskkit.configs.describe import Info
    from maskkit.registry.catalog import Entry

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("list")(list_items)
    app.command("show")(show)


def _names(incomplete: str) -> list[str]:
    """Completion, from metadata."""
    from maskkit.registry.catalog import items

    return [entry.name for entry in items() if entry.name.startswith(incomplete)]


def _kinds(incomplete: str) -> list[str]:
    from maskkit.registry.catalog import entries, kind_names

    return [kind for kind in kind_names(entry.full_name for entry in entries()) if kind.startswith(incomplete)]


Name = Annotated[str, typer.Argument(help="A short or full name.", autocompletion=_names)]


# -- list -------------------------------------------------------------------------------------------------------------


def list_items(
    pattern: Annotated[str, typer.Argument(help="Only names that match, with * and ? as in file names.")] = "*",
    kind: Annotated[
        str | None, typer.Option(help="Only this kind, such as mask, attention or strategy.", autocompletion=_kinds)
    ] = None,
    as_json: Json = False,
    long: Annotated[bool, typer.Option("--long", help="Say who provides each, and in which version.")] = False,
    requirements: Annotated[bool, typer.Option("--requirements", help="Print what to install, for pip.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Import every plugin, to find those that are broken.")] = False,
) -> None:
    """List what is installed. Reads metadata alone: no plugin is imported (but with --check)."""
    from fnmatch import fnmatch

    from maskkit.registry.catalog import entries, items, kind_names, quick_status

    kinds = kind_names(entry.full_name for entry in entries())
    if kind not in (None, *kinds):
        raise typer.BadParameter(f"--kind must be one of {', '.join(kinds)}, got {kind!r}")
    chosen = [
        entry
        for entry in items()
        if kind in (None, entry.kind)
        and any(fnmatch(name.lower(), pattern.lower()) for name in (entry.name, entry.full_name))
    ]
    chosen.sort(key=lambda entry: (kinds.index(entry.kind), _natural(entry.name), entry.provider))
    if requirements:
        from maskkit import __version__

        needed = sorted({f"{entry.provider}=={entry.version}" for entry in chosen if not entry.fault})
        typer.echo("\n".join([f"maskkit=={__version__}", *needed]))
        return
    if check:
        from maskkit.cli.checkup import examine

        found = [(told["status"], told["why"]) for told in examine(chosen)]
    else:
        found = [quick_status(entry, entries()) for entry in chosen]
    rows = [row(entry, *told) for entry, told in zip(chosen, found, strict=True)]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    if not rows:
        _nothing(pattern, kinds)
    else:
        tables.print_groups(
            {f"{name} ({len(some)})": some for name in kinds if (some := _cells(rows, name, long))},
        )
    for entry in entries():
        if entry.homeless and pattern == "*" and kind is None:
            typer.echo(f"{entry.name} of {entry.provider}: no kind is called so; see maskkit doctor", err=True)


def row(entry: Entry, status: str, why: str) -> dict[str, Any]:
    """What metadata and a look at it tell of a plugin."""
    told = ("name", "kind", "full_name", "summary", "provider", "version")
    return {key: getattr(entry, key) for key in told} | {"status": status, "why": why}


def _cells(rows: Sequence[dict[str, Any]], kind: str, long: bool) -> list[tuple[str, str, str, str]]:
    """Of the items of a kind: name, status if it is not ok, what it is, and who says so, if it is not us."""
    from maskkit import __version__

    return [
        (
            row["name"],
            "" if row["status"] in ("ok", "loaded") else row["status"],
            _without_name(row["summary"], row["name"]),
            f"{row['provider']} {row['version']}"
            if long or not row["provider"].startswith("maskkit-") or row["version"] != __version__
            else "",
        )
        for row in rows
        if row["kind"] == kind
    ]


def _without_name(summary: str, name: str) -> str:
    """`"Prefix LM: the prefix is seen by all"` stands beside `prefix_lm` already."""
    first, colon, rest = summary.partition(": ")
    letters = [c for c in first.lower() if c.isalnum()]
    same = "".join(letters).removesuffix("s") == name.replace("_", "").lower().removesuffix("s")
    return rest if colon and same else summary


def _nothing(pattern: str, kinds: Sequence[str]) -> None:
    """Say what else may have been meant."""
    from maskkit.errors import did_you_mean
    from maskkit.registry.catalog import items

    names = [entry.name for entry in items()]
    hint = did_you_mean(pattern, names)
    if (kind := pattern.removesuffix("s")) in kinds:
        hint = f"; for a kind: maskkit list --kind {kind}"
    elif not hint and any(pattern in name for name in names):
        hint = f"; a part of a name: maskkit list '*{pattern}*'"
    typer.echo(f"nothing installed matches {pattern!r}{hint}", err=True)


def _natural(name: str) -> list[tuple[int, str]]:
    """`m2` before `m10`."""
    import re

    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", name)]


# -- show -------------------------------------------------------------------------------------------------------------


def show(name: Name, as_json: Json = False) -> None:
    """Show an item: parameters, defaults, limits, provider, reference, example."""
    from maskkit.api import info
    from maskkit.errors import plain

    found = info(name)
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=2))
        return
    typer.echo(plain(f"{found.kind}.{found.name}: {found.summary}") + "\n")
    rows = [
        {
            "parameter": p.name,
            "type": p.type,
            "default": "required" if p.required else _default(p.default),
            "limits": p.limits,
            "meaning": p.help,
        }
        for p in found.parameters
    ]
    if rows:
        tables.print_table(rows, ["parameter", "type", "default", "limits", "meaning"])
        typer.echo("")
    for label, value in (
        *found.details.items(),
        ("category", found.category),
        ("provider", f"{found.provider} {found.version}".strip()),
        ("reference", " ".join(found.reference.split())),
        ("example", _example(found)),
    ):
        if value:
            typer.echo(f"{plain(label):<10} {plain(value)}")


def _default(value: Any) -> str:
    """A default; of settings in a list only the first entry, which is their name."""
    if isinstance(value, list) and value and all(isinstance(part, dict) and len(part) > 1 for part in value):
        return "[" + ", ".join(f"{{{key!r}: {part[key]!r}, ..}}" for part in value for key in list(part)[:1]) + "]"
    return repr(value)


def _example(found: Info) -> str:
    parameters = ", ".join(f"{name}={value!r}" for name, value in found.example.items())
    return f'maskkit.create("{found.name}"{", " + parameters if parameters else ""})' if found.example else ""
