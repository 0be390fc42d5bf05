"""Block causal: a query sees its own block whole, and all blocks before it."""

import numpy as np
from attrs import field, frozen
from maskkit import AttentionMask, hookimpl, positive


@frozen(kw_only=True)
class BlockCausal(AttentionMask):
    """Query q may see the keys k with k // block_size <= q // block_size.

    The blocks are the frames of a video, or the steps of a text that is denoised block by block.

    Source: Arriola et al. 2025 (Block Diffusion), arXiv:2503.09573, section 3; of video frames in Assran et al. 2025
    (V-JEPA 2), arXiv:2506.09985, section 3.

    Attributes:
        seq_len: number of tokens, queries and keys alike.
        block_size: tokens per block; the last block is shorter if the length is not a multiple.
    """

    name = "block_causal"
    samples = (dict(seq_len=16, block_size=4), dict(seq_len=11, block_size=3), dict(seq_len=5, block_size=9))
    seq_len: int = field(validator=positive)
    block_size: int = field(validator=positive)

    def allows(self, q, k):
        return k // self.block_size <= q // self.block_size

    @classmethod
    def recognize(cls, spans):
        behind = np.where(spans.lo < spans.limit, spans.hi, 0)[..., 0]  # of what the first row sees
        return dict(seq_len=spans.limit, block_size=max(int(behind.max()), 1))


@hookimpl
def maskkit_masks():
    return [BlockCausal]
