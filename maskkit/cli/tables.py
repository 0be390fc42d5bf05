"""Tables for people: columns on a terminal as wide as it is, and a line for each row elsewhere. All text is plain."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import typer
from maskkit.errors import plain

_LEAST = 10
"""Characters that a column needs to be read; narrower terminals get the cells one under the other."""
_NARROW = 24
"""Likewise of what an item is."""


def print_table(rows: Sequence[Mapping[str, Any]], columns: list[str]) -> None:
    """Rows under the names of their columns."""
    lines = [[plain(row[column]) for column in columns] for row in rows]
    if _on_terminal():
        _print_on_terminal(lines, columns)
        return
    widths = [max(map(len, column)) for column in zip(columns, *lines, strict=True)]
    for line in (columns, *lines):
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _on_terminal() -> bool:
    return sys.stdout is not None and sys.stdout.isatty()


def _print_on_terminal(lines: Sequence[Sequence[str]], columns: Sequence[str]) -> None:
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    if max(len(line[0]) for line in lines) + (_LEAST + 2) * (len(columns) - 1) > console.width:
        for line in lines:
            console.print(Text(line[0], "bold"))
            for column, cell in zip(columns[1:], line[1:], strict=True):
                if cell:
                    console.print(Padding(Text(f"{column}: {cell}"), (0, 0, 0, 2)))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column == columns[0])
    for line in lines:
        table.add_row(*map(Text, line))
    console.print(table)


def print_groups(groups: Mapping[str, Sequence[tuple[str, str, str, str]]]) -> None:
    """Under each heading its items: a name, a status, what it is, and who provides it, as far as there is to say."""
    width = max(len(name) for items in groups.values() for name, *_ in items)
    if _on_terminal():
        _print_groups_on_terminal(groups, width)
        return
    for i, (heading, items) in enumerate(groups.items()):
        typer.echo(f"\n{heading}" if i else heading)
        for name, status, what, provider in items:
            words = (status and f"{status}:", what, provider and f"({provider})")
            typer.echo(f"  {name:<{width}}  {' '.join(filter(None, words))}".rstrip())


def _print_groups_on_terminal(groups: Mapping[str, Sequence[tuple[str, str, str, str]]], width: int) -> None:
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    under = width + 4 + _NARROW > console.width
    for i, (heading, items) in enumerate(groups.items()):
        console.print(Text(f"\n{heading}" if i else heading, "bold"))
        table = Table.grid(padding=(0, 2))
        if not under:
            table.add_column(min_width=width, no_wrap=True)
        table.add_column(overflow="fold")
        for name, status, what, provider in items:
            words = ((status and f"{status}:", "red"), (what, ""), (provider and f"({provider})", "dim"))
            told = Text(" ").join(Text(text, style) for text, style in words if text)
            if under:
                table.add_row(Text(name, "cyan"))
                table.add_row(Padding(told, (0, 0, 0, 2)))
            else:
                table.add_row(Text(name, "cyan"), told)
        console.print(Padding(table, (0, 0, 0, 2)))


def print_paragraph(label: str, names: Sequence[str]) -> None:
    """A label, and beside it names, in lines that fit."""
    from shutil import get_terminal_size
    from textwrap import wrap

    width = min(get_terminal_size().columns, 120)
    text = ", ".join(name.replace(" ", "\0") for name in map(plain, names))
    lines = wrap(text, max(width - 4, 20), break_on_hyphens=False)
    typer.echo("\n    ".join([f"{plain(label)}:", *lines]).replace("\0", " "))
