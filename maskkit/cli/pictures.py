"""What an item looks like and amounts to: `render`, `stats`, `check`."""

from __future__ import annotations

import json
import logging
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from maskkit.cli.targets import TargetCommand, build_target
from maskkit.errors import ConfigError

if TYPE_CHECKING:
    from maskkit.registry.hookspecs import Picture
    from maskkit.registry.item import Item

log = logging.getLogger("maskkit.draw")

Target = Annotated[
    str,
    typer.Argument(
        metavar="NAME|EXPR|-",
        help='A name, an expression such as "causal & ~banded(band_width=5)", or - for a config on stdin.',
    ),
]
BlockSize = Annotated[
    int | None,
    typer.Option("--block-size", min=1, help="Side of the blocks that are counted, in tokens.", show_default="128"),
]

SUFFIXES = (".png", ".svg", ".pdf", ".txt", ".npy", ".npz", ".json")
_WIDE = 10_000
"""Columns of a table that goes into a file or a pipe: lines are never broken there."""
_TEXT_FILE = 200
"""Columns of a picture in a text file."""


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("render", cls=TargetCommand)(render)
    app.command("stats", cls=TargetCommand)(stats)
    app.command("check")(check)


def render(
    ctx: typer.Context,
    target: Target,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="Write to this file: png, svg, pdf, txt, npy, npz, or json for the config."
        ),
    ] = None,
    blocked: Annotated[
        bool, typer.Option("--blocked", help="Draw what is blocked instead of what is allowed.")
    ] = False,
) -> None:
    """Draw an item in the terminal, or into a file; parameters are options: maskkit render NAME --help."""
    if output is not None and output.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"{output}: unknown suffix {output.suffix!r}; use one of {', '.join(SUFFIXES)}")
    item = build_target(ctx, target)
    picture = item.picture(blocked=blocked)
    _note(picture.notes)
    if output is None:
        typer.echo(picture.text(shutil.get_terminal_size().columns))
        return
    try:
        write(picture, item, output, blocked)
    except OSError as error:  # of a full disk, which does not say which file it was
        error.filename = error.filename or str(output)
        raise
    log.info("saved mask visualization to %s", output)
    typer.echo(f"wrote {output}", err=True)


def write(picture: Picture, item: Item, output: Path, blocked: bool) -> None:
    """Write a picture to a file, in the format of its suffix."""
    suffix = output.suffix.lower()
    if suffix in (".png", ".pdf"):
        picture.figure().savefig(output, dpi=120)
    elif suffix in (".npy", ".npz"):
        _write_arrays(picture, output)
    elif suffix == ".json":
        from maskkit.configs.saving import to_dict

        saved = {"not": to_dict(item)} if blocked else to_dict(item)
        output.write_text(json.dumps(saved, indent=2) + "\n", encoding="utf-8")
    else:
        output.write_text(picture.svg() if suffix == ".svg" else picture.text(_TEXT_FILE) + "\n", encoding="utf-8")


def _write_arrays(picture: Picture, output: Path) -> None:
    import numpy as np

    arrays: dict[str, Any] = dict(picture.arrays())
    if output.suffix.lower() == ".npz":
        np.savez_compressed(output, **arrays)
    elif len(arrays) == 1:
        np.save(output, *arrays.values())
    else:
        raise ConfigError(f"{output}: a .npy file holds one array, and this gives {len(arrays)}; use .npz")


def stats(
    ctx: typer.Context,
    target: Target,
    block_size: BlockSize = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Count what a mask allows and what its forms cost; of a strategy, what is seen, predicted, and both."""
    measures = build_target(ctx, target).measure(block_size=block_size)
    if as_json:
        typer.echo(json.dumps(measures.to_dict(), indent=2))
        return
    _note(measures.notes)
    typer.echo(measures.text(shutil.get_terminal_size().columns if sys.stdout.isatty() else _WIDE))


def _note(notes: Any) -> None:
    for note in notes:
        typer.echo(note, err=True)


def check(
    file: Annotated[Path, typer.Argument(help="A YAML, TOML or JSON file.")],
    key: Annotated[str | None, typer.Option(help="Dotted path of the section that is meant.")] = None,
) -> None:
    """Validate a config file; nothing is built."""
    from maskkit.configs.files import read_section
    from maskkit.configs.reading import config

    try:
        found = config(read_section(file, key))
    except ConfigError as error:
        where = f"{file}{f' at {key}' if key else ''}"
        raise ConfigError(str(error) if str(error).startswith(str(file)) else f"{where}: {error}") from error
    typer.echo(f"{file}: ok: {found!r}")
