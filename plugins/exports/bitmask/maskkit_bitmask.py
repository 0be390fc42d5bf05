"""Bitmask: masks as packed bits."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from maskkit import ConfigError, Mask, from_array, hookimpl


class Bitmask:
    """Eight positions along the last axis in a byte, the first in the lowest bit, as FlashInfer packs custom masks."""

    name = "bitmask"

    def export(self, mask: Mask, order: str = "little") -> Any:
        """uint8 of the mask's own axes, the last of ceil(n / 8) bytes; order "big" has the first in the highest bit."""
        return np.packbits(mask.allowed(dtype="bool"), axis=-1, bitorder=_order(order))

    def read(self, value: Any, length: int, axes: Sequence[str] | None = None, order: str = "little") -> Mask:
        """The mask of such bytes: `length` positions along the last axis; `axes` as of `maskkit.from_array`."""
        value = np.asarray(value)
        if value.dtype != np.uint8 or value.shape[-1] != -(-length // 8):
            raise ConfigError(
                f"bits of {length} positions must be uint8, {-(-length // 8)} along the last axis, "
                f"got {value.dtype} of shape {value.shape}"
            )
        bits = np.unpackbits(value, axis=-1, count=length, bitorder=_order(order)).astype(bool)
        return from_array(bits, true="allowed", axes=axes)


def _order(order: str) -> Any:
    if order not in ("little", "big"):
        raise ConfigError(f"order must be 'little' or 'big', got {order!r}")
    return order


@hookimpl
def maskkit_backends():
    return [Bitmask()]
