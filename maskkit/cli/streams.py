"""The three streams of a process, in whatever state the shell left them."""

from __future__ import annotations

import codecs
import errno
import os
import sys
from io import StringIO, TextIOBase, TextIOWrapper
from typing import Any

_PLAIN = str.maketrans("█▀▄░▒▓─│┌┐└┘", '#"_.:%-|++++')


def prepare() -> None:
    """Give every closed stream something that stands for it, and stdout a way to draw in its own encoding."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # else the next file that is opened would be the stream
            os.open(os.devnull, os.O_RDWR)
    standing: Any = sys
    standing.stdin, standing.stderr = sys.stdin or StringIO(), sys.stderr or StringIO()
    standing.stdout = sys.stdout or _Closed()
    if isinstance(sys.stdout, TextIOWrapper) and sys.stdout.errors == "strict":
        codecs.register_error("maskkit", _plain)
        sys.stdout.reconfigure(errors="maskkit")


def take_colour() -> bool:
    """Whether stdout is a terminal, and nobody asked for no colour."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _plain(error: UnicodeError) -> tuple[str | bytes, int]:
    """What an encoding does not hold: of a picture another character, of all else its number."""
    assert isinstance(error, UnicodeEncodeError)
    bad = error.object[error.start : error.end]
    return bad.translate(_PLAIN).encode("ascii", "backslashreplace").decode(), error.end


class _Closed(TextIOBase):
    """Stdout that was closed: what could not be printed was not, and the program says so."""

    encoding = "utf-8"

    def write(self, text: str) -> int:
        raise OSError(errno.EBADF, "is closed", "stdout")
