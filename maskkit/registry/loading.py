"""While a stranger's module is imported: what it prints is not the program's, and nobody's random numbers move."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any


class _Aside:
    """Stands for stdout: a print goes to stderr while plugins load, and nothing closes it."""

    def __init__(self) -> None:
        self.now, self.before = sys.stderr, sys.stdout

    def __getattr__(self, name: str) -> Any:
        return getattr(self.now, name)

    def close(self) -> None:
        """Not what a plugin may do."""


_lock = Lock()
_depth = 0
_undo: Any = None


@contextmanager
def loading() -> Iterator[None]:
    """Around the import of a plugin, in any thread; the first to come sets up, the last to go puts back."""
    global _depth, _undo
    with _lock:
        _depth += 1
        if _depth == 1:
            _undo = _set_aside()
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0:
                _undo()


def _set_aside() -> Any:
    stdout = _Aside() if sys.stdout and sys.stderr else None
    if stdout:
        sys.stdout = stdout
    drawn, numpy = random.getstate(), sys.modules.get("numpy.random")
    numbers: Any = numpy.get_state() if numpy else None

    def undo() -> None:
        if stdout:
            stdout.now = stdout.before  # for whoever kept it
            if sys.stdout is stdout:
                sys.stdout = stdout.before
        random.setstate(drawn)
        if numpy:
            numpy.set_state(numbers)
        elif "numpy.random" in sys.modules:
            sys.modules["numpy.random"].seed()  # it came with the plugin, which may have set it

    return undo
