"""What a mask looks like and amounts to: `render`, `stats`, `check`."""

from __future__ import annotations

import json
import logging
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from maskkit.cli.targets import VALUES, TargetCommand, build_target
from maskkit.errors import ConfigError, MaskkitError

log = logging.getLogger("maskkit.draw")

Target = Annotated[
    str,
    typer.Argument(
        metavar="NAME|EXPR|-",
        help='A name, an expression such as "causal & ~banded(band_width=5)", or - for a config on stdin.',
    ),
]
BlockSize = Annotated[int, typer.Option("--block-size", min=1, help="Side of the blocks that are counted, in tokens.")]

SUFFIXES = (".png", ".svg", ".pdf", ".txt", ".npy", ".npz", ".json")


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
    """Draw a mask or a strategy in the terminal, or into a file; parameters are options: maskkit render NAME --help."""
    if output is not None and output.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"{output}: unknown suffix {output.suffix!r}; use one of {', '.join(SUFFIXES)}")
    built = _built(ctx, target)
    if hasattr(built, "preview"):
        _render_strategy(built, output, blocked)
        return
    masks = _masks(built, target)
    if output is None:
        width = shutil.get_terminal_size().columns
        for mask in masks:
            if len(masks) > 1:
                typer.echo(repr(mask))
            typer.echo((~mask if blocked else mask).text(width))
        return
    with _named(output):
        write(masks, output, blocked)
    typer.echo(f"wrote {output}", err=True)


@contextmanager
def _named(output: Path) -> Iterator[None]:
    """Errors of a full disk do not say which file it was."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(output)
        raise


def stats(
    ctx: typer.Context,
    target: Target,
    block_size: BlockSize = 128,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Count what a mask allows and what its forms cost; of a strategy, what is seen, predicted, and both."""
    built = _built(ctx, target)
    if hasattr(built, "preview"):
        _strategy_stats(built, as_json)
        return
    found = [(mask, mask.stats(block_size)) for mask in _masks(built, target)]
    if as_json:
        reports = [{"mask": repr(mask), **figures.to_dict()} for mask, figures in found]
        typer.echo(json.dumps(reports if len(reports) > 1 else reports[0], indent=2))
        return
    for mask, figures in found:
        typer.echo(repr(mask))
        for name, value in figures.lines():
            typer.echo(f"  {name:<22} {value}")


def _built(ctx: typer.Context, target: str) -> Any:
    """What the target stands for; of the bare name of a strategy that has no defaults, its example."""
    try:
        return build_target(ctx, target)
    except ConfigError:
        example = None if ctx.meta.get(VALUES) else _example_of(target)
        if example is None:
            raise
    from maskkit.api import create

    return create(target, **example)


def _example_of(target: str) -> dict[str, Any] | None:
    """The example of a strategy that has no defaults, and say so; None for all else."""
    from maskkit.api import info

    try:
        found = info(target)
    except MaskkitError:
        return None
    needed = [parameter.name for parameter in found.parameters if parameter.required]
    if found.kind != "strategy" or not needed or not found.example:
        return None
    typer.echo(f"{target} needs {' and '.join(needed)}; this is the example of maskkit show {target}", err=True)
    return dict(found.example)


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


_SAMPLES = 1000
"""Samples over which the statistics of a strategy are taken."""
_WIDE = 10_000
"""Columns of a table that goes into a file or a pipe: lines are never broken there."""


def _strategy_stats(strategy: Any, as_json: bool) -> None:
    """Coverage and overlap, a column for each group of masks."""
    found = strategy.preview(_SAMPLES).stats()
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    groups = found if isinstance(next(iter(found.values())), dict) else {"": found}
    typer.echo(repr(strategy.config))
    _say_what_is_made_up(strategy)
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    table.add_column(f"of {_SAMPLES:,} samples", no_wrap=True)
    for group in groups:
        table.add_column(group, justify="right", no_wrap=True)
    for name in next(iter(groups.values())):
        table.add_row(name.replace("_", " "), *(f"{figures[name]:.1%}" for figures in groups.values()))
    Console(width=None if sys.stdout.isatty() else _WIDE).print(table)


def _say_what_is_made_up(strategy: Any) -> None:
    """Some strategies are given scores and the like with each call; here there are none but examples."""
    if made_up := " and ".join(strategy.example(1)):
        typer.echo(f"{made_up}: made up here; in training they are given with each call", err=True)


def _render_strategy(strategy: Any, output: Path | None, blocked: bool) -> None:
    """Context and targets of the first samples on the patch grid."""
    if blocked:
        raise ConfigError("--blocked is for masks; a strategy draws context and targets")
    shown: Any = strategy.preview(4)
    _say_what_is_made_up(strategy)
    if output is None:
        from maskkit_jepa.pictures import text_legend

        typer.echo(shown.text(shutil.get_terminal_size().columns))
        batches = shown.values() if isinstance(shown, dict) else (shown,)
        typer.echo(text_legend((batch, 0) for batch in batches))
        return
    with _named(output):
        _write_strategy(strategy, shown, output)
    log.info("saved mask visualization to %s", output)
    typer.echo(f"wrote {output}", err=True)


def _write_strategy(strategy: Any, shown: Any, output: Path) -> None:
    suffix = output.suffix.lower()
    if suffix in (".png", ".pdf"):
        shown.figure().savefig(output, dpi=120)
    elif suffix == ".npz":
        import numpy as np

        on_host = shown.numpy()
        groups = on_host if isinstance(on_host, dict) else {"": on_host}
        np.savez_compressed(
            output, **{f"{name}_{part}".strip("_"): array for name, b in groups.items() for part, array in b.items()}
        )
    elif suffix == ".npy":
        raise ConfigError(f"{output}: a .npy file holds one array, and a strategy gives several; use .npz")
    else:
        output.write_text(_strategy_text(strategy, shown, suffix), encoding="utf-8")


def _strategy_text(strategy: Any, shown: Any, suffix: str) -> str:
    from maskkit.configs.saving import to_dict

    if suffix == ".json":
        return json.dumps(to_dict(strategy.config), indent=2) + "\n"
    return str(shown.svg() if suffix == ".svg" else shown.text(200) + "\n")


def _masks(built: Any, target: str) -> list[Any]:
    """The masks among what was built."""
    from maskkit.masks.mask import Mask

    masks = list(built) if isinstance(built, tuple) else [built]
    if not all(isinstance(mask, Mask) for mask in masks):
        raise ConfigError(
            f"{target} is not a mask, and has no picture; see maskkit show {target}, or maskkit list --kind mask"
        )
    return masks


def write(masks: list[Any], output: Path, blocked: bool) -> None:
    """Write masks to a file, in the format of its suffix."""
    shown = [~mask if blocked else mask for mask in masks]
    suffix = output.suffix.lower()
    if suffix in (".png", ".pdf"):
        from maskkit.masks.draw.figure import figure

        figure(masks, blocked=blocked).savefig(output, dpi=120)
    elif suffix in (".npy", ".npz"):
        _write_arrays(shown, output, "blocked" if blocked else "allowed")
    else:
        output.write_text(_as_text(shown, suffix), encoding="utf-8")
    log.info("saved mask visualization to %s", output)


def _write_arrays(masks: list[Any], output: Path, word: str) -> None:
    import numpy as np

    if output.suffix.lower() == ".npz":
        names = [word] if len(masks) == 1 else [f"{word}_{i}" for i in range(len(masks))]
        np.savez_compressed(output, **{name: mask.allowed() for name, mask in zip(names, masks, strict=True)})
    elif len(masks) == 1:
        np.save(output, masks[0].allowed())
    else:
        raise ConfigError(f"{output}: a .npy file holds one array, and this gives {len(masks)}; use .npz")


def _as_text(masks: list[Any], suffix: str) -> str:
    if suffix == ".txt":
        return "\n".join(mask.text(width=200) for mask in masks) + "\n"
    if suffix == ".json":
        from maskkit.configs.saving import to_dict

        configs = [to_dict(mask) for mask in masks]
        return json.dumps(configs if len(configs) > 1 else configs[0], indent=2) + "\n"
    if len(masks) > 1:
        raise ConfigError(f"an svg file holds one mask, and this gives {len(masks)}; use .png or .pdf")
    return str(masks[0]._repr_svg_())
