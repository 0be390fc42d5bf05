"""What is installed: `list`, `show`, `doctor`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from maskkit.configs.describe import Info
    from maskkit.registry.catalog import Entry

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("list")(list_items)
    app.command("show")(show)
    app.command("doctor")(doctor)


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
    requirements: Annotated[bool, typer.Option("--requirements", help="Print what to install, for pip.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Import every plugin, to find those that are broken.")] = False,
) -> None:
    """List what is installed. Reads metadata alone: no plugin is imported (but with --check)."""
    from fnmatch import fnmatch

    from maskkit.registry.catalog import entries, items, kind_names

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

        needed = sorted({f"{entry.provider}=={entry.version}" for entry in chosen})
        typer.echo("\n".join([f"maskkit=={__version__}", *needed]))
        return
    rows = [_row(entry, *_status(entry, check)) for entry in chosen]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    elif not rows:
        typer.echo(f"nothing installed matches {pattern!r}", err=True)
    else:
        _print_table(rows, ["name", "kind", "summary", "provider", "version"])


def _row(entry: Entry, status: str, why: str) -> dict[str, str]:
    told = ("name", "kind", "full_name", "summary", "provider", "version")
    return {key: getattr(entry, key) for key in told} | {"status": status, "why": why}


def _status(entry: Entry, check: bool) -> tuple[str, str]:
    """As `Registry.status`; without the registry, and so without pluggy and attrs, where metadata say enough."""
    from maskkit.registry.catalog import entries, quick_status

    if not check:
        return quick_status(entry, entries())
    from maskkit.registry.loader import registry

    registry.try_load(entry)
    return registry.status(entry)


def _natural(name: str) -> list[tuple[int, str]]:
    """`m2` before `m10`."""
    import re

    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]


# -- show -------------------------------------------------------------------------------------------------------------


def show(name: Name, as_json: Json = False) -> None:
    """Show an item: parameters, defaults, limits, provider, reference, example."""
    from maskkit.api import info

    found = info(name)
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=2))
        return
    typer.echo(f"{found.kind}.{found.name}: {found.summary}\n")
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
        _print_table(rows, ["parameter", "type", "default", "limits", "meaning"])
        typer.echo("")
    for label, value in (
        *found.details.items(),
        ("category", found.category),
        ("provider", f"{found.provider} {found.version}".strip()),
        ("reference", " ".join(found.reference.split())),
        ("example", _example(found)),
    ):
        if value:
            typer.echo(f"{label:<10} {value}")


def _default(value: Any) -> str:
    """A default; of settings in a list only the first entry, which is their name."""
    if isinstance(value, list) and value and all(isinstance(part, dict) and len(part) > 1 for part in value):
        return "[" + ", ".join(f"{{{key!r}: {part[key]!r}, ..}}" for part in value for key in list(part)[:1]) + "]"
    return repr(value)


def _example(found: Info) -> str:
    parameters = ", ".join(f"{name}={value!r}" for name, value in found.example.items())
    return f'maskkit.create("{found.name}"{", " + parameters if parameters else ""})' if found.example else ""


# -- doctor -----------------------------------------------------------------------------------------------------------

_LIBRARIES = (
    "numpy",
    "torch",
    "jax",
    "keras",
    "tensorflow",
    "transformers",
    "matplotlib",
    "pluggy",
    "attrs",
    "cattrs",
    "typer",
)


def doctor(
    time: Annotated[bool, typer.Option("--time", help="Order plugins by the time their import takes.")] = False,
    as_json: Json = False,
) -> None:
    """Load every plugin, and tell what is installed, what is wrong, and why. Exit code 1 if something is."""
    report = _diagnose()
    if time:
        report["plugins"].sort(key=lambda row: -row["milliseconds"])
    if as_json:
        typer.echo(json.dumps(report, indent=2))
    else:
        for part in ("versions", "backends"):
            typer.echo(f"{part}:")
            typer.echo("\n".join(f"  {name:<12} {value}" for name, value in report[part].items()))
        typer.echo("plugins:")
        columns = ["full_name", "status", "provider", "version"] + (["milliseconds", "heavy"] if time else [])
        _print_table(report["plugins"], columns)
        for row in report["plugins"]:
            if row["why"]:
                typer.echo(f"{row['full_name']} is {row['status']}: {row['why']}")
    if any(row["status"] in ("broken", "conflict") for row in report["plugins"]):
        raise typer.Exit(1)


def _diagnose() -> dict[str, Any]:
    import platform
    from importlib.metadata import PackageNotFoundError, version

    from maskkit import __version__
    from maskkit.arrays.backends import BUILT_IN
    from maskkit.registry.catalog import entries
    from maskkit.registry.loader import registry

    versions = {"python": platform.python_version(), "maskkit": __version__}
    for library in _LIBRARIES:
        try:
            versions[library] = version(library)
        except PackageNotFoundError:
            versions[library] = "not installed"
    missing = {name for name in BUILT_IN if versions.get(name) == "not installed"}
    backends = {name: f"needs: pip install {name}" if name in missing else "available" for name in BUILT_IN}
    try:
        backends |= {backend.name: "available, from a plugin" for backend in registry.backends()}
    except Exception as error:  # the doctor must survive every patient
        backends["plugins"] = f"broken: {error}"
    return {"versions": versions, "backends": backends, "plugins": [_examine(entry) for entry in entries()]}


def _examine(entry: Entry) -> dict[str, Any]:
    """Load one plugin, with its time and the heavy libraries that it pulled in."""
    from time import perf_counter

    from maskkit.registry.loader import registry

    before, start = set(sys.modules), perf_counter()
    if not entry.blocked_by:
        registry.try_load(entry)
    spent = perf_counter() - start
    heavy = {"jax", "keras", "matplotlib", "tensorflow", "torch"} & (set(sys.modules) - before)
    status, why = registry.status(entry)
    return _row(entry, status, why) | {"milliseconds": round(1000 * spent, 2), "heavy": " ".join(sorted(heavy))}


# -- output -----------------------------------------------------------------------------------------------------------


def _print_table(rows: Sequence[dict[str, Any]], columns: list[str]) -> None:
    """A table for people on a terminal, else aligned columns, an item a line; status only where it is not ok."""
    if "status" not in columns and any(row.get("status", "ok") != "ok" for row in rows):
        columns = [*columns, "status"]
    if sys.stdout.isatty():
        _print_on_terminal(rows, columns)
        return
    lines = [columns, *([str(row[column]) for column in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


_LEAST = 10
"""Characters that a column needs to be read; narrower terminals get the cells one under the other."""


def _print_on_terminal(rows: Sequence[dict[str, Any]], columns: list[str]) -> None:
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table

    console = Console(highlight=False)
    first, *others = columns
    if max(len(str(row[first])) for row in rows) + (_LEAST + 2) * len(others) > console.width:
        for row in rows:
            console.print(f"[bold]{row[first]}[/bold]")
            for column in others:
                if row[column] != "":
                    console.print(Padding(f"{column}: {row[column]}", (0, 0, 0, 2)), markup=False)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column == first)
    for row in rows:
        table.add_row(*(str(row[column]) for column in columns))
    console.print(table)
