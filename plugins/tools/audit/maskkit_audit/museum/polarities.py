"""What True means, and what a number added to a score means."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from maskkit_audit.museum._exhibit import exhibit
from maskkit_audit.museum._toy import Toy, sdpa, tokens, tril

__all__ = ["additive_as_boolean", "ones_added", "padding_inverted", "upside_down"]


class Encoder(nn.Module):
    """`nn.MultiheadAttention`, given the mask of a tokenizer."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.mended, self.attention = mended, nn.MultiheadAttention(16, 4, batch_first=True)

    def forward(self, x: Any, attention_mask: Any) -> Any:
        real = attention_mask.bool()
        return self.attention(x, x, x, key_padding_mask=~real if self.mended else real)[0]


@exhibit("inverted", "hkproj/pytorch-transformer#19")
def upside_down(mended: bool = False) -> dict[str, Any]:
    """`triu(1)` is 1 where a mask of blocked pairs has its 1; here 1 means allowed."""

    def rule(query: Any, key: Any, value: Any) -> Any:
        upper = torch.ones(12, 12).triu(1)
        scores = (query @ key.mT).masked_fill((upper == 1 if mended else upper == 0), -1e9)
        return scores.softmax(-1) @ value

    return dict(model=Toy(rule), inputs=dict(x=tokens(12)), expect="causal")


@exhibit("inverted", "InseeFrLab/torchTextClassifiers#92")
def padding_inverted(mended: bool = False) -> dict[str, Any]:
    """A tokenizer's mask is 1 where real; `key_padding_mask` is True where padding."""
    real = torch.tensor([[1] * 9 + [0] * 3, [1] * 7 + [0] * 5])
    return dict(model=Encoder(mended), inputs=dict(x=tokens(12, batch=2), attention_mask=real))


@exhibit("inverted", "pytorch/pytorch#92554")
def additive_as_boolean(mended: bool = False) -> dict[str, Any]:
    """0 and -inf, meant to be added, are cast to booleans: 0 is False, and -inf is True."""
    bias = torch.zeros(12, 12).masked_fill(~tril(12), -torch.inf)

    def rule(query: Any, key: Any, value: Any) -> Any:
        return sdpa(query, key, value, attn_mask=bias if mended else bias.bool())

    return dict(model=Toy(rule), inputs=dict(x=tokens(12)), expect="causal")


@exhibit("lost", "timeseriesAI/tsai#171")
def ones_added(mended: bool = False) -> dict[str, Any]:
    """0 and 1 are added to scores of which they were to block some: every key keeps its place."""

    def rule(query: Any, key: Any, value: Any) -> Any:
        return sdpa(query, key, value, attn_mask=tril(12) if mended else tril(12).float())

    return dict(model=Toy(rule), inputs=dict(x=tokens(12)), expect="causal")
