"""Fixed: a query sees its block up to itself, and the last tokens of every block before."""

import numpy as np
from attrs import field, frozen
from maskkit import AttentionMask, at_most, hookimpl, non_negative, positive


@frozen(kw_only=True)
class Fixed(AttentionMask):
    """Query q may see the keys k <= q of its own block, and of every block the last num_summary tokens.

    The two heads of the paper in one mask: what a block says is summarised at its end, and read by all that follow.

    Source: Child et al. 2019 (Sparse Transformer), arXiv:1904.10509, section 4.2, fixed attention: block_size is its
    stride l, num_summary its c.

    Attributes:
        seq_len: number of tokens, queries and keys alike.
        block_size: tokens per block; the last block is shorter if the length is not a multiple.
        num_summary: number of tokens at the end of each block that all later queries see; 0 leaves the blocks alone.
    """

    name = "fixed"
    rules = (at_most("num_summary", "block_size"),)
    samples = (
        dict(seq_len=16, block_size=4, num_summary=1),
        dict(seq_len=17, block_size=5, num_summary=2),
        dict(seq_len=9, block_size=3, num_summary=0),
        dict(seq_len=8, block_size=3, num_summary=3),
        dict(seq_len=5, block_size=8, num_summary=2),
    )
    seq_len: int = field(validator=positive)
    block_size: int = field(validator=positive)
    num_summary: int = field(validator=non_negative)

    def allows(self, q, k):
        summary = k % self.block_size >= self.block_size - self.num_summary
        return (k <= q) & ((q // self.block_size == k // self.block_size) | summary)

    @classmethod
    def recognize(cls, spans):
        later = np.flatnonzero((spans.lo[0] > 0).reshape(-1, spans.limit)[0])  # the first of them begins a block
        if not len(later) or not later[0]:
            return None
        size = int(later[0])
        summary = size - int(spans.lo[0].reshape(-1, spans.limit)[0, size])
        return dict(seq_len=spans.limit, block_size=size, num_summary=summary) if summary >= 0 else None


@hookimpl
def maskkit_masks():
    return [Fixed]
