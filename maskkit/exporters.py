"""Masks in the forms of other libraries, exact or refused; a plugin adds more through the hook `maskkit_backends`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from maskkit.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from maskkit.mask import AttentionMask


class Exporter(Protocol):
    """Turns attention masks into a form of its own."""

    name: str

    @property
    def export(self) -> Callable[..., Any]:
        """`export(mask, **options)`: the mask in this form, or a ConfigError that says why it cannot be held."""


class Flex:
    """The `BlockMask` of Torch's FlexAttention. Options: block_size (128), device."""

    name = "flex"

    def export(self, mask: AttentionMask, block_size: int = 128, device: Any = None) -> Any:
        """As `mask.to_flex`."""
        return mask.to_flex(block_size, device)


class Splash:
    """A mask object for JAX's splash attention on TPU, computed tile by tile and never as a whole."""

    name = "splash"

    def export(self, mask: AttentionMask) -> Any:
        """A `splash_attention_mask.Mask`; equal masks give equal objects, which splash caches by."""
        from maskkit.integrations.splash import splash_mask

        return splash_mask(mask)


class Varlen:
    """Packed documents as variable-length kernels take them: FlashAttention's `flash_attn_varlen_func`, xFormers.

    Options: causal (False), for documents that are causal inside.
    """

    name = "varlen"

    def export(self, mask: AttentionMask, causal: bool = False) -> dict[str, Any]:
        """The keyword arguments cu_seqlens_q, cu_seqlens_k (int32), max_seqlen_q, max_seqlen_k and causal.

        `numpy.diff(cu_seqlens_q).tolist()` are the lengths that xFormers' `BlockDiagonalMask.from_seqlens` takes.
        """
        ends = mask.cu_seqlens(causal)
        longest = int(np.diff(ends).max())
        return {
            "cu_seqlens_q": ends,
            "cu_seqlens_k": ends,
            "max_seqlen_q": longest,
            "max_seqlen_k": longest,
            "causal": causal,
        }


BUILT_IN: dict[str, Exporter] = {found.name: found for found in (Flex(), Splash(), Varlen())}


def exporter(name: str) -> Exporter:
    """The exporter of this name.

    Raises:
        ConfigError: there is none.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    from maskkit.registry import registry

    offered = {key: found for key, found in registry.backends().items() if hasattr(found, "export")}
    if name not in offered:
        known = [*BUILT_IN, *sorted(offered)]
        raise ConfigError(f"unknown form {name!r}; choose from {', '.join(known)}{did_you_mean(str(name), known)}")
    found: Exporter = offered[name]
    return found
