"""Fa4: the block lists of a mask, as FlashAttention 4 takes them."""

from typing import Any

from maskkit import ConfigError, Mask, hookimpl


class Fa4:
    """The fields of FlashAttention's `BlockSparseTensorsTorch`: which blocks of keys a block of queries reads."""

    name = "fa4"

    def export(self, mask: Mask, block_size: int = 128, device: Any = None) -> dict[str, Any]:
        """`mask_block_cnt` and `full_block_cnt`, int32 tensors (B, H, blocks of queries), and `mask_block_idx` and
        `full_block_idx` (B, H, blocks of queries, blocks of keys): partial blocks, and those that allow everything.

        What a partial block allows its `mask_mod` says: `mask.mask_mod()`.
        """
        if not hasattr(mask, "to_flex"):
            raise ConfigError(f"{mask!r} is no mask of queries and keys, and has no blocks of both")
        blocks = mask.to_flex(block_size=block_size, device=device)
        return {
            "mask_block_cnt": blocks.kv_num_blocks,
            "mask_block_idx": blocks.kv_indices,
            "full_block_cnt": blocks.full_kv_num_blocks,
            "full_block_idx": blocks.full_kv_indices,
        }


@hookimpl
def maskkit_backends():
    return [Fa4()]
