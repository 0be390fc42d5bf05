"""What FlexAttention allows: by its lists of blocks, its predicate, and what is added to scores."""

from __future__ import annotations

from typing import Any

import torch
from maskkit_audit._calls import Bools

_FIELDS = ("kv_num_blocks", "kv_indices", "full_kv_num_blocks", "full_kv_indices")
_FIRST = 2
"""Of a block mask as the operator has it: behind the numbers of queries and keys come the lists of blocks."""


def flex_allows(
    query: Any, key: Any, score_mod: Any, block_mask: Any, scored: Any = (), masked: Any = ()
) -> tuple[Bools, list[str]]:
    """What the compiled kernel computes: whole blocks as they are, the others as far as the predicate allows.

    Args:
        query: (batch, heads, queries, width).
        key: (batch, key heads, keys, width).
        score_mod: what changes scores, (score, b, h, q, k, *scored).
        block_mask: as the operator has it; its last entry is the predicate (b, h, q, k, *masked).
        scored, masked: tensors that both are given.

    Returns:
        Booleans (1 or batch, 1 or heads, queries, keys), and what to say of them.
    """
    from torch.nn.attention.flex_attention import create_mask

    (batch, heads, queries, _), keys, notes = query.shape, key.shape[2], []
    *_, high, wide, mask_mod = block_mask
    lists = dict(zip(_FIELDS, block_mask[_FIRST:], strict=False))
    samples, planes = lists["kv_num_blocks"].shape[:2]

    def predicate(b: Any, h: Any, q: Any, k: Any) -> Any:
        return mask_mod(b, h, q, k, *masked)

    made = create_mask(predicate, samples, planes, queries, keys, device=query.device).cpu()
    partial, full = (
        _in_blocks(lists[f"{word}kv_num_blocks"], lists[f"{word}kv_indices"], (high, wide), queries, keys)
        for word in ("", "full_")
    )
    allowed = full | (partial & made)
    if differs := int((allowed != made).sum()):
        notes.append(
            f"the lists of blocks and the predicate of the BlockMask disagree on {differs:,} pairs; the compiled "
            "kernel goes by the blocks, the eager function by the predicate"
        )
    if score_mod is not None:

        def scores(score: Any, b: Any, h: Any, q: Any, k: Any) -> Any:
            return score_mod(score, b, h, q, k, *scored)

        allowed = allowed & create_mask(scores, batch, heads, queries, keys, device=query.device).cpu()
    return allowed.numpy(), notes


def _in_blocks(counts: Any, indices: Any, size: tuple[int, int], queries: int, keys: int) -> Any:
    """Which pairs lie in the blocks of a list, (batch, heads, queries, keys)."""
    if counts is None:
        return torch.zeros(1, 1, queries, keys, dtype=torch.bool)
    high, wide = min(size[0], queries), min(size[1], keys)  # one block for all is a billion wide
    counts, indices = counts.cpu(), indices.cpu().long()
    listed = torch.arange(indices.shape[-1]) < counts[..., None]
    last = max(indices.shape[-1], -(-keys // wide))
    blocks = torch.zeros(*indices.shape[:-1], last + 1, dtype=torch.bool)
    blocks.scatter_(-1, torch.where(listed, indices, last), True)
    return blocks[..., :last].repeat_interleave(high, -2).repeat_interleave(wide, -1)[..., :queries, :keys]
