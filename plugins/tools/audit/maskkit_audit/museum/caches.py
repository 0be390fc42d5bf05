"""Queries that are not the keys: caches and cross attention."""

from __future__ import annotations

from typing import Any

import torch
from maskkit_audit.museum._exhibit import exhibit
from maskkit_audit.museum._toy import Toy, sdpa, tokens

__all__ = ["causal_cross", "causal_with_cache", "static_cache"]


@exhibit("missing", "huggingface/transformers#48172")
def causal_cross(mended: bool = False) -> dict[str, Any]:
    """One causal mask serves a whole decoder, and lies on its attention to the source, too."""

    def rule(query: Any, key: Any, value: Any) -> Any:
        allowed = torch.arange(12) <= torch.arange(5)[:, None]
        return sdpa(query, key, value, attn_mask=None if mended else allowed)

    inputs = dict(x=tokens(5), memory=tokens(12, seed=2))
    return dict(model=Toy(rule), inputs=inputs, expect="window(left=-1, right=-1)")


@exhibit("alignment", "pytorch/pytorch#144858")
def causal_with_cache(mended: bool = False) -> dict[str, Any]:
    """`is_causal` counts queries and keys from the same start; with a cache the queries are the last keys."""

    def rule(query: Any, key: Any, value: Any) -> Any:
        if not mended:
            return sdpa(query, key, value, is_causal=True)
        last = torch.arange(12)[-query.shape[2] :, None]
        return sdpa(query, key, value, attn_mask=torch.arange(12) <= last)

    return dict(model=Toy(rule), inputs=dict(x=tokens(4), memory=tokens(12, seed=2)), expect="causal")


@exhibit("padding", "huggingface/transformers#30414")
def static_cache(mended: bool = False) -> dict[str, Any]:
    """A cache of a fixed length is full of zeros behind what was written, and zeros are keys like others."""
    written = torch.tensor([[1] * 9 + [0] * 7])

    def rule(query: Any, key: Any, value: Any, attention_mask: Any) -> Any:
        place = torch.arange(16)
        seen = place <= 9 - query.shape[2] + torch.arange(query.shape[2])[:, None]
        seen = seen if mended else place < 14
        return sdpa(query, key, value, attn_mask=seen.expand(query.shape[2], 16))

    inputs = dict(x=tokens(2), memory=tokens(16, seed=2), attention_mask=written)
    return dict(model=Toy(rule), inputs=inputs)
