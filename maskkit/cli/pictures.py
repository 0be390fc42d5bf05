"""What an item looks like and amounts to: `render`, `stats`, `check`."""

from __future__ import annotations

import json
import logging
import re
import shutil
import sys
from collections.abc import Mapping
from inspect import signature
from pathlib import Path
from typing import Annotated, Any

import typer
from maskkit.cli import streams
from maskkit.cli.targets import Target, TargetCommand, build_target, naming, tell_seeds
from maskkit.errors import ConfigError

log = logging.getLogger("maskkit.draw")

BlockSize = Annotated[
    int | None,
    typer.Option("--block-size", min=1, help="Side of the blocks that are counted, in tokens.", show_default="128"),
]

_WIDE = 10_000
"""Columns of a table that goes into a file or a pipe: lines are never broken there."""


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
            "-o", "--output", help="Write to this file: png, svg, pdf, txt, npy, npz, or json or yaml for the config."
        ),
    ] = None,
    blocked: Annotated[
        bool, typer.Option("--blocked", help="Draw what is blocked instead of what is allowed.")
    ] = False,
    samples: Annotated[
        int | None,
        typer.Option(
            "--samples",
            min=1,
            help="Draw at most so many samples of a strategy, a batch or heads.",
            show_default="4; of a strategy 1 in text and svg",
        ),
    ] = None,
    steps: Annotated[
        str | None,
        typer.Option(
            metavar="FIRST:END:EVERY", help="Draw a strategy at these steps of a training, into a gif or apng file."
        ),
    ] = None,
) -> None:
    """Draw an item in the terminal, or into a file; parameters are options: maskkit render NAME --help."""
    from maskkit.configs.saving import checked, write

    if steps is not None:
        _render_steps(ctx, output, steps)
        return
    if output is not None:
        checked(output)
    item = build_target(ctx)
    if samples is not None and "samples" not in signature(item.picture).parameters:
        raise ConfigError(f"--samples is for masks and strategies; of {item.name} there is one picture")
    picture = item.picture(blocked=blocked, **({"samples": samples} if samples else {}))
    _note(picture.notes)
    if output is None:
        drawn = picture.text(shutil.get_terminal_size().columns)
        colours = getattr(picture, "colours", {}) if streams.take_colour() else {}
        typer.echo(_coloured(drawn, colours) if colours else drawn)
    else:
        write(output, item, picture, blocked)
        log.info("saved mask visualization to %s", output)
        typer.echo(f"wrote {output}", err=True)
    tell_seeds(ctx, item)


def _render_steps(ctx: typer.Context, output: Path | None, steps: str) -> None:
    """The animation that `--steps` asks for."""
    from maskkit.cli import frames

    if output is None or output.suffix.lower() not in frames.SUFFIXES:
        raise ConfigError(f"--steps writes a file that moves: give -o NAME{' or -o NAME'.join(frames.SUFFIXES)}")
    wanted = frames.parse(steps)
    item = build_target(ctx)
    pictures = item.pictures(wanted)
    _note(pictures[0].notes)
    frames.write(pictures, wanted, output)
    typer.echo(f"wrote {output}", err=True)
    tell_seeds(ctx, item)


def _coloured(drawn: str, colours: Mapping[str, str]) -> str:
    """A text with its characters in their colours: between bars all of them, elsewhere those that are no letters."""
    anywhere = re.escape("".join(character for character in colours if not character.isalnum()))
    run = re.compile("|".join(f"{re.escape(character)}+" for character in colours))

    def painted(found: re.Match[str]) -> str:
        return run.sub(lambda same: f"\x1b[{colours[same[0][0]]}m{same[0]}\x1b[0m", found[0])

    return re.sub(rf"│[^│\n]*│|[{anywhere}]", painted, drawn)


def stats(
    ctx: typer.Context,
    target: Target,
    block_size: BlockSize = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Count what a mask allows and what its forms cost; of a strategy, what is seen, predicted, and both."""
    item = build_target(ctx)
    measures = item.measure(block_size=block_size)
    if as_json:
        typer.echo(json.dumps(measures.to_dict(), indent=2))
    else:
        _note(measures.notes)
        typer.echo(measures.text(shutil.get_terminal_size().columns if sys.stdout.isatty() else _WIDE))
    tell_seeds(ctx, item)


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

    section = read_section(file, key)
    with naming(f"{file} at {key}" if key else str(file)):
        found = config(section)
    typer.echo(f"{file}: ok: {found!r}")
