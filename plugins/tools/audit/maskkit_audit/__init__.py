"""Audit: what the attention of a model really allows, and its name.

    from maskkit_audit import assert_attends, audit, observed, recognize

    print(audit(model, inputs))  # of every attention that ran its picture, its name and its leaks
    assert_attends(model, inputs, "sliding_window(window_size=8)")  # the same as a test

The heavy halves are imported when first asked for; `maskkit` asks for the command each time it starts.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from maskkit import hookimpl

_HOME = {
    "audit": "run",
    "assert_attends": "run",
    "observed": "observe",
    "recognize": "recognize",
    "Recognition": "recognize",
    "Report": "report",
    "Entry": "report",
    "Leak": "leaks",
    "reach": "reach",
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"maskkit_audit._{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@hookimpl
def maskkit_commands() -> Any:
    from maskkit_audit._command import app

    return [app]
