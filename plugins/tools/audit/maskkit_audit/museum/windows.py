"""Windows, the future, and blocks."""

from __future__ import annotations

from typing import Any

import torch
from maskkit_audit.museum._exhibit import exhibit
from maskkit_audit.museum._toy import Toy, sdpa, tokens, tril

__all__ = ["look_ahead_by_one", "one_token_ahead", "stale_blocks", "window_by_one"]


@exhibit("window", "huggingface/transformers#39408")
def window_by_one(mended: bool = False) -> dict[str, Any]:
    """A kernel whose window does not count the query is given the number of one that does."""

    def rule(query: Any, key: Any, value: Any) -> Any:
        size = 3 if mended else 4
        return sdpa(query, key, value, attn_mask=tril(12) & ~tril(12, -size - 1))  # the kernel's own: size before

    return dict(model=Toy(rule), inputs=dict(x=tokens(12)), expect="sliding_window(window_size=4)")


@exhibit("window", "huggingface/transformers#47010")
def look_ahead_by_one(mended: bool = False) -> dict[str, Any]:
    """A look-ahead of two frames, compared with "less than": one frame is all there is."""

    def rule(query: Any, key: Any, value: Any) -> Any:
        distance = torch.arange(12)[:, None] - torch.arange(12)
        ahead = -distance <= 2 if mended else -distance < 2
        return sdpa(query, key, value, attn_mask=(distance < 4) & ahead)

    return dict(model=Toy(rule), inputs=dict(x=tokens(12)), expect="window(left=3, right=2)")


@exhibit("future", "RVC-Boss/GPT-SoVITS#965")
def one_token_ahead(mended: bool = False) -> dict[str, Any]:
    """The triangle is cut one diagonal too far to the right: each query sees the answer."""

    def rule(query: Any, key: Any, value: Any) -> Any:
        return sdpa(query, key, value, attn_mask=tril(12, 0 if mended else 1))

    return dict(model=Toy(rule), inputs=dict(x=tokens(12)), expect="causal")


@exhibit("blocks", "pytorch/pytorch#136601")
def stale_blocks(mended: bool = False) -> dict[str, Any]:
    """A block mask is kept from the last batch, and only its predicate is replaced."""
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    old, new = torch.arange(64) // 16, torch.arange(64) // 32

    def documents(ids: Any) -> Any:
        return lambda b, h, q, k: (ids[q] == ids[k]) & (q >= k)

    block_mask = create_block_mask(documents(new if mended else old), None, None, 64, 64, device="cpu", BLOCK_SIZE=16)
    block_mask.mask_mod = documents(new)

    def rule(query: Any, key: Any, value: Any) -> Any:
        return flex_attention(query, key, value, block_mask=block_mask)

    return dict(model=Toy(rule), inputs=dict(x=tokens(64)), expect="causal & document(lengths=[32, 32])")
