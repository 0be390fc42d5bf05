"""Splash: masks for splash attention of JAX on TPU."""

from typing import Any

from maskkit import AttentionMask, hookimpl


class Splash:
    """A mask object for JAX's splash attention on TPU, computed tile by tile and never as a whole."""

    name = "splash"

    def export(self, mask: AttentionMask) -> Any:
        """A `splash_attention_mask.Mask`, of a mask with heads a `MultiHeadMask`; of equal masks equal ones, by which
        splash caches."""
        from maskkit_splash._mask import splash_mask

        return splash_mask(mask)


@hookimpl
def maskkit_backends():
    return [Splash()]
