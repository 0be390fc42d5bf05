"""The command `maskkit explore`; what it needs is imported when it runs."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Any

import typer
from maskkit import ConfigError
from maskkit.outputs import written

log = logging.getLogger("maskkit.explore")
app = typer.Typer()

_TOKENS = 64


@app.command("explore")
def explore(
    expression: Annotated[
        str | None,
        typer.Argument(metavar="[EXPR]", help='The mask to begin with: "causal & sliding_window(window_size=16)".'),
    ] = None,
    seq_len: Annotated[
        int | None,
        typer.Option(
            "--seq-len", min=1, help="Tokens of the masks in EXPR that are not told how many.", show_default="64"
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The file: one HTML page that needs nothing beside it.")
    ] = Path("masks.html"),
) -> None:
    """Write a page in which every installed mask can be chosen, changed, combined and looked at, without a server."""
    if output.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"{output}: unknown suffix {output.suffix!r}; use .html")
    from maskkit_explore._page import MOST_BYTES, page

    text = page(None if expression is None else _shown(expression, seq_len))
    size = len(text.encode())
    if size > MOST_BYTES:
        log.warning("the page has %s bytes, and should have at most %s", f"{size:,}", f"{MOST_BYTES:,}")
    with written(output) as file:
        file.write(text.encode())
    typer.echo(f"wrote {output}", err=True)


def _shown(expression: str, seq_len: int | None) -> Any:
    """The mask of an expression."""
    import maskkit

    if seq_len is not None:
        return maskkit.parse(expression, seq_len=seq_len)
    try:
        return maskkit.parse(expression)
    except ConfigError as problem:
        if "seq_len required" not in str(problem):
            raise
        return maskkit.parse(expression, seq_len=_TOKENS)
