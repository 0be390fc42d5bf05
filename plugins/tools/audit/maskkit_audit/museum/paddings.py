"""Padding, packed documents, samples and heads."""

from __future__ import annotations

from typing import Any

import torch
from maskkit_audit.museum._exhibit import exhibit
from maskkit_audit.museum._toy import Toy, sdpa, tokens, tril

__all__ = ["chunks_from_padding", "dropped_by_wrapper", "packed_documents", "samples_as_heads"]


@exhibit("document", "huggingface/trl#784")
def packed_documents(mended: bool = False) -> dict[str, Any]:
    """Three texts are packed into a row, and their positions start again; the mask does not know."""
    positions = torch.tensor([[0, 1, 2, 3, 0, 1, 2, 0, 1, 2, 3, 4]])

    def rule(query: Any, key: Any, value: Any, position_ids: Any) -> Any:
        text = (position_ids == 0).cumsum(1)
        same = text[:, None, :, None] == text[:, None, None]
        return sdpa(query, key, value, attn_mask=tril(12) & same if mended else tril(12))

    return dict(model=Toy(rule), inputs=dict(x=tokens(12), position_ids=positions), expect="causal")


@exhibit("position", "huggingface/transformers#40324")
def chunks_from_padding(mended: bool = False) -> dict[str, Any]:
    """Chunks are counted from the start of the row, and the text begins behind padding."""
    real = torch.tensor([[0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1]])

    def rule(query: Any, key: Any, value: Any, attention_mask: Any) -> Any:
        place = attention_mask.cumsum(1) - 1 if mended else torch.arange(12)[None]
        same = place[:, :, None] // 4 == place[:, None] // 4
        return sdpa(query, key, value, attn_mask=(tril(12) & same & attention_mask[:, None].bool())[:, None])

    inputs = dict(x=tokens(12), attention_mask=real)
    return dict(model=Toy(rule), inputs=inputs, expect="chunked(chunk_size=4)")


@exhibit("exchanged", "ArrowLuo/CLIP4Clip#22")
def samples_as_heads(mended: bool = False) -> dict[str, Any]:
    """A mask (batch, query, key) meets scores (batch, head, query, key): with as many samples as heads it fits."""
    real = torch.tensor([[1] * 12, [1] * 7 + [0] * 5])

    def rule(query: Any, key: Any, value: Any, attention_mask: Any) -> Any:
        allowed = attention_mask[:, None].bool().expand(-1, 12, -1)
        return sdpa(query, key, value, attn_mask=allowed[:, None] if mended else allowed)

    return dict(model=Toy(rule), inputs=dict(x=tokens(12, batch=2), attention_mask=real))


@exhibit("lost", "TransformerLensOrg/TransformerLens#467")
def dropped_by_wrapper(mended: bool = False) -> dict[str, Any]:
    """A wrapper takes the mask among its keyword arguments, and does not pass it on."""

    def attend(query: Any, key: Any, value: Any, attention_mask: Any = None) -> Any:
        allowed = None if attention_mask is None else attention_mask[:, None, None].bool()
        return sdpa(query, key, value, attn_mask=allowed)

    def rule(query: Any, key: Any, value: Any, **options: Any) -> Any:
        return attend(query, key, value, **(options if mended else {}))

    real = torch.tensor([[1] * 12, [1] * 7 + [0] * 5])
    return dict(model=Toy(rule, heads=4), inputs=dict(x=tokens(12, batch=2), attention_mask=real))
