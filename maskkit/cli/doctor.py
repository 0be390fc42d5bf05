"""`maskkit doctor`: what is installed, whether every plugin loads, and what is wrong with those that do not."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from maskkit.cli import tables
from maskkit.cli.inventory import Json, row

if TYPE_CHECKING:
    from maskkit.registry.catalog import Entry

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
_ABSENT = "not installed"


def add_to(app: typer.Typer) -> None:
    """Add this command."""
    app.command("doctor")(doctor)


def doctor(
    time: Annotated[bool, typer.Option("--time", help="List plugins by the time their import takes.")] = False,
    limit: Annotated[float, typer.Option(help="Seconds that a plugin may take to load.", min=0.1)] = 20.0,
    as_json: Json = False,
) -> None:
    """Load every plugin, and tell what is installed, what is wrong, and why. Exit code 1 if something is."""
    from maskkit.cli.checkup import examine
    from maskkit.registry.catalog import entries

    plugins = _plugins(entries(), examine(entries(), limit))
    bad = [plugin for plugin in plugins if plugin["status"] in ("broken", "conflict")]
    if time:
        plugins.sort(key=lambda plugin: -plugin["milliseconds"])
    versions = _versions()
    backends = _backends(versions, plugins)
    verdict = _verdict(plugins, bad)
    if as_json:
        report = {"versions": versions, "backends": backends, "plugins": plugins, "verdict": verdict}
        typer.echo(json.dumps(report, indent=2))
    else:
        _print_facts(versions, backends, plugins)
        if time and plugins:
            tables.print_table(plugins, ["full_name", "status", "provider", "version", "milliseconds", "heavy"])
        if bad:
            typer.echo("")
        for why in dict.fromkeys(plugin["why"] for plugin in bad):
            typer.echo(why)
        typer.echo(f"\n{verdict}")
    if bad:
        raise typer.Exit(1)


def _plugins(chosen: Sequence[Entry], found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [row(entry, "", "") | dict(told) for entry, told in zip(chosen, found, strict=True)]


def _versions() -> dict[str, str]:
    import platform
    from importlib.metadata import version

    from maskkit import __version__

    versions = {"python": platform.python_version(), "maskkit": __version__}
    for library in _LIBRARIES:
        try:
            versions[library] = version(library)
        except Exception:  # not there, or its metadata cannot be read
            versions[library] = _ABSENT
    return versions


def _backends(versions: Mapping[str, str], plugins: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    from maskkit.arrays.backends import BUILT_IN

    needed = {name: versions.get(name) == _ABSENT for name in BUILT_IN}
    ours = {name: f"needs: pip install {name}" if absent else "available" for name, absent in needed.items()}
    return ours | {name: "available, from a plugin" for plugin in plugins for name in plugin["backends"]}


def _print_facts(
    versions: Mapping[str, str], backends: Mapping[str, str], plugins: Sequence[Mapping[str, Any]]
) -> None:
    """Each a paragraph under its name."""
    there = [f"{name} {version}" for name, version in versions.items() if version != _ABSENT]
    absent = [name for name, version in versions.items() if version == _ABSENT]
    kinds = dict.fromkeys(plugin["kind"] or "other" for plugin in plugins)
    counts = [f"{sum(kind == (p['kind'] or 'other') for p in plugins)} {kind}" for kind in kinds]
    states: dict[str, list[str]] = {}
    for name, state in backends.items():
        states.setdefault(state, []).append(name)
    for label, names in (
        ("versions", there),
        (_ABSENT, absent),
        *((f"backends {state}", names) for state, names in states.items()),
        ("plugins", counts),
    ):
        if names:
            tables.print_paragraph(label, names)


def _verdict(plugins: Sequence[Mapping[str, Any]], bad: Sequence[Mapping[str, Any]]) -> str:
    """In a line."""
    blocked = sum(plugin["status"] == "blocked" for plugin in plugins)
    off = f"; {blocked} switched off" if blocked else ""
    if bad:
        names = ", ".join(dict.fromkeys(plugin["full_name"] for plugin in bad))
        return f"{len(bad)} of {len(plugins)} plugins are broken{off}: {names}"
    if not plugins:
        return "no plugins are installed"
    return f"all {len(plugins) - blocked} plugins load{off}"
