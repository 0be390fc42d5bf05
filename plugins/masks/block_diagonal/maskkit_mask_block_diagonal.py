"""Block diagonal: a query sees the tokens of its own block."""

from attrs import field, frozen
from maskkit import AttentionMask, hookimpl, positive


@frozen(kw_only=True)
class BlockDiagonal(AttentionMask):
    """Query q may see the keys k with k // block_size == q // block_size.

    Source: Qiu et al. 2020 (Blockwise Self-Attention), arXiv:1911.02972, section 3.

    Attributes:
        seq_len: number of tokens, queries and keys alike.
        block_size: tokens per block; the last block is shorter if the length is not a multiple.
    """

    name = "block_diagonal"
    samples = (dict(seq_len=16, block_size=4), dict(seq_len=11, block_size=3))
    seq_len: int = field(validator=positive)
    block_size: int = field(validator=positive)

    def allows(self, q, k):
        return q // self.block_size == k // self.block_size

    @classmethod
    def recognize(cls, spans):
        later = spans.lo[0][spans.lo[0] > 0]  # the second block begins at the first of them
        return dict(seq_len=spans.limit, block_size=int(later.min(initial=spans.limit)))


@hookimpl
def maskkit_masks():
    return [BlockDiagonal]
