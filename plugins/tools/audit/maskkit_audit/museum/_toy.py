"""What exhibits are made of: one attention with projections, and a rule that says how scores become outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention as sdpa

__all__ = ["Toy", "sdpa", "tokens", "tril"]

WIDTH, HEADS = 16, 2


class Toy(nn.Module):
    """(batch, tokens, 16) -> the same, through two heads; what is beside `x` goes to the rule."""

    def __init__(self, rule: Callable[..., Any], heads: int = HEADS) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.num_heads, self.rule = heads, rule
        self.inner, self.outer = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Any, memory: Any = None, **given: Any) -> Any:
        """Attend, to `memory` if there is one."""
        query, key, value = self.inner(x).chunk(3, -1)
        if memory is not None:
            _, key, value = self.inner(memory).chunk(3, -1)
        query, key, value = (part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for part in (query, key, value))
        return self.outer(self.rule(query, key, value, **given).transpose(1, 2).flatten(-2))


def tokens(count: int, batch: int = 1, seed: int = 1) -> Any:
    """Random inputs (batch, count, 16)."""
    return torch.randn(batch, count, WIDTH, generator=torch.Generator().manual_seed(seed))


def tril(count: int, diagonal: int = 0) -> Any:
    """True for the keys up to `diagonal` behind the query."""
    return torch.ones(count, count, dtype=torch.bool).tril(diagonal)
