"""The command line: `maskkit list`, `show`, `render`, `stats`, `plan`, `check`, `doctor`.

Each command imports what it needs when it runs, so that `maskkit list` costs little more than reading metadata.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import warnings
from typing import Annotated, Any

import typer
from typer.main import get_command
from maskkit.cli import doctor, inventory, pictures, plans, streams
from maskkit.errors import UnknownName

app = typer.Typer(
    name="maskkit",
    help="Masks, attention layers and JEPA masking strategies, by name.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from maskkit import __version__

        typer.echo(f"maskkit {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error, and debug messages.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    logging.getLogger("maskkit").setLevel(logging.DEBUG if debug else logging.WARNING)


inventory.add_to(app)
doctor.add_to(app)
pictures.add_to(app)
plans.add_to(app)


def main(argv: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 used wrongly, 130 interrupted."""
    streams.prepare()
    sys.exit(run(sys.argv[1:] if argv is None else argv))


def run(argv: list[str]) -> int:
    """Run the command line, and return the exit code. Errors are one line on stderr; `--debug` lets them through."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("maskkit: %(levelname)s: %(message)s"))
    logging.getLogger("maskkit").addHandler(handler)
    showwarning, warnings.showwarning = warnings.showwarning, _show_warning
    try:
        code = _command(argv).main(args=argv or ["--help"], prog_name="maskkit", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except BrokenPipeError:
        # Whoever read has gone; give the interpreter's own flush at exit somewhere to write to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if "--debug" in argv:
            raise
        print(f"maskkit: {_one_line(error)}", file=sys.stderr)
        return int(getattr(error, "exit_code", 1))
    finally:
        warnings.showwarning = showwarning
        logging.getLogger("maskkit").removeHandler(handler)


def _show_warning(message: Any, *_: Any, **__: Any) -> None:
    """A warning as one line."""
    print(f"maskkit: WARNING: {message}", file=sys.stderr)


def _command(argv: list[str]) -> Any:
    """The app with the commands of plugins, which are loaded where none of our own is asked for."""
    from maskkit.registry.catalog import COMMAND, how_to_install, offering

    own = {command.name for command in app.registered_commands}
    asked = next((arg for arg in argv if not arg.startswith("-")), None)
    offered = {entry.name for entry in offering(COMMAND)}
    if asked not in own and asked not in offered and (hint := how_to_install([f"{COMMAND}.{asked}"])):
        raise UnknownName(hint)
    if asked not in own and offered:
        from maskkit.registry.loader import registry

        for more in registry.commands():
            app.add_typer(more)
    command: Any = get_command(app)
    for one in command.commands.values():  # whole sentences: typer cuts them off
        one.short_help = one.short_help or re.split(r"(?<=\.)\s", one.help or "", maxsplit=1)[0]
    return command


def _one_line(error: BaseException) -> str:
    """What went wrong, in the words of whoever raised it."""
    if isinstance(error, typer.Abort) and error.__cause__:  # typer's word for an EOFError
        error = error.__cause__
    if hasattr(error, "format_message"):  # a usage error of typer's
        return f"{error.format_message()} (see maskkit --help)".replace("\n", " ")
    from maskkit.errors import MaskkitError

    if isinstance(error, OSError) and error.strerror and not isinstance(error, MaskkitError):
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    text = " ".join(str(error).split("\n"))
    return text if isinstance(error, MaskkitError) else f"{type(error).__name__}: {text} (--debug shows where)"
