"""Outputs: a file is written whole, or stays as it was. All that writes goes through here."""

from __future__ import annotations

import errno
import os
import stat
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedWriter, BytesIO, FileIO, UnsupportedOperation
from pathlib import Path
from typing import Any


@contextmanager
def written(path: str | os.PathLike[str]) -> Iterator[BufferedWriter]:
    """A binary file to write to, which takes the place of `path` once all is in it.

    Until then it stands beside: whatever happens, an interrupt too, what was there stays whole and no part is left.
    Links are followed. A new file has the mode that `open` gives it, another keeps its own. Devices and pipes are
    written straight.

    Raises:
        OSError: with its cause, and `path` as its filename, whatever could not be done.
    """
    path, target = Path(path), Path(os.path.realpath(path))
    try:
        old = path.stat() if path.exists() else None
        if old is not None and not (stat.S_ISREG(old.st_mode) and target.exists()):
            with _File(FileIO(path, "w")) as file:
                yield file
            return
        if old is not None:
            FileIO(target, "r+").close()  # what may not be written to may not be replaced either
        beside = target.with_name(f".maskkit-{os.urandom(8).hex()}.part")
        try:
            with _File(FileIO(beside, "x")) as file:
                yield file
            if old is not None:
                beside.chmod(stat.S_IMODE(old.st_mode))
            beside.replace(target)
        finally:
            with suppress(OSError):
                beside.unlink()
    except OSError as error:
        code, cause = (errno.EIO, str(error)) if error.errno is None else (error.errno, error.strerror)
        raise OSError(code, cause, str(path)) from error


def write_figure(path: str | os.PathLike[str], figure: Any, **options: Any) -> None:
    """Write a figure of matplotlib in the format of the suffix; `options` are those of `savefig`."""
    path, drawn = Path(path), BytesIO()  # for a full disk comes out of matplotlib's pdf as an error of its own
    if not path.suffix:
        path = path.with_suffix(f".{figure.canvas.get_default_filetype()}")
    figure.savefig(drawn, format=path.suffix[1:].lower(), **options)
    with written(path) as file:
        file.write(drawn.getbuffer())


def printable(text: str) -> str:
    """A text without what neither a file nor a font has a word for: control characters (but for line breaks), halves
    of characters, and those that are none are replaced."""
    return "".join("\N{REPLACEMENT CHARACTER}" if _is_odd(character) else character for character in text)


def _is_odd(character: str) -> bool:
    return character != "\n" and (unicodedata.category(character) in ("Cc", "Cs") or character in "\ufffe\uffff")


class _File(BufferedWriter):
    """A file that NumPy and others write to by its `write`: beneath it, they lose why a disk takes no more."""

    def fileno(self) -> int:
        raise UnsupportedOperation("write to it")
