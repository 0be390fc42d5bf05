"""A bug on show, and the list of all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import frozen

Make = Callable[..., dict[str, Any]]


@frozen
class Exhibit:
    """A bug.

    Attributes:
        make: gives the arguments of `audit`; `make(mended=True)` those of the model without the bug.
        kind: of the leak that the audit finds.
        seen: where it was met in public.
    """

    make: Make
    kind: str
    seen: str


EXHIBITS: dict[str, Exhibit] = {}
"""All of them, by name."""


def exhibit(kind: str, seen: str) -> Callable[[Make], Make]:
    """Put a function on show."""

    def show(make: Make) -> Make:
        EXHIBITS[make.__name__] = Exhibit(make, kind, seen)
        return make

    return show
