"""Explore: every installed mask in one page that computes by itself.

    maskkit explore -o masks.html

What it needs is imported when the command runs; `maskkit` asks for the command each time it starts.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from maskkit import hookimpl

_HOME = {"page": "page"}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"maskkit_explore._{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@hookimpl
def maskkit_commands() -> Any:
    from maskkit_explore._command import app

    return [app]
