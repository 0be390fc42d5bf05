"""Bias: masks as numbers added to attention scores."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from maskkit import ConfigError, Mask, from_array, hookimpl
from maskkit.arrays import host


class Bias:
    """0 where allowed, -inf (or the dtype's lowest number) where blocked."""

    name = "bias"

    def export(self, mask: Mask, **options: Any) -> Any:
        """`mask.bias(**options)`."""
        return mask.bias(**options)

    def read(self, value: Any, blocked_below: float | None = None, axes: Sequence[str] | None = None) -> Mask:
        """The mask of such numbers; `blocked_below` reads all below as blocked, and all from there on must be 0.

        Without it blocked is -inf, or half the dtype's lowest number and below.
        """
        given = host(value)
        if not np.issubdtype(given.dtype, np.floating):
            raise ConfigError(f"a bias must be floating, got {given.dtype}; booleans are read by maskkit.from_array")
        most = np.finfo(given.dtype).min / 2 if blocked_below is None else blocked_below
        blocked = given <= most if blocked_below is None else given < most
        other = np.argwhere(~blocked & (given != 0))
        if len(other):
            place = tuple(other[0].tolist())
            raise ConfigError(
                f"a bias must be 0 where allowed and -inf where blocked, got {given[place]} at {place}; "
                "give blocked_below=, under which numbers block"
            )
        return from_array(~blocked, true="allowed", axes=axes)


@hookimpl
def maskkit_backends():
    return [Bias()]
