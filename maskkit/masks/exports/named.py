"""Forms of other libraries by name, exact or refused; a plugin adds more through the hook `maskkit_backends`."""

from __future__ import annotations

from typing import Any

from maskkit.masks.exports.varlen import Varlen
from maskkit.masks.pattern import Pattern
from maskkit.registry.extensions import extension
from maskkit.registry.hookspecs import Exporter


class Flex:
    """The `BlockMask` of Torch's FlexAttention. Options: block_size (128), device."""

    name = "flex"

    def export(self, mask: Pattern, block_size: int = 128, device: Any = None) -> Any:
        """As `mask.to_flex`."""
        from maskkit.masks.exports.flex import block_mask  # it imports Torch

        return block_mask(mask, block_size, device)


BUILT_IN: dict[str, Exporter] = {found.name: found for found in (Flex(), Varlen())}


def exporter(name: str) -> Exporter:
    """The exporter of this name.

    Raises:
        ConfigError: there is none.
    """
    return BUILT_IN.get(name) or extension(name, "form", "export", BUILT_IN)
